"""A finished run, read again from its work directory for questions and for what is made of it."""

import json
import os

from ml_collections import ConfigDict

from ganrec_jax.errors import UserError
from ganrec_jax.stages import encode, recommend, tune, workspace
from ganrec_jax.stages.prepare import prepare


def load(workdir):
  """The workspace, the data, the encoder and the fitted closed form of a finished run.

  Raises:
    UserError: where the work directory holds no finished run.
  """
  path = os.path.join(workdir, 'config.json')
  if not os.path.exists(os.path.join(workdir, 'results.json')):
    raise UserError(f'{workdir}: holds no finished run (no results.json); make one by python -m ganrec_jax.main')
  with open(path, encoding='utf-8') as file:
    config = ConfigDict(json.load(file)['config'])
  space, prepared = workspace.make(config, workdir), prepare(config)
  encoder = encode.text_encoder(space, prepared)
  content = encode.content(space, prepared, encoder)
  base, _, _ = tune.fit(space, prepared, content, recommend.judge_of(space, prepared))
  return space, prepared, encoder, base
