"""SASRec: it is causal, keeps each history's items when it shuffles, and learns planted groups."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.peers import sequential, training
from tests.experiments import planted

# Networks are trained here, if small ones.
pytestmark = pytest.mark.slow


@pytest.fixture
def made():
  model = sequential.SasRec(items=11, longest=6, layers=2, dim=8)
  items = jnp.array([[1, 2, 3, 4, 5, 6], [7, 8, 9, 10, 0, 1]])
  params = model.init(jax.random.key(0), items)['params']
  return model, params, items


@pytest.mark.parametrize('place', [0, 3, 5])
def test_a_state_knows_what_comes_before_and_no_more(made, place):
  model, params, items = made
  before = model.apply({'params': params}, items)
  after = model.apply({'params': params}, items.at[0, place].set(8))
  np.testing.assert_array_equal(before[0, :place + 1], after[0, :place + 1])
  assert (np.abs(before[0, place + 1:] - after[0, place + 1:]).max(-1) > 1e-4).all()
  np.testing.assert_array_equal(before[1], after[1])


def test_the_last_state_is_that_of_the_history_without_padding(made):
  model, params, items = made
  found = sequential.last_states(model, params, items, jnp.array([2, 4]))
  for row, length in enumerate((2, 4)):
    due = model.apply({'params': params}, items[row:row + 1, :length])[0, -1]
    np.testing.assert_allclose(found[row], due, atol=1e-5)


def test_a_shuffled_history_has_the_same_items_and_its_padding_last():
  items, weights = jnp.array([[4, 2, 9, 0, 0], [1, 2, 3, 4, 5]]), jnp.array([[1., 1, 1, 0, 0], [1] * 5])
  orders = {tuple(map(int, sequential.shuffled(jax.random.key(k), items, weights)[0])) for k in range(50)}
  assert {order[3:] for order in orders} == {(0, 0)}
  assert {tuple(sorted(order[:3])) for order in orders} == {(2, 4, 9)} and len(orders) == 6


def test_dropout_needs_a_key(made):
  model, params, items = made
  first, second = (model.apply({'params': params}, items, .5, jax.random.key(k)) for k in (0, 1))
  assert not np.allclose(first, second)


@pytest.mark.parametrize('order', ['time', 'random'])
def test_groups_are_learned(order, monkeypatch):
  monkeypatch.setattr(sequential, '_STEPS', 100)
  problem = planted.make(ordered=True)
  options = {'order': order, 'layers': 1, 'dropout': .2}
  evaluate = training.judge(problem)
  params = sequential.sasrec(problem, options, jax.random.key(0))[1]
  assert evaluate(params) > 2 * evaluate(planted.popularity(problem))
