"""Two-tower, DropoutNet and CLCRec: their losses by brute force, and new items ranked by content."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.peers import cold, training
from tests.experiments import planted

# Networks are trained here, if small ones.
pytestmark = pytest.mark.slow


def test_clcrecs_loss_is_that_of_each_anchor_alone():
  random = np.random.default_rng(0)
  anchors, own, others = (random.normal(size=(n, 3)) for n in (4, 4, 6))
  due = []
  for anchor, positive in zip(anchors, own, strict=True):
    right = np.exp(anchor @ positive / .7)
    due.append(-np.log(right / (right + sum(np.exp(anchor @ other / .7) for other in others))))
  found = cold.contrastive_loss(*(jnp.asarray(x, jnp.float32) for x in (anchors, own, others)), .7)
  np.testing.assert_allclose(found, due, rtol=1e-5)


def test_the_in_batch_softmax_corrects_for_chances_and_skips_the_same_item():
  random = np.random.default_rng(0)
  users, items = random.normal(size=(2, 4, 3))
  ids, chance = np.array([5, 2, 5, 7]), np.array([.4, .1, .4, .2])
  items[2] = items[0]
  due = []
  for row in range(4):
    logits = items @ users[row] - np.log(chance)
    due.append(np.log(sum(np.exp(logits[j]) for j in range(4) if j == row or ids[j] != ids[row])) - logits[row])
  found = cold.in_batch_softmax(jnp.asarray(users, jnp.float32), jnp.asarray(items, jnp.float32), jnp.asarray(ids),
                                jnp.asarray(np.log(chance), jnp.float32))
  np.testing.assert_allclose(found, due, rtol=1e-5)


def test_content_is_fitted_on_warm_items():
  problem = planted.make()
  before = cold.content(problem)
  problem.terms.values[-5:] = 3  # of cold items
  np.testing.assert_array_equal(before[problem.prepared.warm], cold.content(problem)[problem.prepared.warm])


@pytest.mark.parametrize(('fit', 'options'), [
  (cold.two_tower, {'user': 'history', 'loss': 'full', 'dropout': .2, 'weight_decay': .1}),
  (cold.two_tower, {'user': 'embedding', 'loss': 'sampled', 'dropout': .2, 'weight_decay': .1}),
  (cold.dropoutnet, {'dropout': .5, 'hidden': 32, 'unobserved': .05, 'reg': .02}),
  (cold.clcrec, {'temperature': .5, 'share': .5, 'replaced': .5, 'weight_decay': .01})])
def test_new_items_are_ranked_by_content(fit, options, monkeypatch):
  monkeypatch.setattr(cold, '_STEPS', 120)
  problem = planted.make()
  params = fit(problem, options, jax.random.key(0))[1]
  warm = training.judge(problem)
  assert warm(params) > 2 * warm(planted.popularity(problem))
  assert training.judge(problem, ('cold',))(params) > .9
