"""A finished run, read again from its work directory for questions and for what is made of it."""

import json
import os

import numpy as np
from ml_collections import ConfigDict

from ganrec_jax import artifacts
from ganrec_jax.data import text
from ganrec_jax.data.types import Catalogue
from ganrec_jax.errors import UserError
from ganrec_jax.models.kernels import LowRankKernel
from ganrec_jax.stages import encode, recommend, tune, workspace
from ganrec_jax.stages.prepare import prepare


def config_of(workdir):
  """The config of a finished run.

  Raises:
    UserError: where the work directory holds none.
  """
  if not os.path.exists(os.path.join(workdir, 'results.json')):
    raise UserError(f'{workdir}: holds no finished run (no results.json); make one by python -m ganrec_jax.main')
  with open(os.path.join(workdir, 'config.json'), encoding='utf-8') as file:
    return ConfigDict(json.load(file)['config'])


def load(workdir):
  """The workspace, the data, the encoder, what texts say, and the fitted closed form of a finished run.

  Raises:
    UserError: where the work directory holds no finished run, or one of other data.
  """
  config = config_of(workdir)
  space, prepared = workspace.make(config, workdir), prepare(config)
  results, found = artifacts.read_json(os.path.join(workdir, 'results.json')) or {}, prepared.dataset.sha256()
  made_of = results.get('data_sha256')
  if made_of and made_of != found:
    raise UserError(f'{workdir}: the data are not those of the run (SHA-256 {made_of[:16]} then, {found[:16]} now, '
                    f'{prepared.dataset.items} items); give them back, or make another run in another --workdir')
  encoder = encode.text_encoder(space, prepared)
  content = encode.content(space, prepared, encoder)
  base, _, _ = tune.fit(space, prepared, content, recommend.judge_of(space, prepared))
  return space, prepared, encoder, content, base


def kernel_with(space, prepared, encoder, words, flag):
  """The content kernel with an item of the text `words` behind the others, float32 `[items + 1, items + 1]`.

  What follows its last colon, between commas, are its phrases where the catalogue has any. With many items it is a
  `LowRankKernel`.

  Raises:
    UserError: where nothing reads the words, naming the `flag` that gave them.
  """
  catalogue, warm = prepared.dataset.catalogue, prepared.warm
  phrases = tuple(w.strip() for w in words.rpartition(':')[2].split(',') if w.strip())
  more = Catalogue(np.append(catalogue.ids, '\0new'), np.append(catalogue.titles, words),
                   np.append(catalogue.texts, words),
                   (*catalogue.phrases, phrases if any(map(len, catalogue.phrases)) else ()))
  ready = None if catalogue.vectors is None else np.pad(catalogue.vectors, ((0, 1), (0, 0)))
  known, new = encode.readings(space, encoder, catalogue.texts, 'encode'), encode.readings(space, encoder, [words])
  read = [np.concatenate(pair) for pair in zip(known, new, strict=True)] or [None]
  kernel = encode.content_kernel(space, more, warm, [encode.beside(one, ready, warm) for one in read])
  if not len(text.transform(text.fit_vocabulary(more.phrases, more.texts, warm), more.phrases[-1:],
                            more.texts[-1:]).values) and space.config.encoder.kind != 'pretrained':
    raise UserError(f'{flag} {words!r}: none of its words or phrases occurs in the catalogue')
  return kernel


def alike(kernel):
  """The likeness of the last item of a kernel to each of the others, float32 `[items]`, by words and phrases."""
  if isinstance(kernel, LowRankKernel):
    return np.asarray(kernel.features[:-1] @ kernel.features[-1])
  return np.asarray(kernel[-1, :-1])
