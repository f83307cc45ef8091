"""The shared training: early stopping, seeds, and the padded histories."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.peers import autoencoders, cold, neural, sequential, training
from tests.experiments import planted


def _count(static, state, data, key, number):
  return state + data['rate'], jnp.where(number < data['until'], 0., jnp.nan)


def _train(evaluate, until=1000, **schedule):
  return training.train(_count, None, jnp.float32(0), {'rate': 1., 'until': until}, jax.random.key(0),
                        lambda state: float(state), evaluate, **schedule)


def test_the_best_look_is_kept_and_patience_counts_looks():
  seen = []

  def evaluate(value):
    seen.append(value)
    return -abs(value - 20)
  assert _train(evaluate, steps=1000, chunk=10, patience=3) == 20
  assert seen == [10, 20, 30, 40, 50]


def test_training_ends_with_its_steps():
  assert _train(lambda value: value, steps=40, chunk=10, patience=3) == 40


def test_a_loss_that_is_not_finite_ends_training():
  assert _train(lambda value: value, until=25, steps=100, chunk=10, patience=3) == 20
  with pytest.raises(FloatingPointError, match='first 10 steps'):
    _train(lambda value: value, until=5, steps=100, chunk=10, patience=3)


def test_adam_takes_its_first_steps_by_hand():
  params, moments, value = training.adam(lambda x: (x ** 2).sum(), jnp.array([3., -1.]),
                                         training.moments(jnp.zeros(2)), .1, decay=.5)
  # The first step of Adam has length 1 in each coordinate.
  np.testing.assert_allclose(params, [3 - .1 * (1 + 1.5), -1 + .1 * (1 + .5)], rtol=1e-5)
  assert float(value) == 10


def test_the_newest_entries_are_kept():
  problem = planted.make()
  items, weights = training.padded(problem, 3)
  histories, warm = problem.prepared.histories, problem.prepared.warm
  assert items.shape == (planted.USERS, 3) and (weights == 1).all()
  for user in (0, 7):
    np.testing.assert_array_equal(warm[items[user]], histories.row(user)[-3:])


def test_cold_items_of_factors_score_zero():
  problem = planted.make()
  users, items = jnp.ones((planted.USERS, 2)), jnp.ones((len(problem.prepared.warm), 2))
  scores = training.score(training.factors(problem, users, items, jnp.ones(len(items))), jnp.arange(4))
  np.testing.assert_array_equal(scores, np.tile(np.where(problem.warm, 3., 0.), (4, 1)))


def test_each_peer_declares_its_space():
  assert len({name for name, *_ in neural.PEERS}) == len(neural.PEERS)
  for name, fit, space, reaches_new in neural.PEERS:
    assert callable(fit) and isinstance(reaches_new, bool), name
    assert 8 <= np.prod([len(values) for values in space.values()]) <= 40, name


@pytest.mark.parametrize(('module', 'name'), [(autoencoders, 'MultVAE'), (sequential, 'SASRec'), (cold, 'CLCRec')])
def test_seeds_reproduce(module, name, monkeypatch):
  monkeypatch.setattr(module, '_STEPS', 50)
  fit, space = next(peer[1:3] for peer in neural.PEERS if peer[0] == name)
  options = {option: values[0] for option, values in space.items()}
  first, again, other = (fit(planted.make(), options, jax.random.key(seed))[1] for seed in (0, 0, 1))
  assert all(np.array_equal(a, b) for a, b in zip(jax.tree.leaves(first), jax.tree.leaves(again), strict=True))
  assert not np.array_equal(first.users, other.users)
