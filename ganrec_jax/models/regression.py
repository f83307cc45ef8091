"""Kernel ridge regression from the texts of known items to anything known of them, by a dense or a low-rank kernel."""

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from ganrec_jax.models import kernels


@flax.struct.dataclass
class DenseRegression:
  """Regression by a dense kernel.

  Attributes:
    inverse: float32 `[known, known]`, of K + ridge I among the known items.
    cross: float32 `[new, known]`, the kernel between the new items and the known ones.
  """
  inverse: jax.Array
  cross: jax.Array

  def leave_one_out(self, targets):
    """What is predicted for each row of `targets [known, dim]` from the other rows."""
    return kernels.leave_one_out(self.inverse, targets)

  def predict(self, targets):
    """What is predicted for the new items, `[new, dim]`, from `targets [known, dim]`."""
    return self.cross @ (self.inverse @ targets)


@flax.struct.dataclass
class LowRankRegression:
  """Regression by a `LowRankKernel`: A = F F' + diag(d), d what the features leave of K + ridge I's diagonal.

  With R R' = I + F'D^-1 F and S = F R^-T, (A^-1) = D^-1 - D^-1 S S'D^-1 (Woodbury), and so F F'A^-1 = S S'D^-1.

  Attributes:
    known: float32 `[known, rank]`, S of the known items.
    new: float32 `[new, rank]`, F R^-T of the new items.
    noise: float32 `[known]`, d.
  """
  known: jax.Array
  new: jax.Array
  noise: jax.Array

  def leave_one_out(self, targets):
    """What is predicted for each row y_j of `targets [known, dim]` from the other rows: (g_j - h_j y_j) / (1 - h_j).

    g = S S'D^-1 y is the fit and h_j = |s_j|^2 / d_j the leverage; see `kernels.leave_one_out`, of which this is the
    same quotient without the differences of large numbers.
    """
    return _leave_one_out(self, targets)

  def predict(self, targets):
    """What is predicted for the new items, `[new, dim]`, from `targets [known, dim]`."""
    with jax.default_matmul_precision('highest'):
      return self.new @ (self.known.T @ (targets / self.noise[:, None]))


def fit(kernel, known, new, ridge):
  """The regression of a kernel among the items `known [m]`, which predicts the items `new [n]`.

  Args:
    kernel: float32 `[items, items]`, or a `LowRankKernel`.
    known: int `[m]`.
    new: int `[n]`.
    ridge: noise variance.

  Raises:
    ConfigError: where a dense kernel is not positive definite with this ridge.
  """
  if isinstance(kernel, kernels.LowRankKernel):
    noise = kernel.rest[known] + ridge
    turn = whitener(kernel.features[known], noise)
    with jax.default_matmul_precision('highest'):
      return LowRankRegression(kernel.features[known] @ turn, kernel.features[new] @ turn, noise)
  inverse = kernels.positive_inverse(kernel[known][:, known] + ridge * jnp.eye(len(known)), 'ridge')
  return DenseRegression(inverse, kernel[new][:, known])


def whitener(factor, diagonal):
  """R^-T float32 `[rank, rank]`, where R R' = I + F'D^-1 F for a `factor [n, rank]` F and a positive `diagonal [n]`.

  By it the inverse of F F' + D is D^-1 - W W' with W = D^-1 F R^-T (Woodbury 1950).
  """
  # [rank, rank] is small, so it is decomposed on the host in double precision.
  lower = np.linalg.cholesky(np.asarray(_scaled_gram(factor, diagonal), np.float64) + np.eye(factor.shape[1]))
  return jnp.asarray(np.linalg.inv(lower).T, jnp.float32)


@jax.jit
def _leave_one_out(regression, targets):
  with jax.default_matmul_precision('highest'):
    known, noise = regression.known, regression.noise[:, None]
    leverage = (known ** 2).sum(1, keepdims=True) / noise
    return (known @ (known.T @ (targets / noise)) - leverage * targets) / (1 - leverage)


@jax.jit
def _scaled_gram(factor, diagonal):
  with jax.default_matmul_precision('highest'):
    scaled = factor / jnp.sqrt(diagonal)[:, None]
    return scaled.T @ scaled
