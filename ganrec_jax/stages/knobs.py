"""The knobs of the closed form, turned by its validation lists; nothing is fitted again."""

import dataclasses

import numpy as np
from absl import logging

from ganrec_jax import artifacts
from ganrec_jax.evaluation import ranking
from ganrec_jax.models import closed_form
from ganrec_jax.models.closed_form import Knobs
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
# Without a share for the tail it closes for a hair's breadth of the head.
_TAIL = .2


def turn(workspace, judge, base, base_key):
  """The closed form with its knobs where `search` puts them, and the choice for the results.

  Args:
    workspace: the surroundings.
    judge: `recommend.Judge`, on validation.
    base: `ClosedFormParams`.
    base_key: its hash.

  Returns:
    (`ClosedFormParams`, {knob: value}).
  """
  key = artifacts.digest(VERSION, base_key, np.asarray(base.knobs).tolist(), WARM, COLD, _SWEEPS, _TAIL)
  arrays, there = artifacts.cached(workspace.artifact('knobs.npz'), key, lambda: {
    'knobs': np.asarray(dataclasses.astuple(search(judge, base)))})
  chosen = _knobs(arrays['knobs'])
  logging.info('knobs: %s%s', ', '.join(f'{name} {value:g}' for name, value in dataclasses.asdict(chosen).items()),
               ', from the work directory' if there else '')
  return base.turned(chosen), dataclasses.asdict(chosen)


def search(judge, base):
  """The `Knobs` that validation likes best, from those that `base` has.

  One knob after the other, twice: those of warm items by NDCG@20 of the task warm plus a fifth of that of tail, then
  those of cold items by the task cold. A split without a task leaves its knobs as they are.

  Args:
    judge: `recommend.Judge`, on validation.
    base: `ClosedFormParams`.
  """
  def of_warm(knobs):
    # The tail has the candidates of warm, so one ranking tells both.
    lists, task = judge.lists(closed_form.score, base.turned(knobs), 'warm'), judge.tasks['warm']
    value = ranking.metrics_per_user(lists, task.targets)['ndcg@20'].mean()
    if 'tail' not in judge.tasks:
      return value
    tail = judge.tasks['tail']
    rows = lists[np.searchsorted(task.users, tail.users)]
    return value + _TAIL * ranking.metrics_per_user(rows, tail.targets)['ndcg@20'].mean()

  knobs = _knobs(base.knobs)
  if 'warm' in judge.tasks:
    knobs = _climb(knobs, WARM, of_warm)
  if 'cold' in judge.tasks:
    knobs = _climb(knobs, COLD, lambda knobs: judge(closed_form.score, base.turned(knobs), 'cold'))
  return knobs


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
