import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import linalg, stats
from scipy.spatial import distance

from ganrec_jax.data.ragged import group, take
from ganrec_jax.errors import DataError
from ganrec_jax.profiles import fidelity

from . import worlds

ITEMS = 8
LOGS = st.lists(st.sets(st.integers(0, ITEMS - 1), min_size=1).map(sorted), min_size=2, max_size=9)
SAME = {'spearman': 1., 'jensen_shannon': 0., 'pair_correlation': 1., 'pair_error': 0., 'pair_overlap': 1.,
        'length_ks': 0., 'coverage': 1., 'frechet': 0.}


def _vectors(items, seed=0):
  return np.random.default_rng(seed).normal(size=(items, 4)).astype(np.float32)


def _counts(rows):
  return np.bincount([item for row in rows for item in row], minlength=ITEMS)


@pytest.mark.parametrize('times', [1, 3])
def test_a_log_is_like_itself_however_often_it_is_there(times):
  real = worlds.uniform(np.random.default_rng(0), 50, 20, .3)
  found = fidelity.compare(real, take(real, np.tile(np.arange(50), times)), _vectors(20), 20)
  assert {name: found[name] for name in SAME} == pytest.approx(SAME, abs=1e-5)
  for name in ('length', 'gini', 'tail'):
    assert found[f'{name}_real'] == pytest.approx(found[f'{name}_synthetic']) and found[f'{name}_real'] > 0
  assert all(isinstance(value, float) for value in found.values())


def test_logs_without_a_common_item_have_nothing_in_common():
  random = np.random.default_rng(0)
  real, other = worlds.uniform(random, 50, 10, .5), worlds.uniform(random, 50, 10, .5)
  found = fidelity.compare(real, group(np.repeat(np.arange(50), other.lengths), other.values + 10, 50), _vectors(20),
                           20)
  assert found['jensen_shannon'] == pytest.approx(1) and found['coverage'] == 0
  assert found['pair_error'] == pytest.approx(1) and np.isnan(found['pair_correlation'])
  assert found['spearman'] < 0 and found['pair_overlap'] == 0 and found['tail_synthetic'] == 1


@pytest.mark.filterwarnings('ignore::scipy.stats.ConstantInputWarning')
@settings(deadline=None, max_examples=60)
@given(LOGS, LOGS)
def test_counts_and_lengths_against_their_definitions(real, synthetic):
  a, b = _counts(real), _counts(synthetic)
  either = a + b > 0
  logs = worlds.ragged(real), worlds.ragged(synthetic)
  found = fidelity.popularity(*logs, ITEMS)
  np.testing.assert_allclose(found['spearman'], stats.spearmanr(a[either], b[either]).statistic, atol=1e-9)
  assert found['jensen_shannon'] == pytest.approx(distance.jensenshannon(a, b, 2) ** 2, abs=1e-9)
  sizes = [[len(row) for row in rows] for rows in (real, synthetic)]
  assert fidelity.lengths(*logs) == pytest.approx({
    'length_ks': stats.ks_2samp(*sizes, method='asymp').statistic, 'length_real': np.mean(sizes[0]),
    'length_synthetic': np.mean(sizes[1])})
  found = fidelity.concentration(*logs, ITEMS)
  assert found['coverage'] == pytest.approx(np.mean(b[a > 0] > 0))
  for name, counts in (('real', a[either]), ('synthetic', b[either])):
    spread = np.abs(counts[:, None] - counts).mean() / (2 * counts.mean())
    assert found[f'gini_{name}'] == pytest.approx(spread)
  head = sorted(np.flatnonzero(a), key=lambda item: -a[item])[:round(.2 * (a > 0).sum())]
  for name, counts in (('real', a), ('synthetic', b)):
    assert found[f'tail_{name}'] == pytest.approx(1 - counts[head].sum() / counts.sum())


@settings(deadline=None, max_examples=20)
@given(LOGS, LOGS)
def test_co_occurrences_against_loops(real, synthetic):
  pairs = list(itertools.combinations(np.flatnonzero(_counts(real)), 2))
  a, b = (np.array([np.mean([i in row and j in row for row in rows]) for i, j in pairs])
          for rows in (real, synthetic))
  found = fidelity.co_occurrence(worlds.ragged(real), worlds.ragged(synthetic), ITEMS)
  assert found['pair_error'] == pytest.approx(np.linalg.norm(a - b) / np.linalg.norm(a) if a.any() else np.nan,
                                              abs=1e-6, nan_ok=True)
  expected = np.corrcoef(a, b)[0, 1] if len(pairs) and np.ptp(a) > 0 and np.ptp(b) > 0 else np.nan
  assert found['pair_correlation'] == pytest.approx(expected, abs=1e-6, nan_ok=True)


def test_only_the_most_popular_items_and_pairs_count(monkeypatch):
  monkeypatch.setattr(fidelity, 'ITEMS', 4)
  monkeypatch.setattr(fidelity, 'PAIRS', 2)
  core = [[4, 5, 6, 7], [4, 5, 6, 7], [4, 5, 6], [4, 5]]
  real = worlds.ragged([*core, [0, 1, 2, 3]])
  assert fidelity.co_occurrence(real, worlds.ragged([*core, [0, 2]]), ITEMS) == {
    'pair_correlation': pytest.approx(1), 'pair_error': pytest.approx(0), 'pair_overlap': 1.}
  other = fidelity.co_occurrence(real, worlds.ragged([[4, 5], [6, 7], [6, 7]]), ITEMS)
  assert other['pair_overlap'] == .5  # (4, 5) is in both, (4, 6) is not


def test_the_right_popularity_with_wrong_pairs_shows_in_the_pairs():
  random = np.random.default_rng(0)
  real = worlds.grouped(random, 300)
  rows = np.zeros((300, worlds.ITEMS), bool)
  rows[np.repeat(np.arange(300), real.lengths), real.values] = True
  found = fidelity.compare(real, group(*np.nonzero(random.permuted(rows, axis=0)), 300), _vectors(worlds.ITEMS),
                           worlds.ITEMS)
  assert found['spearman'] == pytest.approx(1) and found['jensen_shannon'] == pytest.approx(0, abs=1e-9)
  again = fidelity.compare(real, worlds.grouped(random, 300), _vectors(worlds.ITEMS), worlds.ITEMS)
  assert again['pair_correlation'] > .9 > .3 > found['pair_correlation']
  assert again['pair_error'] < .3 < .5 < found['pair_error'] and again['frechet'] < found['frechet'] / 3


def test_the_frechet_distance_in_double_precision():
  random = np.random.default_rng(0)
  real, other = worlds.uniform(random, 70, 20, .5), worlds.uniform(random, 40, 20, np.linspace(.2, .8, 20))
  vectors = _vectors(20)
  a, b = (np.array([vectors[log.row(user)].astype(np.float64).mean(0) for user in range(len(log))])
          for log in (real, other))
  cov_a, cov_b = np.cov(a.T, bias=True), np.cov(b.T, bias=True)
  expected = ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(cov_a + cov_b - 2 * linalg.sqrtm(cov_a @ cov_b).real)
  assert fidelity.compare(real, other, vectors, 20)['frechet'] == pytest.approx(expected, rel=1e-3)


def test_what_cannot_be_is_refused():
  log = worlds.ragged([[0, 1], [2]])
  with pytest.raises(DataError, match='synthetic: all of 2 profiles are empty'):
    fidelity.compare(log, worlds.ragged([[], []]), _vectors(3), 3)
  with pytest.raises(DataError, match='real, profile 1: item 2, allowed are 0 to 1'):
    fidelity.compare(log, log, _vectors(2), 2)
  for vectors in (_vectors(4), _vectors(3)[0], np.full((3, 2), np.nan)):
    with pytest.raises(DataError, match=r'item_vectors is of shape .* allowed are finite numbers of shape \(3, dim\)'):
      fidelity.compare(log, log, vectors, 3)
