"""Monitors against closed forms, loops and SciPy."""

import jax.numpy as jnp
import numpy as np
import scipy.linalg
from hypothesis import given, settings
from hypothesis import strategies as st

from ganrec_jax.adversarial import monitors


def test_frechet_of_known_gaussians():
  eye = np.eye(3, dtype=np.float32)
  mean = np.array([1, -2, 2], np.float32)
  np.testing.assert_allclose(monitors.frechet(0 * mean, eye, mean, eye), 9, rtol=1e-5)
  np.testing.assert_allclose(monitors.frechet(mean, 4 * eye, mean, 9 * eye), 3 * (2 - 3)**2, rtol=1e-5)
  np.testing.assert_allclose(monitors.frechet(mean, 0 * eye, mean, eye), 3, rtol=1e-5)


@settings(deadline=None, max_examples=10)
@given(seed=st.integers(0, 2**16))
def test_frechet_matches_the_matrix_root(seed):
  rng = np.random.default_rng(seed)
  x, y = rng.normal(size=(30, 4)) @ rng.normal(size=(4, 4)), rng.normal(size=(40, 4)) + rng.normal(size=4)
  (m, c), (n, d) = ((a.mean(0), np.cov(a.T, bias=True)) for a in (x, y))
  want = ((m - n)**2).sum() + np.trace(c + d - 2 * scipy.linalg.sqrtm(c @ d).real)
  got = monitors.frechet(*monitors.moments(jnp.float32(x)), *monitors.moments(jnp.float32(y)))
  np.testing.assert_allclose(got, want, rtol=2e-3, atol=2e-3)


@settings(deadline=None, max_examples=10)
@given(seed=st.integers(0, 2**16), n=st.sampled_from([5, 9]), m=st.sampled_from([6, 11]), k=st.integers(1, 4))
def test_precision_and_recall_match_loops(seed, n, m, k):
  rng = np.random.default_rng(seed)
  real, fake = rng.normal(size=(n, 3)).astype(np.float32), (rng.normal(size=(m, 3)) * 1.5).astype(np.float32)

  def share(x, centres):
    hits = 0
    for point in x:
      for i, centre in enumerate(centres):
        others = sorted(np.sum((centre - c)**2) for j, c in enumerate(centres) if j != i)
        if np.sum((point - centre)**2) <= others[k - 1]:
          hits += 1
          break
    return hits / len(x)

  precision, recall = monitors.precision_recall(jnp.asarray(real), jnp.asarray(fake), k)
  np.testing.assert_allclose(precision, share(fake, real), atol=1e-6)
  np.testing.assert_allclose(recall, share(real, fake), atol=1e-6)


def test_results_do_not_change_with_the_batch(monkeypatch):
  rng = np.random.default_rng(0)
  x, y = (jnp.asarray(rng.normal(size=(n, 4)), jnp.float32) for n in (21, 18))
  whole = monitors.precision_recall(x, y), monitors.nearest(x, y)
  monkeypatch.setattr(monitors, '_ROWS', 5)
  for a, b in zip(whole, (monitors.precision_recall(x, y), monitors.nearest(x, y)), strict=True):
    np.testing.assert_array_equal(a[0], b[0])
    np.testing.assert_allclose(a[1], b[1], rtol=1e-6)


@settings(deadline=None, max_examples=20)
@given(real=st.lists(st.integers(-3, 3), min_size=4, max_size=4),
       fake=st.lists(st.integers(-3, 3), min_size=4, max_size=4))
def test_accuracies_match_loops(real, fake):
  ranked = np.mean([(r > f) + .5 * (r == f) for r in real for f in fake])
  plain = (np.mean([r > 0 for r in real]) + np.mean([f <= 0 for f in fake])) / 2
  real, fake = jnp.asarray(real, jnp.float32), jnp.asarray(fake, jnp.float32)
  np.testing.assert_allclose(monitors.ranked_accuracy(real, fake), ranked, atol=1e-6)
  np.testing.assert_allclose(monitors.accuracy(real, fake), plain, atol=1e-6)
  x = jnp.arange(8.).reshape(4, 2)
  found = monitors.compare(x, x, x, real, fake, k=1)
  np.testing.assert_allclose((found['d_accuracy_real'] + found['d_accuracy_fake']) / 2, plain, atol=1e-6)
  np.testing.assert_allclose(found['d_accuracy_real'], (np.array(real) > 0).mean(), atol=1e-6)


def test_distinct_items_and_memorisation():
  known = jnp.asarray(np.random.default_rng(0).normal(size=(10, 3)), jnp.float32)
  copies = known[jnp.array([2, 2, 5, 5, 5, 7])]
  found = monitors.compare(known[:6] + 1, copies, known, jnp.zeros(6), jnp.zeros(6), k=2)
  assert found['distinct'] == 3 and found['nearest'] < 1e-3 < found['nearest_real']


def test_of_equally_near_vectors_the_first_is_taken():
  others = np.array([[3., 0], [1, 0], [-1, 0], [1, 0]], np.float32)
  index, distance = monitors.nearest(np.array([[0., 0], [1, 0]], np.float32), others)
  np.testing.assert_array_equal(index, [1, 1])
  np.testing.assert_array_equal(distance, [1, 0])
