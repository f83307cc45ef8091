"""A mixture of Gaussians with diagonal covariances, fitted by expectation and maximisation."""

import flax.struct
import jax
import jax.numpy as jnp

_STEPS = 60


@flax.struct.dataclass
class Mixture:
  """A fitted mixture.

  Attributes:
    log_weight: float32 `[components]`.
    mean: float32 `[components, dim]`.
    variance: float32 `[components, dim]`.
  """
  log_weight: jax.Array
  mean: jax.Array
  variance: jax.Array


def log_joint(mixture, x):
  """log p(component, x), float32 `[n, components]` for `x [n, dim]`."""
  with jax.default_matmul_precision('highest'):
    precision = 1 / mixture.variance
    square = ((x ** 2) @ precision.T - 2 * x @ (mixture.mean * precision).T
              + (mixture.mean ** 2 * precision).sum(1))
  return mixture.log_weight - .5 * (square + jnp.log(2 * jnp.pi * mixture.variance).sum(1))


@jax.jit(static_argnames='components')
def fit(x, components, key, floor=.05):
  """The maximum of the likelihood that 60 steps of EM reach (Dempster et al. 1977).

  Args:
    x: float32 `[n, dim]`, coordinates with variances near 1.
    components: how many; the first means are random rows.
    key: of the random rows.
    floor: added to all variances, so that no component dies on a few rows.
  """
  rows = jax.random.choice(key, len(x), (components,), replace=len(x) < components)
  first = Mixture(jnp.full(components, -jnp.log(components)), x[rows], jnp.ones((components, x.shape[1])))

  def step(mixture, _):
    share = jax.nn.softmax(log_joint(mixture, x), axis=1)
    with jax.default_matmul_precision('highest'):
      total = share.sum(0)[:, None] + 1e-6
      mean = share.T @ x / total
      variance = jnp.maximum(share.T @ x ** 2 / total - mean ** 2, 0) + floor
    return Mixture(jnp.log(total[:, 0] / total.sum()), mean, variance), None

  return jax.lax.scan(step, first, length=_STEPS)[0]


def draw(mixture, key, number):
  """`number` draws, float32 `[number, dim]`."""
  chosen, noise = jax.random.split(key)
  component = jax.random.categorical(chosen, mixture.log_weight, shape=(number,))
  normal = jax.random.normal(noise, (number, mixture.mean.shape[1]))
  return mixture.mean[component] + jnp.sqrt(mixture.variance[component]) * normal
