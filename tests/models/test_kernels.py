import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ganrec_jax.errors import ConfigError, DataError
from ganrec_jax.models import kernels


def _vectors(items, dim, seed=0):
  rng = np.random.default_rng(seed)
  return (rng.normal(size=(items, dim)) @ np.diag(1 + np.arange(dim) ** 2.) + 3).astype(np.float32)


@pytest.mark.parametrize(('dim', 'directions'), [(5, 5), (5, 3), (40, 128)])
def test_whitening_agrees_with_the_singular_value_decomposition(dim, directions):
  vectors, warm = _vectors(25, dim), np.arange(3, 23)
  rows = vectors[warm].astype(np.float64)
  _, singular, axes = np.linalg.svd(rows - rows.mean(0), full_matrices=False)
  rank = min(directions, len(rows) - 1, dim)
  sd = singular[:rank] / np.sqrt(len(rows))
  expected = (vectors - rows.mean(0)) @ axes[:rank].T / (sd + .001 * sd[0]) ** .25
  expected /= np.linalg.norm(expected, axis=1, keepdims=True)
  found = kernels.whiten(vectors, warm, directions).apply(vectors)
  assert found.shape == (25, rank)
  # The sign of a direction is free, so inner products are what can be compared.
  np.testing.assert_allclose(found @ found.T, expected @ expected.T, atol=2e-4)


def test_only_warm_items_with_text_are_fitted():
  vectors, warm = _vectors(12, 4), np.arange(8)
  vectors[2] = 0
  other = vectors.copy()
  other[8:] = 1e3
  without = kernels.whiten(np.delete(vectors, 2, 0), np.arange(7))
  for found in (kernels.whiten(vectors, warm), kernels.whiten(other, warm)):
    np.testing.assert_array_equal(found.mean, without.mean)
    np.testing.assert_allclose(np.abs(found.projection), np.abs(without.projection), rtol=1e-5)


def test_items_without_text_are_unrelated_to_all():
  vectors = _vectors(9, 4)
  vectors[[3, 7]] = 0
  z = kernels.whiten(vectors, np.arange(7)).apply(vectors)
  np.testing.assert_array_equal(z[jnp.array([3, 7])], np.zeros((2, 4)))
  kernel = kernels.with_unit_diagonal(kernels.content_kernel(z @ z.T, [np.zeros((9, 9))]))
  np.testing.assert_allclose(kernel[3, 7], (np.exp(-2) + np.exp(-1)) / 2, rtol=1e-6)
  np.testing.assert_allclose(kernel[3, 1], (np.exp(-2) + np.exp(-1)) / 2, rtol=1e-6)
  np.testing.assert_array_equal(jnp.diag(kernel), np.ones(9))
  assert np.linalg.eigvalsh(np.asarray(kernel, np.float64)).min() > 0


def test_the_kernel_is_the_mean_of_two_rbf_kernels():
  rng = np.random.default_rng(1)
  z, t = (rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in rng.normal(size=(2, 6, 3)))
  distances = [((rows[:, None] - rows) ** 2).sum(-1) for rows in (z, t)]
  expected = np.exp(-distances[0]) / 2 + np.exp(-distances[1] / 2) / 2
  np.testing.assert_allclose(kernels.content_kernel(z @ z.T, [t @ t.T]), expected, rtol=1e-5)


@settings(deadline=None, max_examples=15)
@given(st.sampled_from([1, 2, 7]), st.integers(0, 2**32 - 1), st.sampled_from([.1, 1.]))
def test_leave_one_out_agrees_with_refitting(items, seed, ridge):
  rng = np.random.default_rng(seed)
  rows, targets = rng.normal(size=(items, 3)), rng.normal(size=(items, 2))
  kernel = np.exp(-((rows[:, None] - rows) ** 2).sum(-1))
  system = kernel + ridge * np.eye(items)
  expected = np.zeros((items, 2))
  for left_out in range(items):
    rest = np.delete(np.arange(items), left_out)
    expected[left_out] = kernel[left_out, rest] @ np.linalg.solve(system[np.ix_(rest, rest)], targets[rest])
  inverse = kernels.positive_inverse(jnp.asarray(system, jnp.float32), 'ridge')
  np.testing.assert_allclose(kernels.leave_one_out(inverse, jnp.asarray(targets, jnp.float32)), expected, atol=1e-4)


@settings(deadline=None, max_examples=10)
@given(st.sampled_from([1, 2, 5]), st.booleans())
def test_degenerate_texts_give_a_kernel_that_is_finite(items, blank):
  vectors = np.zeros((items, 3), np.float32) if blank else np.ones((items, 3), np.float32)
  z = kernels.whiten(vectors, np.arange(items)).apply(vectors)
  kernel = kernels.with_unit_diagonal(kernels.content_kernel(z @ z.T, [jnp.zeros((items, items))]))
  assert np.isfinite(kernel).all()


def test_a_vector_that_is_not_finite_is_refused():
  vectors = _vectors(4, 3)
  vectors[2, 1] = np.nan
  with pytest.raises(DataError, match='row 2: not finite'):
    kernels.whiten(vectors, np.arange(2))


def test_a_matrix_that_is_not_positive_definite_is_refused():
  with pytest.raises(ConfigError, match='raise ridge'):
    kernels.positive_inverse(jnp.array([[1., 2.], [2., 1.]]), 'ridge')
