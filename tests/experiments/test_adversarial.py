"""GAR: its two losses by hand, and new items ranked by content."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.peers import adversarial, training
from tests.experiments import planted

# Networks are trained here, if small ones.
pytestmark = pytest.mark.slow


def test_the_losses_are_those_of_the_formulas():
  real, fake, negative = np.array([.5, -1.]), np.array([.2, 2.]), np.array([-.3, .1])
  sigmoid = 1 / (1 + np.exp(-(real - .4 * fake - .6 * negative)))
  np.testing.assert_allclose(adversarial.discriminator_loss(*map(jnp.asarray, (real, fake, negative)), .6),
                             -np.log(sigmoid), rtol=1e-5)
  embeddings, generated = np.array([[1., 2.], [0., 0.]]), np.array([[1.5, 0.], [0., -1.]])
  due = .9 * -np.log(1 / (1 + np.exp(real - fake))) + .1 * np.array([1.25, .5])
  np.testing.assert_allclose(adversarial.generator_loss(*map(jnp.asarray, (real, fake, embeddings, generated)), .1),
                             due, rtol=1e-5)


def test_new_items_are_ranked_by_content(monkeypatch):
  monkeypatch.setattr(adversarial, '_STEPS', 120)
  problem = planted.make()
  options = {'similarity': .5, 'coupling': .9, 'weight_decay': 1e-4, 'unobserved': .05, 'reg': .02}
  params = adversarial.gar(problem, options, jax.random.key(0))[1]
  warm = training.judge(problem)
  assert warm(params) > 2 * warm(planted.popularity(problem))
  assert training.judge(problem, ('cold',))(params) > .9
