"""Autoencoders of item vectors: conditional (Sohn et al. 2015), and adversarial (Makhzani et al. 2016)."""

import flax.struct
import jax
import jax.numpy as jnp
import optax

from experiments.court import case as court
from experiments.peers.cold import Mlp
from ganrec_jax.adversarial.losses import LOSSES
from ganrec_jax.training.update import gradient_update

LATENT, _HIDDEN, _BATCH, _RATE, _STEPS = 16, (128,), 256, 1e-3, 800
# lambda of L = L_D + lambda L_G.
_LAMBDA = .5


@flax.struct.dataclass
class State:
  """All that a step changes: encoder and decoder, and the judge of codes."""
  coder: dict
  judge: dict
  coder_opt: tuple
  judge_opt: tuple


def networks(width):
  """Encoder of [vector, text], decoder of [code, text] to vectors of `width`, and the judge of codes."""
  return Mlp(_HIDDEN, 2 * LATENT), Mlp(_HIDDEN, width), Mlp((64,), 1)


def init(vectors, texts, key):
  """The first `State`, for item vectors `[items, dim]` and their texts `[items, e]`."""
  encoder, decoder, judge = networks(vectors.shape[1])
  keys, code = jax.random.split(key, 3), jnp.zeros((1, LATENT))
  coder = {'encoder': encoder.init(keys[0], jnp.concatenate([vectors[:1], texts[:1]], 1)),
           'decoder': decoder.init(keys[1], jnp.concatenate([code, texts[:1]], 1)), 'log_scale': jnp.zeros(())}
  first = judge.init(keys[2], code)
  return State(coder, first, optax.adam(_RATE).init(coder), optax.adam(_RATE).init(first))


def divergence(mean, log_variance):
  """KL(N(mean, exp(log_variance)) || N(0, I)) of each row, for `[batch, latent]`."""
  return .5 * (mean ** 2 + jnp.exp(log_variance) - 1 - log_variance).sum(1)


def make_step(width, adversarial):
  """Makes `step(state, batch, axis=None) -> (state, metrics)`: a step of the judge, then one of the autoencoder.

  Both descend -log p(v | z, text), Gaussian with a learned scale. The conditional autoencoder adds the divergence of
  q(z | v, text) from N(0, I); the adversarial one has the means as codes, which a judge shall not tell from N(0, I).
  """
  encoder, decoder, judge = networks(width)
  loss = LOSSES['cross_entropy']

  def encoded(coder, batch):
    return jnp.split(encoder.apply(coder['encoder'], jnp.concatenate([batch['x'], batch['text']], 1)), 2, axis=1)

  def against(params, coder, batch):
    code = jax.lax.stop_gradient(encoded(coder, batch)[0])
    return loss.d_loss(*(judge.apply(params, z)[:, 0] for z in (batch['normal'], code)), batch['weight']), {}

  def objective(coder, params, batch):
    mean, log_variance = encoded(coder, batch)
    code = mean if adversarial else mean + jnp.exp(log_variance / 2) * batch['noise']
    made = decoder.apply(coder['decoder'], jnp.concatenate([code, batch['text']], 1))
    precision = jnp.exp(-2 * coder['log_scale'])
    error = (.5 * precision * jnp.square(made - batch['x']) + coder['log_scale']).sum(1)
    if adversarial:
      fooled = loss.g_loss(judge.apply(params, code)[:, 0], None, batch['weight'])
      return (batch['weight'] * error).mean() + _LAMBDA * fooled, {'fooled': fooled}
    return (batch['weight'] * (error + divergence(mean, log_variance))).mean(), {}

  update, update_judge = (gradient_update(one, optax.adam(_RATE)) for one in (objective, against))

  def step(state, batch, axis=None):
    params, judge_opt = state.judge, state.judge_opt
    if adversarial:
      params, judge_opt, _ = update_judge(params, judge_opt, state.coder, batch, axis=axis)
    coder, coder_opt, metrics = update(state.coder, state.coder_opt, params, batch, axis=axis)
    return State(coder, params, coder_opt, judge_opt), metrics

  return step


def sample(key, data):
  """A batch of items with the noise of their codes."""
  keys = jax.random.split(key, 3)
  rows = jax.random.randint(keys[0], (_BATCH,), 0, len(data['x']))
  noise, normal = (jax.random.normal(one, (_BATCH, LATENT)) for one in keys[1:])
  return {'x': data['x'][rows], 'text': data['text'][rows], 'noise': noise, 'normal': normal,
          'weight': jnp.ones(_BATCH)}


def fit(case, seed, adversarial):
  """Pairs drawn by the vectors that the decoder makes of z from N(0, I) and an item's text."""
  name = 'adversarial autoencoder' if adversarial else 'conditional autoencoder'
  keys = jax.random.split(court.key_of(name, seed), 4)
  vectors, texts = jnp.asarray(case.factors), jnp.asarray(case.data.item_texts)
  shift, scale = vectors.mean(0), vectors.std()
  texts = texts * texts.shape[1] ** .5
  data = {'x': (vectors - shift) / scale, 'text': texts[case.warm]}
  state = init(data['x'], data['text'], keys[0])
  found, report = court.trained(case, name, make_step(vectors.shape[1], adversarial), sample, state, data, keys[1],
                                _STEPS, keep=lambda state: state.coder)
  if found is None:
    return court.nothing(case, 'interactions', report)
  decoder, z = networks(vectors.shape[1])[1], jax.random.normal(keys[2], (court.SAMPLES, len(texts), LATENT))
  made = jnp.stack([decoder.apply(found['decoder'], jnp.concatenate([one, texts], 1)) for one in z])
  return court.of_pairs(case, court.drawn(case, shift + scale * made, keys[3]), name, report)
