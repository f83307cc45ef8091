import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from ganrec_jax.data.ragged import group
from ganrec_jax.errors import ConfigError
from ganrec_jax.models import cease

USERS, ITEMS, COLD = 17, 9, 7


def _world(seed=0):
  rng = np.random.default_rng(seed)
  rows = rng.random((USERS, ITEMS)) < .4
  rows[:, COLD], rows[5] = False, False
  user, item = np.nonzero(rows)
  vectors = rng.normal(size=(ITEMS, 2))
  kernel = np.exp(-((vectors[:, None] - vectors) ** 2).sum(-1)).astype(np.float32)
  return group(user, item, USERS), rows.astype(np.float64), kernel


@pytest.mark.parametrize('kernel_weight', [0., 4.])
def test_columns_solve_the_constrained_least_squares(kernel_weight):
  histories, rows, kernel = _world()
  system = rows.T @ rows + kernel_weight * kernel + 2 * np.eye(ITEMS)
  expected = np.zeros((ITEMS, ITEMS))
  for j in range(ITEMS):  # regress column j on all others: the diagonal stays zero
    rest = np.delete(np.arange(ITEMS), j)
    expected[rest, j] = np.linalg.solve(system[np.ix_(rest, rest)], system[rest, j])
  found = cease.fit(histories, ITEMS, jnp.asarray(kernel), 2., kernel_weight)
  np.testing.assert_allclose(found.weights, expected, atol=1e-4)
  np.testing.assert_array_equal(jnp.diag(found.weights), np.zeros(ITEMS))
  if not kernel_weight:
    np.testing.assert_array_equal(found.weights[:, COLD], np.zeros(ITEMS))
    np.testing.assert_array_equal(cease.fit(histories, ITEMS, None, 2.).weights, found.weights)
  else:
    assert np.abs(found.weights[:, COLD]).max() > .01


@pytest.mark.parametrize('power', [0., .5, 1.])
def test_columns_are_divided_by_their_root_mean_square(power):
  histories, rows, kernel = _world(1)
  rows = rows[rows.sum(1) > 0]  # a user without history has no weight
  plain = np.asarray(cease.fit(histories, ITEMS, jnp.asarray(kernel), 2., 4.).weights, np.float64)
  expected = plain / np.sqrt(((rows @ plain) ** 2).mean(0)) ** power
  found = cease.fit(histories, ITEMS, jnp.asarray(kernel), 2., 4., power)
  np.testing.assert_allclose(found.weights, expected, rtol=1e-4, atol=1e-6)
  np.testing.assert_allclose(found.mean, (rows @ expected).mean(0), rtol=1e-3, atol=1e-5)
  np.testing.assert_allclose(found.square, ((rows @ expected) ** 2).mean(0), rtol=1e-3)


def test_a_history_of_weight_three_is_three_histories():
  histories, _, kernel = _world(2)
  times = 1 + 2 * (np.arange(USERS) < 6)
  heavy = dataclasses.replace(histories, weights=np.repeat(times, histories.lengths).astype(np.float32))
  copies = np.repeat(np.arange(USERS), times)
  owner = np.concatenate([np.full(histories.lengths[user], copy) for copy, user in enumerate(copies)])
  many = group(owner, np.concatenate([histories.row(user) for user in copies]), len(copies))
  first, second = (cease.fit(h, ITEMS, jnp.asarray(kernel), 2., 4., .5) for h in (heavy, many))
  for name in ('weights', 'mean', 'square'):
    np.testing.assert_allclose(getattr(first, name), getattr(second, name), rtol=1e-4, atol=1e-6)


def test_cooccurrences_do_not_depend_on_the_batch():
  histories, rows, _ = _world(3)
  light = dataclasses.replace(histories, weights=np.where(np.arange(len(histories.values)) % 3, 1, .5).astype('f'))
  whole, cut = (cease.cooccurrences(light, ITEMS, size) for size in (512, 4))
  for a, b in zip(whole, cut, strict=True):
    np.testing.assert_allclose(a, b, rtol=1e-6)
  np.testing.assert_array_equal(cease.cooccurrences(histories, ITEMS)[0], rows.T @ rows)


def test_hyper_parameters_out_of_range_are_refused():
  histories, _, kernel = _world()
  with pytest.raises(ConfigError, match='reg is 0'):
    cease.fit(histories, ITEMS, kernel, reg=0.)
