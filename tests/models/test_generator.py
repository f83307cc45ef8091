"""The players' shapes, sizes and what they read."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ganrec_jax.models.discriminator import Discriminator
from ganrec_jax.models.generator import Generator


def _count(params):
  return sum(leaf.size for leaf in jax.tree.leaves(params))


def _block(dim):
  return (3 * dim * dim + 3 * dim) + (dim * dim + dim) + (dim * 2 * dim + 2 * dim) + (2 * dim * dim + dim) + 4 * dim


def test_parameter_counts_of_the_defaults():
  dim, noise, text, width = 64, 32, 128, 64
  g = jax.eval_shape(Generator(1, width).init, jax.random.key(0), jnp.zeros((1, noise)), jnp.zeros((1, 1, text)))
  encoder = 2 * _block(dim) + 2 * dim
  assert _count(g) == (noise + 1) * dim + (text + 1) * dim + 2 * dim + encoder + (dim + 1) * width + dim + 1 == 81793
  d = jax.eval_shape(Discriminator().init, jax.random.key(0), jnp.zeros((1, width)), jnp.zeros((1, 0, text)),
                     jnp.zeros((1, text)))
  assert _count(d) == (width + 1) * dim + (text + 1) * dim + 2 * dim + encoder + dim + 1 == 79681


@pytest.mark.parametrize('samples', [1, 3])
def test_each_sample_depends_on_noise_and_condition(samples):
  model, rng = Generator(samples, 5, dim=8, layers=1, heads=2), np.random.default_rng(0)
  z, condition = rng.normal(size=(4, 6)).astype(np.float32), rng.normal(size=(4, 2, 7)).astype(np.float32)
  params = model.init(jax.random.key(0), z, condition)
  vectors, strengths = model.apply(params, z, condition)
  assert vectors.shape == (4, samples, 5) and strengths.shape == (4, samples)
  for other in (model.apply(params, z[::-1], condition), model.apply(params, z, condition + 1)):
    assert (np.abs(other[0] - vectors).max(-1) > 1e-4).all() and (np.abs(other[1] - strengths) > 0).all()


def test_the_discriminator_reads_sample_user_and_text_row_by_row():
  model, rng = Discriminator(dim=8, layers=1, heads=2), np.random.default_rng(0)
  x, user, text = (rng.normal(size=s).astype(np.float32) for s in ((4, 5), (4, 2, 7), (4, 6)))
  params = model.init(jax.random.key(0), x, user, text)
  logits = model.apply(params, x, user, text)
  assert logits.shape == (4,)
  # A constant shift along all coordinates would be removed by a layer norm that came first.
  for changed in ((x * 2, user, text), (x, user * 2, text), (x, user, text * 2)):
    assert (np.abs(model.apply(params, *changed) - logits) > 1e-5).all()
  np.testing.assert_allclose(model.apply(params, x[:1], user[:1], text[:1])[0], logits[0], atol=1e-5)
