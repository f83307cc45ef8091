"""Full ranking on the device in batches of users, and the accuracy of the lists."""

import functools
import math
from collections.abc import Callable
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from ganrec_jax.data.ragged import Ragged
from ganrec_jax.evaluation.tasks import Task

# Every call of a score function gets this many users, whatever the batch and the number of devices: a matrix product
# of another shape may add up in another order, and the last bits of the scores would depend on the batch size.
_ROWS = 64
# The most candidates that are scored at a time.
_BLOCK = 2**17
_AXIS = 'devices'
_WHOLE, _PARTS = PartitionSpec(), PartitionSpec(_AXIS)
# The best of a wide row are looked for in the groups of so many columns that have the greatest maxima.
_GROUP = 32


@flax.struct.dataclass
class Blocks:
  """A score function in three parts, so that some items can be scored without the others; itself the whole function.

  Attributes:
    users: `(params, users int32 [b]) -> state`, a pytree: all that a score takes of the users.
    items: `(params, items int32 [c] or None for all) -> block`, a pytree: all that it takes of the items.
    score: `(state, block) -> scores [b, c]`, or `[variants, b, c]`.
  """
  users: Callable = flax.struct.field(pytree_node=False)
  items: Callable = flax.struct.field(pytree_node=False)
  score: Callable = flax.struct.field(pytree_node=False)

  def __call__(self, params, users):
    """The scores `[b, items]` of users `[b]` for all items."""
    return self.score(self.users(params, users), self.items(params, None))


@flax.struct.dataclass
class _Whole:
  """A score function over all items, `least` of them at least, in the parts of `Blocks`: for a single block."""
  params: Any
  score_fn: Callable = flax.struct.field(pytree_node=False)
  least: int = flax.struct.field(pytree_node=False)

  def users(self, params, users):
    del params
    return users

  def items(self, params, items):
    del params
    return items

  def score(self, users, items):
    scores = self.score_fn(self.params, users)
    if scores.ndim not in (2, 3) or scores.shape[-2] != len(users) or scores.shape[-1] < self.least:
      raise ValueError(f'the score function gave {scores.shape} for {len(users)} users; due are '
                       f'({len(users)}, items) or (variants, {len(users)}, items) with at least {self.least} items')
    return jnp.take(scores, items, axis=-1)


def best(scores, k):
  """The `k` best of each row of `scores [..., n]`: scores and columns int32 `[..., k]`, as by a stable sort.

  0 and -0 are equal. All of the k best are in the k groups of columns with the greatest maxima, so that a wide row is
  read once and fast (`jax.lax.top_k` takes several times as long).
  """
  batch = scores.shape[:-1]
  if scores.shape[-1] <= 2 * k * _GROUP:
    return jax.lax.top_k(jnp.where(scores == 0, 0., scores), k)
  groups = _groups(scores)
  # In rising order, so that of equal scores the first stays the first.
  chosen = jnp.sort(best(groups.max(-1), k)[1], axis=-1)
  values, place = best(jnp.take_along_axis(groups, chosen[..., None], axis=-2).reshape(*batch, k * _GROUP), k)
  return values, jnp.take_along_axis(chosen, place // _GROUP, axis=-1) * _GROUP + place % _GROUP


def _groups(scores):
  """`scores [..., n]` in groups of neighbours `[..., groups, _GROUP]`, filled up with -inf."""
  none = [(0, 0)] * (scores.ndim - 1)
  return jnp.pad(scores, [*none, (0, -scores.shape[-1] % _GROUP)], constant_values=-jnp.inf).reshape(
    *scores.shape[:-1], -1, _GROUP)


def _rank_block(model, k, count, state, number, block, row, column):
  """The best `k` of block `number` of `count` candidates, without the `seen` places (`row [s]`, `column [s]`).

  Returns:
    scores float32 and positions among all candidates int32 `[..., rows, k]`, is faulty bool `[..., rows]`.
  """
  scores = model.score(state, block).astype(jnp.float32)
  size = scores.shape[-1]
  place = jnp.where(column // size == number, column % size, size)
  seen = scores.at[..., row, place].get(mode='fill', fill_value=0)
  # What is faulty stays there to be found.
  scores = scores.at[..., row, place].set(jnp.where(seen < jnp.inf, -jnp.inf, seen), mode='drop')
  filled = size - (-count % size)
  tail = number * size + jnp.arange(filled, size) < count
  scores = scores.at[..., filled:].set(jnp.where(tail, scores[..., filled:], -jnp.inf))
  values, position = best(scores, min(k, size))
  values = jnp.where(number * size + position < count, values, -jnp.inf)
  # The maxima of the groups once more, which the compiler makes once.
  return values, number * size + position, ~(_groups(scores).max(-1).max(-1) < jnp.inf)


@functools.partial(jax.jit, static_argnames='placed')
def _blocks(model, params, candidates, placed):
  """What `model` takes of the `candidates [blocks, size]`, on the devices of the sharding `placed`."""
  found = jax.lax.map(lambda items: model.items(params, items), candidates)
  return jax.lax.with_sharding_constraint(found, placed)


def _spread(model, params, candidates, mesh):
  """The same with the blocks spread over the devices of `mesh`, none of which ever holds more than two shares."""
  whole, parts, shares = NamedSharding(mesh, _WHOLE), NamedSharding(mesh, _PARTS), []
  for device, part in zip(mesh.devices, np.split(candidates, mesh.size), strict=True):
    # All devices look up what this one keeps: the rows of its candidates may be on any of them.
    found = jax.block_until_ready(_blocks(model, params, jax.device_put(part, whole), whole))
    shares.append(jax.tree.map(lambda x, device=device: next(
      shard.data for shard in x.addressable_shards if shard.device == device), found))
  return jax.tree.map(lambda *x: jax.make_array_from_single_device_arrays(
    (len(candidates), *x[0].shape[1:]), parts, list(x)), *shares)


@functools.partial(jax.jit, static_argnames=('mesh', 'k', 'count', 'by_items'))
def _rank(mesh, k, count, by_items, model, params, blocks, users, row, column):
  """The best `k` of `count` candidates in `blocks` for `users [chunks, rows]`.

  The devices of `mesh` share the chunks, or `by_items` the blocks; on each one chunk is scored after the other, by one
  block after the other.

  Returns:
    positions among the candidates int32 and scores float32 `[chunks, rows, k]`, is faulty bool `[chunks, rows]`; the
    first two `[chunks, rows, variants, k]` where there are variants.
  """
  of_items, of_users = (_PARTS, _WHOLE) if by_items else (_WHOLE, _PARTS)
  # Without gradients nothing can be summed twice, and score functions may scan from constants.
  on_each = functools.partial(jax.shard_map, mesh=mesh, check_vma=False, out_specs=of_users)

  def read(params, users):
    return jax.lax.map(lambda some: model.users(params, some), users)

  def rank(model, blocks, states, row, column):
    def one(number, block):
      return jax.lax.map(lambda chunk: _rank_block(model, k, count, chunk[0], number, block, *chunk[1:]),
                         (states, row, column))
    here = len(jax.tree.leaves(blocks)[0])
    numbers = jnp.arange(here) + (here * jax.lax.axis_index(_AXIS) if by_items else 0)
    lists = jax.lax.map(lambda block: one(*block), (numbers, blocks))
    return _merge(k, *(jax.lax.all_gather(lists, _AXIS, tiled=True) if by_items else lists))

  if by_items:  # tables are spread by rows, which the compiler sees to
    states = jax.lax.with_sharding_constraint(read(params, users), NamedSharding(mesh, _WHOLE))
  else:
    states = on_each(read, in_specs=(_WHOLE, of_users))(params, users)
  return on_each(rank, in_specs=(_WHOLE, of_items, *3 * (of_users,)))(model, blocks, states, row, column)


def _merge(k, values, position, faulty):
  """One list from the lists of all blocks `[blocks, chunks, ..., rows, k]`; returns what `_rank` does."""
  if len(values) > 1:
    # Blocks follow one another in the order of the candidates, so of equal scores the first stays the first.
    values, position = (jnp.moveaxis(x, 0, -2).reshape(*x.shape[1:-1], -1) for x in (values, position))
    values, place = best(values, k)
    position = jnp.take_along_axis(position, place, axis=-1)
  else:
    values, position = values[0], position[0]
  faulty = faulty.any(0)
  return (jnp.moveaxis(position, -2, 1), jnp.moveaxis(values, -2, 1),
          faulty.any(tuple(range(1, faulty.ndim - 1))))


def _placed(x, mesh):
  """A parameter on all devices of `mesh`: a table of more rows than a block by its rows, anything else in full.

  Rows of zeros fill it up to a multiple of the devices. What is spread already stays as it is.
  """
  if isinstance(x, jax.Array) and not x.is_fully_replicated:
    return x
  if not np.ndim(x) or len(x) <= _BLOCK:
    return jax.device_put(x, NamedSharding(mesh, _WHOLE))
  return jax.device_put(jnp.pad(x, [(0, -len(x) % mesh.size), *[(0, 0)] * (np.ndim(x) - 1)]),
                        NamedSharding(mesh, _PARTS))


def _in_parts(score_fn, params, candidates, mesh):
  """(`Blocks` or `_Whole`, its parameters, the candidates in blocks, whether the devices of `mesh` share these)."""
  whole = NamedSharding(mesh, _WHOLE)
  if not isinstance(score_fn, Blocks):
    model = _Whole(jax.device_put(params, whole), score_fn, int(candidates.max()) + 1)
    return model, None, _blocks(model, None, _in_blocks(candidates, len(candidates), 1), whole), False
  if mesh.size == 1 or len(candidates) <= _BLOCK:
    params = jax.device_put(params, whole)
    return score_fn, params, _blocks(score_fn, params, _in_blocks(candidates, _BLOCK, 1), whole), False
  params = jax.tree.map(lambda x: _placed(x, mesh), params)
  return score_fn, params, _spread(score_fn, params, _in_blocks(candidates, _BLOCK, mesh.size), mesh), True


def _in_blocks(candidates, most, devices):
  """The candidates in blocks of one size, `most` at most, a multiple of `devices`: `[blocks, size]`.

  The first candidate fills them up.
  """
  blocks = -(-len(candidates) // most)
  size = -(-len(candidates) // blocks)
  blocks += -blocks % devices
  return np.pad(candidates, (0, blocks * size - len(candidates)), constant_values=candidates[0]).reshape(blocks, size)


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
  each device, beside the parameters: 64 x items scores and the batch's share of the seen lists; by `Blocks` 64 x
  131,072 scores at most, a copy of what is known of the items, and the states and lists of the batch's share.

  Args:
    score_fn: pure `(params, users int32 [b]) -> scores [b, items]` over ALL items; -inf rules an item out. The row of
      a user must not depend on the other users of the batch. Scores `[variants, b, items]` are ranked each by itself.
      As `Blocks` it scores so many candidates at a time.
    params: its first argument.
    task: what is to be ranked.
    k: length of the lists.
    batch: users a call, rounded up to a multiple of 64 x `devices`.
    devices: how many of the local devices share each batch; by `Blocks` they share the items instead where there are
      more than fit a block, and no device holds more of a table of so many rows than its share (twice that at the
      beginning); rows of zeros may be added to it.

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
  mesh = Mesh(np.array(jax.local_devices()[:devices]), (_AXIS,))
  model, params, blocks, by_items = _in_parts(score_fn, params, task.candidates, mesh)
  of_users = NamedSharding(mesh, _WHOLE if by_items else _PARTS)
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
    inputs = jax.device_put((users[low:low + chunks * _ROWS].reshape(chunks, _ROWS), *places), of_users)
    ranked = jax.device_get(_rank(mesh, width, len(task.candidates), by_items, model, params, blocks, *inputs))
    position, values, faulty = (x.reshape(chunks * _ROWS, *x.shape[2:])[:high - low] for x in ranked)
    if faulty.any():
      raise FloatingPointError(f'task {task.name}: scores of user {users[low + np.argmax(faulty)]} hold NaN or +inf '
                               f'({faulty.sum()} of {len(faulty)} users of this batch); finite scores or -inf are due')
    if items is None:
      shape = n, *position.shape[1:-1], k
      items, scores = np.full(shape, -1, np.int32), np.full(shape, -np.inf, np.float32)
    items[low:high, ..., :width] = np.where(values > -np.inf, task.candidates[position], -1)
    scores[low:high, ..., :width] = values
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
