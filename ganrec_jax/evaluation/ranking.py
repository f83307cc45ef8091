"""Full ranking on the device in batches of users, and the accuracy of the lists."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from ganrec_jax.data.ragged import Ragged
from ganrec_jax.evaluation.tasks import Task

# Every call of a score function gets this many users, whatever the batch and the number of devices: a matrix product
# of another shape may add up in another order, and the last bits of the scores would depend on the batch size.
_ROWS = 64


def _rank_rows(score_fn, k, least, params, users, candidates, row, column):
  """The best `k` of the `candidates [c]` for `users [rows]`, without the `seen` places (`row [s]`, `column [s]`).

  Returns:
    positions among the candidates int32 `[rows, k]`, scores float32 `[rows, k]`, is faulty bool `[rows]`; the first two
    `[rows, variants, k]` where the score function gives variants.
  """
  scores = score_fn(params, users)
  if scores.ndim not in (2, 3) or scores.shape[-2] != len(users) or scores.shape[-1] < least:
    raise ValueError(f'the score function gave {scores.shape} for {len(users)} users; due are '
                     f'({len(users)}, items) or (variants, {len(users)}, items) with at least {least} items')
  scores = jnp.take(scores.astype(jnp.float32), candidates, axis=-1)
  faulty = jnp.any(jnp.isnan(scores) | jnp.isposinf(scores), axis=(*range(scores.ndim - 2), -1))
  scores = jnp.where(scores == 0, 0., scores)  # -0 and 0 tie
  scores = scores.at[..., row, column].set(-jnp.inf, mode='drop')
  best, position = jax.lax.top_k(scores, k)
  return jnp.moveaxis(position, -2, 0), jnp.moveaxis(best, -2, 0), faulty


@functools.partial(jax.jit, static_argnames=('score_fn', 'mesh', 'k', 'least'))
def _rank(score_fn, mesh, k, least, params, candidates, users, row, column):
  """`_rank_rows` of `users [chunks, rows]`, the chunks spread over the devices of `mesh`, one after the other there."""
  def local(params, candidates, users, row, column):
    return jax.lax.map(lambda chunk: _rank_rows(score_fn, k, least, params, chunk[0], candidates, *chunk[1:]),
                       (users, row, column))
  whole, parts = PartitionSpec(), PartitionSpec('batch')
  # Without gradients nothing can be summed twice, and score functions may scan from constants.
  return jax.shard_map(local, mesh=mesh, in_specs=(whole, whole, parts, parts, parts), out_specs=parts,
                       check_vma=False)(params, candidates, users, row, column)


def _seen_places(task):
  """The (row, candidate position) of everything seen that is a candidate, ordered by row, int64 `[s]` each."""
  size = 1 + max(int(task.candidates.max(initial=0)), int(task.seen.values.max(initial=0)))
  position = np.full(size, -1)
  position[task.candidates] = np.arange(len(task.candidates))
  row, column = np.repeat(np.arange(len(task.users)), task.seen.lengths), position[task.seen.values]
  return row[column >= 0], column[column >= 0]


def _pad_places(row, column, bounds, length):
  """The places of each chunk as int32 `[chunks, length]` each; `bounds [chunks + 1]` cut them, rows count per chunk."""
  index = bounds[:-1, None] + np.arange(length)
  there = index < bounds[1:, None]
  index = np.where(there, index, 0)
  rows = row[index] % _ROWS if len(row) else index
  columns = column[index] if len(row) else index
  return np.where(there, rows, _ROWS).astype(np.int32), np.where(there, columns, 0).astype(np.int32)


def top_k(score_fn, params, task: Task, k=100, batch=256, devices=1):
  """The best `k` candidates of every user of a task, seen items ruled out, ties by the order of the candidates.

  Neither the batch size nor the number of devices changes a bit of the result. The program is compiled once for a
  score function (the same object), a number of candidates and a size of the seen lists (a power of two). Memory on
  each device: 64 x items scores and the batch's share of the seen lists.

  Args:
    score_fn: pure `(params, users int32 [b]) -> scores [b, items]` over ALL items; -inf rules an item out. The row of
      a user must not depend on the other users of the batch. Scores `[variants, b, items]` are ranked each by itself.
    params: its first argument.
    task: what is to be ranked.
    k: length of the lists.
    batch: users a call, rounded up to a multiple of 64 x `devices`.
    devices: how many of the local devices share each batch.

  Returns:
    items int32 `[n, k]`, best first, -1 where fewer are left; scores float32 `[n, k]`, -inf there. With variants both
    are `[n, variants, k]`.

  Raises:
    FloatingPointError: where a candidate's score is NaN or +inf, naming the user.
    ValueError: for sizes below 1, more devices than there are, or a score function that gives another shape.
  """
  if min(k, batch, devices) < 1 or devices > jax.local_device_count():
    raise ValueError(f'k={k}, batch={batch} and devices={devices} must be at least 1, and devices at most '
                     f'{jax.local_device_count()}')
  n, width = len(task.users), min(k, len(task.candidates))
  if not n or not width:
    return np.full((n, k), -1, np.int32), np.full((n, k), -np.inf, np.float32)
  items = scores = None
  mesh = Mesh(np.array(jax.local_devices()[:devices]), ('batch',))
  whole, parts = NamedSharding(mesh, PartitionSpec()), NamedSharding(mesh, PartitionSpec('batch'))
  params, candidates = jax.device_put((params, task.candidates), whole)
  chunks = -(-batch // (_ROWS * devices)) * devices
  batches = -(-n // (chunks * _ROWS))
  users = np.full(batches * chunks * _ROWS, task.users[0], np.int32)
  users[:n] = task.users
  row, column = _seen_places(task)
  bounds = np.searchsorted(row, np.arange(batches * chunks + 1) * _ROWS)
  length = 1 << max(4, int(np.diff(bounds).max() - 1).bit_length())
  for first in range(0, batches * chunks, chunks):
    places = _pad_places(row, column, bounds[first:first + chunks + 1], length)
    low, high = first * _ROWS, min(n, (first + chunks) * _ROWS)
    inputs = jax.device_put((users[low:low + chunks * _ROWS].reshape(chunks, _ROWS), *places), parts)
    ranked = jax.device_get(_rank(score_fn, mesh, width, int(task.candidates.max()) + 1, params, candidates, *inputs))
    position, best, faulty = (x.reshape(chunks * _ROWS, *x.shape[2:])[:high - low] for x in ranked)
    if faulty.any():
      raise FloatingPointError(f'task {task.name}: scores of user {users[low + np.argmax(faulty)]} hold NaN or +inf '
                               f'({faulty.sum()} of {len(faulty)} users of this batch); finite scores or -inf are due')
    if items is None:
      shape = n, *position.shape[1:-1], k
      items, scores = np.full(shape, -1, np.int32), np.full(shape, -np.inf, np.float32)
    items[low:high, ..., :width] = np.where(best > -np.inf, task.candidates[position], -1)
    scores[low:high, ..., :width] = best
  return items, scores


def hits(lists, targets: Ragged):
  """bool `[n, k]`: which entries of `lists [n, k]` (item indices, -1 for none) are among the row's targets."""
  size = 1 + max(int(lists.max(initial=0)), int(targets.values.max(initial=0)))
  rows = np.arange(len(lists), dtype=np.int64)[:, None] * size
  wanted = np.repeat(rows[:, 0], targets.lengths) + targets.values
  return (lists >= 0) & np.isin(rows + lists, wanted)


def metrics_per_user(lists, targets: Ragged, k=20) -> dict[str, np.ndarray]:
  """NDCG@k with binary gains, Recall@k with denominator min(k, targets) and MRR@k of each user.

  Args:
    lists: int `[n, >= k]` or shorter, item indices without repetition, best first, -1 where there are fewer.
    targets: `n` rows of distinct item indices.
    k: the cut.

  Returns:
    `ndcg@k`, `recall@k`, `mrr@k`: float64 `[n]` each, NaN for a user without targets (none such is in a task).
  """
  if len(lists) != len(targets):
    raise ValueError(f'{len(lists)} lists for {len(targets)} rows of targets')
  hit = hits(lists[:, :k], targets)
  gain = np.array([1 / math.log2(rank + 2) for rank in range(k)])
  most = np.minimum(targets.lengths, k)
  some = np.where(most > 0, most, 1)
  # Cumulative sums add in the order of the ranks, as the definition does; a dot product may not.
  found = np.cumsum(hit * gain[:hit.shape[1]], axis=1)[:, -1] if hit.shape[1] else np.zeros(len(hit))
  first = np.where(hit.any(1), 1 / (1. + np.argmax(hit, axis=1)), 0.) if hit.shape[1] else np.zeros(len(hit))
  values = {'ndcg': found / np.cumsum(gain)[some - 1], 'recall': hit.sum(1) / some, 'mrr': first}
  return {f'{name}@{k}': np.where(most > 0, value, np.nan) for name, value in values.items()}
