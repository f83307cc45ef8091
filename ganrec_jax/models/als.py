"""Implicit alternating least squares with weighted interactions and a text prior on the item factors."""

import dataclasses
import functools

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from ganrec_jax.data.ragged import buckets, group, merge, pad, select
from ganrec_jax.errors import ConfigError, DataError
from ganrec_jax.models import regression

# Few enough that a batch's vectors stay in the cache of a CPU core, and that a last batch is not mostly padding.
_ENTRIES_A_BATCH = 2**13
_PLAIN_SWEEPS = 3
_PRIOR_SHRINKAGE = .3


@dataclasses.dataclass(frozen=True)
class AlsConfig:
  """Hyper-parameters of `fit`.

  Attributes:
    dim: width of the factors.
    sweeps: user and item steps; one more user step follows.
    unobserved: weight a of every pair, seen or not, with target 0.
    reg: L2 regularisation, times a row's interactions and its share of the unobserved.
    kappa: strength of the text prior on item factors; 0 is plain iALS.
    ridge: noise variance l of the kernel ridge regression that makes the prior.

  Raises:
    ConfigError: for values out of range.
  """
  dim: int = 64
  sweeps: int = 10
  unobserved: float = .05
  reg: float = .02
  kappa: float = 3.
  ridge: float = .3

  def __post_init__(self):
    for name in ('dim', 'sweeps', 'unobserved', 'reg', 'ridge'):
      if not getattr(self, name) > 0:
        raise ConfigError(f'{name} is {getattr(self, name)}; allowed are numbers above 0')
    if not self.kappa >= 0:
      raise ConfigError(f'kappa is {self.kappa}; allowed are numbers from 0 on')


@flax.struct.dataclass
class AlsParams:
  """Fitted factors; a score is the inner product of a user's and an item's.

  Attributes:
    users: float32 `[users, dim]`.
    items: float32 `[items, dim]`; cold items hold their kernel ridge prediction, zeros without a kernel.
    gram: float32 `[dim, dim]`, unobserved times the sum of v v' over warm items.
    reg: float32 scalar, the regularisation for each unit of weight in a history.
    base_reg: float32 scalar, the regularisation of a user without history.
  """
  users: jax.Array
  items: jax.Array
  gram: jax.Array
  reg: jax.Array
  base_reg: jax.Array


def fit(histories, num_items, warm_items, kernel, config, key, generated=None, counts=None):
  """Fits user and item factors to weighted implicit feedback.

  A user's factor solves (a V'V + sum w v v' + reg (n_u + a N_items) I) u = sum w v, n_u the sum of his weights
  (Hu, Koren and Volinsky 2008, with the regularisation of Rendle et al. 2022). With base_j = reg (n_j + a N_users),
  an item's solves (a U'U + sum w u u' + (.3 base_j + kappa) I) v = sum w u + kappa f_j, where f_j is the kernel ridge
  prediction of v_j from the other items' texts; in the first three sweeps, and without a kernel, the prior is left
  out and base_j counts in full.

  Generated interactions train the item factors; at the end users are folded in by what they really did. A new item
  that has generated interactions only solves (sum w u u' + (kappa + reg n_j) I) v = sum w u + kappa f_j: nobody could
  have heard it, so its unobserved pairs say nothing, and for vanishing weights v is f_j.

  Args:
    histories: `Ragged` over users; values are items, all of them warm.
    num_items: warm and cold items together.
    warm_items: int `[m]`.
    kernel: float32 `[items, items]`, a `LowRankKernel`, or None for plain iALS.
    config: `AlsConfig`.
    key: for the initial item factors.
    generated: `Ragged` over users of generated interactions, warm and cold items, or None.
    counts: float32 `[users]`, how many users each row stands for where items are fitted, unobserved pairs and all; 1
      each without.

  Raises:
    DataError: where a history holds an item that is not warm, or there is no warm item.
    ConfigError: where the kernel is not positive definite with the configured ridge.
  """
  check_warm(histories, num_items, warm_items)
  warm = np.asarray(warm_items)
  place = np.full(num_items, -1, np.int32)
  place[warm] = np.arange(len(warm))
  by_user = real = dataclasses.replace(histories, values=place[histories.values])
  if generated is not None:
    warm_part = select(generated, place[generated.values] >= 0)
    by_user = merge(real, dataclasses.replace(warm_part, values=place[warm_part.values]))
  number = len(histories) if counts is None else float(counts.sum())
  by_item = _transposed(by_user, len(warm), counts)

  prior = kernel is not None and config.kappa > 0
  cold = np.setdiff1d(np.arange(num_items), warm)
  texts = regression.fit(kernel, warm, cold, config.ridge) if prior else None
  user_batches, item_batches = _batches(by_user), _batches(by_item)
  real_batches = user_batches if generated is None else _batches(real)
  items = .1 / np.sqrt(config.dim) * jax.random.normal(key, (len(warm), config.dim))
  user_base, item_base = (config.reg * config.unobserved * n for n in (len(warm), number))
  zeros = jnp.zeros((len(histories), config.dim))

  def user_step(items, batches):
    return _step(zeros, items, config.unobserved * _gram(items), batches, config.reg, user_base, 0.)

  for sweep in range(config.sweeps):
    users = user_step(items, user_batches)
    gram = config.unobserved * _gram(users if counts is None else users * jnp.sqrt(jnp.asarray(counts))[:, None])
    if prior and sweep >= _PLAIN_SWEEPS:
      items = _step(texts.leave_one_out(items), users, gram, item_batches, _PRIOR_SHRINKAGE * config.reg,
                    _PRIOR_SHRINKAGE * item_base, config.kappa)
    else:
      items = _step(jnp.zeros_like(items), users, gram, item_batches, config.reg, item_base, 0.)
  users = user_step(items, real_batches)

  everything = jnp.zeros((num_items, config.dim)).at[warm].set(items)
  if prior and len(cold):
    everything = everything.at[cold].set(texts.predict(items))
  if generated is not None and (place[generated.values] < 0).any():
    by_cold = _transposed(select(generated, place[generated.values] < 0), num_items, counts)
    kappa = config.kappa if prior else 0.
    there = jnp.asarray(by_cold.lengths > 0)[:, None]
    posterior = _step(everything, users, jnp.zeros((config.dim, config.dim)), _batches(by_cold), config.reg, 0., kappa)
    everything = jnp.where(there, posterior, everything)
  return AlsParams(users, everything, config.unobserved * _gram(items), jnp.float32(config.reg),
                   jnp.float32(user_base))


@jax.jit
def fold_in(params, items, weights):
  """The factors `[batch, dim]` of new users from their histories, as a user step of `fit` would give them.

  Args:
    params: `AlsParams`.
    items: int32 `[batch, length]`.
    weights: float32 `[batch, length]`, 0 where padded.
  """
  ridge = params.reg * weights.sum(1) + params.base_reg
  return _solve(params.items, params.gram, items, weights, ridge, jnp.zeros((items.shape[0], params.items.shape[1])))


def reasons(factors, items, history, most=2):
  """The items of a history whose vectors point most the same way as that of each of `items [n]`, int `[n, most]`.

  Args:
    factors: float32 `[all items, d]`.
    items: int `[n]`.
    history: int `[length]`; fewer than `most` give as many columns.
    most: reasons for each.
  """
  units = factors / np.maximum(np.linalg.norm(factors, axis=1, keepdims=True), 1e-12)
  alike = units[items] @ units[history].T
  return np.asarray(history)[np.argsort(-alike, axis=1, kind='stable')[:, :most]]


def _transposed(by_user, items, counts=None):
  """The users of each of `items`, a `Ragged` over items; weights times the `counts [users]` of their rows."""
  owner = np.repeat(np.arange(len(by_user), dtype=np.int32), by_user.lengths)
  return group(by_user.values, owner, items, by_user.weights if counts is None else by_user.weights * counts[owner])


def check_warm(histories, num_items, warm_items):
  """Raises a `DataError` unless there are warm items and all items of `histories` are among them."""
  if not len(warm_items):
    raise DataError('there is no warm item to fit; at least one is needed')
  warm = np.zeros(num_items, bool)
  warm[warm_items] = True
  bad = np.flatnonzero(~warm[histories.values])
  if len(bad):
    user = int(np.searchsorted(histories.offsets, bad[0], 'right')) - 1
    raise DataError(f'user {user}: item {histories.values[bad[0]]} of the history is cold; only warm items are fitted')


def _batches(ragged):
  """Padded (rows, neighbours, weights) on the device; a padded length has one batch size, so few shapes compile.

  Rows that fill up a batch have an index beyond the last row, which scatters drop.
  """
  sizes, out = {}, []
  for rows, length, _ in buckets(ragged.lengths, _ENTRIES_A_BATCH):
    size = sizes.setdefault(length, len(rows))
    values, weights = pad(ragged, rows, length, 0)
    missing = size - len(rows)
    out.append((jnp.asarray(np.pad(rows, (0, missing), constant_values=len(ragged)), jnp.int32),
                jnp.asarray(np.pad(values, ((0, missing), (0, 0)))),
                jnp.asarray(np.pad(weights, ((0, missing), (0, 0))))))
  return out


def _step(prior, others, gram, batches, reg, base, kappa):
  """Solves for all rows given the factors `others`, the unobserved pairs' `gram`, and the `prior [rows, dim]`."""
  out = jnp.zeros_like(prior)
  for rows, neighbours, weights in batches:
    out = _solve_rows(out, others, gram, prior, rows, neighbours, weights, reg, base, kappa)
  return out


@functools.partial(jax.jit, donate_argnames='out')
def _solve_rows(out, others, gram, prior, rows, neighbours, weights, reg, base, kappa):
  ridge = reg * weights.sum(1) + base + kappa
  pull = kappa * prior.at[rows].get(mode='clip')
  return out.at[rows].set(_solve(others, gram, neighbours, weights, ridge, pull), mode='drop')


def _solve(others, gram, neighbours, weights, ridge, pull):
  """Solves (gram + sum w v v' + ridge I) x = sum w v + pull for each row, `[batch, dim]`."""
  with jax.default_matmul_precision('highest'):
    found = others[neighbours]
    weighted = found * weights[..., None]
    # As a product of transposed matrices it is twice as fast on a CPU as the same einsum.
    system = gram + weighted.swapaxes(1, 2) @ found + ridge[:, None, None] * jnp.eye(len(gram))
    factor = jax.lax.linalg.cholesky(system, symmetrize_input=False)
    return jax.scipy.linalg.cho_solve((factor, True), (weighted.sum(1) + pull)[..., None])[..., 0]


@jax.jit
def _gram(factors):
  with jax.default_matmul_precision('highest'):
    return factors.T @ factors
