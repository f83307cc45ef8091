"""The generator before any critic: a variational autoencoder of profiles, and a mixture over its latents."""

from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import optax

from ganrec_jax.data.ragged import pad
from ganrec_jax.models import mixture
from ganrec_jax.models.cease import densify
from ganrec_jax.models.profiles import ProfileVae, TextVae, negative_elbo, plain, unit_rows
from ganrec_jax.training import loop
from ganrec_jax.training.update import gradient_update, slowable

# The smallest standard deviation of a latent's principal direction that is told from zero.
_FLOOR = 1e-3
_KNOTS = 256
_ROWS = 512


@flax.struct.dataclass
class Prior:
  """Where the latents and lengths of profiles come from.

  Attributes:
    mixture: `Mixture` over whitened latents and the standardised log length.
    shift: float32 `[latent]`; a latent is shift + w turn for a whitened w.
    turn: float32 `[latent, latent]`.
    knots: float32 `[256]`, quantiles of the mixture's log length.
    lengths: float32 `[256]`, the same quantiles of the real lengths.
  """
  mixture: mixture.Mixture
  shift: jax.Array
  turn: jax.Array
  knots: jax.Array
  lengths: jax.Array


@flax.struct.dataclass
class VaeState:
  """All that a step changes."""
  params: Any
  opt: Any
  step: jax.Array


def flat(profiles):
  """A `Ragged` as arrays on the device: `offsets [rows + 1]` and `values [n + 1]`, of which the last is padding."""
  return {'offsets': jnp.asarray(profiles.offsets, jnp.int32),
          'values': jnp.asarray(np.append(profiles.values, 0), jnp.int32)}


def gather(profiles, rows, length):
  """The first `length` items of the profiles `rows [batch]` of `flat`: items and whether they are there.

  Returns:
    int32 `[batch, length]`, float32 `[batch, length]`.
  """
  start, stop = profiles['offsets'][rows], profiles['offsets'][rows + 1]
  position = start[:, None] + jnp.arange(length)
  there = position < stop[:, None]
  return jnp.where(there, profiles['values'][jnp.where(there, position, 0)], 0), there.astype(jnp.float32)


def _optimizer(config):
  return slowable(optax.adam(config.vae_rate))


def make_step(config, model, rows=0):
  """Makes `step(state, batch, axis=None) -> (state, metrics)` of the autoencoder, see `gradient_update` for `rows`."""
  def objective(params, batch, beta):
    x = densify(batch['items'], batch['there'], model.items)
    seen = unit_rows(batch['items'], batch['there'] * batch['kept'], model.items)
    out = model.apply(params, seen, batch['noise'])
    return (batch['weight'] * negative_elbo(out[0], x, *out[1:], beta)).mean(), {}

  update = gradient_update(objective, _optimizer(config), rows)

  def step(state, batch, axis=None):
    beta = config.beta * jnp.minimum(1, 2 * state.step / config.vae_steps)
    params, opt, metrics = update(state.params, state.opt, batch, beta, axis=axis)
    return VaeState(params, opt, state.step + 1), metrics

  return step


def make_sample(config, length):
  """Makes `sample(key, data) -> batch` of real profiles, padded to `length`."""
  def sample(key, data):
    chosen, drop, noise = jax.random.split(key, 3)
    rows = jax.random.randint(chosen, (config.vae_batch,), 0, len(data['offsets']) - 1)
    items, there = gather(data, rows, length)
    return {'items': items, 'there': there, 'kept': jax.random.bernoulli(drop, 1 - config.dropout, items.shape),
            'noise': jax.random.normal(noise, (config.vae_batch, config.latent)),
            'weight': jnp.ones(config.vae_batch)}
  return sample


def train(profiles, held_out, columns, config, key, around, texts=None):
  """Fits the autoencoder and keeps what explains held-out profiles best.

  Args:
    profiles, held_out: `Ragged` over users; values are columns, no row is empty.
    columns: how many items there are.
    config: `ProfileConfig`.
    key: of all randomness.
    around: `loop.Surroundings`.
    texts: float32 `[columns, dim]`, text vectors by which the decoder names items beside free ones, or None.

  Returns:
    (parameters of a `ProfileVae`, summary): `best` is minus the bound, in nats an item of the held-out profiles.

  Raises:
    Diverged: where a number is not finite, or all is worse than a guess.
  """
  start, steps, look = jax.random.split(key, 3)
  length, sizes = int(profiles.lengths.max()), (columns, config.latent, config.hidden)
  model = ProfileVae(*sizes) if texts is None else TextVae(*sizes, lambda: texts)
  params = jax.jit(model.init)(start, jnp.zeros((1, columns)), jnp.zeros((1, config.latent)))
  popular = np.log(np.bincount(profiles.values, minlength=columns) + .5)
  params['params']['logits']['bias'] = jnp.asarray(popular - popular.mean(), jnp.float32)
  state = VaeState(params, _optimizer(config).init(params), jnp.int32(0))
  schedule = loop.Schedule(config.vae_steps, config.vae_chunk, config.vae_patience)
  params, summary = loop.run(
    make_step(config, model, around.micro_batch), make_sample(config, length), state, flat(profiles), steps, schedule,
    around, keep=lambda state: state.params, evaluate=_make_look(model, config, held_out, look))
  if not -summary['best'] <= 2 * np.log(columns):
    raise loop.Diverged(f'the autoencoder diverged: held-out profiles cost {-summary["best"]:.4g} nats an item at '
                        f'best, a guess among {columns} items {np.log(columns):.4g} '
                        f'(steps 0 to {summary["steps"] - 1})')
  return params if texts is None else plain(params, texts), summary


def _make_look(model, config, held_out, key):
  """Makes `look(params) -> (minus the bound, in nats an item of held-out profiles, {})`."""
  @jax.jit
  def bound(params, items, there, noise):
    x = densify(items, there, model.items)
    out = model.apply(params, unit_rows(items, there, model.items), noise)
    return negative_elbo(out[0], x, *out[1:], config.beta).sum()

  length, total = int(held_out.lengths.max()), len(held_out.values)

  def look(params):
    value = 0.
    for start in range(0, len(held_out), _ROWS):
      rows = np.arange(start, min(start + _ROWS, len(held_out)))
      noise = jax.random.normal(jax.random.fold_in(key, start), (len(rows), config.latent))
      value += float(bound(params, *pad(held_out, rows, length, 0), noise))
    return -value / total, {}

  return look


def fit_prior(params, profiles, columns, config, key):
  """Fits the mixture to one draw of q(z | x) for each profile, whitened, and its standardised log length.

  Args:
    params: of a `ProfileVae`.
    profiles: `Ragged` over users, no row empty.
    columns: how many items there are.
    config: `ProfileConfig`.
    key: of draws and first means.
  """
  model = ProfileVae(columns, config.latent, config.hidden)
  noise, first, many = jax.random.split(key, 3)

  @jax.jit
  def encode(items, there, noise):
    mean, log_variance = model.apply(params, unit_rows(items, there, columns), method='encode')
    return mean + jnp.exp(log_variance / 2) * noise

  length, z = int(profiles.lengths.max()), []
  for start in range(0, len(profiles), _ROWS):
    rows = np.arange(start, min(start + _ROWS, len(profiles)))
    z.append(encode(*pad(profiles, rows, length, 0),
                    jax.random.normal(jax.random.fold_in(noise, start), (len(rows), config.latent))))
  z = np.concatenate(z).astype(np.float64)
  shift = z.mean(0)
  # [latent, latent] is small, so it is decomposed on the host in double precision.
  variance, axes = np.linalg.eigh(np.cov(z.T, bias=True).reshape(config.latent, config.latent))
  scale = np.sqrt(np.maximum(variance, _FLOOR ** 2))
  log_length = np.log1p(profiles.lengths)
  standard = (log_length - log_length.mean()) / max(log_length.std(), _FLOOR)
  x = np.concatenate([(z - shift) @ axes / scale, standard[:, None]], 1)
  fitted = mixture.fit(jnp.asarray(x, jnp.float32), config.components, first)
  share = np.linspace(0, 1, _KNOTS)
  knots = np.quantile(np.asarray(mixture.draw(fitted, many, 2**15)[:, -1]), share)
  return Prior(fitted, jnp.asarray(shift, jnp.float32), jnp.asarray((axes * scale).T, jnp.float32),
               jnp.asarray(knots, jnp.float32), jnp.asarray(np.quantile(profiles.lengths, share), jnp.float32))


def draw_latents(prior, key, number):
  """Latents float32 `[number, latent]` and lengths float32 `[number]`, whole numbers, of profiles to be generated.

  A length has the rank among the real ones that its log length has in the mixture.
  """
  x = mixture.draw(prior.mixture, key, number)
  return prior.shift + x[:, :-1] @ prior.turn, jnp.round(jnp.interp(x[:, -1], prior.knots, prior.lengths))
