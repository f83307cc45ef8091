"""Generators of profiles from elsewhere, held against the project's own: autoregressive diffusion and Gram matching."""

import functools

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import optax

from ganrec_jax.data.ragged import Ragged, pad
from ganrec_jax.models.cease import cooccurrences, densify
from ganrec_jax.models.profiles import above
from ganrec_jax.profiles.controls import drawn
from ganrec_jax.profiles.likelihood import flat, gather
from ganrec_jax.training import loop
from ganrec_jax.training.update import gradient_update

# Steps in which a profile is drawn; a shorter one takes an item a step.
_STEPS = 32
# Profiles that Gram matching changes at once, and items that each of them exchanges in one sweep.
_ROWS, _SWAPS = 64, 16


class Remainder(nn.Module):
  """Logits `[batch, items]` of what the sets `x [batch, items]` lack, which have `total [batch]` items in the end."""
  items: int
  hidden: int = 400

  @nn.compact
  def __call__(self, x, total):
    known = x.sum(1, keepdims=True)
    state = jnp.concatenate([x / jnp.sqrt(jnp.maximum(known, 1)), jnp.log1p(known) - 3,
                             jnp.log1p(total[:, None]) - 3], 1)
    for _ in range(2):
      state = nn.tanh(nn.Dense(self.hidden)(state))
    return nn.Dense(self.items, name='logits')(state)


@flax.struct.dataclass
class State:
  """All that a step changes."""
  params: dict
  opt: tuple
  step: jax.Array


def bound(params, model, x, share, order):
  """-log p(x) of each row at most, by one draw of how much is shown (Hoogeboom et al. 2022, equation 4).

  Args:
    params, model: of a `Remainder`.
    x: the sets, 0 or 1, float32 `[batch, items]`.
    share: of each set that is shown, in [0, 1), `[batch]`.
    order: random numbers that say what is shown first, `[batch, items]`.
  """
  total = x.sum(1)
  number = jnp.floor(share * total)
  ranked = jnp.where(x > 0, order, -jnp.inf)
  shown = x * (ranked > above(ranked, number)[:, None]) * (number > 0)[:, None]
  logits = jnp.where(shown > 0, -jnp.inf, model.apply(params, shown, total))
  missing = x - shown
  log_p = jnp.where(missing > 0, jax.nn.log_softmax(logits), 0).sum(1)
  return -log_p * total / jnp.maximum(total - number, 1)


def autoregressive(members, held_out, columns, config, key, around):
  """Order-agnostic autoregressive diffusion of sets: parameters of a `Remainder`, the best on held-out profiles.

  Sizes, rate, steps and patience are the autoencoder's.
  """
  first, steps, look = jax.random.split(key, 3)
  model, length = Remainder(columns, config.hidden), int(members.lengths.max())
  optimizer = optax.adam(config.vae_rate)
  params = jax.jit(model.init)(first, jnp.zeros((1, columns)), jnp.ones(1))
  popular = np.log(np.bincount(members.values, minlength=columns) + .5)
  params['params']['logits']['bias'] = jnp.asarray(popular - popular.mean(), jnp.float32)

  def objective(params, batch):
    x = densify(batch['items'], batch['there'], columns)
    kept = x * batch['kept']
    return (batch['weight'] * bound(params, model, jnp.where(kept.sum(1, keepdims=True) > 0, kept, x),
                                    batch['share'], batch['order'])).mean(), {}

  update = gradient_update(objective, optimizer)

  def step(state, batch, axis=None):
    params, opt, metrics = update(state.params, state.opt, batch, axis=axis)
    return State(params, opt, state.step + 1), metrics

  def sample(key, data):
    chosen, drop, share, order = jax.random.split(key, 4)
    rows = jax.random.randint(chosen, (config.vae_batch,), 0, len(data['offsets']) - 1)
    items, there = gather(data, rows, length)
    return {'items': items, 'there': there, 'share': jax.random.uniform(share, (config.vae_batch,)),
            'kept': jax.random.bernoulli(drop, 1 - config.dropout, (config.vae_batch, columns)),
            'order': jax.random.uniform(order, (config.vae_batch, columns)), 'weight': jnp.ones(config.vae_batch)}

  rows, there = pad(held_out, np.arange(len(held_out)), int(held_out.lengths.max()), 0)
  x, total = densify(jnp.asarray(rows), jnp.asarray(there), columns), len(held_out.values)

  @jax.jit
  def judged(params):
    def one(key):
      share, order = jax.random.split(key)
      return bound(params, model, x, jax.random.uniform(share, (len(x),)), jax.random.uniform(order, x.shape)).sum()
    return jax.lax.map(one, jax.random.split(look, 8)).mean()

  state = State(params, optimizer.init(params), jnp.int32(0))
  return loop.run(step, sample, state, flat(members), steps,
                  loop.Schedule(config.vae_steps, config.vae_chunk, config.vae_patience), around,
                  keep=lambda state: state.params, evaluate=lambda params: (-float(judged(params)) / total, {}))[0]


@functools.partial(jax.jit, static_argnames='model')
def _draw_remainder(model, params, temperature, key, total):
  def step(x, at):
    logits = model.apply(params, x, total) / temperature
    scores = jnp.where(x > 0, -jnp.inf, logits + jax.random.gumbel(jax.random.fold_in(key, at), logits.shape))
    number = jnp.ceil(total * (at + 1) / _STEPS) - x.sum(1)
    return jnp.where((number > 0)[:, None] & (scores > above(scores, number)[:, None]), 1., x), None

  return jax.lax.scan(step, jnp.zeros((len(total), model.items)), jnp.arange(_STEPS))[0] > 0


def draw_autoregressive(params, members, columns, config, temperature, number, seed):
  """`number` profiles of lengths like those of `members`, as a `Ragged`, in 32 steps each."""
  draw = functools.partial(_draw_remainder, Remainder(columns, config.hidden), params, temperature)
  return drawn(draw, members, number, seed)


@jax.jit
def _exchange(x, error):
  """Exchanges items of the sets `x [batch, items]`, those that bring the `error [items, items]` down most."""
  rows, diagonal = jnp.arange(len(x)), jnp.diagonal(error) / 2

  def swap(x, _):
    pull = x @ error
    # A quarter of the change of the squared error by leaving an item out and by taking one in; both together change
    # the matrix itself by 4 n - 2 in squares.
    out = jnp.where(x > 0, diagonal - pull, jnp.inf)
    worst = out.argmin(1)
    into = jnp.where(x > 0, jnp.inf, pull - error[worst] + diagonal)
    best = into.argmin(1)
    better = out[rows, worst] + into[rows, best] < .5 - x.sum(1)
    changed = x.at[rows, worst].set(0.).at[rows, best].set(1.)
    return jnp.where(better[:, None], changed, x), None

  return jax.lax.scan(swap, x, length=_SWAPS)[0]


def match_gram(start, members, columns, sweeps, seed):
  """Profiles whose co-occurrences come near to the real ones, by greedy exchanges, as a `Ragged` of the same lengths.

  Args:
    start: `Ragged`, the profiles to begin with.
    members: `Ragged` over the real users.
    columns: how many items there are.
    sweeps: how often each profile is gone over.
    seed: of the order.
  """
  due = cooccurrences(members, columns, np.ones(len(members), np.float32)) * (len(start) / len(members))
  x = np.zeros((len(start), columns), bool)
  x[np.repeat(np.arange(len(start)), start.lengths), start.values] = True
  error = cooccurrences(start, columns, np.ones(len(start), np.float32)) - due
  rng = np.random.default_rng(seed)
  for _ in range(sweeps):
    order = rng.permutation(len(start))
    for at in range(0, len(order) - len(order) % _ROWS, _ROWS):
      rows = order[at:at + _ROWS]
      before = jnp.asarray(x[rows], jnp.float32)
      after = _exchange(before, error)
      error += after.T @ after - before.T @ before
      x[rows] = np.asarray(after) > 0
  values = np.nonzero(x)[1].astype(np.int32)
  return Ragged(np.concatenate([[0], np.cumsum(x.sum(1))]).astype(np.int64), values, np.ones(len(values), np.float32))
