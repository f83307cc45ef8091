"""The item-item model of `cease` without a matrix of items times items: its Gram matrix as a factor and a diagonal."""

import functools

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from ganrec_jax.data.ragged import buckets, pad
from ganrec_jax.models import cease, regression
from ganrec_jax.models.kernels import inverse_root

# Passes of the subspace iteration before the one whose products make the features.
_PASSES = 2
_FLOATS_A_BATCH = 2**24


@flax.struct.dataclass
class LowRankItemItem:
  """What each item of a history adds to each item's score, as factors.

  Between warm items P = (X'X + w K + reg I)^-1 = D^-1 - W W' and B_ij = -P_ij / P_jj, so column j is W w_j / P_jj but
  for its own entry, where D^-1 has no part. The columns of new items are those of kernel ridge regression, S'D^-1 of
  `regression.LowRankRegression` times theirs.

  Attributes:
    factors: float32 `[known, width]`, W.
    own: float32 `[known]`, |w_j|^2.
    scale: float32 `[known]`, 1 / P_jj.
    text: `LowRankRegression` of the new items, or None without texts.
    known: int32 `[known]`.
    place: int32 `[items]`, where an item stands in the known items followed by the new ones.
  """
  factors: jax.Array
  own: jax.Array
  scale: jax.Array
  text: regression.LowRankRegression | None
  known: jax.Array
  place: jax.Array

  def scores(self, items, weights):
    """The scores float32 `[batch, items]` of histories `[batch, length]`; weight 0 is padding."""
    x = cease.densify(items, weights, len(self.place))[:, self.known]
    text = None if self.text is None else (x / self.text.noise) @ self.text.known
    return self._scores(x @ self.factors, -x * self.own, text)

  def listed(self, items, weights, owner, total, batch):
    """The scores float32 `[batch, items]` of histories behind one another, see `closed_form.score_listed`.

    An entry costs a row of the factors, and all of them together one pass over the factors.
    """
    place, count = self.place[items], len(self.known)
    weights, place = jnp.where(place < count, weights, 0), jnp.minimum(place, count - 1)

    def read(table, weights):
      def add(entry, rows):
        return rows.at[owner[entry]].add(weights[entry] * table[place[entry]])
      return jax.lax.fori_loop(0, total, add, jnp.zeros((batch, table.shape[1])))

    text = None if self.text is None else read(self.text.known, weights / self.text.noise[place])
    itself = jnp.zeros((batch, count)).at[owner, place].add(-weights * self.own[place])
    return self._scores(read(self.factors, weights), itself, text)

  def _scores(self, read, itself, text):
    """The scores from X W, what an item of the history adds to itself, and what the texts make of X, each `[batch, _]`.
    """
    warm = (read @ self.factors.T + itself) * self.scale
    new = jnp.zeros((len(warm), len(self.place) - len(self.known))) if text is None else text @ self.text.new.T
    return jnp.concatenate([warm, new], 1)[:, self.place]

  def entries(self, items, others):
    """What each of `items [m]` adds to each of `others [n]`, float32 `[m, n]`, on the host; new items add nothing."""
    place, count = np.asarray(self.place), len(self.known)
    rows, columns = np.minimum(place[items], count - 1), place[others]
    known = np.minimum(columns, count - 1)
    factors, own, scale = (np.asarray(one) for one in (self.factors, self.own, self.scale))
    out = (factors[rows] @ factors[known].T - np.where(rows[:, None] == known, own[known], 0)) * scale[known]
    new = columns >= count
    out[:, new] = 0
    if self.text is not None:
      text = [np.asarray(one) for one in (self.text.known, self.text.noise, self.text.new)]
      out[:, new] = (text[0][rows] / text[1][rows, None]) @ text[2][columns[new] - count].T
    return np.where(place[items][:, None] < count, out, 0)


def fit(histories, num_items, known, kernel, text, reg, kernel_weight, row_weights, rank, key):
  """The closed form of `cease.fit` with the top of X'X and the kernel's features for X'X and K.

  What X'X and K have beyond them is kept on the diagonal, so that G = F F' + D has the diagonal of the dense one.

  Args:
    histories: `Ragged` over users; values are places among `known`, weights the entries of X.
    num_items: warm and cold items together.
    known: int `[known]`, the warm items.
    kernel: `LowRankKernel` over all items, or None.
    text: `LowRankRegression` from the known items to the others, or None.
    reg: L2 regularisation.
    kernel_weight: w.
    row_weights: float32 `[users]`, how many users each row stands for.
    rank: of X'X.
    key: of the subspace iteration.

  Returns:
    (`LowRankItemItem`, float32 `[known]`, the mean squared score of each item over users).
  """
  counts = _diagonal(histories, len(known), row_weights)
  factor = cooccurrence_features(histories, len(known), row_weights, rank, key)
  diagonal = jnp.maximum(counts - (factor ** 2).sum(1), 0) + reg
  if kernel is not None and kernel_weight > 0:
    factor = jnp.concatenate([factor, jnp.sqrt(kernel_weight) * kernel.features[known]], 1)
    diagonal = diagonal + kernel_weight * kernel.rest[known]
  factors = _inverse_factors(factor, diagonal, regression.whitener(factor, diagonal))
  del factor
  own = (factors ** 2).sum(1)
  scale = 1 / (1 / diagonal - own)
  order = np.concatenate([known, np.setdiff1d(np.arange(num_items), known)])
  model = LowRankItemItem(factors, own, scale, text, jnp.asarray(known, jnp.int32),
                          jnp.asarray(np.argsort(order), jnp.int32))
  products = times_gram(histories, row_weights, factors)
  return model, _square(factors, products, own, scale, counts, max(float(row_weights.sum()), 1e-12))


def cooccurrence_features(histories, num_items, row_weights, rank, key):
  """F float32 `[num_items, rank]` with X'DX near F F', of which it takes the top: Nystroem by a random subspace.

  With Q a basis that a few passes of subspace iteration have turned towards the top eigenvectors (Halko, Martinsson
  and Tropp 2011, section 4.5) and M = X'DX Q, F = M (Q'M)^-1/2: what is left, X'DX - F F', is positive semi-definite.

  Args:
    histories: `Ragged` over users; values are items, weights the entries of X.
    num_items: of the histories.
    row_weights: float32 `[users]`, D.
    rank: columns, as many as there are items at most.
    key: of the first subspace.
  """
  basis = jax.random.normal(key, (num_items, min(rank, num_items)))
  for _ in range(_PASSES):
    basis = _orthonormal(times_gram(histories, row_weights, basis))
  products = times_gram(histories, row_weights, basis)
  return _product(products, inverse_root(_product(basis.T, products)))


def times_gram(histories, row_weights, right):
  """X'DX `right [items, width]`, float32 `[items, width]`, in batches of users: neither X'DX nor X is ever dense."""
  out = jnp.zeros_like(right)
  for rows, length, size in buckets(histories.lengths, max(_FLOATS_A_BATCH // right.shape[1], 1)):
    items, weights = pad(histories, rows, length, 0)
    missing = size - len(rows)
    out = _add_products(out, right, np.pad(items, ((0, missing), (0, 0))), np.pad(weights, ((0, missing), (0, 0))),
                        np.pad(row_weights[rows], (0, missing)))
  return out


def _diagonal(histories, num_items, row_weights):
  """X'DX's diagonal, float32 `[num_items]`; an item listed twice adds up in its row."""
  cells, entry = np.unique(np.repeat(np.arange(len(histories)), histories.lengths) * num_items + histories.values,
                           return_inverse=True)
  rows, items = np.divmod(cells, num_items)
  values = np.bincount(entry, histories.weights, len(cells))
  return np.bincount(items, row_weights[rows] * values ** 2, num_items).astype(np.float32)


@functools.partial(jax.jit, donate_argnums=0)
def _add_products(out, right, items, weights, row_weights):
  with jax.default_matmul_precision('highest'):
    read = jnp.einsum('bl,blr->br', weights, right[items]) * row_weights[:, None]
    return out.at[items].add(weights[..., None] * read[:, None])


def _orthonormal(columns):
  """An orthonormal basis of the `columns [items, width]`, through their Gram matrix; zeros beyond their rank."""
  norm = jnp.linalg.norm(columns, axis=0)
  columns = columns / jnp.where(norm > 0, norm, 1)
  return _product(columns, inverse_root(_product(columns.T, columns)))


@jax.jit
def _product(left, right):
  with jax.default_matmul_precision('highest'):
    return left @ right


@jax.jit
def _inverse_factors(factor, diagonal, turn):
  with jax.default_matmul_precision('highest'):
    return (factor / diagonal[:, None]) @ turn


@jax.jit
def _square(factors, products, own, scale, counts, users):
  """B'X'DX B's diagonal over the users, for B = (W W' - diag(own)) diag(scale) and `products` X'DX W."""
  with jax.default_matmul_precision('highest'):
    quadratic = (factors @ (factors.T @ products) * factors).sum(1)
  mixed = (factors * products).sum(1)
  return jnp.maximum(scale ** 2 * (quadratic - 2 * own * mixed + own ** 2 * counts) / users, 0)
