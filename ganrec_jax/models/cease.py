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
    mean: float32 `[items]`, the mean score of each item over users.
    square: float32 `[items]`, the mean squared score of each item over users.
  """
  weights: jax.Array
  mean: jax.Array
  square: jax.Array


def fit(histories, num_items, kernel, reg=100., kernel_weight=50., power=0.):
  """The closed form P = (X'X + w K + reg I)^-1, B_ij = -P_ij / P_jj with zero diagonal.

  It minimises |X - X B|^2 + reg |B|^2 + w tr(B' K B) - 2 w tr(K B) under diag(B) = 0: EASE (Steck 2019) where w is 0,
  and with the kernel's features as further rows of X where it is not. Column j is then divided by the root mean
  square of X B_j over users to the given power, which opens the tail.

  A history counts as much as its largest weight: m (x / m)(x / m)', so a whole history of weight w is w histories,
  and an entry of weight w in a real one is a feature of that size.

  Args:
    histories: `Ragged` over users; values are items.
    num_items: warm and cold items together.
    kernel: float32 `[items, items]`, or None for EASE.
    reg: L2 regularisation.
    kernel_weight: w; 0 gives EASE.
    power: 0 leaves the columns alone, 1 gives every item the same root mean square.

  Raises:
    ConfigError: for hyper-parameters out of range, or a matrix that is not positive definite in float32.
  """
  if not (reg > 0 and kernel_weight >= 0 and power >= 0):
    raise ConfigError(f'reg is {reg}, kernel_weight {kernel_weight}, power {power}; allowed are reg above 0, '
                      'kernel_weight and power from 0 on')
  gram, total, users = cooccurrences(histories, num_items)
  content = kernel_weight * kernel if kernel is not None and kernel_weight > 0 else 0.
  inverse = positive_inverse(gram + content + reg * jnp.eye(num_items), 'the regularisation of the item-item model')
  return _columns(inverse, gram, total, max(users, 1e-12), power)


def cooccurrences(histories, num_items, batch_size=512):
  """X'X float32 `[items, items]`, the column sums of X `[items]` and the weight of all users, weighted as in `fit`.

  Users are taken in batches; the matrix users times items never exists.
  """
  gram, total, users = jnp.zeros((num_items, num_items)), jnp.zeros(num_items), 0.
  length = int(histories.lengths.max(initial=1)) or 1
  for start in range(0, len(histories), batch_size):
    rows = np.arange(start, min(start + batch_size, len(histories)))
    items, weights = pad(histories, rows, length, 0)
    missing = batch_size - len(rows)
    gram, total, count = _accumulate(gram, total, np.pad(items, ((0, missing), (0, 0))),
                                     np.pad(weights, ((0, missing), (0, 0))))
    users += float(count)
  return gram, total, users


def densify(items, weights, num_items):
  """The rows float32 `[batch, num_items]` of padded histories `[batch, length]`; an item listed twice adds up."""
  return jnp.zeros((len(items), num_items)).at[jnp.arange(len(items))[:, None], items].add(weights)


@jax.jit
def _accumulate(gram, total, items, weights):
  with jax.default_matmul_precision('highest'):
    largest = weights.max(1)
    rows = densify(items, weights / jnp.where(largest > 0, largest, 1)[:, None], len(gram))
    weighted = rows * largest[:, None]
    return gram + weighted.T @ rows, total + weighted.sum(0), largest.sum()


@jax.jit
def _columns(inverse, gram, total, users, power):
  with jax.default_matmul_precision('highest'):
    weights = -inverse / jnp.diag(inverse)
    weights = weights.at[jnp.diag_indices(len(weights))].set(0.)
    square = jnp.maximum((weights * (gram @ weights)).sum(0) / users, 0)
    scale = jnp.where(square > 0, square, 1) ** (-.5 * power)
    return CeaseParams(weights * scale, total @ weights / users * scale, square * scale**2)
