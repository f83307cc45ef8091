"""profiles: the generator of whole histories and its critic, trained on most users; the others judge it."""

import dataclasses
import functools
import hashlib

import flax.serialization
import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np
from absl import logging

from ganrec_jax import artifacts
from ganrec_jax.data.ragged import Ragged, take
from ganrec_jax.errors import ConfigError, DataError
from ganrec_jax.models import als, mixture
from ganrec_jax.profiles import game, generator, likelihood
from ganrec_jax.profiles.config import ProfileConfig
from ganrec_jax.stages.workspace import VERSION, guards_of
from ganrec_jax.training import loop

# Fewer profiles or items say nothing of a distribution.
_FEWEST_USERS, _FEWEST_ITEMS = 100, 20
# Fewer cannot judge.
_FEWEST_HELD_OUT = 100


@dataclasses.dataclass(frozen=True)
class Population:
  """The real profiles, of users with at least one training item.

  Attributes:
    users: int `[n]`, their indices.
    members: `Ragged` over those that the generator is trained on; values are items of the catalogue.
    held_out: `Ragged` over those that it never sees.
  """
  users: np.ndarray
  members: Ragged
  held_out: Ragged


def population(workspace, prepared):
  """The real profiles, some of them held out by the run's seed: the config's share, of few users more.

  Raises:
    DataError: where there are too few.
  """
  users = np.flatnonzero(prepared.histories.lengths)
  if len(users) < _FEWEST_USERS or len(prepared.warm) < _FEWEST_ITEMS:
    raise DataError(f'{len(users)} users with training interactions and {len(prepared.warm)} warm items; a generator '
                    f'of profiles needs at least {_FEWEST_USERS} users and {_FEWEST_ITEMS} items')
  options = workspace.config.profiles
  held = max(round(options.held_out * len(users)), min(_FEWEST_HELD_OUT, len(users) // 4))
  order = np.asarray(jax.random.permutation(workspace.key('held-out profiles'), len(users)))
  plain = dataclasses.replace(prepared.histories, weights=np.ones(len(prepared.histories.values), np.float32))
  members, held_out = (take(plain, np.sort(users[part])) for part in (order[held:], order[:held]))
  return Population(users, members, held_out)


def configured(config):
  """The `ProfileConfig`.

  Raises:
    ConfigError: for values out of range.
  """
  options = config.profiles.to_dict()
  if not 0 < options['held_out'] <= .5:
    raise ConfigError(f'profiles.held_out is {options["held_out"]}; allowed are numbers above 0, up to .5')
  return ProfileConfig(**{name: value for name, value in options.items() if name != 'held_out'})


def fit(workspace, prepared, content, people):
  """Trains the generator, or takes it from the work directory, with the critic for none to all of its steps.

  Args:
    workspace, prepared: the surroundings and the data.
    content: `encode.Content`: by its text vectors the generator names items, and by its kernel it knows new ones.
    people: `Population`.

  Returns:
    (steps of the critic -> `Generator`, fault): 0 is the likelihood's training alone. Where the game diverges or its
    profiles collapse, the points before are kept and `fault` says what happened, else it is ''.

  Raises:
    DataError: where the likelihood's training diverges.
  """
  config, warm = configured(workspace.config), prepared.warm
  place = np.zeros(prepared.dataset.items, np.int32)
  place[warm] = np.arange(len(warm))
  members, held_out = (dataclasses.replace(rows, values=place[rows.values])
                       for rows in (people.members, people.held_out))
  texts = content.items[warm]
  read = hashlib.sha256(b''.join(one.tobytes() for one in (people.members.offsets, people.members.values, texts)))
  key = artifacts.digest(VERSION, dataclasses.asdict(config), workspace.config.seed, prepared.sha256(),
                         read.hexdigest(), dataclasses.asdict(guards_of(workspace.config)))

  def likely():
    params, summary = likelihood.train(members, held_out, len(warm), config, workspace.key('profiles likelihood'),
                                       workspace.surroundings('profiles_likelihood', key), jnp.asarray(texts))
    prior = likelihood.fit_prior(params, members, len(warm), config, workspace.key('profiles prior'))
    logging.info('profiles: %.3f nats an item of held-out ones', -summary['best'])
    # The critic reads items by these; the base model's factors would know those who judge.
    factors = als.fit(members, len(warm), np.arange(len(warm)), None, als.AlsConfig(),
                      workspace.key('profiles factors')).items
    return {'params': params, 'prior': flax.serialization.to_state_dict(prior), 'vectors': factors, 'steps': 0}

  def played(steps):
    # Each goes on from the checkpoint of the one before.
    some = dataclasses.replace(config, steps=steps)
    params, summary = game.train(first['params'], prior, members, first['vectors'], some,
                                 workspace.key('profiles game'), workspace.surroundings('profiles_game', key))
    return {'params': params, 'steps': summary['steps']}

  try:
    first = _cached(workspace, 'profiles_0.npz', key, likely)
  except loop.Diverged as error:
    raise DataError(f'the generator of profiles: {error}; lower profiles.vae_rate') from error
  prior, fitted, fault = _prior(first['prior']), [first], ''
  try:
    for steps in points(config):
      fitted.append(_cached(workspace, f'profiles_{steps}.npz', key, functools.partial(played, steps)))
  except loop.Diverged as error:
    fault = (f'{error}; the generator goes back to what it was after {int(fitted[-1]["steps"])} steps of the critic; '
             'a lower profiles.g_rate or profiles.d_rate may help')
    logging.warning('profiles: %s', fault)
  return {int(one['steps']): generator.make(one['params'], prior, warm, prepared.dataset.items, content.kernel)
          for one in fitted}, fault


def points(config):
  """The steps of the critic after which the generator is kept: a third, two thirds and all of them, rising."""
  return sorted({steps for steps in (config.steps // 3, 2 * config.steps // 3, config.steps) if steps})


def _cached(workspace, name, key, compute):
  """The tree of arrays at `name`, where it was made by the same `key`, else `compute()`."""
  def flat():
    return {path: np.asarray(leaf) for path, leaf in flax.traverse_util.flatten_dict(compute(), sep='|').items()}
  arrays, there = artifacts.cached(workspace.artifact(name), key, flat)
  if there:
    logging.info('%s: taken from the work directory', name)
  return flax.traverse_util.unflatten_dict({path: jnp.asarray(leaf) for path, leaf in arrays.items()}, sep='|')


def _prior(tree):
  return likelihood.Prior(**tree | {'mixture': mixture.Mixture(**tree['mixture'])})
