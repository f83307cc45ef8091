"""What all adaptations of an encoder share: full or low-rank tuning, and the optimizer."""

from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import optax

from ganrec_jax.training.update import gradient_update, slowable


@flax.struct.dataclass
class TuneState:
  """What is trained, the state of its optimizer, and what is not trained.

  Attributes:
    params: all parameters of the encoder, or its low-rank adapters.
    opt_state: of the optimizer.
    base: the encoder's frozen parameters under low-rank tuning, None under full tuning.
  """
  params: dict
  opt_state: optax.OptState
  base: Any

  def whole(self):
    """The encoder's parameters."""
    return whole(self.params, self.base)


def adapters(key, params, rank):
  """Fresh low-rank adapters of the query and value kernels of all blocks (LoRA; Hu et al. 2021, section 4).

  Args:
    key: a JAX key.
    params: of a BERT or GPT-2.
    rank: r, at least 1.

  Returns:
    `query` and `value`, each with `down [layers, dim, rank]`, normal, and `up [layers, rank, dim]`, zeros.
  """
  layers, dim, _ = params['blocks']['attention']['qkv']['kernel'].shape
  return {name: {'down': jax.random.normal(part, (layers, dim, rank)) * dim ** -.5,
                 'up': jnp.zeros((layers, rank, dim))}
          for name, part in zip(('query', 'value'), jax.random.split(key), strict=True)}


def merge(params, low_rank):
  """Parameters whose query and value kernels are W + down up, so that nothing else has to know of the adapters."""
  query, value = (part['down'] @ part['up'] for part in (low_rank['query'], low_rank['value']))
  attention = params['blocks']['attention']
  kernel = attention['qkv']['kernel'] + jnp.concatenate([query, jnp.zeros_like(query), value], -1)
  attention = attention | {'qkv': attention['qkv'] | {'kernel': kernel}}
  return params | {'blocks': params['blocks'] | {'attention': attention}}


def whole(params, base):
  """The encoder's parameters: `params` themselves where `base` is None, else `base` with the adapters `params`."""
  return params if base is None else merge(base, params)


def begin(key, params, rank, optimizer):
  """The `TuneState` of step 0; rank 0 tunes all parameters. The given ones stay."""
  params = jax.tree.map(jnp.copy, params)  # the loop gives its state's buffers away
  tuned, base = (adapters(key, params, rank), params) if rank else (params, None)
  return TuneState(tuned, jax.jit(optimizer.init)(tuned), base)


def make_step(loss, optimizer):
  """Makes the loop's step from `loss(params of the encoder, batch, axis) -> (scalar, metrics)`."""
  def step(state, batch, axis=None):
    update = gradient_update(lambda params, base, batch: loss(whole(params, base), batch, axis), optimizer)
    params, opt_state, metrics = update(state.params, state.opt_state, state.base, batch, axis=axis)
    return TuneState(params, opt_state, state.base), metrics
  return step


def better(params, first, kept, summary):
  """What an adaptation returns: the given `params` where nothing kept beat their validation value `first`.

  Returns:
    (parameters, summary): `summary` gains `first`; its `best_step` is 0 where the given ones are returned.
  """
  if summary['best'] > first:
    return kept, summary | {'first': first}
  return params, summary | {'first': first, 'best': first, 'best_step': 0}


def adam(learning_rate, steps, weight_decay):
  """AdamW with clipped gradients: a warm-up over a tenth of the steps, falling linearly to 0."""
  rate = optax.warmup_constant_schedule(0., learning_rate, max(1, steps // 10))
  fall = optax.linear_schedule(1., 0., max(1, steps))
  return slowable(optax.chain(optax.clip_by_global_norm(1.),
                              optax.adamw(lambda step: rate(step) * fall(step), weight_decay=weight_decay)))
