"""One update of one player: the piece that every training step is made of."""

import jax
import optax


def gradient_update(loss, optimizer):
  """Makes `update(params, opt_state, *args, axis)` from a loss whose first argument is what it differentiates.

  Args:
    loss: `loss(params, *args) -> (scalar, metrics)`, the mean over the rows at hand.
    optimizer: an optax transformation.

  Returns:
    `update(params, opt_state, *args, axis=None) -> (params, opt_state, metrics)`; with `axis` the name of a mapped
    axis, gradients and metrics are averaged over it, so that the parameters stay equal on all devices. The metrics
    gain `loss` and `grad_norm`.
  """
  grad = jax.value_and_grad(loss, has_aux=True)

  def update(params, opt_state, *args, axis=None):
    (value, metrics), grads = grad(params, *args)
    metrics = metrics | {'loss': value}
    if axis is not None:
      grads, metrics = jax.lax.pmean((grads, metrics), axis)
    updates, opt_state = optimizer.update(grads, opt_state, params)
    return optax.apply_updates(params, updates), opt_state, metrics | {'grad_norm': optax.tree.norm(grads)}

  return update
