"""The generator's decoder against a critic of whole profiles: G(z) draws a history, D reads it."""

from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import optax

from ganrec_jax.adversarial.losses import LOSSES, PENALTIES
from ganrec_jax.models.cease import densify
from ganrec_jax.models.profiles import ProfileCritic, ProfileVae, draw_profiles, draw_relaxed, score_function
from ganrec_jax.profiles import health
from ganrec_jax.profiles.likelihood import draw_latents, flat, gather
from ganrec_jax.training import loop
from ganrec_jax.training.update import gradient_update, slowable

_DECODER = ('outer', 'logits')
# Who reads profiles unless another is given.
CRITIC = ProfileCritic()
# Draws of the score function for each z, the others of which are the baseline of one.
_DRAWS = 4


@flax.struct.dataclass
class GameState:
  """All that a step changes."""
  decoder: Any
  critic: Any
  decoder_opt: Any
  critic_opt: Any
  step: jax.Array


def parted(params):
  """The decoder's and the encoder's part of the parameters of a `ProfileVae`."""
  params = params['params']
  return ({name: params[name] for name in _DECODER}, {name: params[name] for name in params if name not in _DECODER})


def joined(decoder, encoder):
  """The parameters of a `ProfileVae` from both parts."""
  return {'params': decoder | encoder}


def _optimizers(config):
  return slowable(optax.adam(config.g_rate, .5, .9)), slowable(optax.adam(config.d_rate, 0., .9))


def init_state(decoder, vectors, config, key, critic=CRITIC):
  """The first state: a fitted decoder, and a critic that knows nothing."""
  first = jax.jit(critic.init)(key, jnp.zeros((1, len(vectors))), vectors)
  g_optimizer, d_optimizer = _optimizers(config)
  return GameState(decoder, first, g_optimizer.init(decoder), d_optimizer.init(first), jnp.int32(0))


def _spread(x, weight, batch, axis):
  """How many items profiles `[rows, items]` of a global batch hold together, and the mean cosine of two of them."""
  held = (x > .5).any(0)
  mean = (weight[:, None] * x / jnp.maximum(jnp.linalg.norm(x, axis=1, keepdims=True), 1e-12)).mean(0)
  if axis is not None:
    held, mean = jax.lax.pmax(held, axis), jax.lax.pmean(mean, axis)
  return held.sum() * 1., (batch * jnp.square(mean).sum() - 1) / max(batch - 1, 1)


def make_step(config, columns, encoder, vectors, critic=CRITIC):
  """Makes `step(state, batch, axis=None) -> (state, metrics)`: an update of the critic, then one of the decoder.

  The decoder descends (1 - s) NLL + s l L_G, where l = |grad NLL| / |grad L_G| on its last layer makes s the
  adversary's share of the gradient whatever the critic's scale is; NLL is of real profiles at z from q(z | x).

  Args:
    config: `ProfileConfig`.
    columns: how many items there are.
    encoder: the frozen part of the `ProfileVae`.
    vectors: collaborative item vectors float32 `[columns, dim]`, rows of length 1.
    critic: a module of profiles `[batch, columns]` and the vectors.
  """
  model = ProfileVae(columns, config.latent, config.hidden)
  loss, penalty, share = LOSSES[config.loss], PENALTIES[config.penalty], config.adversarial_share
  draw = draw_relaxed if config.estimator == 'gumbel_softmax' else draw_profiles
  g_optimizer, d_optimizer = _optimizers(config)

  def decoded(decoder, part):
    return model.apply(joined(decoder, encoder), part['z'], method='decode')

  def fakes(decoder, part):
    return draw(decoded(decoder, part), part['gumbel'], part['number'], config.temperature) * part['fake_keep']

  def reals(part):
    return densify(part['items'], part['there'] * part['real_keep'], columns)

  def judge(params):
    return lambda x: critic.apply(params, x, vectors)

  def d_objective(params, real, fake, part, weight):
    score = judge(params)
    real_logits, fake_logits = score(real), score(fake)
    value = loss.d_loss(real_logits, fake_logits, weight)
    slopes = penalty(score, score, real, fake, part['mix'], weight) if config.penalty_weight else jnp.float32(0)
    right = ((real_logits > 0) * 1. + (fake_logits <= 0)) / 2
    return value + config.penalty_weight * slopes, {'adversarial': value, 'penalty': slopes,
                                                    'accuracy': (weight * right).mean(),
                                                    'margin': (weight * (real_logits - fake_logits)).mean()}

  def likelihood(decoder, part, weight):
    mean, log_variance = model.apply(joined(decoder, encoder), part['items'], part['there'], method='encode_listed')
    logits = model.apply(joined(decoder, encoder), mean + jnp.exp(log_variance / 2) * part['noise'], method='decode')
    x = densify(part['items'], part['there'], columns)
    return -(weight * (x * jax.nn.log_softmax(logits)).sum(1)).mean()

  def adversarial(decoder, critic_params, part, weight):
    score = judge(critic_params)
    if config.estimator != 'score_function':
      return loss.g_loss(score(fakes(decoder, part)), score(reals(part)), weight)
    real = score(reals(part))
    each = jax.vmap(lambda fake, real: loss.g_loss(fake, real, 1.))
    noise = jnp.concatenate([part['gumbel'][:, None], part['others']], 1)
    values = score_function(decoded(decoder, part), noise, part['number'], config.temperature,
                            lambda x: each(score(x * part['fake_keep']), real))
    return (weight * values).mean()

  update_d = gradient_update(d_objective, d_optimizer)

  def update_g(state, critic_params, part, weight, axis):
    (nll, pull), (against, push) = (jax.value_and_grad(one)(state.decoder, *args, part, weight)
                                    for one, args in ((likelihood, ()), (adversarial, (critic_params,))))
    if axis is not None:
      nll, pull, against, push = jax.lax.pmean((nll, pull, against, push), axis)
    ratio = optax.tree.norm(pull['logits']) / jnp.maximum(optax.tree.norm(push['logits']), 1e-12)
    grads = jax.tree.map(lambda a, b: (1 - share) * a + share * ratio * b, pull, push)

    def moved():
      updates, opt = g_optimizer.update(grads, state.decoder_opt)
      return optax.apply_updates(state.decoder, updates), opt
    # A critic that has seen nothing yet would lead the decoder anywhere.
    decoder, opt = jax.lax.cond(state.step >= config.warm_up, moved, lambda: (state.decoder, state.decoder_opt))
    metrics = {'nll': nll, 'adversarial': against, 'ratio': ratio, 'grad_norm': optax.tree.norm(grads)}
    return decoder, opt, metrics

  def step(state, batch, axis=None):
    weight, parts = batch['weight'], {name: leaf for name, leaf in batch.items() if name != 'weight'}
    first, second = ({name: leaf[:, draw] for name, leaf in parts.items()} for draw in range(2))
    real, fake = reals(first), jax.lax.stop_gradient(fakes(state.decoder, first))
    critic_params, critic_opt, d_metrics = update_d(state.critic, state.critic_opt, real, fake, first, weight,
                                                    axis=axis)
    decoder, decoder_opt, g_metrics = update_g(state, critic_params, second, weight, axis)
    metrics = {f'd_{name}': value for name, value in d_metrics.items()}
    metrics |= {f'g_{name}': value for name, value in g_metrics.items()} | {'loss': g_metrics['nll']}
    for name, rows in (('real', real), ('fake', fake)):
      metrics[f'items_{name}'], metrics[f'alike_{name}'] = _spread(rows, weight, config.batch, axis)
    return GameState(decoder, critic_params, decoder_opt, critic_opt, state.step + 1), metrics

  return step


def make_sample(config, columns, length, prior):
  """Makes `sample(key, data) -> batch` with two draws a row, the critic's and the decoder's.

  Args:
    config: `ProfileConfig`.
    columns: how many items there are.
    length: of the longest real profile.
    prior: `Prior`.
  """
  draws = (config.batch, 2)

  def keep(key, width):
    # In 256ths: random bits are a good part of what a step costs.
    rate, kept = jax.random.split(key)
    rates = 256 * jax.random.uniform(rate, (*draws, 1), maxval=config.thinning)
    return jax.random.bits(kept, (*draws, width), jnp.uint8) >= rates.astype(jnp.uint8)

  def sample(key, data):
    keys = jax.random.split(key, 7)
    items, there = gather(data, jax.random.randint(keys[0], (2 * config.batch,), 0, len(data['offsets']) - 1), length)
    z, number = draw_latents(prior, keys[1], 2 * config.batch)
    batch = {
      'items': items.reshape(*draws, length), 'there': there.reshape(*draws, length), 'z': z.reshape(*draws, -1),
      'number': number.reshape(draws), 'gumbel': jax.random.gumbel(keys[2], (*draws, columns)),
      'real_keep': keep(keys[3], length), 'fake_keep': keep(keys[4], columns),
      'mix': jax.random.uniform(keys[5], draws), 'noise': jax.random.normal(keys[6], (*draws, config.latent)),
      'weight': jnp.ones(config.batch)}
    if config.estimator == 'score_function':
      batch['others'] = jax.random.gumbel(jax.random.fold_in(keys[2], 1), (*draws, _DRAWS - 1, columns))
    return batch
  return sample


def train(params, prior, profiles, vectors, config, key, around, critic=CRITIC):
  """Trains the decoder on against a critic, or by its likelihood alone where the adversary's share is 0.

  Args:
    params: of a `ProfileVae`, fitted.
    prior: its `Prior`.
    profiles: `Ragged` over users; values are columns, no row is empty.
    vectors: collaborative item vectors float32 `[columns, dim]`.
    config: `ProfileConfig`.
    key: of all randomness.
    around: `loop.Surroundings`.
    critic: a module of profiles `[batch, columns]` and the vectors.

  Returns:
    (parameters of the `ProfileVae`, summary of `loop.run`).

  Raises:
    Diverged: where a number is not finite, a player is lost, or the profiles have collapsed, see `health.watch`.
  """
  first, steps = jax.random.split(key)
  columns, (decoder, encoder) = len(vectors), parted(params)
  vectors = vectors / jnp.maximum(jnp.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
  state = init_state(decoder, vectors, config, first, critic)
  length = int(profiles.lengths.max())
  kept, summary = loop.run(
    make_step(config, columns, encoder, vectors, critic), make_sample(config, columns, length, prior), state,
    flat(profiles), steps, loop.Schedule(config.steps, config.chunk), around,
    keep=lambda state: state.decoder, watch=health.watch(columns, float(profiles.lengths.mean())))
  return joined(kept, encoder), summary
