"""One update of one player: the piece that every training step is made of."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from ganrec_jax.training import accumulate


def gradient_update(loss, optimizer, rows=0):
  """Makes `update(params, opt_state, *args, axis)` from a loss whose first argument is what it differentiates.

  Args:
    loss: `loss(params, *args) -> (scalar, metrics)`, the mean over the rows at hand.
    optimizer: an optax transformation.
    rows: the most rows that a device holds at once, see `accumulate.value_and_grad`; 0 is all of its share.

  Returns:
    `update(params, opt_state, *args, axis=None) -> (params, opt_state, metrics)`; with `axis` the name of a mapped
    axis, gradients and metrics are averaged over it, so that the parameters stay equal on all devices. The metrics
    gain `loss` and `grad_norm`.
  """
  grad = accumulate.value_and_grad(loss, rows)

  def update(params, opt_state, *args, axis=None):
    (value, metrics), grads = grad(params, *args)
    metrics = metrics | {'loss': value}
    if axis is not None:
      grads, metrics = jax.lax.pmean((grads, metrics), axis)
    updates, opt_state = optimizer.update(grads, opt_state, params)
    return optax.apply_updates(params, updates), opt_state, metrics | {'grad_norm': optax.tree.norm(grads)}

  return update


class Rate(NamedTuple):
  """The state of what `slowable` adds: the factor of all updates."""
  factor: jax.Array


def slowable(optimizer):
  """The optax transformation `optimizer` with a factor of its learning rate in its state, 1 at first; see `slower`."""
  def init(params):
    del params
    return Rate(jnp.float32(1))

  def update(updates, state, params=None):
    del params
    return jax.tree.map(lambda leaf: state.factor.astype(leaf.dtype) * leaf, updates), state

  return optax.chain(optimizer, optax.GradientTransformation(init, update))


def slower(state, factor):
  """A training state whose `slowable` optimizers have `factor` times the learning rates."""
  return jax.tree.map(lambda leaf: Rate(leaf.factor * factor) if isinstance(leaf, Rate) else leaf, state,
                      is_leaf=lambda leaf: isinstance(leaf, Rate))
