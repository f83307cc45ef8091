"""Generated users a second, from the draw to the written log; a rate without a rival."""

import tempfile

import jax
import numpy as np

from experiments.races.games import LENGTH, USERS, WARM
from experiments.races.turns import spread, take_turns
from ganrec_jax.data.types import Catalogue
from ganrec_jax.profiles import generator, logs, privacy
from ganrec_jax.profiles.config import ProfileConfig


def rates(runs):
  """Generated users a second, and of them the draw alone, as a dict for JSON; printed."""
  from experiments import torch_profile_step
  config, many = ProfileConfig(), 16 * generator.BATCH
  real, params, _, prior = torch_profile_step.world(config, USERS, WARM, LENGTH, 0)
  made = generator.make(params, prior, np.arange(WARM), WARM, None)
  ids = np.array([f'item{k}' for k in range(WARM)])
  catalogue = Catalogue(ids, ids, ids, ((),) * WARM)

  def drawn():
    return generator.stream(made, .6, jax.random.key(0), many)

  with tempfile.TemporaryDirectory() as folder:
    def written():
      for part in logs.write_interactions(f'{folder}/log.csv', drawn(), many, catalogue, None, 'synthetic', ''):
        privacy.nearest(real, part, WARM)
    seconds = take_turns({'drawn': lambda: list(drawn()), 'drawn, compared, written': written}, runs)
  found = {name: many / spread([wall for wall, _ in values])[0] for name, values in seconds.items()}
  print(f'users: {many} of {WARM} items, {USERS} real ones: ' + ', '.join(
    f'{name} {rate:,.0f} users/s' for name, rate in found.items()))
  return {'users': many, 'per_second': found}
