"""recommend: the closed form, a network on top of it where asked for, and how much generated data it takes."""

import dataclasses
from collections.abc import Callable
from typing import Any

import flax.serialization
import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np
from absl import logging

from ganrec_jax import artifacts
from ganrec_jax.data import ragged
from ganrec_jax.errors import ConfigError, DataError
from ganrec_jax.evaluation import leaks, ranking
from ganrec_jax.evaluation.tasks import item_masks, make_tasks
from ganrec_jax.models import als, blend, closed_form, low_rank, recommenders, regression
from ganrec_jax.models.recommenders import RecommenderConfig
from ganrec_jax.stages import encode
from ganrec_jax.stages.encode import sha256
from ganrec_jax.stages.workspace import VERSION
from ganrec_jax.training import loop
from ganrec_jax.training import recommend as training

CLOSED_FORM = 'closed_form'
# Fields of config.base that are not the model's own.
OF_STAGES = ('strength', 'turn_knobs', 'regime')
REGIMES = ('dense', 'sparse', 'auto')
# What histories of a few interactions want instead of the config's values; found by `ganrec_jax.tune` on the validation
# part of Amazon's Industrial and Scientific (experiments/tuned.py).
SPARSE = {'unobserved': .0022, 'reg': .1, 'kappa': 2.6, 'ridge': .13, 'item_reg': 8., 'kernel_weight': 30.}
# Validation tasks by which the weight of generated data is chosen; `all` follows warm, and needs calibrated scores.
_TASKS = ('warm', 'cold', 'tail', 'sparse', 'cold_user')
# Standard errors by which a gain must exceed what luck explains.
_ERRORS = 2.
NETWORK = ranking.Blocks(recommenders.user_states, recommenders.item_columns, recommenders.products)
_SAMPLE = 512  # users from whose scores a standard deviation is taken


def network(config):
  """The `RecommenderConfig`, or None for the closed form without a network.

  Raises:
    ConfigError: for values out of range.
  """
  options = config.recommender.to_dict()
  options.pop('alone')
  if options['kind'] == CLOSED_FORM:
    RecommenderConfig(**options | {'kind': 'mlp'})  # the other fields must be right all the same
    return None
  if options['kind'] not in recommenders.KINDS:
    allowed = ', '.join((CLOSED_FORM, *recommenders.KINDS))
    raise ConfigError(f'recommender.kind is {options["kind"]!r}; allowed are {allowed}')
  # A random split hides pairs of any time, and what came next says little about them.
  return RecommenderConfig(**options, ordered=config.split.kind != 'random')


def regimes(config):
  """The names of the regimes that validation chooses from."""
  return ('dense', 'sparse') if config.base.regime == 'auto' else (config.base.regime,)


def closed(config, regime=None):
  """The `ClosedFormConfig` of a regime, of the config's own where none is given; of 'auto' the dense one.

  Raises:
    ConfigError: for values out of range.
  """
  options = config.base.to_dict()
  if not options['strength'] >= 0:
    raise ConfigError(f'strength is {options["strength"]}; allowed are numbers from 0 on')
  if options['regime'] not in REGIMES:
    raise ConfigError(f'regime is {options["regime"]!r}; allowed are {", ".join(REGIMES)}')
  if (regime or options['regime']) == 'sparse':
    options |= SPARSE
  return closed_form.flat_config(**{name: value for name, value in options.items() if name not in OF_STAGES})


@dataclasses.dataclass(frozen=True)
class Model:
  """A fitted recommender.

  Attributes:
    score: `score(params, users int32 [b]) -> float32 [b, items]`.
    params: its first argument.
    choices: what was chosen on validation, for the results.
  """
  score: Callable
  params: Any
  choices: dict


def fit_base(workspace, prepared, content, regime):
  """Fits the closed form on the training pairs, or takes it from the work directory; returns (params, hash)."""
  config, strength = closed(workspace.config, regime), workspace.config.base.strength
  key = artifacts.digest(VERSION, dataclasses.asdict(config), strength, workspace.config.seed, prepared.sha256(),
                         sha256(content.kernel))

  def compute():
    params = _fit(workspace, prepared, content, config, None)
    tree = flax.serialization.to_state_dict(params) | {'length': params.length}
    return {name: np.asarray(value) for name, value in flax.traverse_util.flatten_dict(tree, sep='.').items()}

  arrays, there = artifacts.cached(workspace.artifact(f'base.{regime}.npz'), key, compute)
  if there:
    logging.info('base: taken from the work directory')
  length = int(arrays.pop('length'))
  tree = flax.traverse_util.unflatten_dict({name: jnp.asarray(value) for name, value in arrays.items()}, sep='.')
  if isinstance(tree['item_item'], dict):
    tree['item_item'] = low_rank.LowRankItemItem(**tree['item_item'] | {
      'text': regression.LowRankRegression(**tree['item_item']['text'])})
  tree['factors'] = als.AlsParams(**tree['factors'])
  return closed_form.ClosedFormParams(length=length, config=config, **tree), key


def _fit(workspace, prepared, content, config, generated):
  return closed_form.fit(prepared.strengths(workspace.config.base.strength), prepared.dataset.items, prepared.warm,
                         content.kernel, config, jax.random.key(workspace.config.seed), generated)


def _refitted(workspace, prepared, content, base, generated):
  """The closed form `base` fitted with generated data as well, its knobs where they are."""
  return _fit(workspace, prepared, content, base.config, generated).replace(knobs=base.knobs)


def check_leaks(prepared, base, name='base'):
  """Fails where the fitted model holds a pair, an item or a user that it may not know.

  It reads the histories in the model itself, so that a model left by another split does not pass.

  Raises:
    LeakError: naming the user and the item.
  """
  users = np.repeat(np.arange(len(base.offsets) - 1), np.diff(np.asarray(base.offsets)))
  leaks.check(prepared.dataset, prepared.split, {name: (users, np.asarray(base.items)[:len(users)])})


def as_histories(generated, users, weight):
  """Generated interactions as a `Ragged` over `users` users, each of the given weight."""
  return ragged.group(generated.user, generated.item, users, np.full(len(generated), weight, np.float32))


def knowing(params, task):
  """A model's parameters for the users of a task: cold users are known by their histories, and nothing is fitted."""
  return params if task.histories is None else params.folded(task.histories)


@dataclasses.dataclass(frozen=True)
class Judge:
  """NDCG@20 on the validation `tasks` of a split (name -> `Task`), ranked on `devices` devices."""
  tasks: dict
  devices: int = 1

  def __call__(self, score, params, task):
    """The mean over users, or NaN where the split has no such task."""
    return float(np.mean(self.per_user(score, params, task))) if task in self.tasks else float('nan')

  def per_user(self, score, params, task):
    """NDCG@20 of each user of a task that the split has, float64 `[users]`."""
    return ranking.metrics_per_user(self.lists(score, params, task), self.tasks[task].targets)['ndcg@20']

  def lists(self, score, params, task):
    """The best 20 items of each user of a task that the split has, int32 `[users, 20]`."""
    task = self.tasks[task]
    return ranking.top_k(score, knowing(params, task), task, k=20, devices=self.devices)[0]

  def calibrate(self, score, params, warm, unit):
    """Factor and offset of cold scores for the task `all`, see `blend.calibrate`; `unit` is the offsets' unit."""
    return calibrate(score, params, self.tasks.get('all'), warm, unit, self.devices)


def judge_of(workspace, prepared):
  """The `Judge` of a run."""
  tasks = make_tasks(prepared.dataset, prepared.split, workspace.config.seed, held_out='valid')
  return Judge(tasks, len(workspace.local))


def calibrate(score, params, task, warm, unit, devices=1):
  """A model with its cold scores calibrated on a task of validation, see `blend.calibrate`, and the choice.

  Args:
    score: its score function.
    params: the function's first argument.
    task: the task `all` of validation; None, or one without cold candidates, leaves the scores as they are.
    warm: bool `[items]`.
    unit: of the offsets that are tried.
    devices: how many share each batch.

  Returns:
    (`blend.Calibrated`, what was chosen and tried as a dict for JSON).
  """
  if task is None or not (~warm[task.candidates]).any():
    return blend.Calibrated(params, jnp.float32(1), jnp.float32(0), jnp.asarray(warm), score), {}
  (factor, offset), value, tried = blend.calibrate(
    *both_kinds(score, params, task, warm, devices), task.targets.lengths,
    offsets=tuple(unit * o for o in blend.OFFSETS))
  # JSON knows no infinity.
  tried['best'] = 'never' if tried['best'] == blend.NEVER else tried['best']
  chosen = {'cold': 'never' if factor == 0 else (factor, offset), 'valid': value, 'tried': tried}
  return blend.Calibrated(params, jnp.float32(factor), jnp.float32(offset), jnp.asarray(warm), score), chosen


def both_kinds(score, params, task, warm, devices=1):
  """(scores, hits) `[users, 20]` of the best warm candidates of a task, and of the cold ones, see `blend.calibrate`."""
  found = []
  for kind in (warm[task.candidates], ~warm[task.candidates]):
    lists, scores = ranking.top_k(score, params, dataclasses.replace(task, candidates=task.candidates[kind]), k=20,
                                  devices=devices)
    found.append((scores, ranking.hits(lists, task.targets)))
  return found


def choose_weight(workspace, prepared, content, base, base_key, generated, judge, row):
  """How much a generated interaction counts, chosen on validation: the weight that is least likely to do harm.

  The closed form is fitted at each weight of the config. A weight is worth the smallest, over the tasks, of the ratio
  of its validation NDCG@20 to that without generated data, less two standard errors of the paired difference over
  users. So what helps one task may not harm another, and a gain must be more than luck. Where even that weight
  loses more in some task than luck explains, it is 0: generated data that validation knows to do harm are not taken.

  Returns:
    (weight, {weight: {task: ratio}}).
  """
  weights = workspace.config.expand.weights
  key = artifacts.digest(VERSION, base_key, weights, _ERRORS, sha256(generated.user), sha256(generated.item))

  def compute():
    before = {task: judge.per_user(closed_form.score, base, task) for task in _TASKS if task in judge.tasks}
    tasks = [task for task, values in before.items() if values.mean() > 0]
    ratios, errors = [], []
    for weight in weights:
      params = _refitted(workspace, prepared, content, base, as_histories(generated, prepared.dataset.users, weight))
      after = {task: judge.per_user(closed_form.score, params, task) for task in tasks}
      ratios.append([after[task].mean() / before[task].mean() for task in tasks])
      errors.append([(after[task] - before[task]).std() / len(after[task]) ** .5 / before[task].mean()
                     for task in tasks])
      logging.info('%s: weight %g gives %s of the validation NDCG@20', row, weight,
                   ', '.join(f'{task} {ratio:.4f}' for task, ratio in zip(tasks, ratios[-1], strict=True)))
    return {'tasks': np.asarray(tasks, str), 'ratios': np.asarray(ratios), 'errors': np.asarray(errors)}

  arrays, _ = artifacts.cached(workspace.artifact(f'weights.{row}.npz'), key, compute)
  ratios, luck = arrays['ratios'], _ERRORS * arrays['errors']
  best = int(np.argmax((ratios - luck).min(1))) if ratios.size else 0
  harmful = ratios.size > 0 and (ratios + luck)[best].min() < 1
  tried = {f'{weight:g}': dict(zip(arrays['tasks'].tolist(), one.tolist(), strict=True))
           for weight, one in zip(weights, ratios, strict=True)}
  return 0. if harmful else weights[best], tried


def fit_row(workspace, prepared, content, base, base_key, judge, generated=None, row='no_augmentation'):
  """The recommender of one row of the table: the closed form, a network, or both blended by the config.

  Args:
    workspace, prepared, content: the surroundings, the data, the texts.
    base: the closed form without generated data, and `base_key` its hash.
    judge: `Judge`.
    generated: `Generated` to train on as well, or None.
    row: the row's name.
  """
  config, choices = workspace.config.recommender, {}
  extra = None
  if generated is not None and len(generated):
    weight, tried = choose_weight(workspace, prepared, content, base, base_key, generated, judge, row)
    choices |= {'weight': weight, 'weights_tried': tried}
    if weight:
      extra = as_histories(generated, prepared.dataset.users, weight)
      base = _refitted(workspace, prepared, content, base, extra)
      check_leaks(prepared, base, row)
  if config.kind == CLOSED_FORM:
    return Model(closed_form.score, base, choices)
  net, choices['network'] = _network(workspace, prepared, content, base_key, judge, extra, row)
  if config.alone:
    return Model(NETWORK, net, choices)
  warm = np.zeros(prepared.dataset.items, bool)
  warm[prepared.warm] = True
  mixed = blend.make(closed_form.score, base, recommenders.score, net, some_users(prepared), warm)
  mixed, tried = blend.tune(mixed, judge)
  choices |= {'blend': mixed.weight.tolist(), 'blends_tried': {
    task: {f'{weight:g}': value for weight, value in values.items()} for task, values in tried.items()}}
  return Model(blend.score, mixed, choices)


def _network(workspace, prepared, content, base_key, judge, extra, row):
  """A trained MLP, GRU or Transformer and how its training went; its stage goes on from its checkpoints."""
  config, items = network(workspace.config), encode.features(workspace, content.kernel, prepared.warm)
  key = artifacts.digest(VERSION, dataclasses.asdict(config), base_key, sha256(items), *(
    () if extra is None else (sha256(extra.values), sha256(extra.weights), sha256(extra.offsets))))
  name = f'recommender.{row}'
  return fit_network(prepared, items, config, judge, workspace.key(name), workspace.surroundings(name, key), extra)


def fit_network(prepared, items, config, judge, key, around, extra=None):
  """Trains a network, stopped early by the mean of log NDCG@20 of warm and cold validation.

  Args:
    prepared: the data.
    items: float32 `[items, width]`, what it reads of the items, see `encode.features`.
    config: `RecommenderConfig`; there are no more negatives than warm items, and no order without times.
    judge: `Judge`.
    key: of all randomness.
    around: `loop.Surroundings`.
    extra: generated interactions to train on as well, a `Ragged` over users, or None.

  Returns:
    (`Recommender`, how its training went).

  Raises:
    DataError: where it diverges.
  """
  warm = item_masks(prepared.dataset, prepared.split)['warm']
  config = dataclasses.replace(config, ordered=config.ordered and prepared.ordered,
                               negatives=min(config.negatives, int(warm.sum())))

  def evaluate(net):
    values = {task: judge(NETWORK, net, task) for task in ('warm', 'cold')}
    found = {f'valid_{task}': value for task, value in values.items() if np.isfinite(value)}
    return float(np.mean(np.log(np.maximum(list(found.values()), 1e-4)))), found

  try:
    return training.fit(prepared.histories, items, warm, config, key, around, evaluate, extra)
  except loop.Diverged as error:
    raise DataError(f'{error}; lower config.recommender.learning_rate') from error


def some_users(prepared):
  """At most 512 users with training interactions, int `[m]`, from whose scores standard deviations are taken."""
  users = np.flatnonzero(prepared.histories.lengths)
  return users[np.linspace(0, len(users) - 1, min(len(users), _SAMPLE)).astype(int)]


def for_all(prepared, model, judge):
  """The model with its cold scores calibrated on validation, for the task `all`, and the choice."""
  warm = item_masks(prepared.dataset, prepared.split)['warm']
  unit = blend.deviation(model.score, model.params, some_users(prepared), warm)
  return judge.calibrate(model.score, model.params, warm, unit)
