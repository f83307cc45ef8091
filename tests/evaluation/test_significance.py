import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ganrec_jax.evaluation import significance
from ganrec_jax.evaluation.significance import bootstrap_mean, holm, paired_bootstrap, resampled_means


def test_resampled_means_follow_the_exact_distribution():
  """Of three values there are 27 resamples, each as likely."""
  values = np.array([0., 1., 10.])
  exact = np.sort([np.mean(draw) for draw in itertools.product(values, repeat=3)])
  means = resampled_means(values[:, None], 3, 40000)[:, 0]
  for level in np.unique(exact):
    assert np.mean(means <= level + 1e-9) == pytest.approx(np.mean(exact <= level + 1e-9), abs=.01)


def test_interval_is_that_of_the_normal_distribution_for_many_users():
  values = np.random.default_rng(0).exponential(size=2000)
  low, high = bootstrap_mean(values, 1)
  error = values.std() / np.sqrt(len(values))
  assert low == pytest.approx(values.mean() - 1.96 * error, abs=.1 * error)
  assert high == pytest.approx(values.mean() + 1.96 * error, abs=.1 * error)


def test_chunks_are_small_and_draws_common_to_the_columns(monkeypatch):
  values = np.random.default_rng(0).random((50, 3))
  means = resampled_means(values, 7, 101)
  np.testing.assert_array_equal(means, resampled_means(values, 7, 101))
  np.testing.assert_allclose(means[:, 1], resampled_means(values[:, 1:2], 7, 101)[:, 0], rtol=1e-12)
  assert not np.array_equal(means, resampled_means(values, 8, 101))
  monkeypatch.setattr(significance, '_ENTRIES', 70)
  np.testing.assert_allclose(resampled_means(values, 7, 101), means, rtol=1e-12)


def test_paired_bootstrap_uses_the_pairing():
  rng = np.random.default_rng(0)
  base = rng.random(300)
  better = base + .01 + .01 * rng.normal(size=300)
  mean, low, high, p = paired_bootstrap(better, base, 0)
  assert mean == pytest.approx(.01, abs=.002) and 0 < low < mean < high and p == pytest.approx(2 / 10001)
  shuffled = paired_bootstrap(better, rng.permutation(base), 0)
  assert shuffled[1] < 0 < shuffled[2] and shuffled[3] > .05
  flipped = paired_bootstrap(base, better, 0)
  np.testing.assert_allclose(flipped[:3], (-mean, -high, -low), rtol=1e-9)


def test_p_is_uniform_where_nothing_differs_and_one_where_all_is_equal():
  rng = np.random.default_rng(0)
  p = [paired_bootstrap(rng.normal(size=80), np.zeros(80), s, 500)[3] for s in range(200)]
  assert np.mean(np.array(p) < .05) == pytest.approx(.05, abs=.05)
  assert np.mean(p) == pytest.approx(.5, abs=.08)
  assert paired_bootstrap(np.ones(5), np.ones(5), 0, 100) == (0., 0., 0., 1.)


def test_a_single_user_has_an_interval_of_no_width():
  assert bootstrap_mean([.25], 0, 50) == (.25, .25)


@pytest.mark.parametrize('values', [[], [1., np.nan], [np.inf]])
def test_values_that_cannot_be_resampled_are_refused(values):
  with pytest.raises(ValueError, match='finite'):
    bootstrap_mean(values, 0, 10)


def test_pairs_of_other_users_are_refused():
  with pytest.raises(ValueError, match='same users'):
    paired_bootstrap([1., 2.], [1.], 0)


def test_holm_by_hand():
  np.testing.assert_allclose(holm([.01, .04, .03, .005]), [.03, .06, .06, .02])
  assert holm([]).tolist() == []
  assert holm([.9, .8]).tolist() == [1., 1.]
  for bad in ([-.1], [1.1], [np.nan]):
    with pytest.raises(ValueError, match='lie in'):
      holm(bad)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=8), st.sampled_from([.01, .05, .3]))
def test_holm_rejects_what_its_definition_rejects(p, level):
  """Step down from the smallest: reject while p_(i) <= level / (m - i)."""
  p = np.array(p)
  rejected = np.zeros(len(p), bool)
  for i, place in enumerate(np.argsort(p, kind='stable')):
    if p[place] * (len(p) - i) > level:
      break
    rejected[place] = True
  np.testing.assert_array_equal(holm(p) <= level, rejected)
