"""Losses and penalties against their formulas written out in NumPy, and against slopes known in closed form."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ganrec_jax.adversarial.losses import LOSSES, PENALTIES


def _sigmoid(x):
  return 1 / (1 + np.exp(-np.asarray(x, np.float64)))


# Descended by D, descended by G, for one row with the logits r and f.
REFERENCES = {
  'cross_entropy': (lambda r, f: -np.log(_sigmoid(r)) - np.log(1 - _sigmoid(f)), lambda r, f: -np.log(_sigmoid(f))),
  'saturating': (lambda r, f: -np.log(_sigmoid(r)) - np.log(1 - _sigmoid(f)), lambda r, f: np.log(1 - _sigmoid(f))),
  'wasserstein': (lambda r, f: f - r, lambda r, f: -f),
  'hinge': (lambda r, f: np.maximum(0, 1 - r) + np.maximum(0, 1 + f), lambda r, f: -f),
  'relativistic': (lambda r, f: np.log(1 + np.exp(-(r - f))), lambda r, f: np.log(1 + np.exp(-(f - r)))),
}


def test_every_loss_has_a_reference():
  assert set(REFERENCES) == set(LOSSES)


@pytest.mark.parametrize('name', LOSSES)
@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 2**16), rows=st.integers(1, 9))
def test_losses_match_their_formulas(name, seed, rows):
  rng = np.random.default_rng(seed)
  real, fake = (rng.normal(0, 3, rows).astype(np.float32) for _ in range(2))
  weight = rng.integers(0, 3, rows).astype(np.float32)
  d_loss, g_loss = REFERENCES[name]
  loss = LOSSES[name]
  for found, want in ((loss.d_loss(real, fake, weight), d_loss(real, fake)),
                      (loss.g_loss(fake, real, weight), g_loss(real, fake))):
    np.testing.assert_allclose(found, np.mean(weight * want), rtol=2e-5, atol=1e-5)


# Slopes of the same in the logit that is first in each.
SLOPES = {
  'cross_entropy': (lambda r, f: -_sigmoid(-r), lambda r, f: -_sigmoid(-f)),
  'saturating': (lambda r, f: -_sigmoid(-r), lambda r, f: -_sigmoid(f)),
  'wasserstein': (lambda r, f: np.full_like(r, -1), lambda r, f: np.full_like(f, -1)),
  'hinge': (lambda r, f: -1. * (r < 1), lambda r, f: np.full_like(f, -1)),
  'relativistic': (lambda r, f: -_sigmoid(f - r), lambda r, f: -_sigmoid(r - f)),
}


@pytest.mark.parametrize('name', LOSSES)
def test_slopes_match_their_formulas(name):
  rng = np.random.default_rng(0)
  real, fake = rng.normal(0, 3, (2, 50)).astype(np.float32)
  weight, loss = rng.random(50).astype(np.float32), LOSSES[name]
  for found, due in ((jax.grad(loss.d_loss)(real, fake, weight), SLOPES[name][0](real, fake)),
                     (jax.grad(loss.g_loss)(fake, real, weight), SLOPES[name][1](real, fake))):
    np.testing.assert_allclose(found, weight * due / 50, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize('name', LOSSES)
def test_the_first_argument_is_what_a_player_moves(name):
  real, fake, weight = jnp.array([.3]), jnp.array([-.2]), jnp.ones(1)
  assert jax.grad(LOSSES[name].d_loss)(real, fake, weight)[0] < 0  # D raises its logit of the real
  assert jax.grad(LOSSES[name].d_loss, 1)(real, fake, weight)[0] > 0
  assert jax.grad(LOSSES[name].g_loss)(fake, real, weight)[0] < 0  # G raises D's logit of the fake


@pytest.mark.parametrize('name', LOSSES)
def test_extreme_logits_stay_finite(name):
  real, fake, weight = jnp.array([-200., 200.]), jnp.array([200., -200.]), jnp.ones(2)
  for loss, args in ((LOSSES[name].d_loss, (real, fake)), (LOSSES[name].g_loss, (fake, real))):
    value, slope = jax.value_and_grad(loss)(*args, weight)
    assert np.isfinite(value) and np.isfinite(slope).all()


def test_cross_entropy_at_equilibrium():
  zero = jnp.zeros(3)
  np.testing.assert_allclose(LOSSES['cross_entropy'].d_loss(zero, zero, jnp.ones(3)), 2 * np.log(2), rtol=1e-6)


def test_penalties_of_quadratic_scores():
  rng = np.random.default_rng(0)
  real, fake = rng.normal(size=(2, 6, 3)).astype(np.float32)
  mix, weight = rng.random(6).astype(np.float32), rng.random(6).astype(np.float32)
  # d/dx of |x|^2 / 2 is x, of |x|^2 is 2 x.
  args = (lambda x: jnp.square(x).sum(-1) / 2, lambda x: jnp.square(x).sum(-1), real, fake, mix, weight)
  between = mix[:, None] * real + (1 - mix)[:, None] * fake
  want = {
    'none': 0,
    'gradient': np.mean(weight * (np.linalg.norm(between, axis=1) - 1)**2),
    'r1': np.mean(weight * (real**2).sum(1)),
    'r1_r2': np.mean(weight * ((real**2).sum(1) + 4 * (fake**2).sum(1)))}
  assert set(want) == set(PENALTIES)
  for name, value in want.items():
    np.testing.assert_allclose(PENALTIES[name](*args), value, rtol=1e-5)


def test_gradient_penalty_of_a_flat_score_has_a_finite_slope():
  def objective(scale):
    ones = jnp.ones((2, 3))
    return PENALTIES['gradient'](lambda x: scale * x.sum(-1), None, ones, ones, jnp.ones(2), jnp.ones(2))
  assert np.isfinite(jax.grad(objective)(0.))
