"""The closed-form base model: factors with a text prior, an item-item model with a text kernel, and popularity."""

import dataclasses

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from ganrec_jax.data.ragged import merge, pad, select
from ganrec_jax.errors import ConfigError
from ganrec_jax.models import als, cease, low_rank, regression
from ganrec_jax.models.kernels import LowRankKernel, positive_inverse


@dataclasses.dataclass(frozen=True)
class Knobs:
  """How the parts become one score, see `score`; nothing needs to be fitted again where they change.

  Attributes:
    power: how far the item-item model's columns are normalised, 0 to 1; opens the tail.
    warm_blend: weight of the item-item model for warm items.
    cold_blend: weight of the item-item model for cold items.
    activity: how the item-item model's weight grows with the length of a history, an exponent.
    popularity: weight of a warm item's log popularity for a history of mean length.
    cold_popularity: weight of a cold item's log popularity, as its text predicts it.
  """
  power: float = .5
  warm_blend: float = .8
  cold_blend: float = .2
  activity: float = 0.
  popularity: float = .05
  cold_popularity: float = .1

  def __post_init__(self):
    for name in ('power', 'warm_blend', 'cold_blend', 'popularity', 'cold_popularity'):
      if not getattr(self, name) >= 0:
        raise ConfigError(f'{name} is {getattr(self, name)}; allowed are numbers from 0 on')
    if not abs(self.activity) <= 2:
      raise ConfigError(f'activity is {self.activity}; allowed are numbers from -2 to 2')


@dataclasses.dataclass(frozen=True)
class ClosedFormConfig:
  """Hyper-parameters of `fit`.

  Attributes:
    factors: of the first part.
    item_reg: regularisation of the item-item model.
    kernel_weight: weight of the text kernel in the item-item model.
    knobs: how the parts become one score.
    dense_items: the most items for which the item-item model is a matrix; beyond, see `low_rank`.
    rank: of the co-occurrences beyond that limit.
  """
  factors: als.AlsConfig = als.AlsConfig()
  item_reg: float = 100.
  kernel_weight: float = 50.
  knobs: Knobs = Knobs()
  dense_items: int = 10_000
  rank: int = 1024

  def __post_init__(self):
    for name, least in (('dense_items', 0), ('rank', 1)):
      if not getattr(self, name) >= least:
        raise ConfigError(f'{name} is {getattr(self, name)}; allowed are whole numbers from {least} on')
    if not (self.item_reg > 0 and self.kernel_weight >= 0):
      raise ConfigError(f'item_reg is {self.item_reg}, kernel_weight {self.kernel_weight}; allowed are item_reg above '
                        '0, kernel_weight from 0 on')


def flat_config(**options):
  """The `ClosedFormConfig` of its fields and those of its parts, all given by name.

  Raises:
    ConfigError: for values out of range.
  """
  def part(kind):
    return kind(**{field.name: options.pop(field.name) for field in dataclasses.fields(kind) if field.name in options})
  return ClosedFormConfig(factors=part(als.AlsConfig), knobs=part(Knobs), **options)


# A prior counts as much as a few observations: with the length of a history popularity loses weight.
_POPULARITY_DECAY = -.5
# Noise variance of the kernel ridge regression behind cold items' columns and popularity.
_TEXT_RIDGE = 1.
_USERS_A_BATCH = 1024


@flax.struct.dataclass
class ClosedFormParams:
  """A fitted model, see `score`.

  Attributes:
    factors: `AlsParams`.
    item_item: float32 `[items, items]`, what each item of a history adds to each item's score: CEASE between warm
      items; the columns of cold items are the kernel ridge regression of the training matrix on texts. With more items
      than `config.dense_items` the same as a `LowRankItemItem`.
    square: float32 `[items]`, the mean square of these scores over the training users; of cold items their mean.
    popular: float32 `[items]`, log popularity, of cold items as predicted, less its mean over warm items.
    warm: bool `[items]`.
    mean_length: float32 scalar, of the training histories that are not empty.
    knobs: float32 `[6]`, the values of `Knobs` in their order.
    offsets: int32 `[users + 1]`, where each training history starts.
    items: int32 `[n]`, the training histories.
    weights: float32 `[n]`.
    length: the longest training history.
    config: the `ClosedFormConfig` it was fitted with; its knobs are where it began.
  """
  factors: als.AlsParams
  item_item: jax.Array | low_rank.LowRankItemItem
  square: jax.Array
  popular: jax.Array
  warm: jax.Array
  mean_length: jax.Array
  knobs: jax.Array
  offsets: jax.Array
  items: jax.Array
  weights: jax.Array
  length: int = flax.struct.field(pytree_node=False)
  config: ClosedFormConfig = flax.struct.field(pytree_node=False)

  def turned(self, knobs):
    """The same model with other `Knobs`."""
    return self.replace(knobs=jnp.asarray(dataclasses.astuple(knobs), jnp.float32))

  def folded(self, histories):
    """The same model with users known by `histories`, a `Ragged` over them, instead of those it was fitted on.

    One solve for each user who has any, see `als.fold_in`; items learn nothing.
    """
    users, length = np.flatnonzero(histories.lengths), int(histories.lengths.max(initial=1)) or 1
    factors = jnp.zeros((len(histories), self.factors.items.shape[1]))
    for start in range(0, len(users), _USERS_A_BATCH):
      some = users[start:start + _USERS_A_BATCH]
      factors = factors.at[some].set(als.fold_in(self.factors, *pad(histories, some, length, 0)))
    return self.replace(factors=self.factors.replace(users=factors), length=length, **_entries(histories))


def _entries(histories):
  # One entry more than there are, so that gathers from an empty log are legal.
  return {'offsets': jnp.asarray(histories.offsets, jnp.int32),
          'items': jnp.asarray(np.append(histories.values, 0), jnp.int32),
          'weights': jnp.asarray(np.append(histories.weights, 0), jnp.float32)}


def fit(histories, num_items, warm_items, kernel, config, key, generated=None):
  """Fits all parts.

  Args:
    histories: `Ragged` over users; values are items, all of them warm; weights near 1 say how strong each is.
    num_items: warm and cold items together.
    warm_items: int `[m]`.
    kernel: float32 `[items, items]`, ones on the diagonal, or None where there is no text; with more items than
      `config.dense_items` a `LowRankKernel` or None.
    config: `ClosedFormConfig`.
    key: for the initial item factors, and for the subspace of a low rank.
    generated: `Ragged` over users of generated interactions, warm and cold items, or None. They train what is known
      of items; a user is scored by what he really did. A row of generated pairs alone stands for as many users as its
      largest weight says.

  Raises:
    DataError: where a history holds an item that is not warm, or there is no warm item.
    ConfigError: for hyper-parameters out of range, a kernel that is not positive definite, or a matrix where the limit
      asks for a `LowRankKernel`, or the other way round.
  """
  low = num_items > config.dense_items
  if kernel is not None and low != isinstance(kernel, LowRankKernel):
    raise ConfigError(f'dense_items is {config.dense_items}, and the kernel of {num_items} items is '
                      f'{type(kernel).__name__}; allowed are matrices up to the limit, LowRankKernel beyond')
  kernel = kernel if kernel is None or low else jnp.asarray(kernel, jnp.float32)
  generated, counts = _standing(histories, generated)
  factors = als.fit(histories, num_items, warm_items, kernel, config.factors, key, generated, counts)
  warm = np.zeros(num_items, bool)
  warm[warm_items] = True
  known, new = np.flatnonzero(warm), np.flatnonzero(~warm)
  rows = _rows(histories, generated, known)
  logs = jnp.asarray(np.log1p(np.bincount(histories.values, minlength=num_items)), jnp.float32)
  popular = jnp.where(warm, logs - logs[known].mean(), 0)
  if low:
    texts = None if kernel is None else regression.fit(kernel, known, new, _TEXT_RIDGE)
    item_item, square = low_rank.fit(rows, num_items, known, kernel, texts, config.item_reg, config.kernel_weight,
                                     counts, config.rank, jax.random.fold_in(key, 1))
    popular = popular if texts is None else popular.at[new].set(texts.predict(popular[known][:, None])[:, 0])
  else:
    block = cease.fit(rows, len(known), None if kernel is None else kernel[known][:, known], config.item_reg,
                      config.kernel_weight, counts)
    item_item, square = jnp.zeros((num_items, num_items)).at[known[:, None], known].set(block.weights), block.square
    if kernel is not None and len(new):
      inverse = positive_inverse(kernel[known][:, known] + _TEXT_RIDGE * jnp.eye(len(known)), 'the kernel')
      columns = inverse @ kernel[known][:, new]
      item_item = item_item.at[known[:, None], new].set(columns)
      popular = popular.at[new].set(popular[known] @ columns)
  lengths = histories.lengths
  return ClosedFormParams(
    factors, item_item, jnp.full(num_items, square.mean()).at[known].set(square), popular,
    jnp.asarray(warm), jnp.float32(lengths[lengths > 0].mean() if lengths.any() else 1),
    jnp.asarray(dataclasses.astuple(config.knobs), jnp.float32), **_entries(histories),
    length=int(lengths.max(initial=1)) or 1, config=config)


def _standing(histories, generated):
  """The generated pairs, and how many users each row stands for, float32 `[users]`.

  A row of generated pairs alone stands for as many as its largest weight says, and its weights are relative to that.
  """
  counts = np.ones(len(histories), np.float32)
  if generated is None:
    return None, counts
  largest, owner = np.zeros(len(histories), np.float32), np.repeat(np.arange(len(histories)), generated.lengths)
  np.maximum.at(largest, owner, generated.weights)
  counts = np.where((histories.lengths == 0) & (largest > 0), largest, counts)
  return dataclasses.replace(generated, weights=generated.weights / counts[owner]), counts


def _rows(histories, generated, known):
  """The rows of the item-item model among the `known` items.

  Generated pairs are further entries of a real row; those of cold items train the factors alone.
  """
  rows = histories if generated is None else merge(histories, generated)
  place = np.full(1 + max(rows.values.max(initial=0), known.max()), -1, np.int32)
  place[known] = np.arange(len(known))
  rows = dataclasses.replace(rows, values=place[rows.values])
  return rows if generated is None else select(rows, rows.values >= 0)


@jax.jit
def score(params, users):
  """The scores float32 `[batch, items]` of training users `[batch]`, by their training histories.

  With S = u v_j and E_j = sum over the history of weight x item_item[i, j] / rms_j^power, n the length of the history
  over the mean length: S / sd(S) + n^activity b_j E / sd(E) + n^-.5 c_j popular_j; standard deviations over the warm
  items of this user, b and c by `Knobs` for warm or cold items.
  """
  items, weights = history(params, users)
  return _score(params, params.factors.users[users], items, weights)


@jax.jit
def score_each(params, users):
  """The scores float32 `[variants, batch, items]` of training users `[batch]` as each setting of the knobs has them.

  The products are made once, so that many settings cost little more than one.

  Args:
    params: (`ClosedFormParams`, float32 `[variants, 6]`, the values of `Knobs` in their order).
    users: int `[batch]`.
  """
  params, knobs = params
  parts = _parts(params, params.factors.users[users], *history(params, users))
  return jax.vmap(lambda one: _combine(params, one, *parts))(knobs)


@jax.jit
def score_history(params, items, weights):
  """The scores float32 `[batch, items]` of new users, by their histories `[batch, length]`; weight 0 is padding."""
  return _score(params, als.fold_in(params.factors, items, weights), items, weights)


@jax.jit
def score_listed(params, user_factors, items, weights, owner, total):
  """The scores of users whose histories are listed behind one another: what a question costs is what its history costs.

  `score_history` pays for padding and, in one product, for the whole item-item model; here the rows of the history are
  added up one by one, so that one program serves histories of all lengths.

  Args:
    params: `ClosedFormParams`.
    user_factors: float32 `[batch, dim]`, of training users or by `als.fold_in`.
    items: int32 `[room]`, the histories.
    weights: float32 `[room]`, above 0; 0 beyond `total`.
    owner: int32 `[room]`, whose history an entry belongs to, 0 to batch - 1.
    total: int32 scalar, how many entries there are.

  Returns:
    (scores float32 `[batch, items]`, the standard deviations of S and E float32 `[batch, 2]`, see `score`).
  """
  batch = len(user_factors)

  def add(entry, rows):
    return rows.at[owner[entry]].add(weights[entry] * params.item_item[items[entry]])

  with jax.default_matmul_precision('highest'):
    factors = user_factors @ params.factors.items.T
    if isinstance(params.item_item, low_rank.LowRankItemItem):
      linear = params.item_item.listed(items, weights, owner, total, batch)
    else:
      linear = jax.lax.fori_loop(0, total, add, jnp.zeros_like(factors))
  length = jnp.maximum(jnp.zeros(batch).at[owner].add(weights > 0), 1)[:, None] / params.mean_length
  scores = _combine(params, params.knobs, _standard(factors, params.warm), linear, length)
  linear = _normed(params, params.knobs[0], linear)
  return scores, jnp.stack([_deviation(factors, params.warm), _deviation(linear, params.warm)], 1)[..., 0]


def contributions(params, deviations, items, weights, places):
  """What each item of a history adds to the scores of some items; what is left of a score is popularity's.

  Both models are sums over the history: E as it is, and S since u = A^-1 sum w_h v_h, A the matrix of the user's own
  solve (Hu, Koren and Volinsky 2008, section 5).

  Args:
    params: `ClosedFormParams`.
    deviations: float `[2]`, of S and E for this user, as `score_listed` gives them.
    items, weights: `[length]`, the history.
    places: int `[n]`, the scored items.

  Returns:
    float64 `[n, length]`, on the host.
  """
  power, warm_blend, cold_blend, activity, _, _ = np.asarray(params.knobs, np.float64)
  length = max(len(items), 1) / float(params.mean_length)
  factors, weights = params.factors, np.asarray(weights, np.float64)
  known, scored = (np.asarray(factors.items)[of].astype(np.float64) for of in (items, places))
  ridge = float(factors.reg) * weights.sum() + float(factors.base_reg)
  system = np.asarray(factors.gram, np.float64) + (known * weights[:, None]).T @ known + ridge * np.eye(known.shape[1])
  by_factors = np.linalg.solve(system, scored.T).T @ known.T
  if isinstance(params.item_item, low_rank.LowRankItemItem):
    entries = params.item_item.entries(items, places)
  else:
    entries = np.asarray(params.item_item)[np.ix_(items, places)]
  square, warm = np.asarray(params.square)[places].astype(np.float64), np.asarray(params.warm)[places]
  norm = np.where(square > 0, square, 1) ** (-.5 * power)
  blend = length**activity * np.where(warm, warm_blend, cold_blend) * norm
  sd_factors, sd_linear = (float(one) if one > 0 else 1. for one in deviations)
  return weights * (by_factors / sd_factors + blend[:, None] * entries.T / sd_linear)


def history(params, users):
  """The training histories of `users [batch]`: items and weights `[batch, length]`, weight 0 where padded."""
  start, stop = params.offsets[users], params.offsets[users + 1]
  position = start[:, None] + jnp.arange(params.length)
  there = position < stop[:, None]
  position = jnp.where(there, position, 0)
  return jnp.where(there, params.items[position], 0), jnp.where(there, params.weights[position], 0)


def _score(params, user_factors, items, weights):
  return _combine(params, params.knobs, *_parts(params, user_factors, items, weights))


def _parts(params, user_factors, items, weights):
  """What no knob changes: S / sd(S) and E `[batch, items]`, and the relative length of each history `[batch, 1]`."""
  with jax.default_matmul_precision('highest'):
    factors = user_factors @ params.factors.items.T
    linear = _linear(params.item_item, items, weights)
  length = jnp.maximum((weights > 0).sum(1), 1)[:, None] / params.mean_length
  return _standard(factors, params.warm), linear, length


def _combine(params, knobs, factors, linear, length):
  power, warm_blend, cold_blend, activity, popularity, cold_popularity = knobs
  return (factors
          + length**activity * jnp.where(params.warm, warm_blend, cold_blend)
          * _standard(_normed(params, power, linear), params.warm)
          + length**_POPULARITY_DECAY * jnp.where(params.warm, popularity, cold_popularity) * params.popular)


def _normed(params, power, linear):
  """E with its columns over their root mean squares to a power."""
  return linear * jnp.where(params.square > 0, params.square, 1) ** (-.5 * power)


def _linear(item_item, items, weights):
  if isinstance(item_item, low_rank.LowRankItemItem):
    return item_item.scores(items, weights)
  return cease.densify(items, weights, len(item_item)) @ item_item


def _standard(scores, warm):
  """The `scores [batch, items]` over their standard deviation over warm items; rows that do not vary are kept."""
  deviation = _deviation(scores, warm)
  return scores / jnp.where(deviation > 0, deviation, 1)


def _deviation(scores, warm):
  """The standard deviation over warm items of each row, float32 `[batch, 1]`."""
  count = jnp.maximum(warm.sum(), 1)
  mean = jnp.where(warm, scores, 0).sum(1, keepdims=True) / count
  variance = jnp.where(warm, (scores - mean)**2, 0).sum(1, keepdims=True) / count
  return jnp.where(variance > 0, jnp.sqrt(jnp.where(variance > 0, variance, 1)), 0)
