import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.linear_model import ElasticNet

from experiments.peers import classic
from ganrec_jax.models import cease
from tests.experiments.problems import small

RNG = np.random.default_rng(3)
ROWS = (RNG.random((40, 12)) < .35).astype(np.float32)
KEY = jax.random.key(0)


def _neighbours(alike, k, sources):
  """Each column's k largest entries among `sources`, by loops."""
  out = np.zeros_like(alike)
  for j in range(len(alike)):
    others = [i for i in np.flatnonzero(sources) if i != j]
    for i in sorted(others, key=lambda i: -alike[i, j])[:k]:
      out[i, j] = alike[i, j]
  return out


@pytest.mark.parametrize(('alpha', 'shrinkage', 'weighting'), [(.5, 0., 'none'), (.3, 2., 'none'), (.5, 1., 'idf')])
def test_similarities_are_those_of_the_formula(alpha, shrinkage, weighting):
  expected = np.zeros((12, 12))
  weight = np.log(12 / np.maximum(ROWS.sum(1), 1)) if weighting == 'idf' else np.ones(40)
  for i in range(12):
    for j in range(12):
      a, b = ROWS[:, i] * weight, ROWS[:, j] * weight
      expected[i, j] = a @ b / ((a @ a) ** alpha * (b @ b) ** (1 - alpha) + shrinkage)
  np.testing.assert_allclose(classic.similarities(jnp.asarray(ROWS), alpha, shrinkage, weighting), expected, rtol=1e-5)


@pytest.mark.parametrize('k', [1, 3, 50])
def test_nearest_keeps_the_best_of_the_sources_in_each_column(k):
  alike, sources = RNG.normal(size=(12, 12)).astype(np.float32), np.arange(12) % 4 > 0
  np.testing.assert_array_equal(classic.nearest(alike, k, sources), _neighbours(alike, k, sources))


def test_item_knn_adds_up_the_neighbours_in_the_history():
  problem = small()
  options = {'neighbours': 4, 'shrinkage': 1., 'alpha': .5, 'weighting': 'none'}
  score, params = classic.item_knn(problem, options, KEY)
  x = np.asarray(classic.rows(problem))
  weights = _neighbours(np.asarray(classic.similarities(jnp.asarray(x), .5, 1.)), 4, problem.warm)
  np.testing.assert_allclose(score(params, np.arange(7)), x[:7] @ weights, atol=1e-5)


def test_rows_and_popularity_count_the_training_pairs():
  problem = small()
  x = classic.rows(problem)
  np.testing.assert_array_equal(np.flatnonzero(x[5]), np.unique(problem.prepared.histories.row(5)))
  score, params = classic.popularity(problem, {}, KEY)
  counts = np.bincount(problem.prepared.histories.values, minlength=x.shape[1])
  np.testing.assert_array_equal(score(params, np.array([3, 1])), [counts, counts])


def test_ease_solves_the_constrained_least_squares():
  problem = small()
  x = np.asarray(classic.rows(problem), np.float64)
  system, expected = x.T @ x + 20 * np.eye(x.shape[1]), np.zeros((x.shape[1],) * 2)
  for j in range(x.shape[1]):
    rest = np.delete(np.arange(x.shape[1]), j)
    expected[rest, j] = np.linalg.solve(system[np.ix_(rest, rest)], (x.T @ x)[rest, j])
  score, params = classic.ease(problem, {'reg': 20., 'strength': 0.}, KEY)
  np.testing.assert_allclose(score(params, np.arange(9)), x[:9] @ expected, atol=1e-4)


@pytest.mark.parametrize(('neighbours', 'l1', 'l2'), [(11, .5, 2.), (4, .1, 1.), (4, 2., 5.)])
def test_slim_is_the_elastic_net_on_the_nearest_items(neighbours, l1, l2):
  found = np.asarray(classic.elastic_net(jnp.asarray(ROWS), neighbours, l1, l2))
  allowed = _neighbours(np.asarray(classic.similarities(jnp.asarray(ROWS), .5, 0.)), neighbours, np.ones(12, bool)) > 0
  expected = np.zeros((12, 12))
  for j in range(12):
    net = ElasticNet((l1 + l2) / 40, l1_ratio=l1 / (l1 + l2), positive=True, fit_intercept=False, tol=1e-10,
                     max_iter=100_000)
    expected[allowed[:, j], j] = net.fit(ROWS[:, allowed[:, j]].astype(float), ROWS[:, j].astype(float)).coef_
  np.testing.assert_allclose(found, expected, atol=2e-4)
  assert (found >= 0).all() and not found.diagonal().any() and found.any()


def test_slim_is_solved_alike_in_small_batches(monkeypatch):
  whole = classic.elastic_net(jnp.asarray(ROWS), 5, .3, 1.)
  monkeypatch.setattr(classic, '_ENTRIES_A_BATCH', 5 * 25)
  np.testing.assert_allclose(classic.elastic_net(jnp.asarray(ROWS), 5, .3, 1.), whole, atol=2e-4)


def test_spaces_hold_what_the_fits_read():
  problem = small()
  for fit, space in ((classic.item_knn, classic.ITEM_KNN), (classic.ease, classic.EASE), (classic.slim, classic.SLIM)):
    score, params = fit(problem, {name: values[0] for name, values in space.items()}, KEY)
    assert np.isfinite(score(params, np.arange(3))).all()
    assert score(params, np.arange(3)).shape == (3, problem.prepared.dataset.items)
  assert not cease.fit(problem.prepared.histories, 40, None, 20., 0.).weights[:, ~problem.warm].any()
