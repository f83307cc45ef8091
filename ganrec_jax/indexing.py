"""An approximate index for catalogues too large to be scored whole: the low-rank model's score as one inner product.

Beyond the history h, score_j = q . z_j. z_j = [v_j; a_j; t_j; popular_j if warm; popular_j if new] holds the item's
factors, what `LowRankItemItem` gives a warm item (a_j) or a new one (t_j) over the root of square_j to the power, and
its popularity; q holds the same of the history, with the weights of the knobs over the standard deviations. These are
over warm items, which the covariance of z tells without looking at any: sd(S)^2 = u' C u.
"""

import jax
import jax.numpy as jnp
import numpy as np

from ganrec_jax.models import als

# Directions of the index: the items' vectors as histories see them.
WIDTH = 128
# What the index proposes for a history, at most; the exact scores rank them.
CANDIDATES = 500
# So many lists are searched, by powers of two, that this share of the exact best 20 is found.
ENOUGH = .98
_BATCH = 4096
_SAMPLE_A_LIST = 64


def rows(parameters, name, places):
  """The rows at `places [...]` of a matrix that may be kept as bytes, float32 `[..., width]`."""
  found = parameters[name][places]
  step = parameters.get(f'{name}.step')
  return found if step is None else found.astype(jnp.float32) * step[places]


def _places(parameters, items):
  """Where `items [...]` stand among the warm ones and among the new ones, 0 where not, and which are warm."""
  place, known = parameters['item_item.place'][items], len(parameters['item_item.known'])
  warm = place < known
  return jnp.where(warm, place, 0), jnp.where(warm, 0, place - known), warm


def _gains(parameters, items):
  square = parameters['square'][items]
  return jnp.where(square > 0, square, 1) ** (-.5 * parameters['knobs'][0])


def vectors(parameters, items):
  """z float32 `[..., width]` of `items`, int `[...]`.

  Args:
    parameters: of a low-rank model, see `exporting.parameters_of`; matrices may be bytes.
    items: any.
  """
  known, new, warm = _places(parameters, items)
  gain, warm = _gains(parameters, items)[..., None], warm[..., None]
  parts = [rows(parameters, 'factors.items', items),
           warm * gain * parameters['item_item.scale'][known][..., None] * rows(parameters, 'item_item.factors', known)]
  if _has_texts(parameters):
    parts.append(~warm * gain * rows(parameters, 'item_item.text.new', new))
  popular = parameters['popular'][items][..., None]
  return jnp.concatenate([*parts, warm * popular, ~warm * popular], -1)


def _has_texts(parameters):
  return 'item_item.text.new' in parameters and len(parameters['item_item.text.new']) > 0


def query(parameters, items, weights):
  """q float32 `[batch, width]` of histories `[batch, length]` of distinct items; weight 0 is padding.

  Args:
    parameters: as in `vectors`, with the `moments` among them.
    items: int32.
    weights: float32.
  """
  _, warm_blend, cold_blend, activity, popularity, cold_popularity = parameters['knobs']
  known, _, warm = _places(parameters, items)
  heard, count = weights * warm, len(parameters['item_item.known'])
  user, factors = _folded(parameters, items, weights), rows(parameters, 'item_item.factors', known)
  scale = parameters['item_item.scale'][known] * _gains(parameters, items)
  # An item of the history has no part in its own score, which the product with its a_j does not know.
  own = heard * parameters['item_item.own'][known] * scale
  with jax.default_matmul_precision('highest'):
    linear = jnp.einsum('bl,blr->br', heard, factors)
    beyond = jnp.einsum('blr,br->bl', scale[..., None] * factors - parameters['index.mean'], linear)
    spread = _quadratic(linear, parameters['index.linear_covariance'])
    variance = spread + ((own ** 2 - 2 * own * beyond).sum(1) - own.sum(1) ** 2 / count) / count
    length = jnp.maximum((weights > 0).sum(1), 1)[:, None] / parameters['mean_length']
    share = length ** activity / _root(variance)
    parts = [user / _root(_quadratic(user, parameters['index.factor_covariance'])), share * warm_blend * linear]
    if _has_texts(parameters):
      text = jnp.einsum('bl,blr->br', heard / parameters['item_item.text.noise'][known],
                        rows(parameters, 'item_item.text.known', known))
      parts.append(share * cold_blend * text)
  decay = length ** -.5
  return jnp.concatenate([*parts, decay * popularity, decay * cold_popularity], 1)


def _folded(parameters, items, weights):
  found = rows(parameters, 'factors.items', items)
  found = found.reshape(-1, found.shape[-1])
  model = als.AlsParams(found, found, *(parameters[f'factors.{name}'] for name in ('gram', 'reg', 'base_reg')))
  return als.fold_in(model, jnp.arange(found.shape[0]).reshape(items.shape), weights)


def _quadratic(rows, matrix):
  return jnp.einsum('bd,de,be->b', rows, matrix, rows)


def _root(variance):
  """The standard deviations `[batch, 1]`, 1 where nothing varies."""
  return jnp.where(variance > 0, jnp.sqrt(jnp.where(variance > 0, variance, 1)), 1)[:, None]


def propose(parameters, items, weights):
  """What the index is asked for histories, float32 `[batch, directions]`, see `query`."""
  with jax.default_matmul_precision('highest'):
    return query(parameters, items, weights) @ parameters['index.questions'].T


def rank(parameters, items, weights, candidates):
  """The exact scores float32 `[batch, candidates]` of some items; -inf for the history's, and for -1, which is none.

  Args:
    parameters, items, weights: as in `query`.
    candidates: int32 `[batch, candidates]`.
  """
  with jax.default_matmul_precision('highest'):
    found = vectors(parameters, jnp.maximum(candidates, 0))
    scores = jnp.einsum('bd,bcd->bc', query(parameters, items, weights), found)
  seen = ((candidates[:, :, None] == items[:, None, :]) & (weights > 0)[:, None, :]).any(2)
  return jnp.where(seen | (candidates < 0), -jnp.inf, scores)


def parameters_for(parameters, histories):
  """What `query` and `propose` need beside the model's own parameters, and the directions of the index.

  With Q the q of some histories and C the covariance of z, the index holds the products of z with B = U'Q, U the top
  eigenvectors of Q C Q'; no other B leaves less of these histories' scores. A new q is asked by the regression of q . z
  on B z, (B C B')^-1 B C q.

  Args:
    parameters: of a low-rank model.
    histories: [(items, weights)], batches of one shape.

  Returns:
    ({name: array} with names that begin with 'index.', B float32 `[directions, width]`).
  """
  place = np.asarray(parameters['item_item.place'])
  parts = [_moments(parameters, items) for items in (np.asarray(parameters['item_item.known']), np.flatnonzero(
    place >= len(parameters['item_item.known'])))]
  (count, mean, covariance), (others, other_mean, other_covariance) = parts
  first = parameters['factors.items'].shape[1]
  second = first + parameters['item_item.factors'].shape[1]
  found = {'index.mean': mean[first:second], 'index.linear_covariance': covariance[first:second, first:second],
           'index.factor_covariance': covariance[:first, :first]}
  share = others / (count + others)
  whole = ((1 - share) * covariance + share * other_covariance
           + share * (1 - share) * np.outer(mean - other_mean, mean - other_mean))
  queries = np.concatenate([_query(parameters | found, *one) for one in histories]).astype(np.float64)
  values, axes = np.linalg.eigh(queries @ whole @ queries.T)
  kept = np.flatnonzero(values > 1e-9 * values[-1])[-WIDTH:]
  directions = axes[:, kept].T @ queries
  found['index.questions'] = directions @ whole / values[kept, None]
  return {name: array.astype(np.float32) for name, array in found.items()}, directions.astype(np.float32)


def _moments(parameters, items):
  """The number of `items [n]`, and the mean `[width]` and covariance `[width, width]` of their z, in batches."""
  width = jax.eval_shape(vectors, parameters, jax.ShapeDtypeStruct((1,), np.int32)).shape[1]
  mean, products = jnp.zeros(width), jnp.zeros((width, width))
  for some, there in _batches(items):
    mean = mean + _sums(parameters, some, there) / len(items)
  for some, there in _batches(items):
    products = products + _products(parameters, some, there, mean)
  return len(items), np.asarray(mean, np.float64), np.asarray(products, np.float64) / max(len(items), 1)


def _batches(items):
  """The `items` in batches of one size, with a weight of 0 where padded."""
  for start in range(0, len(items), _BATCH):
    some = items[start:start + _BATCH]
    missing = _BATCH - len(some)
    yield np.pad(some, (0, missing)).astype(np.int32), np.pad(np.ones(len(some), np.float32), (0, missing))


@jax.jit
def _sums(parameters, items, there):
  return there @ vectors(parameters, items)


@jax.jit
def _products(parameters, items, there, mean):
  with jax.default_matmul_precision('highest'):
    beyond = vectors(parameters, items) - mean
    return (beyond * there[:, None]).T @ beyond


@jax.jit
def _projected(parameters, items, directions):
  with jax.default_matmul_precision('highest'):
    return vectors(parameters, items) @ directions.T


def build(faiss, parameters, directions, seed):
  """The index of all items by inner product: inverted lists of vectors kept as bytes.

  With all lists searched it is exact but for the bytes and the directions; a navigable graph, which is faster, leaves
  items to which nothing leads, since by inner products an item need not be its own nearest.

  Args:
    faiss: the module, which is an optional dependency.
    parameters: of the model.
    directions: see `parameters_for`.
    seed: of the items from which the lists are learned.
  """
  def encoded(items):
    for some, there in _batches(items):
      yield np.asarray(_projected(parameters, some, directions))[:int(there.sum())]

  number = len(parameters['popular'])
  lists = round(number ** .5)
  sample = np.random.default_rng(seed).permutation(number)[:_SAMPLE_A_LIST * lists]
  sample = np.concatenate(list(encoded(sample)))
  # What all items have in common moves all scores alike, and would put them all into the same lists.
  center = sample.mean(0)
  index = faiss.index_factory(len(directions), f'IVF{lists},SQ8', faiss.METRIC_INNER_PRODUCT)
  index.cp.min_points_per_centroid = 1  # few items are no mistake
  index.train(sample - center)
  for some in encoded(np.arange(number)):
    index.add(some - center)
  return index


def exact_lists(scores, parameters, histories, k=20):
  """The best `k` items of histories by the exact scores, int32 `[histories, k]`.

  Args:
    scores: `exporting.score_function` of the model.
    parameters: of the model.
    histories: [(items, weights)], batches of one shape.
    k: the cut.
  """
  best = jax.jit(lambda *arguments: jax.lax.top_k(scores(*arguments), k)[1])
  return np.concatenate([best(parameters, *one, 0.) for one in histories])


def tune(index, parameters, histories, exact):
  """Sets how many lists are searched so that `ENOUGH` of the `exact` lists is found, if all must be; gives recall@20.

  Args:
    index, parameters, histories: see `search`.
    exact: what `exact_lists` gives for the histories.
  """
  for power in range(index.nlist.bit_length() + 1):
    index.nprobe = min(2 ** power, index.nlist)
    found = shared(search(index, parameters, histories), exact)
    if found >= ENOUGH:
      break
  return found


def shared(lists, exact):
  """The share of the entries of `exact` that are in the same row of `lists`, both int `[n, k]`, -1 for none."""
  rows = np.arange(len(exact), dtype=np.int64)[:, None] * (1 + max(lists.max(initial=0), exact.max(initial=0)))
  return float(np.isin((rows + exact)[exact >= 0], (rows + lists)[lists >= 0]).mean())


def search(index, parameters, histories, k=20):
  """The best `k` items of histories through the index, int `[histories, k]`, -1 where there are fewer.

  Args:
    index: see `build`.
    parameters: of the model and those of `parameters_for`.
    histories: [(items, weights)], batches of one shape.
    k: the cut.
  """
  found = []
  for items, weights in histories:
    asked = np.asarray(_propose(parameters, items, weights))
    proposed = index.search(asked, min(CANDIDATES, index.ntotal))[1]
    scores = np.asarray(_rank(parameters, items, weights, proposed.astype(np.int32)))
    best = np.argsort(-scores, 1, kind='stable')[:, :k]
    found.append(np.where(np.take_along_axis(scores, best, 1) > -np.inf, np.take_along_axis(proposed, best, 1), -1))
  return np.concatenate(found)


_query, _propose, _rank = jax.jit(query), jax.jit(propose), jax.jit(rank)
