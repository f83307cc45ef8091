"""The closed form of a run: which regime, and where its knobs are turned to, by its validation lists."""

import dataclasses

import jax.numpy as jnp
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
  parts, settings = [0.], [_knobs(params.knobs)]
  if 'warm' in judge.tasks:
    parts.append(_of_warm(judge, _lists(judge, params, settings, 'warm'))[0])
  if 'cold' in judge.tasks:
    parts.append(_log(_ndcg(judge, _lists(judge, params, settings, 'cold'), 'cold'))[0])
  return float(sum(parts))


def search(judge, base, held=()):
  """The `Knobs` that validation likes best, from those that `base` has.

  One knob after the other, twice: those of warm items by log NDCG@20 of the task warm plus a tenth of that of tail,
  then those of cold items by the task cold. All values of a knob are tried in one pass over the users. A split without
  a task leaves its knobs as they are.

  Args:
    judge: `recommend.Judge`, on validation.
    base: `ClosedFormParams`.
    held: names of knobs that are not turned.
  """
  def free(grid):
    return {name: values for name, values in grid.items() if name not in held}

  knobs = _knobs(base.knobs)
  if 'warm' in judge.tasks:
    knobs = _climb(knobs, free(WARM), lambda settings: _of_warm(judge, _lists(judge, base, settings, 'warm')))
  if 'cold' in judge.tasks:
    knobs = _climb(knobs, free(COLD), lambda settings: _ndcg(judge, _lists(judge, base, settings, 'cold'), 'cold'))
  return knobs


def _lists(judge, base, settings, task):
  """The best 20 items of each user of a task by each of the `settings`, int32 `[settings, users, 20]`."""
  rows = [dataclasses.astuple(one) for one in settings]
  # As many every time, so that one program serves all knobs.
  most = 1 + max(map(len, (*WARM.values(), *COLD.values())))
  rows = jnp.asarray(rows + rows[-1:] * (most - len(rows)), jnp.float32)
  task = judge.tasks[task]
  lists, _ = ranking.top_k(closed_form.score_each, (recommend.knowing(base, task), rows), task, k=20,
                           devices=judge.devices)
  return np.moveaxis(lists, 1, 0)[:len(settings)]


def _ndcg(judge, lists, task):
  """NDCG@20 of each of the `lists [settings, users, 20]`, float64 `[settings]`."""
  return np.array([ranking.metrics_per_user(one, judge.tasks[task].targets)['ndcg@20'].mean() for one in lists])


def _of_warm(judge, lists):
  """log NDCG@20 of warm plus a tenth of tail's, float64 `[settings]`, from lists `[settings, users, 20]` of warm.

  The tail has the candidates of warm, so one ranking tells both.
  """
  found = _log(_ndcg(judge, lists, 'warm'))
  if 'tail' not in judge.tasks:
    return found
  rows = np.searchsorted(judge.tasks['warm'].users, judge.tasks['tail'].users)
  return found + _TAIL * _log(_ndcg(judge, lists[:, rows], 'tail'))


def _log(value):
  # Nothing found at all is bad, but no reason to stop looking.
  return np.log(np.maximum(value, 1e-4))


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
      settings = [knobs] + [dataclasses.replace(knobs, **{name: one}) for one in values if one != getattr(knobs, name)]
      found = value(settings)
      best = int(np.argmax(found))
      if found[best] > found[0] + 1e-9:
        knobs = settings[best]
    if knobs == before:
      break
  return knobs
