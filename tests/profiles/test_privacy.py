from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ganrec_jax.data.ragged import Ragged, merge, take
from ganrec_jax.errors import DataError
from ganrec_jax.profiles import privacy

from . import worlds

ITEMS = 7
LOGS = st.lists(st.sets(st.integers(0, ITEMS - 1)), max_size=9).map(lambda rows: [sorted(row) for row in rows])
FULL = st.lists(st.sets(st.integers(0, ITEMS - 1), min_size=1).map(sorted), min_size=1, max_size=9)


def _nearest(queries, others):
  """By the definition."""
  return np.array([max((len(set(a) & set(b)) / len(set(a) | set(b)) for b in others if a or b), default=0.)
                   for a in queries], np.float32)


@settings(deadline=None, max_examples=100)
@given(LOGS, LOGS)
def test_nearest_is_the_highest_similarity(queries, others):
  with mock.patch.multiple(privacy, _ROWS=4, _OTHERS=3):
    found = privacy.nearest(worlds.ragged(queries), worlds.ragged(others), ITEMS)
  assert found.dtype == np.float32 and found.shape == (len(queries),)
  np.testing.assert_array_equal(found, _nearest(queries, others))


@pytest.mark.parametrize('users', [511, 512, 513])
def test_nearest_around_the_size_of_a_batch(users):
  random = np.random.default_rng(users)
  many, few = worlds.uniform(random, users, 40, .2), worlds.uniform(random, 20, 40, .2)
  rows = [[log.row(user) for user in range(len(log))] for log in (many, few)]
  np.testing.assert_array_equal(privacy.nearest(many, few, 40), _nearest(*[[list(r) for r in log] for log in rows]))
  np.testing.assert_array_equal(privacy.nearest(few, many, 40),
                                _nearest(*[[list(r) for r in log] for log in rows[::-1]]))


@settings(deadline=None, max_examples=60)
@given(FULL, FULL, FULL)
def test_the_auc_is_over_all_pairs(members, held_out, synthetic):
  logs = [worlds.ragged(rows) for rows in (members, held_out, synthetic)]
  found = privacy.membership(*logs, ITEMS, 0, resamples=50)
  inside, outside = _nearest(members, synthetic)[:, None], _nearest(held_out, synthetic)
  assert found['auc'] == pytest.approx(((inside > outside) + .5 * (inside == outside)).mean())
  assert 0 <= found['low'] <= found['high'] <= 1


def test_the_interval_is_that_of_resampled_users():
  random = np.random.default_rng(0)
  values = np.arange(12)
  inside, outside = random.binomial(11, .6, 80), random.binomial(11, .5, 50)
  counts = [np.bincount(part, minlength=len(values)) for part in (inside, outside)]
  with mock.patch.object(privacy, '_ENTRIES', 100):
    found = privacy._resampled(*counts, 3, 4000)
  naive = []
  for _ in range(4000):
    a, b = random.choice(inside, 80)[:, None], random.choice(outside, 50)
    naive.append(((a > b) + .5 * (a == b)).mean())
  assert len(found) == 4000
  assert found.mean() == pytest.approx(np.mean(naive), abs=.004)
  np.testing.assert_allclose(np.percentile(found, [2.5, 97.5]), np.percentile(naive, [2.5, 97.5]), atol=.012)


def test_copies_are_found_out_and_marginals_are_not():
  random = np.random.default_rng(1)
  members, held_out = (worlds.uniform(random, users, 80, .15) for users in (300, 100))
  copied = take(members, random.integers(0, 300, 900))
  told = privacy.membership(members, held_out, copied, 80, 0)
  assert told['low'] > .9 and told['low'] < told['auc'] < told['high']
  assert told == privacy.membership(members, held_out, copied, 80, 0)
  told = privacy.membership(members, held_out, worlds.uniform(random, 900, 80, .15), 80, 0)
  assert told['low'] < .5 < told['high'] and told['auc'] == pytest.approx(.5, abs=.1)


def test_users_without_items_are_nobody():
  random = np.random.default_rng(2)
  members, held_out, synthetic = (worlds.uniform(random, 40, 30, .2) for _ in range(3))
  empty = worlds.ragged([[]] * 200)

  def with_empty(log):
    return Ragged(np.append(log.offsets, np.full(len(empty), log.offsets[-1])), log.values, log.weights)
  logs = members, held_out, synthetic
  for measure in (privacy.membership, privacy.copies):
    assert measure(*map(with_empty, logs), 30, 0) == measure(*logs, 30, 0)


def test_copies_by_hand():
  members = worlds.ragged([range(10), [20, 21]])
  held_out = worlds.ragged([[30, 31, 32, 33, 34], [0, 1, 2, 3, 4]])
  synthetic = worlds.ragged([range(10), range(8), range(7), [20, 21], [0, 1, 2, 3, 4]])
  found = privacy.copies(members, held_out, synthetic, 40, 0)
  assert found['synthetic'] == pytest.approx({
    'median': .8, 'q95': 1., 'q99': 1., 'max': 1., 'near_0.5': 1., 'near_0.8': .5, 'exact': .25, 'profiles': 5})
  assert found['held_out'] == pytest.approx({
    'median': .25, 'q95': .475, 'q99': .495, 'max': .5, 'near_0.5': .5, 'near_0.8': 0., 'exact': 0., 'profiles': 2})
  short = privacy.copies(members, held_out, worlds.ragged([[20, 21]]), 40, 0)['synthetic']
  assert short['max'] == 1 and np.isnan([short['near_0.5'], short['near_0.8'], short['exact']]).all()


def test_at_most_a_seeded_sample_is_looked_at():
  random = np.random.default_rng(3)
  members, held_out, synthetic = (worlds.uniform(random, 200, 30, .3) for _ in range(3))
  first, again, other = (privacy.copies(members, held_out, synthetic, 30, seed, most=25) for seed in (0, 0, 1))
  assert first == again and first['synthetic'] != other['synthetic'] and first['held_out'] == other['held_out']
  assert first['synthetic']['profiles'] == 25 and first['held_out']['profiles'] == 200


@pytest.mark.parametrize('rows, message', [
  ([[]], 'synthetic: all of 1 profiles are empty'), ([], 'synthetic: all of 0 profiles are empty'),
  ([[1], [2, 7]], 'synthetic, profile 1: item 7, allowed are 0 to 6'), ([[-1]], 'item -1'),
  ([[], [5, 2, 5]], 'synthetic, profile 1: item 5 occurs more than once')])
def test_logs_that_cannot_be_are_refused(rows, message):
  log, bad = worlds.ragged([[1, 2]]), worlds.ragged(rows)
  for measure in (privacy.membership, privacy.copies):
    with pytest.raises(DataError, match=message):
      measure(log, log, bad, ITEMS, 0)


def test_nobody_held_out_is_refused():
  log = worlds.ragged([[1, 2]])
  with pytest.raises(DataError, match='held_out: all'):
    privacy.membership(log, worlds.ragged([]), log, ITEMS, 0)
  with pytest.raises(DataError, match='queries, profile 0: item 1 occurs'):
    privacy.nearest(merge(log, log), log, ITEMS)
