"""The knob at serving time: its rule, and that measuring it agrees with the benchmark's own trials."""

import jax.numpy as jnp
import numpy as np
import pytest

from experiments import adventure
from experiments.bench import frontier, trials
from experiments.peers import classic
from tests.experiments.problems import small


def test_the_best_tail_among_those_that_lose_at_most_one_per_cent():
  assert adventure.chosen([.5, .5, .496, .49], [.01, .02, .03, .9]) == 2
  assert adventure.chosen([.5, .4], [.01, .9]) == 0
  assert adventure.chosen([.5, .6], [.02, .02]) == 0


@pytest.fixture(scope='module')
def fitted():
  problem = small()
  peer = trials.Peer('knn', classic.item_knn, {}, cold=False)
  options = {'neighbours': 20, 'shrinkage': 5., 'alpha': .5, 'weighting': 'none'}
  return problem, peer, trials.fit(peer, options, problem)


def test_at_0_it_is_what_a_trial_measures(fitted):
  problem, peer, (score, params) = fitted
  found = adventure.measure(problem, frontier.as_fitted(problem, score, params), 0., 'test')
  due = trials.measure(score, params, peer.cold, problem, 'test')
  np.testing.assert_allclose(found, [*(due[f'{task}.ndcg'].mean() for task in ('warm', 'tail', 'sparse')),
                                     due['warm.coverage'], due['warm.gini'], due['warm.tail_share']], rtol=1e-6)


def test_turned_up_it_recommends_rarer_items(fitted):
  problem, _, (score, params) = fitted
  damped = frontier.as_fitted(problem, score, params)
  before, after = (adventure.measure(problem, damped, gamma, 'valid') for gamma in (0., 1.))
  share = adventure.MEASURES.index('tail_share')
  assert after[share] > before[share]
  assert float(jnp.mean(damped.popularity[problem.warm])) == pytest.approx(0, abs=1e-5)
