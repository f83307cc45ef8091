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


def test_the_mean_square_of_the_scores_is_over_all_users():
  histories, rows, kernel = _world(1)
  found = cease.fit(histories, ITEMS, jnp.asarray(kernel), 2., 4.)
  np.testing.assert_allclose(found.square, ((rows @ np.asarray(found.weights, np.float64)) ** 2).mean(0), rtol=1e-3)


def test_a_row_that_stands_for_three_users_is_three_rows():
  histories, _, kernel = _world(2)
  times = 1 + 2 * (np.arange(USERS) < 6)
  copies = np.repeat(np.arange(USERS), times)
  owner = np.concatenate([np.full(histories.lengths[user], copy) for copy, user in enumerate(copies)])
  many = group(owner, np.concatenate([histories.row(user) for user in copies]), len(copies))
  first = cease.fit(histories, ITEMS, jnp.asarray(kernel), 2., 4., times.astype(np.float32))
  second = cease.fit(many, ITEMS, jnp.asarray(kernel), 2., 4.)
  for name in ('weights', 'square'):
    np.testing.assert_allclose(getattr(first, name), getattr(second, name), rtol=1e-4, atol=1e-6)


def test_cooccurrences_are_weighted_and_do_not_depend_on_the_batch():
  histories, rows, _ = _world(3)
  weights, counts = np.where(np.arange(len(histories.values)) % 3, 1, .5), np.linspace(0, 2, USERS).astype(np.float32)
  light = dataclasses.replace(histories, weights=weights.astype(np.float32))
  rows[rows > 0] = weights
  for size in (512, 4):
    np.testing.assert_allclose(cease.cooccurrences(light, ITEMS, counts, size), rows.T @ (counts[:, None] * rows),
                               rtol=1e-5, atol=1e-6)


def test_hyper_parameters_out_of_range_are_refused():
  histories, _, kernel = _world()
  with pytest.raises(ConfigError, match='reg is 0'):
    cease.fit(histories, ITEMS, kernel, reg=0.)
