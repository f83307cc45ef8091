"""Virtual adversarial training (Miyato et al. 2018) of a network that corrects what texts predict of item factors."""

import jax
import jax.numpy as jnp
import optax

from experiments.court import case as court
from experiments.peers.cold import Mlp

_HIDDEN, _BATCH, _STEPS, _RATE = (256, 128), 256, 600, 1e-3
# Norm of a text's change relative to the text's own, of the probe that finds its direction, and its weight.
_SIZE, _PROBE, _WEIGHT = .3, .03, 1.
KINDS = ('none', 'random', 'adversarial')


def unit(rows):
  """Rows `[batch, dim]` of length 1."""
  return rows / jnp.maximum(jnp.linalg.norm(rows, axis=1, keepdims=True), 1e-12)


def divergence(apply, texts, change):
  """|f(t + r) - f(t)|^2 `[batch]`, the divergence of Gaussians; f(t) is held fast."""
  return jnp.square(apply(texts + change) - jax.lax.stop_gradient(apply(texts))).sum(1)


def direction(apply, texts, noise):
  """The direction `[batch, dim]` in which f changes most, by one power iteration from `noise` (equation 11).

  The slope of the divergence at a small probe points along the top eigenvector of its Hessian.
  """
  scale = jnp.linalg.norm(texts, axis=1, keepdims=True)
  slope = jax.grad(lambda probe: divergence(apply, texts, probe).sum())(_PROBE * scale * unit(noise))
  return unit(jax.lax.stop_gradient(slope))


def make_step(width, kind):
  """Makes `step(state, batch, axis=None) -> (state, metrics)` with changes of the texts of one of `KINDS`."""
  model = Mlp(_HIDDEN, width)

  def objective(params, batch):
    def apply(texts):
      return model.apply(params, texts)
    error = jnp.square(apply(batch['text']) - batch['x']).sum(1)
    value = (batch['weight'] * error).mean()
    if kind != 'none':
      texts = batch['any_text']
      way = direction(apply, texts, batch['noise']) if kind == 'adversarial' else unit(batch['noise'])
      change = _SIZE * jnp.linalg.norm(texts, axis=1, keepdims=True) * way
      value += _WEIGHT * (batch['weight'] * divergence(apply, texts, change)).mean()
    return value, {}

  return court.stepping(objective, _RATE)


def sample(key, data):
  """A batch of warm items with their targets, and one of any items' texts, whose changes need no target."""
  chosen, others, noise = jax.random.split(key, 3)
  rows = jax.random.randint(chosen, (_BATCH,), 0, len(data['x']))
  anything = data['texts'][jax.random.randint(others, (_BATCH,), 0, len(data['texts']))]
  return {'x': data['x'][rows], 'text': data['texts'][data['warm'][rows]], 'any_text': anything,
          'noise': jax.random.normal(noise, anything.shape), 'weight': jnp.ones(_BATCH)}


def learned(case):
  """What networks learn to correct: standardised leave-one-out errors of the text prior, and all texts.

  Returns:
    (dict of `x [m, dim]`, `texts [items, e]` with entries near 1, `warm [m]`; the errors' scale).
  """
  left = jnp.asarray(case.factors) - case.prior[case.warm]
  scale = jnp.sqrt(jnp.square(left).mean())
  texts = jnp.asarray(case.data.item_texts)
  return {'x': left / scale, 'texts': texts * texts.shape[1] ** .5, 'warm': jnp.asarray(case.warm)}, scale


def corrected(case, correction, report):
  """The offer of cold items' vectors: what texts predict plus a `correction [items, dim]`."""
  items = case.base.factors.items
  return court.of_vectors(case, jnp.where(case.data.cold[:, None], case.prior + correction, items), report)


def fit(case, seed, kind):
  """Item vectors: what texts predict plus the network's correction."""
  keys, (data, scale) = jax.random.split(court.key_of(f'virtual, {kind}', seed)), learned(case)
  model = Mlp(_HIDDEN, data['x'].shape[1])
  params = model.init(keys[0], data['texts'][:1])
  state = court.Player(params, optax.adam(_RATE).init(params))
  found, report = court.trained(case, f'virtual, {kind}', make_step(data['x'].shape[1], kind), sample, state, data,
                                keys[1], _STEPS, keep=lambda state: state.params)
  if found is None:
    return court.nothing(case, 'vectors', report)
  return corrected(case, scale * model.apply(found, data['texts']), report)
