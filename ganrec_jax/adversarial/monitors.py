"""How near generated samples are to held-out real ones: Frechet distance, manifolds, coverage, memorisation."""

import jax
import jax.numpy as jnp

_ROWS = 512


def squared_distances(x, y):
  """|x_i - y_j|^2, float32 `[n, m]` for `x [n, dim]` and `y [m, dim]`."""
  with jax.default_matmul_precision('highest'):
    cross = x @ y.T
  return jnp.maximum(jnp.square(x).sum(1)[:, None] - 2 * cross + jnp.square(y).sum(1), 0)


def _by_rows(function, *arrays):
  """`function` of each row of `arrays`, with the memory of `_ROWS` rows."""
  return jax.lax.map(lambda rows: function(*rows), arrays, batch_size=_ROWS)


def _near(row, others):
  return squared_distances(row[None], others)[0]


def nearest(x, others):
  """Index int32 and distance float32 `[n]` of the nearest row of `others [m, dim]` to each of `x [n, dim]`."""
  def one(row):
    distances = _near(row, others)
    least = distances.min()
    # Two plain minima are several times as fast on a CPU as argmin, which carries an index along.
    index = jnp.where(distances <= least, jnp.arange(len(others)), len(others) - 1).min()
    return index.astype(jnp.int32), jnp.sqrt(least)
  return _by_rows(one, x)


def moments(x):
  """Mean `[dim]` and covariance `[dim, dim]` (divided by n) of `x [n, dim]`."""
  mean = x.mean(0)
  with jax.default_matmul_precision('highest'):
    return mean, (x - mean).T @ (x - mean) / len(x)


def _root(matrix):
  values, vectors = jnp.linalg.eigh(matrix)
  return (vectors * jnp.sqrt(jnp.maximum(values, 0))) @ vectors.T


def frechet(mean_a, cov_a, mean_b, cov_b):
  """Squared Frechet distance of two Gaussians (Dowson and Landau 1982).

  |m_a - m_b|^2 + tr(C_a + C_b - 2 (C_a^1/2 C_b C_a^1/2)^1/2), by eigenvalues of symmetric matrices only.
  """
  with jax.default_matmul_precision('highest'):
    root = _root(cov_a)
    inner = jnp.linalg.eigvalsh(root @ cov_b @ root)
    cross = jnp.sqrt(jnp.maximum(inner, 0)).sum()
  return jnp.square(mean_a - mean_b).sum() + jnp.trace(cov_a) + jnp.trace(cov_b) - 2 * cross


def radii(x, k):
  """Squared distance `[n]` of each row of `x [n, dim]` to its k-th nearest other row."""
  # The row itself is its own nearest, so k + 1 are asked for.
  return _by_rows(lambda row: -jax.lax.top_k(-_near(row, x), k + 1)[0][-1], x)


def within(x, centres, limits):
  """Share of the rows of `x [n, dim]` within the ball of any of `centres [m, dim]`, squared radii `limits [m]`."""
  return _by_rows(lambda row: (_near(row, centres) <= limits).any(), x).mean()


def precision_recall(real, fake, k=3):
  """Share of fakes on the manifold of the real, and of the real on that of the fakes.

  A manifold is the union of the balls around its samples that reach to each one's k-th nearest other sample
  (Kynkaanniemi et al. 2019, equations 1 to 3).
  """
  return within(fake, real, radii(real, k)), within(real, fake, radii(fake, k))


def accuracy(real, fake):
  """D's accuracy at the threshold 0, real and fake weighing alike, for logits `[n]` and `[m]`."""
  return ((real > 0).mean() + (fake <= 0).mean()) / 2


def ranked_accuracy(real, fake):
  """P(D(x) > D(G(z))) over all pairs, ties a half: needs no threshold, so it is defined for every loss."""
  ordered = jnp.sort(fake)
  below, upto = jnp.searchsorted(ordered, real, 'left'), jnp.searchsorted(ordered, real, 'right')
  return (below + upto).mean() / (2 * len(fake))


def distinct(indices, size):
  """The number of distinct values among `indices [n]`, which lie in 0 to `size` - 1."""
  return (jnp.zeros(size, jnp.int32).at[indices].add(1) > 0).sum()


def compare(real, fake, known, real_logits, fake_logits, k=3):
  """All monitors of generated against held-out real vectors, as a dict of float32 scalars.

  Args:
    real: held-out real vectors `[n, dim]`.
    fake: generated vectors `[m, dim]`.
    known: real vectors that G and D were trained on `[t, dim]`.
    real_logits: D's logits of the held-out samples `[n]`.
    fake_logits: D's logits of the generated samples `[m]`.
    k: neighbours that make a manifold; must be below n and m.

  Returns:
    `d_accuracy` and its halves `d_accuracy_real` and `d_accuracy_fake`, `d_ranked_accuracy`, `frechet`, `precision`,
    `recall`; `distinct`, the known vectors that are the nearest one to any fake, and `distinct_real`, the same for the
    held-out; `nearest` and `nearest_real`, the median distance to the nearest known vector (fakes much nearer than
    held-out real samples are memorised).
  """
  (index, distance), (real_index, real_distance) = nearest(fake, known), nearest(real, known)
  precision, recall = precision_recall(real, fake, k)
  return {
    'd_accuracy': accuracy(real_logits, fake_logits), 'd_accuracy_real': (real_logits > 0).mean(),
    'd_accuracy_fake': (fake_logits <= 0).mean(), 'd_ranked_accuracy': ranked_accuracy(real_logits, fake_logits),
    'frechet': frechet(*moments(real), *moments(fake)), 'precision': precision, 'recall': recall,
    'distinct': distinct(index, len(known)), 'distinct_real': distinct(real_index, len(known)),
    'nearest': jnp.median(distance), 'nearest_real': jnp.median(real_distance)}
