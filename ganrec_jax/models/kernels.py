"""Content kernels, dense or as features: whitened text vectors, the mixture of two RBF kernels, the Nystroem method."""

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from ganrec_jax.errors import ConfigError, DataError

# Of the kernels of text vectors and of phrases.
SHARPNESS, TERMS_SHARPNESS = 2., 1.
# Eigenvalues that are smaller than this share of the largest are what float32 leaves of zero.
_SMALLEST = 1e-6


@flax.struct.dataclass
class Whitening:
  """The map from text vectors to whitened ones, fitted on warm items.

  Attributes:
    mean: float32 `[dim]`.
    projection: float32 `[dim, directions]`.
  """
  mean: jax.Array
  projection: jax.Array

  def apply(self, vectors):
    """Whitened rows of length 1 `[items, directions]` of `vectors [items, dim]`; rows of zeros (no text) stay zero."""
    return _unit((vectors - self.mean) @ self.projection) * _has_text(vectors)[:, None]


def whiten(vectors, fit_items, directions=128, power=.25, floor=.001):
  """Fits a partial whitening on the warm items that have a text.

  Vectors are centred and projected on the principal directions; coordinate k is divided by
  (sd_k + floor sd_1)^power. Directions beyond the rank are left out.

  Args:
    vectors: float32 `[items, dim]`; a row of zeros says that the item has no text.
    fit_items: int `[m]`, the warm items.
    directions: how many principal directions are kept at most.
    power: 1 whitens fully, 0 only rotates.
    floor: keeps small standard deviations from blowing up, relative to the largest.

  Raises:
    DataError: where a vector is not finite.
  """
  bad = np.flatnonzero(~np.isfinite(vectors).all(1))
  if len(bad):
    raise DataError(f'text vectors, row {bad[0]}: not finite; all entries must be finite numbers')
  rows = np.asarray(vectors, np.float64)[fit_items]
  rows = rows[np.abs(rows).sum(1) > 0]
  mean = rows.mean(0) if len(rows) else np.zeros(vectors.shape[1])
  # [dim, dim] is small, so it is decomposed on the host in double precision: the covariance squares the condition.
  variance, axes = np.linalg.eigh((rows - mean).T @ (rows - mean) / max(len(rows), 1))
  sd, axes = np.sqrt(np.maximum(variance[::-1], 0)), axes[:, ::-1]
  rank = min(directions, int((sd > 1e-6 * max(sd[0], np.finfo(np.float32).tiny)).sum()))
  scale = (sd[:rank] + floor * sd[0]) ** -power
  return Whitening(jnp.asarray(mean, jnp.float32), jnp.asarray(axes[:, :rank] * scale, jnp.float32))


def content_kernel(text, terms, share=.5):
  """The kernel s exp(2 (z_i z_j - 1)) + (1 - s) mean exp(t_i t_j - 1) between items, float32 `[left, right]`.

  An item without text (z or t is zero) is to every other what an unrelated item is, exp(-2) or exp(-1), so two such
  items are not alike. The kernel of a set with itself has ones on the diagonal all the same (`with_unit_diagonal`),
  which keeps it positive definite.

  Args:
    text: float32 `[left, right]`, inner products of whitened text vectors.
    terms: a list of float32 `[left, right]`, inner products of TF-IDF rows; the mean is over them.
    share: s, 0 to 1.
  """
  def rbf(alike, sharpness):
    return jnp.exp(sharpness * (jnp.asarray(alike) - 1))

  return share * rbf(text, SHARPNESS) + (1 - share) * sum(rbf(alike, TERMS_SHARPNESS) for alike in terms) / len(terms)


@flax.struct.dataclass
class LowRankKernel:
  """The kernel F F' + diag(1 - |f_j|^2): ones on the diagonal and positive definite, whatever its features F are.

  Attributes:
    features: float32 `[items, rank]`, rows f_j no longer than 1.
  """
  features: jax.Array

  @property
  def rest(self):
    """float32 `[items]`, what the features leave of the diagonal."""
    return jnp.maximum(1 - (self.features ** 2).sum(1), 0)

  def times(self, known, right):
    """The columns of the items `known [m]` times `right [m, dim]`: float32 `[items, dim]`."""
    with jax.default_matmul_precision('highest'):
      out = self.features @ (self.features[known].T @ right)
      return out.at[known].add(self.rest[known][:, None] * right)


def inverse_root(matrix, rank=None):
  """R float32 `[n, rank]` with R R' the pseudo-inverse of a symmetric positive semi-definite `matrix [n, n]`.

  Columns R = U S^-1/2 by falling eigenvalue, the first `rank` of them where one is given, zero where the eigenvalue is
  one of float32's zeros. Small matrices only: it is decomposed on the host in double precision.
  """
  matrix = np.asarray(matrix, np.float64)
  values, vectors = np.linalg.eigh(.5 * (matrix + matrix.T))
  values, vectors = values[::-1], vectors[:, ::-1]
  kept = values > max(_SMALLEST * values[0], np.finfo(np.float32).tiny)
  root = np.where(kept, vectors / np.sqrt(np.where(kept, values, 1)), 0)
  return jnp.asarray(root[:, :rank], jnp.float32)


def with_unit_diagonal(kernel):
  """The symmetrised `kernel [items, items]` with ones on its diagonal."""
  kernel = .5 * (kernel + kernel.T)
  return kernel.at[jnp.diag_indices(len(kernel))].set(1.)


def positive_inverse(matrix, what):
  """The inverse `[n, n]` of a symmetric positive definite matrix through its Cholesky factor, symmetrised.

  Raises:
    ConfigError: where the matrix is not positive definite in float32; `what` names the field that mends it.
  """
  inverse = _inverse(matrix)
  if not bool(jnp.isfinite(inverse).all()):
    raise ConfigError(f'a matrix {matrix.shape} is not positive definite in float32; raise {what}')
  return inverse


def leave_one_out(inverse, targets):
  """What kernel ridge regression predicts for each row when fitted without it: y_j - (A^-1 y)_j / [A^-1]_jj.

  Args:
    inverse: float32 `[n, n]`, the inverse of A = K + ridge I.
    targets: float32 `[n, dim]`.

  Returns:
    float32 `[n, dim]`. (Rasmussen and Williams 2006, equation 5.12, with zero mean.)
  """
  with jax.default_matmul_precision('highest'):
    return targets - inverse @ targets / jnp.diag(inverse)[:, None]


@jax.jit
def _inverse(matrix):
  with jax.default_matmul_precision('highest'):
    factor = jax.scipy.linalg.cho_factor(.5 * (matrix + matrix.T), lower=True)
    inverse = jax.scipy.linalg.cho_solve(factor, jnp.eye(len(matrix), dtype=matrix.dtype))
    return .5 * (inverse + inverse.T)


def _unit(rows):
  norm = jnp.linalg.norm(rows, axis=1, keepdims=True)
  return jnp.where(norm > 0, rows / jnp.where(norm > 0, norm, 1), 0)


def _has_text(vectors):
  return jnp.abs(jnp.asarray(vectors)).sum(1) > 0
