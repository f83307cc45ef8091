"""Gradients of parts of a batch add up to those of the whole one, whatever is left over, in less memory."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from ganrec_jax.training import accumulate
from ganrec_jax.training.update import gradient_update

PARAMS = {'in': .3 * np.random.default_rng(0).standard_normal((5, 8)).astype(np.float32),
          'out': np.random.default_rng(1).standard_normal(8).astype(np.float32)}


def batch_of(rows):
  rng = np.random.default_rng(rows)
  return {'x': rng.standard_normal((rows, 5)).astype(np.float32), 'weight': rng.uniform(0, 2, rows).astype(np.float32)}


def loss(params, shift, batch, factor):
  error = jnp.tanh(batch['x'] @ params['in']) @ params['out'] - shift['shift']
  return factor * (batch['weight'] * error ** 2).mean(), {'error': (batch['weight'] * error).mean()}


@pytest.mark.parametrize('total', [1, 15, 16, 17])
@pytest.mark.parametrize('rows', [1, 8, 17])
def test_parts_add_up_to_the_whole(total, rows):
  args = {'shift': .5}, batch_of(total), 3.
  whole = jax.value_and_grad(loss, has_aux=True)(PARAMS, *args)
  found = jax.jit(accumulate.value_and_grad(loss, rows))(PARAMS, *args)
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), found, whole)


def contrast(params, x, rows):
  """Each row against all others of the batch."""
  state = accumulate.in_parts(lambda x: jnp.tanh(x @ params['in']), x, rows)
  return optax.softmax_cross_entropy_with_integer_labels(state @ state[::-1].T, jnp.arange(len(x))).mean()


@pytest.mark.parametrize('total', [1, 15, 16, 17])
@pytest.mark.parametrize('rows', [1, 8, 17])
def test_parts_keep_the_negatives_of_the_whole_batch(total, rows):
  x = batch_of(total)['x']
  whole, found = (jax.value_and_grad(contrast)(PARAMS, x, some) for some in (0, rows))
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), found, whole)


def deep(params, x):
  for _ in range(20):
    x = jnp.tanh(x @ params['square'])
  return x


def test_parts_need_less_memory():
  params, batch = {'square': jnp.eye(64)}, {'x': jnp.ones((4096, 64)), 'weight': jnp.ones(4096)}
  optimizer = optax.sgd(.1)

  def mean(params, batch):
    return (batch['weight'] * deep(params, batch['x']).sum(1)).mean(), {}

  def gathered(params, batch, rows):
    state = accumulate.in_parts(lambda x: deep(params, x), batch['x'], rows)
    return (batch['weight'] * (state - state.mean(0)).sum(1)).mean()

  def bytes_of(function):
    return jax.jit(function).lower(params, batch).compile().memory_analysis().temp_size_in_bytes

  assert bytes_of(accumulate.value_and_grad(mean, 256)) < .5 * bytes_of(accumulate.value_and_grad(mean))
  assert bytes_of(jax.grad(lambda p, b: gathered(p, b, 256))) < .5 * bytes_of(jax.grad(lambda p, b: gathered(p, b, 0)))
  whole, parts = (gradient_update(mean, optimizer, rows) for rows in (0, 256))
  state = optimizer.init(params)
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5),
               whole(params, state, batch), parts(params, state, batch))
