"""adversarial and expand: G against D on training data, and the interactions that come of it, beside the controls."""

import dataclasses
import json

import flax.traverse_util
import jax.numpy as jnp
import numpy as np
from absl import logging

from ganrec_jax import artifacts
from ganrec_jax.adversarial import controls, expand, train
from ganrec_jax.adversarial.step import AdversarialConfig
from ganrec_jax.errors import ConfigError
from ganrec_jax.evaluation import leaks
from ganrec_jax.evaluation.tasks import train_counts
from ganrec_jax.models import closed_form
from ganrec_jax.stages.workspace import VERSION, guards_of

CONTROLS = ('random_pairs', 'popular_pairs', 'content_knn_pairs', 'self_labelled', 'generator_only')


def rows_of(config):
  """The names of the augmented rows that the config asks for, 'gan' last.

  Raises:
    ConfigError: for an unknown control.
  """
  asked = {'all': CONTROLS, 'none': ()}.get(config.controls, tuple(config.controls.split(',')))
  for name in asked:
    if name not in CONTROLS:
      raise ConfigError(f'controls is {config.controls!r}; allowed are all, none, or some of {",".join(CONTROLS)}')
  return *asked, 'gan'


def game(config, row='gan'):
  """The `AdversarialConfig` of a row: 'gan', or 'generator_only' for the same without its adversary.

  Raises:
    ConfigError: for values out of range.
  """
  options = config.adversarial.to_dict()
  if row == 'generator_only':
    options |= {'adversarial_weight': 0., 'penalty': 'none', 'loss': 'cross_entropy'}
  return AdversarialConfig(**options)


def draws(config):
  """The `ExpandConfig`.

  Raises:
    ConfigError: for values out of range, or weights that cannot be tried.
  """
  options = config.expand.to_dict()
  weights = options.pop('weights')
  if not weights or not 0 < min(weights) <= max(weights) <= 1:
    raise ConfigError(f'expand.weights is {weights}; allowed are numbers above 0, up to 1, at least one')
  return expand.ExpandConfig(**options)


def train_gan(workspace, prepared, base, content, known, name='gan'):
  """Trains the generator on warm items and training pairs, or takes it from the work directory.

  Args:
    workspace, prepared: the surroundings and the data.
    base: the fitted `ClosedFormParams`, whose factors are the collaborative vectors.
    content: `Content`.
    known: the hash of base and content.
    name: the row, see `game`.

  Returns:
    (config, `GanParams` or None, report), see `adversarial.train`.
  """
  config = game(workspace.config, name)
  key = artifacts.digest(VERSION, dataclasses.asdict(config), workspace.config.seed, prepared.sha256(), known,
                         dataclasses.asdict(guards_of(workspace.config)))

  def compute():
    params, report = train.train(_training_data(prepared, base, content), config, workspace.key('adversarial'),
                                 workspace.surroundings(name, key))
    flat = {} if params is None else flax.traverse_util.flatten_dict(dict(vars(params)), sep='/')
    return {f'params/{path}': np.asarray(leaf) for path, leaf in flat.items()} | {'report': np.asarray(
      json.dumps(report))}

  arrays, there = artifacts.cached(workspace.artifact(f'{name}.npz'), key, compute)
  if there:
    logging.info('%s: taken from the work directory', name)
  report = json.loads(str(arrays.pop('report')))
  if not arrays:
    return config, None, report
  tree = flax.traverse_util.unflatten_dict({path: jnp.asarray(leaf) for path, leaf in arrays.items()}, sep='/')
  return config, train.GanParams(**tree['params']), report


def _training_data(prepared, base, content):
  """Collaborative and text vectors of the warm items, and the training pairs among them."""
  log, warm = prepared.dataset.interactions.take(prepared.split.rows('train')), prepared.warm
  place = np.full(prepared.dataset.items, -1, np.int32)
  place[warm] = np.arange(len(warm))
  factors = np.asarray(base.factors.items)[warm]
  return train.TrainingData(factors, content.items[warm], log.user, place[log.item], log.value, content.users)


def generate(workspace, prepared, base, content, known):
  """The generated interactions of each augmented row, and how the generators' training ended.

  Returns:
    row -> `Generated` in the order of the table, row -> report.

  Raises:
    LeakError: where generated pairs repeat held-out ones more often than chance explains.
  """
  config = workspace.config
  how = draws(config)
  users = train_counts(prepared.dataset, prepared.split)[0]
  cold = np.ones(prepared.dataset.items, bool)
  cold[prepared.warm] = False
  data = expand.ExpandData(prepared.histories, np.flatnonzero(users), cold, np.asarray(base.factors.users),
                           np.asarray(base.factors.items), content.items, content.users)
  found, reports = {}, {}
  for row in ('gan', *(row for row in rows_of(config) if row != 'gan')):
    key = workspace.key(f'expand {row}')
    if row in ('gan', 'generator_only'):
      adversarial, params, reports[row] = train_gan(workspace, prepared, base, content, known, row)
      found[row] = expand.generate(params, data, adversarial, how, key, row)
    elif row == 'self_labelled':
      found[row] = controls.self_labelled(found['gan'], data, key, closed_form.score, base)
    else:
      found[row] = getattr(controls, row)(found['gan'], data, key)
    reports[row] = reports.get(row, {}) | {'counts': found[row].counts, 'leaks': leaks.check_generated(
      prepared.dataset, prepared.split, found[row].user, found[row].item, row)}
  return {row: found[row] for row in rows_of(config)}, reports
