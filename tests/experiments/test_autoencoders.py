"""MultVAE and CFGAN: their losses against NumPy, and what they learn on planted groups."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.peers import autoencoders, training
from tests.experiments import planted

# Networks are trained here, if small ones.
pytestmark = pytest.mark.slow


def test_the_elbo_is_that_of_the_formula():
  random = np.random.default_rng(0)
  logits, x = random.normal(size=(4, 7)), random.integers(0, 2, (4, 7))
  mean, log_variance = random.normal(size=(2, 4, 3))
  log_softmax = logits - np.log(np.exp(logits).sum(1, keepdims=True))
  divergence = [sum(.5 * (m ** 2 + np.exp(v) - 1 - v) for m, v in zip(*row, strict=True))
                for row in zip(mean, log_variance, strict=True)]
  due = np.mean(.3 * np.array(divergence) - (x * log_softmax).sum(1))
  found = autoencoders.negative_elbo(*(jnp.asarray(a, jnp.float32) for a in (logits, x, mean, log_variance)), .3)
  np.testing.assert_allclose(found, due, rtol=1e-5)


def test_the_mean_of_the_code_is_decoded_without_noise():
  model = autoencoders.MultVae(6, 2)
  x = autoencoders.unit_rows(jnp.eye(6)[:3])
  params = model.init(jax.random.key(0), x, jnp.zeros((3, 2)))['params']
  logits, *_ = model.apply({'params': params}, x, jnp.zeros((3, 2)))
  states = model.apply({'params': params}, x, method='states')
  np.testing.assert_allclose(states @ params['logits']['kernel'] + params['logits']['bias'], logits, rtol=1e-5)


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
