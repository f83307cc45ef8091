"""Generator and critic of profiles: draws without replacement, their gradient, the critic's view, the bound."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ganrec_jax.models import profiles


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 10**6), st.integers(1, 40), st.floats(.01, 100))
def test_above_separates_the_highest(seed, number, scale):
  scores = scale * np.random.default_rng(seed).standard_normal((3, 40)).astype(np.float32)
  scores[0, 5:] = -np.inf
  chosen = np.asarray(scores > profiles.above(jnp.asarray(scores), jnp.full(3, number))[:, None])
  for row, found in zip(scores, chosen, strict=True):
    due = np.argsort(-row)[:min(number, np.isfinite(row).sum())]
    assert set(np.flatnonzero(found)) == set(due)


def test_a_drawn_profile_has_its_length_and_follows_the_logits():
  logits = jnp.asarray([0., 1., 2., 3., -50.])
  gumbel = jax.random.gumbel(jax.random.key(0), (20000, 5))
  drawn = np.asarray(profiles.draw_profiles(jnp.tile(logits, (20000, 1)), gumbel, jnp.ones(20000), 1.))
  np.testing.assert_allclose(drawn.sum(1), 1, atol=1e-5)
  np.testing.assert_allclose(drawn.mean(0), jax.nn.softmax(logits), atol=.015)
  three = np.asarray(profiles.draw_profiles(jnp.tile(logits, (500, 1)), gumbel[:500], jnp.full(500, 3.), .5))
  assert set(np.round(three.sum(1)).tolist()) == {3.} and three[:, 4].max() < 1e-6


def test_the_straight_through_gradient_is_the_expectations_for_one_item_and_a_linear_critic():
  logits, worth = jnp.asarray([.3, -1., .8, 0.]), jnp.asarray([1., 4., -2., .5])

  def value(logits, gumbel):
    return (profiles.draw_profiles(jnp.tile(logits, (len(gumbel), 1)), gumbel, jnp.ones(len(gumbel)), .7)
            @ worth).mean()
  gumbel, step = jax.random.gumbel(jax.random.key(0), (400000, 4)), .2
  # Of the hard draws themselves, by finite differences of their expectation.
  due = [(value(logits.at[i].add(step), gumbel) - value(logits.at[i].add(-step), gumbel)) / (2 * step)
         for i in range(4)]
  np.testing.assert_allclose(jax.grad(value)(logits, gumbel[:1]), due, atol=.04)


def test_an_item_that_is_in_every_profile_has_no_gradient():
  logits = jnp.asarray([[9., 0., 0.]])
  grad = jax.grad(lambda one: profiles.draw_profiles(one, jnp.zeros((1, 3)), jnp.asarray([2.]), 1.)[0, 0])(logits)
  np.testing.assert_array_equal(grad, 0)


def test_the_critic_reads_sums_over_the_root_of_the_length_and_the_length():
  critic, vectors = profiles.ProfileCritic(own=2, hidden=4), jnp.asarray(np.random.default_rng(0).normal(size=(6, 3)))
  params = critic.init(jax.random.key(0), jnp.zeros((1, 6)), vectors)
  x = jnp.asarray([[1., 0, 1, 0, 0, 1], [0, 0, 0, 0, 0, 0]])
  inner = params['params']
  state = jnp.concatenate([3 * x @ jnp.concatenate([vectors, inner['items']], 1) / jnp.sqrt(x.sum(1) + 1)[:, None],
                           jnp.log1p(x.sum(1, keepdims=True)) - 3], 1)
  for layer in ('Dense_0', 'Dense_1'):
    state = state @ inner[layer]['kernel'] + inner[layer]['bias']
    state = jnp.where(state > 0, state, .2 * state)
  due = (state @ inner['Dense_2']['kernel'] + inner['Dense_2']['bias'])[:, 0]
  np.testing.assert_allclose(critic.apply(params, x, vectors), due, rtol=1e-5)


@pytest.mark.parametrize('beta', [0., .3])
def test_the_bound_is_the_likelihood_and_the_divergence(beta):
  rng = np.random.default_rng(0)
  logits, mean, log_variance = rng.normal(size=(2, 5)), rng.normal(size=(2, 3)), rng.normal(size=(2, 3))
  x = np.array([[1, 0, 0, 1, 0], [0, 0, 1, 0, 0]])
  share = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
  due = -(x * np.log(share)).sum(1) + beta * .5 * (mean**2 + np.exp(log_variance) - 1 - log_variance).sum(1)
  np.testing.assert_allclose(profiles.negative_elbo(*map(jnp.asarray, (logits, x, mean, log_variance)), beta), due,
                             rtol=1e-5)


def test_parameters_are_counted():
  n, latent, hidden = 30, 4, 7
  params = profiles.ProfileVae(n, latent, hidden).init(jax.random.key(0), jnp.zeros((1, n)), jnp.zeros((1, latent)))
  due = (n + 1) * hidden + (hidden + 1) * 2 * latent + (latent + 1) * hidden + (hidden + 1) * n
  assert sum(leaf.size for leaf in jax.tree.leaves(params)) == due


def test_listed_profiles_are_encoded_as_rows_are():
  items = jnp.asarray([[3, 1, 4, 0], [2, 0, 0, 0], [0, 0, 0, 0]])
  there = jnp.asarray([[1., 1, 1, 0], [1, 0, 0, 0], [0, 0, 0, 0]])
  model = profiles.ProfileVae(6, 2, 5)
  params = model.init(jax.random.key(0), jnp.zeros((1, 6)), jnp.zeros((1, 2)))
  due = model.apply(params, profiles.unit_rows(items, there, 6), method='encode')
  found = model.apply(params, items, there, method='encode_listed')
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), found, due)


def test_a_decoder_that_reads_texts_is_a_plain_one_of_other_parameters():
  texts = jnp.asarray(np.random.default_rng(0).normal(size=(7, 3)), jnp.float32)
  noise = jax.random.normal(jax.random.key(1), (5, 2))
  model = profiles.TextVae(7, 2, 4, lambda: texts)
  params = jax.jit(model.init)(jax.random.key(0), jnp.zeros((1, 7)), noise[:1])
  free = jax.random.normal(jax.random.key(2), (4, 7))
  assert not params['params']['logits']['kernel'].any()
  params['params']['logits']['kernel'] = free
  x = jax.random.uniform(jax.random.key(3), (5, 7))
  same = profiles.ProfileVae(7, 2, 4).apply(profiles.plain(params, texts), x, noise)
  for mine, due in zip(same, model.apply(params, x, noise), strict=True):
    np.testing.assert_allclose(mine, due, atol=1e-5)
  assert np.abs(np.asarray(profiles.plain(params, texts)['params']['logits']['kernel'] - free)).max() > .01
