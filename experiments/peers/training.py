"""What the neural peers share: scanned training with early stopping, a judge on validation, and scores by factors."""

import functools

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import optax

from ganrec_jax.data.ragged import pad
from ganrec_jax.evaluation import ranking


@flax.struct.dataclass
class Factors:
  """A fitted peer in its last layer: a score is the product of a user's and an item's vector, plus the item's bias.

  Attributes:
    users: float32 `[users, dim]`.
    items: float32 `[items, dim]`.
    bias: float32 `[items]`.
  """
  users: jax.Array
  items: jax.Array
  bias: jax.Array


@jax.jit
def score(params, users):
  """The scores float32 `[batch, items]` of `users [batch]` by `Factors`."""
  with jax.default_matmul_precision('highest'):
    return params.users[users] @ params.items.T + params.bias


def factors(problem, users, items, bias=None):
  """`Factors` over all items from vectors of the warm ones `[warm, dim]` and a bias `[warm]`; cold items get zeros."""
  warm, count = problem.prepared.warm, len(problem.warm)
  bias = jnp.zeros(len(warm)) if bias is None else bias
  return Factors(users, jnp.zeros((count, items.shape[1])).at[warm].set(items), jnp.zeros(count).at[warm].set(bias))


def padded(problem, longest=None):
  """The training histories with warm items counted from 0.

  Args:
    problem: `Problem`.
    longest: how many of the newest entries of a history are kept, or None for all.

  Returns:
    items int32 `[users, length]`, weights float32 `[users, length]`, 0 where padded.
  """
  histories = problem.prepared.histories
  place = np.zeros(len(problem.warm), np.int32)
  place[problem.prepared.warm] = np.arange(len(problem.prepared.warm))
  length = int(histories.lengths.max())
  items, weights = pad(histories, np.arange(len(histories)), length, 0)
  if longest is not None and longest < length:
    columns = np.maximum(histories.lengths - longest, 0)[:, None] + np.arange(longest)
    items, weights = (np.take_along_axis(x, columns, 1) for x in (items, weights))
  return jnp.asarray(np.where(weights > 0, place[items], 0)), jnp.asarray(weights)


def pairs(problem):
  """The training pairs: users int32 `[n]`, and warm items counted from 0 int32 `[n]`."""
  histories = problem.prepared.histories
  owner = np.repeat(np.arange(len(histories), dtype=np.int32), histories.lengths)
  return jnp.asarray(owner), jnp.asarray(np.searchsorted(problem.prepared.warm, histories.values).astype(np.int32))


def active(problem):
  """The users with a training history, int32 `[n]`."""
  return jnp.asarray(np.flatnonzero(problem.prepared.histories.lengths), jnp.int32)


def judge(problem, tasks=('warm',)):
  """Makes `evaluate(Factors)`, the mean over `tasks` of validation NDCG@20; tasks without targets are skipped."""
  there = [task for name, task in problem.tasks('valid').items() if name in tasks]

  def evaluate(params):
    values = []
    for task in there:
      lists, _ = ranking.top_k(score, params, task, k=20, batch=512)
      values.append(ranking.metrics_per_user(lists, task.targets)['ndcg@20'].mean())
    return float(np.mean(values))
  return evaluate


def adam(loss, params, moments, rate, decay=0.):
  """One step of AdamW on `loss(params)`; returns (params, moments, loss). `rate` and `decay` may be traced."""
  value, grads = jax.value_and_grad(loss)(params)
  updates, moments = optax.scale_by_adam().update(grads, moments)
  return jax.tree.map(lambda p, u: p - rate * (u + decay * p), params, updates), moments, value


def moments(params):
  """Adam's state before the first step."""
  return jax.jit(optax.scale_by_adam().init)(params)


@functools.partial(jax.jit, static_argnames=('step', 'static', 'length'), donate_argnames='state')
def _chunk(step, static, length, state, data, key, start):
  def one(state, number):
    return step(static, state, data, jax.random.fold_in(key, number), number)
  return jax.lax.scan(one, state, start + jnp.arange(length))


def train(step, static, state, data, key, assemble, evaluate, steps, chunk, patience):
  """Trains until validation stops rising and returns what scored best there.

  The program is compiled once for a step function, what is static and the shapes: numbers that are to be tuned belong
  into `data`.

  Args:
    step: module-level `step(static, state, data, key, number) -> (state, loss)`, pure; `number` counts from 0.
    static: hashable: the network and the batch size, say.
    state: a pytree of arrays.
    data: a pytree of arrays and numbers.
    key: of all randomness.
    assemble: `assemble(state) -> Factors`.
    evaluate: `evaluate(Factors) -> value`, the higher the better.
    steps: the most steps.
    chunk: steps between two looks at validation.
    patience: looks without a better value before training stops.

  Raises:
    FloatingPointError: where the loss is not finite before the first look; later the best look so far is returned.
  """
  data, state = jax.tree.map(jnp.asarray, data), jax.tree.map(jnp.copy, state)
  best, kept, stale = -np.inf, None, 0
  for start in range(0, steps, chunk):
    state, losses = _chunk(step, static, chunk, state, data, key, start)
    if not np.isfinite(losses).all():
      break
    found = assemble(state)
    value = evaluate(found)
    best, kept, stale = (value, found, 0) if value > best else (best, kept, stale + 1)
    if stale == patience:
      break
  if kept is None:
    raise FloatingPointError(f'the loss is not finite within the first {chunk} steps')
  return kept
