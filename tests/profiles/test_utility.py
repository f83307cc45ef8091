import dataclasses

import jax
import numpy as np
import pytest

from ganrec_jax.data.ragged import merge, take
from ganrec_jax.data.types import PARTS
from ganrec_jax.errors import DataError
from ganrec_jax.evaluation import ranking
from ganrec_jax.evaluation.significance import bootstrap_mean
from ganrec_jax.evaluation.tasks import make_tasks
from ganrec_jax.models import als
from ganrec_jax.profiles import utility
from ganrec_jax.profiles.utility import Outcome

from . import worlds

ONE = {'ease': ({'reg': 20.},), 'ials': ({'unobserved': .1, 'reg': .02},),
       'item_knn': ({'neighbours': 7, 'shrinkage': 5.},),
       'ours': ({'item_reg': 30., 'kernel_weight': 10., 'kappa': 3.},)}
PLAIN = ('ease', 'ials', 'item_knn')


@pytest.fixture(scope='module')
def prepared():
  return worlds.prepared(np.random.default_rng(0))


def _row_of(params, users):
  return params[users]


def _direct(scores, prepared, task):
  """NDCG@20 of each user of a test task by scores `[users, items]`."""
  task = make_tasks(prepared.dataset, prepared.split, 0)[task]
  lists = ranking.top_k(_row_of, np.asarray(scores, np.float32), task, 20)[0]
  return ranking.metrics_per_user(lists, task.targets)['ndcg@20']


def _dense(log):
  rows = np.zeros((len(log), worlds.ITEMS))
  rows[np.repeat(np.arange(len(log)), log.lengths), log.values] = 1
  return rows


def test_ease_on_real_profiles_is_ease(prepared):
  x = _dense(prepared.histories)
  inverse = np.linalg.inv(x.T @ x + 20 * np.eye(worlds.ITEMS))
  weights = -inverse / np.diag(inverse)
  np.fill_diagonal(weights, 0)
  found = utility.measure(prepared.histories, prepared, None, ('ease',), grids=ONE)['ease']
  assert found.option == {'reg': 20.} and list(found.values) == ['warm', 'tail']
  for task, values in found.values.items():
    np.testing.assert_allclose(values, _direct(x @ weights, prepared, task))
  assert found.values['warm'].mean() > .3


def test_ials_on_real_profiles_is_ials(prepared):
  config = als.AlsConfig(unobserved=.1, reg=.02, kappa=0.)
  fitted = als.fit(prepared.histories, worlds.ITEMS, prepared.warm, None, config, jax.random.key(0))
  found = utility.measure(prepared.histories, prepared, None, ('ials',), grids=ONE)['ials']
  expected = _direct(fitted.users @ fitted.items.T, prepared, 'warm')
  assert found.values['warm'].mean() == pytest.approx(expected.mean(), rel=1e-3) and expected.mean() > .3


def test_item_knn_by_loops():
  x = np.random.default_rng(0).random((12, 9)) < .4
  x[:, 0] = False
  gram = (x.T.astype(np.float32) @ x).astype(np.float32)
  expected = np.zeros((9, 9))
  for j in range(9):
    alike = {i: gram[i, j] / (np.sqrt(gram[i, i] * gram[j, j]) + 2) for i in range(9) if i != j}
    for i in sorted(alike, key=lambda i: -alike[i])[:3]:
      expected[i, j] = alike[i]
  np.testing.assert_allclose(utility._neighbours(gram, 2., 3), expected, rtol=1e-6)


@pytest.mark.parametrize('name', utility.NAMES)
def test_three_copies_of_a_log_are_worth_the_log(prepared, name):
  """So that the options mean the same whatever the number of profiles."""
  log = prepared.histories
  once, thrice = (utility.measure(some, prepared, worlds.kernel(), (name,), grids=ONE)[name].values
                  for some in (log, take(log, np.tile(np.arange(len(log)), 3))))
  for task in once:
    # The closed form's popularity is log(1 + count), which is not quite the same.
    assert once[task].mean() == pytest.approx(thrice[task].mean(), rel=.02 if name == 'ours' else 1e-3)


def test_profiles_of_the_groups_are_worth_more_than_noise(prepared):
  random = np.random.default_rng(1)
  good, bad = (utility.measure(log, prepared, None, PLAIN, grids=ONE) for log in (
    worlds.grouped(random, 200), worlds.uniform(random, 200, worlds.ITEMS - worlds.COLD, .2)))
  for name in PLAIN:
    assert good[name].values['warm'].mean() > 1.4 * bad[name].values['warm'].mean()


def test_validation_chooses(prepared):
  grids = {'ease': ({'reg': 1e9}, {'reg': 20.}, {'reg': 20.}), 'item_knn': ({'neighbours': 1, 'shrinkage': 0.},)}
  found = utility.measure(prepared.histories, prepared, None, ('ease', 'item_knn'), grids=grids)
  ease = found['ease']
  assert ease.option is grids['ease'][int(np.argmax(ease.tried))] and len(ease.tried) == 3
  assert ease.tried[1] == ease.tried[2] and list(found) == ['ease', 'item_knn']
  again = utility.measure(prepared.histories, prepared, None, ('ease',), grids={'ease': (ease.option,)})['ease']
  np.testing.assert_array_equal(again.values['warm'], ease.values['warm'])
  blind = utility.measure(prepared.histories, prepared, None, ('ease',), grids={'ease': (ease.option,)}, tasks=())
  assert blind['ease'].values == {} and blind['ease'].tried == again.tried
  valid = make_tasks(prepared.dataset, prepared.split, 0, 'valid')['warm']
  log = utility._log(prepared.histories, prepared, None, 0)
  lists = ranking.top_k(*utility.ease(log, 20.), valid, 20)[0]
  assert ease.tried[1] == pytest.approx(ranking.metrics_per_user(lists, valid.targets)['ndcg@20'].mean())


def test_ours_finds_cold_items_by_their_texts(prepared):
  log = worlds.grouped(np.random.default_rng(1), 150)
  found = utility.measure(log, prepared, worlds.kernel(), ('ours',), grids=ONE)['ours'].values
  assert list(found) == ['warm', 'tail', 'cold'] and found['cold'].mean() > .8
  assert list(utility.measure(log, prepared, None, ('ours',), grids=ONE)['ours'].values) == ['warm', 'tail']


def test_profiles_may_hold_cold_items(prepared):
  """They train the factors of cold items; in wrong groups they do harm."""
  random = np.random.default_rng(1)
  warm, first = worlds.grouped(random, 150), worlds.ITEMS - worlds.COLD
  wrong = worlds.ragged([np.arange(first + (user + 1) % 3, worlds.ITEMS, 3) for user in range(150)])
  right = worlds.ragged([np.arange(first + user % 3, worlds.ITEMS, 3) for user in range(150)])
  cold = [utility.measure(merge(warm, new), prepared, worlds.kernel(), ('ours',), grids=ONE)['ours'].values['cold']
          for new in (wrong, right)]
  assert cold[0].mean() < .7 * cold[1].mean()
  for name in PLAIN:
    alone, both = (utility.measure(log, prepared, None, (name,), grids=ONE)[name] for log in (warm, merge(warm, wrong)))
    np.testing.assert_array_equal(alone.values['warm'], both.values['warm'])


def _outcomes(**values):
  return {'ease': Outcome({}, (), {task: np.asarray(some, float) for task, some in values.items()})}


def test_a_ratio_is_of_means_and_its_interval_is_paired():
  random = np.random.default_rng(0)
  real = random.random(400)
  record, = utility.ratios(_outcomes(warm=.5 * real), _outcomes(warm=real, cold=real), 0, 500)
  assert record == pytest.approx({'recommender': 'ease', 'task': 'warm', 'value': .5, 'low': .5, 'high': .5,
                                  'synthetic': .5 * real.mean(), 'real': real.mean(), 'users': 400})
  noisy, = utility.ratios(_outcomes(warm=random.random(400)), _outcomes(warm=np.full(400, .5)), 0, 2000)
  values = np.random.default_rng(0)
  values.random(400)
  low, high = bootstrap_mean(values.random(400) / .5, 0, 2000)
  assert (noisy['low'], noisy['high']) == pytest.approx((low, high)) and low < noisy['value'] < high


def test_a_ratio_to_nothing_is_nan():
  record, = utility.ratios(_outcomes(tail=[.5, .5]), _outcomes(tail=[0., 0.]), 0, 50)
  assert np.isnan([record['value'], record['low'], record['high']]).all() and record['synthetic'] == .5


def test_what_cannot_be_is_refused(prepared):
  with pytest.raises(DataError, match="recommender 'slim'; allowed are ease, ials, item_knn, ours"):
    utility.measure(prepared.histories, prepared, None, ('slim',))
  with pytest.raises(DataError, match='profiles: all of 2 profiles are empty'):
    utility.measure(worlds.ragged([[], []]), prepared, None)
  with pytest.raises(DataError, match='profiles, profile 0: item 60, allowed are 0 to 59'):
    utility.measure(worlds.ragged([[60]]), prepared, None)
  with pytest.raises(DataError, match='2 synthetic and 3 real values'):
    utility.ratios(_outcomes(warm=[1, 2]), _outcomes(warm=[1, 2, 3]), 0)


@pytest.mark.parametrize('part, message', [('test', 'test: no held-out users'), ('valid', 'validation: no held-out'),
                                           ('train', 'training: all histories are empty')])
def test_a_split_without_a_part_is_refused(prepared, part, message):
  parts = np.where(prepared.split.part == PARTS.index(part), PARTS.index('unused'), prepared.split.part)
  split = dataclasses.replace(prepared.split, part=parts.astype(np.int8))
  with pytest.raises(DataError, match=message):
    utility.measure(worlds.ragged([[1, 2]]), dataclasses.replace(prepared, split=split), None, ('ease',))
