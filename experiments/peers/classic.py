"""Popularity, item-kNN, EASE and SLIM: a user's scores are his history times a matrix of item-item weights."""

import functools

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from ganrec_jax.models import cease

POPULARITY = {}
ITEM_KNN = {'neighbours': (200, 20, 100), 'shrinkage': (50., 10.), 'alpha': (.6, .5, .8), 'weighting': ('idf', 'none')}
# How much the value of an interaction (a count, a rating) says, see `Prepared.strengths`; ours has it as well.
STRENGTH = (0., .4, 2.)
EASE = {'reg': (200., 20., 50., 100., 400., 1000.), 'strength': STRENGTH}
SLIM = {'neighbours': (300, 100), 'l1': (.3, .03, .1, 1.), 'l2': (30., 3., 10., 100.)}

_SWEEPS = 300
_TOLERANCE = 1e-4
_ENTRIES_A_BATCH = 2**25


@flax.struct.dataclass
class Linear:
  """An item-item model.

  Attributes:
    rows: float32 `[users, items]`, the training histories.
    weights: float32 `[items, items]`; column j scores item j.
  """
  rows: jax.Array
  weights: jax.Array


@jax.jit
def score(params, users):
  """The scores float32 `[batch, items]` of a `Linear` model for users `[batch]`."""
  with jax.default_matmul_precision('highest'):
    return params.rows[users] @ params.weights


@jax.jit
def score_alike(params, users):
  """The scores float32 `[batch, items]` of `params`, float32 `[items]`, the same for all users `[batch]`."""
  return jnp.broadcast_to(params, (len(users), len(params)))


def rows(problem, strength=0.):
  """The training histories as float32 `[users, items]`, their values to the power `strength`; 0 is binary."""
  histories = problem.prepared.strengths(strength)
  out = np.zeros((len(histories), problem.prepared.dataset.items), np.float32)
  out[np.repeat(np.arange(len(histories)), histories.lengths), histories.values] = histories.weights
  return jnp.asarray(out)


def popularity(problem, options, key):
  """The number of training interactions."""
  del options, key
  return score_alike, rows(problem).sum(0)


def item_knn(problem, options, key):
  """Item-kNN: the sum of the similarities of an item to those of the history that are among its nearest neighbours.

  s_ij = <x_i, x_j> / (|x_i|^(2 alpha) |x_j|^(2 - 2 alpha) + shrinkage), the cosine where alpha is .5 (Deshpande and
  Karypis 2004, Aiolli 2013); a larger alpha gives popular items more. 'idf' weighs users by log(items / interactions),
  so that busy ones tell less.
  """
  del key
  x = rows(problem)
  return score, Linear(x, nearest(similarities(x, options['alpha'], options['shrinkage'], options['weighting']),
                                  options['neighbours'], problem.warm))


@functools.partial(jax.jit, static_argnames='weighting')
def similarities(x, alpha, shrinkage, weighting='none'):
  """The similarities float32 `[items, items]` of the columns of `x [users, items]`, see `item_knn`."""
  if weighting == 'idf':
    x = x * jnp.log(x.shape[1] / jnp.maximum(x.sum(1, keepdims=True), 1))
  with jax.default_matmul_precision('highest'):
    gram = x.T @ x
  square = jnp.diag(gram)
  norm = square[:, None] ** alpha * square ** (1 - alpha) + shrinkage
  return jnp.where(norm > 0, gram / jnp.where(norm > 0, norm, 1), 0)


def nearest(alike, neighbours, sources):
  """The similarities of each column's nearest neighbours, 0 elsewhere and on the diagonal.

  Args:
    alike: float32 `[items, items]`, how alike item i (row) is to item j (column).
    neighbours: how many are kept in each column; all where there are fewer.
    sources: bool `[items]`, which items may be neighbours.

  Returns:
    float32 `[items, items]`.
  """
  return _nearest(jnp.asarray(alike), min(int(neighbours), len(alike) - 1), jnp.asarray(sources))


@functools.partial(jax.jit, static_argnames='neighbours')
def _nearest(alike, neighbours, sources):
  own = jnp.eye(len(alike), dtype=bool)
  values, places = jax.lax.top_k(jnp.where(sources[:, None] & ~own, alike, -jnp.inf).T, neighbours)
  column = jnp.arange(len(alike))[:, None]
  return jnp.zeros_like(alike).at[places, column].set(jnp.where(values > -jnp.inf, values, 0))


def ease(problem, options, key):
  """EASE (Steck 2019), in closed form."""
  del key
  strength, items = options['strength'], problem.prepared.dataset.items
  fitted = cease.fit(problem.prepared.strengths(strength), items, None, options['reg'], 0.)
  return score, Linear(rows(problem, strength), fitted.weights)


def slim(problem, options, key):
  """SLIM with feature selection (fsSLIM, Ning and Karypis 2011, section 4.4) on each item's cosine neighbours."""
  del key
  x = rows(problem)
  return score, Linear(x, elastic_net(x, options['neighbours'], options['l1'], options['l2']))


def elastic_net(x, neighbours, l1, l2):
  """The non-negative W with zero diagonal that minimises |x - x W|^2 / 2 + l1 |W|_1 + l2 |W|_F^2 / 2.

  Column j may use the items most alike to j by the cosine only. The columns are solved in batches by coordinate
  descent on the Gram matrix (Friedman, Hastie and Tibshirani 2010, section 2.2) until no weight moves by 1e-4.

  Args:
    x: float32 `[users, items]`.
    neighbours: how many items a column may use.
    l1, l2: penalties, 0 or more; an item without interactions needs l2 above 0.

  Returns:
    float32 `[items, items]`.
  """
  items = x.shape[1]
  neighbours = min(int(neighbours), items - 1)
  with jax.default_matmul_precision('highest'):
    gram = x.T @ x
  own = jnp.eye(items, dtype=bool)
  _, places = jax.lax.top_k(jnp.where(own, -jnp.inf, similarities(x, .5, 0.)).T, neighbours)
  batch = max(1, min(items, _ENTRIES_A_BATCH // neighbours**2))
  out = jnp.zeros((items, items))
  for start in range(0, items, batch):
    columns = jnp.minimum(start + jnp.arange(batch), items - 1)  # the last column fills up the last batch
    out = out.at[places[columns], columns[:, None]].set(_descend(gram, columns, places[columns], l1, l2))
  return out


@jax.jit
def _descend(gram, columns, places, l1, l2):
  """The weights `[batch, neighbours]` of items `columns [batch]` on their neighbours `places [batch, neighbours]`."""
  system = jnp.moveaxis(gram[places[:, :, None], places[:, None, :]], 1, 0)  # [neighbours, batch, neighbours]
  squares = jnp.diag(gram)[places].T

  def coordinate(k, state):
    weights, residual = state  # [neighbours, batch]; residual is the gradient of the fit, [batch, neighbours]
    wish = residual[:, k] + squares[k] * weights[k]
    new = jnp.maximum(wish - l1, 0) / (squares[k] + l2)
    return weights.at[k].set(new), residual - (new - weights[k])[:, None] * system[k]

  def sweep(state):
    weights, residual, _, sweeps = state
    new, residual = jax.lax.fori_loop(0, len(system), coordinate, (weights, residual))
    return new, residual, jnp.abs(new - weights).max(), sweeps + 1

  start = jnp.zeros(squares.shape), gram[places, columns[:, None]], jnp.inf, 0
  return jax.lax.while_loop(lambda s: (s[2] > _TOLERANCE) & (s[3] < _SWEEPS), sweep, start)[0].T
