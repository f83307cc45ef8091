"""The players' losses as pure functions of logits, and the penalties on the discriminator's gradient.

All means are `mean(weight * value)` over rows: `weight` has the mean 1 over the global batch, see `devices.share`.
"""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp


def _mean(weight, values):
  return jnp.mean(weight * values)


def cross_entropy_d(real, fake, weight):
  """-L_D, where L_D = E log D(x) + E log(1 - D(G(z))) is ascended by D; D = sigmoid(logit), all `[rows]`."""
  return _mean(weight, jax.nn.softplus(-real) + jax.nn.softplus(fake))


def cross_entropy_g(fake, real, weight):
  """L_G = -E log D(G(z)), the non-saturating form (Goodfellow et al. 2014, section 3)."""
  del real
  return _mean(weight, jax.nn.softplus(-fake))


def saturating_g(fake, real, weight):
  """E log(1 - D(G(z))), the minimax form (Goodfellow et al. 2014, equation 1)."""
  del real
  return -_mean(weight, jax.nn.softplus(fake))


def wasserstein_d(real, fake, weight):
  """E D(G(z)) - E D(x) (Arjovsky et al. 2017); needs `gradient_penalty`."""
  return _mean(weight, fake - real)


def wasserstein_g(fake, real, weight):
  """-E D(G(z)) (Arjovsky et al. 2017)."""
  del real
  return -_mean(weight, fake)


def hinge_d(real, fake, weight):
  """E max(0, 1 - D(x)) + E max(0, 1 + D(G(z))) (Lim and Ye 2017)."""
  return _mean(weight, jax.nn.relu(1 - real) + jax.nn.relu(1 + fake))


def relativistic_d(real, fake, weight):
  """E softplus(-(D(x) - D(G(z)))), real and fake paired by row (Huang et al. 2024, equation 2)."""
  return _mean(weight, jax.nn.softplus(fake - real))


def relativistic_g(fake, real, weight):
  """E softplus(-(D(G(z)) - D(x))), real and fake paired by row (Huang et al. 2024, equation 2)."""
  return _mean(weight, jax.nn.softplus(real - fake))


@dataclasses.dataclass(frozen=True)
class Loss:
  """A pair of losses, both descended.

  Attributes:
    d_loss: `d_loss(real, fake, weight) -> scalar`.
    g_loss: `g_loss(fake, real, weight) -> scalar`.
  """
  d_loss: Callable
  g_loss: Callable


LOSSES = {
  'cross_entropy': Loss(cross_entropy_d, cross_entropy_g),
  'saturating': Loss(cross_entropy_d, saturating_g),
  'wasserstein': Loss(wasserstein_d, wasserstein_g),
  'hinge': Loss(hinge_d, wasserstein_g),
  'relativistic': Loss(relativistic_d, relativistic_g),
}


def _squared_slopes(score, x):
  """|d score / d x|^2 `[rows]` for `score(x [rows, size]) -> [rows]`, row by row independent."""
  return jnp.square(jax.grad(lambda x: score(x).sum())(x)).sum(-1)


def no_penalty(score, score_fake, real, fake, mix, weight):
  """0."""
  del score, score_fake, real, fake, mix, weight
  return 0.


def gradient_penalty(score, score_fake, real, fake, mix, weight):
  """E (|D'(e x + (1 - e) G(z))| - 1)^2 with e = `mix [rows]` (Gulrajani et al. 2017, equation 3).

  Args: as for all penalties: `score` and `score_fake` map samples `[rows, size]` to logits `[rows]`, in the light of
    the real and of the fake samples' items; `real` and `fake` are `[rows, size]`.
  """
  del score_fake
  between = mix[:, None] * real + (1 - mix[:, None]) * fake
  # The root's slope is infinite at 0.
  return _mean(weight, jnp.square(jnp.sqrt(_squared_slopes(score, between) + 1e-12) - 1))


def r1(score, score_fake, real, fake, mix, weight):
  """E |D'(x)|^2 over real samples (Mescheder et al. 2018, equation 9, without gamma / 2)."""
  del score_fake, fake, mix
  return _mean(weight, _squared_slopes(score, real))


def r1_r2(score, score_fake, real, fake, mix, weight):
  """E |D'(x)|^2 + E |D'(G(z))|^2 (Huang et al. 2024, equation 4, without gamma / 2)."""
  del mix
  return _mean(weight, _squared_slopes(score, real) + _squared_slopes(score_fake, fake))


PENALTIES = {'none': no_penalty, 'gradient': gradient_penalty, 'r1': r1, 'r1_r2': r1_r2}
