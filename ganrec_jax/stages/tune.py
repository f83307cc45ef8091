"""The closed form of a run: which regime, and where its knobs are turned to, by its validation lists."""

import dataclasses
import itertools

import jax.numpy as jnp
import numpy as np
from absl import logging

from ganrec_jax import artifacts
from ganrec_jax.evaluation import ranking
from ganrec_jax.models import closed_form
from ganrec_jax.models.closed_form import Knobs
from ganrec_jax.stages import recommend
from ganrec_jax.stages.workspace import VERSION

# Where the search for the knobs of warm items begins: with the best of all these together, since turned one by one
# popularity and the weight of the item-item model hold each other where they are.
START = {'warm_blend': (.2, .5, .8, 1.3), 'popularity': (.05, .3, .9), 'power': (.3, .6), 'activity': (-.3, 0., .3)}
# What is tried of each knob, one after the other, and by which tasks it is judged.
WARM = {
    'warm_blend': (.1, .2, .35, .5, .65, .8, 1., 1.3, 1.6),
    'popularity': (0., .05, .1, .2, .35, .5, .65, .8, 1., 1.3),
    'power': (0., .15, .3, .4, .5, .6, .7),
    'activity': (-.3, -.15, 0., .15, .3, .5, .75),
}
COLD = {'cold_blend': (0., .05, .1, .15, .2, .3, .4, .6, .8, 1.1), 'cold_popularity': (0., .05, .1, .2, .4)}
_SWEEPS = 2
# What a point of NDCG in the tail is worth in points of warm; without it the tail closes for a hair's breadth of the
# head. In points, so that a tail of next to nothing, whose ratios are noise, does not lead.
_TAIL = .3
# Settings that are ranked in one pass over the users.
_SETTINGS = 12


def fit(workspace, prepared, content, judge):
  """The closed form of a run: in the config's regime, or the one that validation likes better, its knobs turned.

  Returns:
    (`ClosedFormParams`, its hash, {'regime': name, 'value': of each regime, 'knobs': ...} for the results).
  """
  found = {regime: _turned(workspace, judge, *recommend.fit_base(workspace, prepared, content, regime))
           for regime in recommend.regimes(workspace.config)}
  best = max(found, key=lambda regime: found[regime][2])
  params, key, _ = found[best]
  knobs = dataclasses.asdict(_knobs(params.knobs))
  logging.info('base: %s, %s', best, ', '.join(f'{name} {value:g}' for name, value in knobs.items()))
  return params, key, {'regime': best, 'value': {regime: value for regime, (_, _, value) in found.items()},
                       'knobs': knobs}


def _turned(workspace, judge, params, key):
  """A fitted regime with its knobs turned where the config wants that, its hash, and its value on validation."""
  options = workspace.config.base
  key = artifacts.digest(VERSION, key, options.turn_knobs, START, WARM, COLD, _SWEEPS, _TAIL)

  def compute():
    knobs = search(judge, params) if options.turn_knobs else params.config.knobs
    return {'knobs': np.asarray(dataclasses.astuple(knobs)), 'value': np.float64(value(judge, params.turned(knobs)))}

  arrays, _ = artifacts.cached(workspace.artifact(f'knobs.{key[:16]}.npz'), key, compute)
  return params.turned(_knobs(arrays['knobs'])), key, float(arrays['value'])


def value(judge, params):
  """What a model is worth on validation: log NDCG@20 of warm, with tail's as in `search`, plus log NDCG@20 of cold."""
  found, settings = [1.], [_knobs(params.knobs)]
  if 'warm' in judge.tasks:
    found.append(_of_warm(judge, _lists(judge, params, settings, 'warm'))[0])
  if 'cold' in judge.tasks:
    found.append(_ndcg(judge, _lists(judge, params, settings, 'cold'), 'cold')[0])
  # Nothing found at all is bad, but no reason to stop looking.
  return float(np.log(np.maximum(found, 1e-4)).sum())


def search(judge, base, held=()):
  """The `Knobs` that validation likes best, from those that `base` has.

  The knobs of warm items by NDCG@20 of the task warm plus `_TAIL` times that of tail: the best setting of `START`, if
  it is better than the one that stands, and from there one knob after the other, twice. Then those of cold items by the
  task cold. A split without a task leaves its knobs as they are.

  Args:
    judge: `recommend.Judge`, on validation.
    base: `ClosedFormParams`.
    held: names of knobs that are not turned.
  """
  def free(grid):
    return {name: values for name, values in grid.items() if name not in held}

  def warm(settings):
    return _of_warm(judge, _lists(judge, base, settings, 'warm'))

  def cold(settings):
    return _ndcg(judge, _lists(judge, base, settings, 'cold'), 'cold')

  knobs = _knobs(base.knobs)
  if 'warm' in judge.tasks:
    start = free(START)
    together = [dataclasses.replace(knobs, **dict(zip(start, values, strict=True)))
                for values in itertools.product(*start.values())]
    knobs = _climb(_better(knobs, together, warm), free(WARM), warm)
  return _climb(knobs, free(COLD), cold) if 'cold' in judge.tasks else knobs


def _lists(judge, base, settings, task):
  """The best 20 items of each user of a task by each of the `settings`, int32 `[settings, users, 20]`."""
  rows = np.array([dataclasses.astuple(one) for one in settings], np.float32)
  # As many in every pass, so that one program serves all.
  rows = np.pad(rows, ((0, -len(rows) % _SETTINGS), (0, 0)), mode='edge')
  task, found = judge.tasks[task], []
  for first in range(0, len(rows), _SETTINGS):
    params = recommend.knowing(base, task), jnp.asarray(rows[first:first + _SETTINGS])
    found.append(ranking.top_k(closed_form.score_each, params, task, k=20, devices=judge.devices)[0])
  return np.moveaxis(np.concatenate(found, 1), 1, 0)[:len(settings)]


def _ndcg(judge, lists, task):
  """NDCG@20 of each of the `lists [settings, users, 20]`, float64 `[settings]`."""
  return np.array([ranking.metrics_per_user(one, judge.tasks[task].targets)['ndcg@20'].mean() for one in lists])


def _of_warm(judge, lists):
  """NDCG@20 of warm plus `_TAIL` times tail's, float64 `[settings]`, from lists `[settings, users, 20]` of warm.

  The tail has the candidates of warm, so one ranking tells both.
  """
  found = _ndcg(judge, lists, 'warm')
  if 'tail' not in judge.tasks:
    return found
  rows = np.searchsorted(judge.tasks['warm'].users, judge.tasks['tail'].users)
  return found + _TAIL * _ndcg(judge, lists[:, rows], 'tail')


def _knobs(values):
  names = [field.name for field in dataclasses.fields(Knobs)]
  return Knobs(**dict(zip(names, np.round(np.asarray(values, np.float64), 6).tolist(), strict=True)))


def _climb(knobs, grid, value):
  """Coordinate ascent over `grid`, name -> values; of equal values what stands is kept.

  Args:
    knobs: where it begins.
    grid: name of a knob -> what is tried.
    value: from a list of `Knobs` to as many numbers.
  """
  for _ in range(_SWEEPS):
    before = knobs
    for name, values in grid.items():
      knobs = _better(knobs, [dataclasses.replace(knobs, **{name: one}) for one in values], value)
    if knobs == before:
      break
  return knobs


def _better(knobs, others, value):
  """The best of `others`, or `knobs` where none is better."""
  found = value([knobs, *others])
  best = int(np.argmax(found))
  return [knobs, *others][best] if found[best] > found[0] + 1e-9 else knobs
