"""Generators of whole profiles: the package's, with its critic and without, and CFGAN with an autoencoder beside it."""

import functools

import jax.numpy as jnp

from experiments import augmentation
from experiments.court import case as court
from experiments.peers import autoencoders
from ganrec_jax.profiles.config import ProfileConfig
from ganrec_jax.training import loop


@functools.lru_cache(maxsize=1)  # three rows ask for the same
def _logs(case, seed):
  default = ProfileConfig()
  config = ProfileConfig(vae_steps=case.steps(default.vae_steps), steps=default.warm_up + case.steps(300))
  try:
    return augmentation.generated(case.problem, seed, size=1, config=config)[0]
  except loop.Diverged as error:
    return str(error)


def generated(case, seed, source):
  """As many generated users as there are real ones, of a name in `augmentation.SOURCES`."""
  logs = _logs(case, seed)
  if isinstance(logs, str):
    return court.nothing(case, 'users', {'status': 'diverged', 'reason': logs})
  return court.of_users(case, logs[source])


def in_one(case, found):
  """Users `[users, dim + 1]` and items `[items, dim + 1]` of `training.Factors`, the bias as a further coordinate.

  Cold items get the mean of warm ones, so that they change nobody's mean score.
  """
  items = jnp.concatenate([found.items, found.bias[:, None]], 1)
  items = jnp.where(case.data.cold[:, None], items[case.warm].mean(0), items)
  return jnp.concatenate([found.users, jnp.ones((len(found.users), 1))], 1), items


def purchases(case, seed, kind):
  """Pairs of warm items drawn by generated purchase vectors: of 'cfgan', or of 'multvae', which has no adversary."""
  key = court.key_of(kind, seed)
  space = getattr(autoencoders, f'{kind.upper()}_SPACE')
  try:
    _, found = getattr(autoencoders, kind)(case.problem, {name: values[0] for name, values in space.items()}, key)
  except FloatingPointError as error:
    return court.nothing(case, 'interactions', {'status': 'diverged', 'reason': str(error)})
  users, items = in_one(case, found)
  made = court.drawn(case, items[None], key, users=users, budget=case.warm_budget)
  return court.of_pairs(case, made, kind)
