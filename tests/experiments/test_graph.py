"""LightGCN: its propagation against powers of the adjacency, its loss, and what it learns on planted groups."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.peers import graph, training
from tests.experiments import planted

# Networks are trained here, if small ones.
pytestmark = pytest.mark.slow


@pytest.mark.parametrize('layers', [0, 1, 3])
def test_propagation_is_the_mean_of_powers_of_the_normalised_adjacency(layers):
  random = np.random.default_rng(0)
  users, items, dim = 5, 7, 3
  matrix = random.random((users, items)) < .4
  matrix[2] = False
  whole = np.block([[np.zeros((users, users)), matrix], [matrix.T, np.zeros((items, items))]])
  degree = whole.sum(1)
  scale = np.where(degree > 0, np.maximum(degree, 1) ** -.5, 0)
  whole = scale[:, None] * whole * scale
  start = random.normal(size=(users + items, dim))
  due = sum(np.linalg.matrix_power(whole, k) @ start for k in range(layers + 1)) / (layers + 1)
  row, column = (jnp.asarray(x, jnp.int32) for x in matrix.nonzero())
  edges = row, column, graph.edge_weights(row, column, users, items)
  found = graph.propagate(edges, jnp.asarray(start[:users], jnp.float32), jnp.asarray(start[users:], jnp.float32),
                          layers)
  np.testing.assert_allclose(np.concatenate(found), due, atol=1e-5)


def test_bpr_is_the_log_of_the_sigmoid_of_the_difference():
  user, positive, negative = np.random.default_rng(0).normal(size=(3, 4, 2)).astype(np.float32)
  difference = (user * positive).sum(1) - (user * negative).sum(1)
  np.testing.assert_allclose(graph.bpr_loss(*map(jnp.asarray, (user, positive, negative))),
                             -np.log(1 / (1 + np.exp(-difference))), rtol=1e-5)


@pytest.mark.parametrize('loss', ['softmax', 'bpr'])
def test_groups_are_learned(loss, monkeypatch):
  monkeypatch.setattr(graph, '_STEPS', 80)
  problem, options = planted.make(), {'loss': loss, 'layers': 2, 'weight_decay': 1e-3, 'learning_rate': .01}
  evaluate = training.judge(problem)
  params = graph.lightgcn(problem, options, jax.random.key(1))[1]
  assert evaluate(params) > 2 * evaluate(planted.popularity(problem))
