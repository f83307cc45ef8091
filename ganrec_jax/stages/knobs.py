"""The knobs of the closed form, turned by its validation lists; nothing is fitted again."""

import dataclasses

import numpy as np
from absl import logging

from ganrec_jax import artifacts
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
# A gain in the tail counts, but far less than one in the head: without it the tail closes for a hair's breadth.
_TAIL = .05


def turn(workspace, judge, base, base_key):
  """The closed form with its knobs where validation likes them best, and the choice for the results.

  One knob after the other, twice: those of warm items by log NDCG@20 of the task warm plus a twentieth of that of tail,
  then those of cold items by the task cold. A split without a task leaves its knobs as the config has them.

  Args:
    workspace: the surroundings.
    judge: `recommend.Judge`, on validation.
    base: `ClosedFormParams`.
    base_key: its hash.

  Returns:
    (`ClosedFormParams`, {knob: value}).
  """
  start = Knobs(**dict(zip(_names(), np.asarray(base.knobs).tolist(), strict=True)))
  key = artifacts.digest(VERSION, base_key, WARM, COLD, _SWEEPS, _TAIL)

  def compute():
    knobs = _search(start, WARM, lambda knobs: _value(judge, base.turned(knobs), {'warm': 1., 'tail': _TAIL}))
    knobs = _search(knobs, COLD, lambda knobs: _value(judge, base.turned(knobs), {'cold': 1.}))
    return {'knobs': np.asarray(dataclasses.astuple(knobs))}

  arrays, there = artifacts.cached(workspace.artifact('knobs.npz'), key, compute)
  chosen = Knobs(**dict(zip(_names(), arrays['knobs'].tolist(), strict=True)))
  logging.info('knobs: %s%s', ', '.join(f'{name} {value:g}' for name, value in dataclasses.asdict(chosen).items()),
               ', from the work directory' if there else '')
  return base.turned(chosen), dataclasses.asdict(chosen)


def _names():
  return [field.name for field in dataclasses.fields(Knobs)]


def _value(judge, params, weights):
  """The weighted sum of log NDCG@20 over the tasks that the split has; -inf where one of them finds nothing."""
  values = {task: judge(closed_form.score, params, task) for task in weights if task in judge.tasks}
  if not values:
    return 0.
  return sum(weights[task] * np.log(value) if value > 0 else -np.inf for task, value in values.items())


def _search(knobs, grid, value):
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
