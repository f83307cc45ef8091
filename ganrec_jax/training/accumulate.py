"""Batches that a device does not hold at once: the same gradients, some rows at a time."""

import jax
import jax.numpy as jnp


def value_and_grad(loss, rows=0):
  """`jax.value_and_grad(loss, has_aux=True)` of a loss that is a mean over rows, with at most `rows` of them held.

  The gradients of the parts are added up. A loss whose rows know of one another, such as one with negatives from the
  batch, needs `in_parts` instead.

  Args:
    loss: `loss(params, *args) -> (scalar, metrics)`, means over rows; of the `args` the batch is the dict with the leaf
      `weight` `[batch]`, which multiplies each row, see `devices.share`.
    rows: the most rows of a part; 0 is the whole batch.
  """
  whole = jax.value_and_grad(loss, has_aux=True)

  def found(params, *args):
    place = next(i for i, arg in enumerate(args) if isinstance(arg, dict) and 'weight' in arg)
    parts = _cut(args[place], rows)
    first = jax.tree.map(lambda x: x[0], parts)

    def of(part):
      return whole(params, *args[:place], part, *args[place + 1:])

    def add(total, part):
      return jax.tree.map(jnp.add, total, of(part)), None

    zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), jax.eval_shape(of, first))
    total, _ = jax.lax.scan(add, zeros, parts)
    return jax.tree.map(lambda x: x / len(parts['weight']), total)

  return found if rows else whole


def _cut(batch, rows):
  """A batch as parts `[parts, up to rows]` of one size; rows that fill up the last one have the weight 0."""
  total = len(batch['weight'])
  parts = -(-total // rows)
  size = -(-total // parts)
  index = jnp.arange(parts * size).reshape(parts, size)
  there = index < total
  batch = jax.tree.map(lambda x: x[jnp.where(there, index, 0)], batch)
  return batch | {'weight': batch['weight'] * jnp.where(there, parts * size / total, 0.)}


def in_parts(read, x, rows=0):
  """`read(x)` for rows `x [batch, ...]` that do not know of one another, with at most `rows` of them held at once.

  Where it is differentiated, each part is computed once more, so that what stays are the results: a loss over the whole
  batch has its exact gradients (GradCache; Gao et al. 2021). 0 rows is the whole batch.
  """
  if not rows or rows >= len(x):
    return read(x)
  parts = -(-len(x) // rows)
  size = -(-len(x) // parts)
  index = jnp.minimum(jnp.arange(parts * size), len(x) - 1).reshape(parts, size)
  found = jax.lax.map(jax.checkpoint(read), x[index])
  return found.reshape(parts * size, *found.shape[2:])[:len(x)]
