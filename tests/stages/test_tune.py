"""The knobs are turned to what validation likes."""

import dataclasses

import jax
import numpy as np
import pytest

from ganrec_jax.data.ragged import group
from ganrec_jax.evaluation import ranking
from ganrec_jax.evaluation.tasks import Task
from ganrec_jax.models import als, closed_form
from ganrec_jax.stages import encode, recommend, tune
from ganrec_jax.stages.prepare import prepare

from . import worlds

USERS, ITEMS, WARM = 30, 16, 12


@pytest.fixture(scope='module')
def world():
  """A fitted model and the tasks warm, tail and cold."""
  rng = np.random.default_rng(0)
  there = rng.random((USERS, ITEMS)) < np.linspace(.7, .2, ITEMS)
  held = there & (rng.random((USERS, ITEMS)) < .3)
  train = there & ~held
  train[:, WARM:] = False
  vectors = rng.normal(size=(ITEMS, 3))
  kernel = np.exp(-.5 * ((vectors[:, None] - vectors) ** 2).sum(-1)).astype(np.float32)
  config = closed_form.ClosedFormConfig(als.AlsConfig(dim=3, sweeps=4), 2., 4.)
  histories = group(*np.nonzero(train), USERS)
  params = closed_form.fit(histories, ITEMS, np.arange(WARM), kernel, config, jax.random.key(0))

  def task(name, items, candidates):
    wanted = np.zeros_like(held)
    wanted[:, items] = (held | (there & (np.arange(ITEMS) >= WARM)))[:, items]
    users = np.flatnonzero(wanted.any(1))
    seen = train[users] if name != 'cold' else np.zeros_like(train[users])
    return Task(name, users.astype(np.int32), np.asarray(candidates, np.int32),
                group(*np.nonzero(wanted[users]), len(users)), group(*np.nonzero(seen), len(users)))
  return params, {'warm': task('warm', np.arange(WARM), np.arange(WARM)),
                  'tail': task('tail', np.arange(6, WARM), np.arange(WARM)),
                  'cold': task('cold', np.arange(WARM, ITEMS), np.arange(WARM, ITEMS))}


def _objective(params, tasks, chosen):
  """Warm and tail by two rankings, and cold."""
  def value(name):
    lists, _ = ranking.top_k(closed_form.score, params.turned(chosen), tasks[name], k=20)
    return ranking.metrics_per_user(lists, tasks[name].targets)['ndcg@20'].mean()
  return value('warm') + .3 * value('tail'), value('cold')


def test_no_single_knob_can_be_turned_for_the_better(world, monkeypatch):
  params, tasks = world
  monkeypatch.setattr(tune, '_SWEEPS', 20)
  monkeypatch.setattr(tune, 'WARM', {'warm_blend': (.2, 1.6), 'popularity': (0., .8), 'power': (0., .7)})
  monkeypatch.setattr(tune, 'COLD', {'cold_blend': (0., .6)})
  start = closed_form.Knobs()
  chosen = tune.search(recommend.Judge(tasks), params)
  warm, cold = _objective(params, tasks, chosen)
  assert warm > _objective(params, tasks, start)[0] and cold >= _objective(params, tasks, start)[1]
  for name, values in tune.WARM.items():
    for value in values:
      assert _objective(params, tasks, dataclasses.replace(chosen, **{name: value}))[0] <= warm + 1e-6
  for value in tune.COLD['cold_blend']:
    assert _objective(params, tasks, dataclasses.replace(chosen, cold_blend=value))[1] <= cold + 1e-6


def test_a_split_without_a_task_leaves_its_knobs_alone(world):
  params, tasks = world
  start = closed_form.Knobs(cold_blend=.33, warm_blend=.77)
  without_cold = tune.search(recommend.Judge({'warm': tasks['warm']}), params.turned(start))
  assert without_cold.cold_blend == .33
  assert tune.search(recommend.Judge({}), params.turned(start)) == start


def test_settings_are_ranked_each_as_if_it_were_alone(world, monkeypatch):
  params, tasks = world
  monkeypatch.setattr(tune, '_SETTINGS', 2)
  settings = [closed_form.Knobs(power=power, popularity=1.3 * power) for power in (0., .4, .7)]
  found = tune._lists(recommend.Judge(tasks), params, settings, 'cold')
  for one, lists in zip(settings, found, strict=True):
    np.testing.assert_array_equal(lists, ranking.top_k(closed_form.score, params.turned(one), tasks['cold'], k=20)[0])


def test_a_start_far_away_is_found_and_held_knobs_stay(world, monkeypatch):
  params, tasks = world
  monkeypatch.setattr(tune, 'WARM', {})
  monkeypatch.setattr(tune, 'COLD', {})
  monkeypatch.setattr(tune, 'START', {'warm_blend': (.1, 2.), 'popularity': (0., 1.5)})
  judge, start = recommend.Judge(tasks), closed_form.Knobs()
  settings = [start] + [dataclasses.replace(start, warm_blend=blend, popularity=popularity)
                        for blend in (.1, 2.) for popularity in (0., 1.5)]
  values = [_objective(params, tasks, one)[0] for one in settings]
  assert tune.search(judge, params.turned(start)) == settings[int(np.argmax(values))]
  assert tune.search(judge, params.turned(start), ('popularity',)).popularity == start.popularity


def test_climbing_keeps_what_stands_where_nothing_is_better():
  start = closed_form.Knobs()
  assert tune._climb(start, tune.WARM, lambda settings: np.ones(len(settings))) == start
  power = {'power': (0., .1)}
  assert tune._climb(start, power, lambda settings: np.array([one.power == .1 for one in settings])).power == .1


def test_a_run_takes_the_regime_that_validation_likes_better(tmp_path):
  config = worlds.config(encoder={**worlds.config().encoder.to_dict(), 'kind': 'none'})
  space, prepared = worlds.workspace_of(config, tmp_path), prepare(config)
  content, judge = encode.content(space, prepared, None), recommend.judge_of(space, prepared)
  values = {}
  for regime in ('dense', 'sparse', 'auto'):
    config.base.regime = regime
    base, key, told = tune.fit(space, prepared, content, judge)
    values[regime] = tune.value(judge, base)
    assert told['regime'] == regime or regime == 'auto'
    assert base.config == recommend.closed(config, told['regime'])
  assert values['dense'] != values['sparse'] and values['auto'] == max(values.values())
  assert tune.fit(space, prepared, content, judge)[1:] == (key, told)  # from the work directory
