"""EASE whose Gram matrix also holds a text kernel, so that items nobody has heard have a column too."""

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from ganrec_jax.data.ragged import pad
from ganrec_jax.errors import ConfigError
from ganrec_jax.models.kernels import positive_inverse


@flax.struct.dataclass
class CeaseParams:
  """An item-item model: a user's scores are his history, a row of weights, times `weights`.

  Attributes:
    weights: float32 `[items, items]`, zero diagonal; column j scores item j.
    square: float32 `[items]`, the mean squared score of each item over users.
  """
  weights: jax.Array
  square: jax.Array


def fit(histories, num_items, kernel, reg=100., kernel_weight=50., row_weights=None):
  """The closed form P = (X'X + w K + reg I)^-1, B_ij = -P_ij / P_jj with zero diagonal.

  It minimises |X - X B|^2 + reg |B|^2 + w tr(B' K B) - 2 w tr(K B) under diag(B) = 0: EASE (Steck 2019) where w is 0,
  and with the kernel's features as further rows of X where it is not.

  Args:
    histories: `Ragged` over users; values are items, weights the entries of X.
    num_items: warm and cold items together.
    kernel: float32 `[items, items]`, or None for EASE.
    reg: L2 regularisation.
    kernel_weight: w; 0 gives EASE.
    row_weights: float32 `[users]`, how many users each row stands for; 1 each without.

  Raises:
    ConfigError: for hyper-parameters out of range, or a matrix that is not positive definite in float32.
  """
  row_weights = np.ones(len(histories), np.float32) if row_weights is None else row_weights
  return solve(cooccurrences(histories, num_items, row_weights), float(row_weights.sum()), kernel, reg, kernel_weight)


def solve(gram, users, kernel, reg, kernel_weight):
  """The same from X'DX, `gram` float32 `[items, items]`, of as many `users` as the rows stand for, see `fit`.

  Raises:
    ConfigError: as `fit`.
  """
  if not (reg > 0 and kernel_weight >= 0):
    raise ConfigError(f'reg is {reg}, kernel_weight {kernel_weight}; allowed are reg above 0, kernel_weight from 0 on')
  content = kernel_weight * kernel if kernel is not None and kernel_weight > 0 else 0.
  inverse = positive_inverse(gram + content + reg * jnp.eye(len(gram)), 'the regularisation of the item-item model')
  return _columns(inverse, gram, max(users, 1e-12))


def cooccurrences(histories, num_items, row_weights, batch_size=512):
  """X'DX float32 `[items, items]`, D the `row_weights [users]`.

  Users are taken in batches; the matrix users times items never exists.
  """
  gram = jnp.zeros((num_items, num_items))
  length = int(histories.lengths.max(initial=1)) or 1
  for start in range(0, len(histories), batch_size):
    rows = np.arange(start, min(start + batch_size, len(histories)))
    items, weights = pad(histories, rows, length, 0)
    missing = batch_size - len(rows)
    gram = _accumulate(gram, np.pad(items, ((0, missing), (0, 0))), np.pad(weights, ((0, missing), (0, 0))),
                       np.pad(row_weights[rows], (0, missing)))
  return gram


def densify(items, weights, num_items):
  """The rows float32 `[batch, num_items]` of padded histories `[batch, length]`; an item listed twice adds up."""
  batch = items.shape[0]  # may be symbolic, which len() cannot say
  return jnp.zeros((batch, num_items)).at[jnp.arange(batch)[:, None], items].add(weights)


@jax.jit
def _accumulate(gram, items, weights, row_weights):
  with jax.default_matmul_precision('highest'):
    rows = densify(items, weights, len(gram))
    return gram + (rows * row_weights[:, None]).T @ rows


@jax.jit
def _columns(inverse, gram, users):
  with jax.default_matmul_precision('highest'):
    weights = -inverse / jnp.diag(inverse)
    weights = weights.at[jnp.diag_indices(len(weights))].set(0.)
    return CeaseParams(weights, jnp.maximum((weights * (gram @ weights)).sum(0) / users, 0))
