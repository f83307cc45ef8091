"""The closed form of a run: which regime, and where its knobs are turned to, by its validation lists."""

import dataclasses

import numpy as np
from absl import logging

from ganrec_jax import artifacts
from ganrec_jax.evaluation import ranking
from ganrec_jax.models import closed_form
from ganrec_jax.models.closed_form import Knobs
from ganrec_jax.stages import recommend
from ganrec_jax.stages.workspace import VERSION

# What is tried of each knob, one after the other, and by which tasks it is judged.
WARM = {
    'warm_blend': (.2, .35, .5, .65, .8, 1., 1.3, 1.6),
    'popularity': (0., .05, .1, .2, .35, .5, .65, .8, 1.),
    'power': (0., .15, .3, .4, .5, .6, .7),
    'activity': (-.3, -.15, 0., .15, .3, .5),
}
COLD = {'cold_blend': (0., .05, .1, .15, .2, .3, .4, .6), 'cold_popularity': (0., .05, .1, .2, .4)}
_SWEEPS = 2
# A tenth more in the tail is worth a hundredth of warm; without it the tail closes for a hair's breadth of the head.
_TAIL = .1


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
  key = artifacts.digest(VERSION, key, options.turn_knobs, WARM, COLD, _SWEEPS, _TAIL)

  def compute():
    knobs = search(judge, params) if options.turn_knobs else params.config.knobs
    return {'knobs': np.asarray(dataclasses.astuple(knobs)), 'value': np.float64(value(judge, params.turned(knobs)))}

  arrays, _ = artifacts.cached(workspace.artifact(f'knobs.{key[:16]}.npz'), key, compute)
  return params.turned(_knobs(arrays['knobs'])), key, float(arrays['value'])


def value(judge, params):
  """What a model is worth on validation: the logs of NDCG@20 of warm and cold and a tenth of tail's, where they are."""
  found = _of_warm(judge, params) if 'warm' in judge.tasks else 0.
  return found + (_log(judge(closed_form.score, params, 'cold')) if 'cold' in judge.tasks else 0.)


def search(judge, base, held=()):
  """The `Knobs` that validation likes best, from those that `base` has.

  One knob after the other, twice: those of warm items by log NDCG@20 of the task warm plus a tenth of that of tail,
  then those of cold items by the task cold. A split without a task leaves its knobs as they are.

  Args:
    judge: `recommend.Judge`, on validation.
    base: `ClosedFormParams`.
    held: names of knobs that are not turned.
  """
  def free(grid):
    return {name: values for name, values in grid.items() if name not in held}

  knobs = _knobs(base.knobs)
  if 'warm' in judge.tasks:
    knobs = _climb(knobs, free(WARM), lambda knobs: _of_warm(judge, base.turned(knobs)))
  if 'cold' in judge.tasks:
    knobs = _climb(knobs, free(COLD), lambda knobs: judge(closed_form.score, base.turned(knobs), 'cold'))
  return knobs


def _of_warm(judge, params):
  """log NDCG@20 of warm plus a tenth of tail's; the tail has the candidates of warm, so one ranking tells both."""
  lists, task = judge.lists(closed_form.score, params, 'warm'), judge.tasks['warm']
  found = _log(ranking.metrics_per_user(lists, task.targets)['ndcg@20'].mean())
  if 'tail' not in judge.tasks:
    return found
  tail = judge.tasks['tail']
  rows = lists[np.searchsorted(task.users, tail.users)]
  return found + _TAIL * _log(ranking.metrics_per_user(rows, tail.targets)['ndcg@20'].mean())


def _log(value):
  # Nothing found at all is bad, but no reason to stop looking.
  return float(np.log(max(value, 1e-4)))


def _knobs(values):
  names = [field.name for field in dataclasses.fields(Knobs)]
  return Knobs(**dict(zip(names, np.round(np.asarray(values, np.float64), 6).tolist(), strict=True)))


def _climb(knobs, grid, value):
  """Coordinate ascent over `grid`, name -> values; of equal values what stands is kept."""
  best = value(knobs)
  for _ in range(_SWEEPS):
    before = knobs
    for name, values in grid.items():
      for other in values:
        if other != getattr(knobs, name):
          tried = dataclasses.replace(knobs, **{name: other})
          found = value(tried)
          if found > best + 1e-9:
            best, knobs = found, tried
    if knobs == before:
      break
  return knobs
