"""The closed-form base model: factors with a text prior plus an item-item model with a text kernel, on one scale."""

import dataclasses

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from ganrec_jax.data.ragged import merge, pad
from ganrec_jax.errors import ConfigError
from ganrec_jax.models import als, cease


@dataclasses.dataclass(frozen=True)
class ClosedFormConfig:
  """Hyper-parameters of `fit`.

  Attributes:
    dim: width of the factors.
    sweeps: sweeps of the alternating least squares.
    unobserved: weight of a pair that was not seen.
    reg: regularisation of the factors.
    kappa: strength of the text prior on item factors.
    ridge: noise variance of the kernel ridge regression that makes the prior.
    item_reg: regularisation of the item-item model.
    kernel_weight: weight of the text kernel in the item-item model.
    power: how far the item-item model's columns are normalised, 0 to 1.
    warm_blend: weight of the item-item model for warm items.
    cold_blend: weight of the item-item model for cold items.
  """
  dim: int = 64
  sweeps: int = 10
  unobserved: float = .05
  reg: float = .02
  kappa: float = 3.
  ridge: float = .3
  item_reg: float = 100.
  kernel_weight: float = 50.
  power: float = .6
  warm_blend: float = .8
  cold_blend: float = .15

  def __post_init__(self):
    for name in ('warm_blend', 'cold_blend'):
      if not getattr(self, name) >= 0:
        raise ConfigError(f'{name} is {getattr(self, name)}; allowed are numbers from 0 on')
    if not (self.item_reg > 0 and self.kernel_weight >= 0 and self.power >= 0):
      raise ConfigError(f'item_reg is {self.item_reg}, kernel_weight {self.kernel_weight}, power {self.power}; allowed '
                        'are item_reg above 0, kernel_weight and power from 0 on')
    self.factors()

  def factors(self):
    """The `AlsConfig` of the first half."""
    return als.AlsConfig(**{field.name: getattr(self, field.name) for field in dataclasses.fields(als.AlsConfig)})


_USERS_A_BATCH = 1024


@flax.struct.dataclass
class ClosedFormParams:
  """A fitted model: score = factor_scale (u v_j) + sum over the history of weight x item_item[i, j].

  Attributes:
    factors: `AlsParams`.
    factor_scale: float32 scalar, 1 over the standard deviation of the factors' scores on warm items.
    item_item: float32 `[items, items]`, what each item of a history adds to each item's score.
    offsets: int32 `[users + 1]`, where each training history starts.
    items: int32 `[n]`, the training histories.
    weights: float32 `[n]`.
    length: the longest training history.
  """
  factors: als.AlsParams
  factor_scale: jax.Array
  item_item: jax.Array
  offsets: jax.Array
  items: jax.Array
  weights: jax.Array
  length: int = flax.struct.field(pytree_node=False)

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
  """Fits both halves and puts them on one scale: S / sd(S) + b_j E / sd(E), standard deviations over warm items.

  Args:
    histories: `Ragged` over users; values are items, all of them warm; weights 1 for real interactions.
    num_items: warm and cold items together.
    warm_items: int `[m]`.
    kernel: float32 `[items, items]`, ones on the diagonal, or None where there is no text.
    config: `ClosedFormConfig`.
    key: for the initial item factors.
    generated: `Ragged` over users of generated interactions, warm and cold items, or None. They train what is known
      of items; a user is scored by what he really did.

  Raises:
    DataError: where a history holds an item that is not warm, or there is no warm item.
    ConfigError: for hyper-parameters out of range, or a kernel that is not positive definite.
  """
  kernel = None if kernel is None else jnp.asarray(kernel, jnp.float32)
  factors = als.fit(histories, num_items, warm_items, kernel, config.factors(), key, generated)
  expanded = histories if generated is None else merge(histories, generated)
  item_item = cease.fit(expanded, num_items, kernel, config.item_reg, config.kernel_weight, config.power)

  largest = np.zeros(len(histories), np.float32)
  np.maximum.at(largest, np.repeat(np.arange(len(histories)), histories.lengths), histories.weights)
  warm = np.asarray(warm_items)
  blend = np.full(num_items, config.cold_blend, np.float32)
  blend[warm] = config.warm_blend
  deviation = _deviation(item_item.mean[warm].mean(), item_item.square[warm].mean())
  scale = 1 / _factor_deviation(factors.users, factors.items[warm], largest)
  return ClosedFormParams(factors, scale, item_item.weights * (blend / deviation), **_entries(histories),
                          length=int(histories.lengths.max(initial=1)) or 1)


@jax.jit
def score(params, users):
  """The scores float32 `[batch, items]` of training users `[batch]`, by their training histories."""
  items, weights = history(params, users)
  return _score(params, params.factors.users[users], items, weights)


@jax.jit
def score_history(params, items, weights):
  """The scores float32 `[batch, items]` of new users, by their histories `[batch, length]`; weight 0 is padding."""
  return _score(params, als.fold_in(params.factors, items, weights), items, weights)


def history(params, users):
  """The training histories of `users [batch]`: items and weights `[batch, length]`, weight 0 where padded."""
  start, stop = params.offsets[users], params.offsets[users + 1]
  position = start[:, None] + jnp.arange(params.length)
  there = position < stop[:, None]
  position = jnp.where(there, position, 0)
  return jnp.where(there, params.items[position], 0), jnp.where(there, params.weights[position], 0)


def _score(params, user_factors, items, weights):
  with jax.default_matmul_precision('highest'):
    linear = cease.densify(items, weights, len(params.item_item)) @ params.item_item
    return params.factor_scale * user_factors @ params.factors.items.T + linear


@jax.jit
def _factor_deviation(users, items, weight):
  """The standard deviation of u v over users of the given weights `[users]` and all `items`."""
  with jax.default_matmul_precision('highest'):
    total = jnp.maximum(weight.sum(), 1e-12)
    mean = (weight @ users / total) @ items.mean(0)
    square = (((users.T * weight) @ users) * (items.T @ items)).sum() / (total * len(items))
    return _deviation(mean, square)


def _deviation(mean, square):
  variance = square - mean**2
  return jnp.where(variance > 0, jnp.sqrt(jnp.where(variance > 0, variance, 1)), 1.)
