"""MultVAE and CFGAN: their losses against NumPy, and what they learn on planted groups."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.peers import autoencoders, training
from tests.experiments import planted

# Networks are trained here, if small ones.
pytestmark = pytest.mark.slow


def test_only_chosen_zeros_are_reconstructed():
  generated, chosen = jnp.array([[.5, 1., .2], [.1, 0., 1.]]), jnp.array([[1, 0, 1], [0, 0, 1]])
  np.testing.assert_allclose(autoencoders.zero_reconstruction(generated, chosen), (.25 + .04 + 1) / 2, rtol=1e-6)


@pytest.mark.parametrize(('fit', 'options'), [
  (autoencoders.multvae, {'dropout': .5, 'beta': .3, 'latent': 8}),
  (autoencoders.cfgan, {'zero_share': .5, 'masked_share': .1, 'zero_weight': .03})])
def test_groups_are_learned(fit, options, monkeypatch):
  monkeypatch.setattr(autoencoders, '_STEPS', 100)
  monkeypatch.setattr(autoencoders, '_CFGAN_STEPS', 600)
  problem = planted.make()
  evaluate = training.judge(problem)
  score, params = fit(problem, options, jax.random.key(0))
  assert score(params, jnp.array([3, 5])).shape == (2, planted.ITEMS)
  assert evaluate(params) > 2 * evaluate(planted.popularity(problem))
