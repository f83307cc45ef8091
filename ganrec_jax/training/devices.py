"""From one step to a chunk of steps, on one device or on several, with the same arithmetic."""

import jax
import jax.numpy as jnp
import numpy as np

AXIS = 'devices'


def share(batch, devices):
  """The part of a global batch that belongs to this device of the mapped axis.

  The rows are padded with copies of the first row to a multiple of `devices`; the leaf `weight` is scaled so that the
  mean over the devices of each device's mean of `weight * loss` is the mean of `loss` over the global batch.

  Args:
    batch: a dict of arrays with the leading axis `[batch]`, one of them `weight` float32 `[batch]`.
    devices: how many devices share it.

  Returns:
    The same dict with the leading axis `[ceil(batch / devices)]`.
  """
  rows = len(batch['weight'])
  local = -(-rows // devices)
  index = jnp.arange(local) + jax.lax.axis_index(AXIS) * local
  batch = jax.tree.map(lambda x: x[jnp.where(index < rows, index, 0)], batch)
  scale = jnp.where(index < rows, local * devices / rows, 0.)
  return batch | {'weight': batch['weight'] * scale}


def make_chunk(step, sample, devices):
  """Compiles `chunk(state, data, key, start, length) -> (state, metrics)`, a scan over `length` steps.

  All randomness of step `t` comes from `fold_in(key, t)` and is drawn for the global batch, so that the result
  depends neither on where a run was interrupted nor, but for the order of sums, on the number of devices.

  Args:
    step: `step(state, batch, axis=None) -> (state, metrics)`, a pure function of the state and a batch.
    sample: `sample(key, data) -> batch`, the global batch of one step with a leaf `weight` `[batch]`, noise included.
    devices: the devices to run on; on more than one the step is mapped by `pmap`.

  Returns:
    The compiled function; `metrics` are stacked `[length]`.
  """
  parallel = len(devices) > 1

  def chunk(state, data, key, start, length):
    def body(state, t):
      batch = sample(jax.random.fold_in(key, t), data)
      if parallel:
        batch = share(batch, len(devices))
      return step(state, batch, axis=AXIS if parallel else None)
    return jax.lax.scan(body, state, start + jnp.arange(length))

  if not parallel:
    return jax.jit(chunk, static_argnames='length', donate_argnames='state')

  def on_each(state, data, key, start, length, device):  # pmap wants an argument that is mapped
    del device
    return chunk(state, data, key, start, length)

  mapped = jax.pmap(on_each, axis_name=AXIS, in_axes=(None, None, None, None, None, 0), out_axes=None, devices=devices,
                    static_broadcasted_argnums=4, donate_argnums=0)
  return lambda state, data, key, start, length: mapped(state, data, key, start, length, np.arange(len(devices)))
