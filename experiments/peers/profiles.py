"""Generators of profiles, and critics, held against the project's own.

From elsewhere are the autoregressive diffusion, whose network reads a set as a bag of items (`Remainder`) or as tokens
(`Tokens`), and Gram matching. `PairCritic` is the project's critic that reads pairs as well.
"""

import functools

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import optax

from ganrec_jax.data.ragged import Ragged, pad
from ganrec_jax.models.blocks import Encoder
from ganrec_jax.models.cease import cooccurrences, densify
from ganrec_jax.models.profiles import above, verdict
from ganrec_jax.profiles.controls import drawn
from ganrec_jax.profiles.likelihood import flat, gather
from ganrec_jax.training import loop
from ganrec_jax.training.update import gradient_update

# The most steps in which profiles are drawn; shorter ones take an item a step.
_STEPS = 32
# Profiles that Gram matching changes at once, and items that each of them exchanges in one sweep.
_ROWS, _SWAPS = 64, 16


class Remainder(nn.Module):
  """Logits `[batch, items]` of what the sets `x [batch, items]` lack, which have `total [batch]` items in the end."""
  items: int
  hidden: int = 400

  @nn.compact
  def __call__(self, x, total):
    state = jnp.concatenate([x / jnp.sqrt(jnp.maximum(x.sum(1, keepdims=True), 1)), _sizes(x, total)], 1)
    for _ in range(2):
      state = nn.tanh(nn.Dense(self.hidden)(state))
    return nn.Dense(self.items, name='logits')(state)


class Tokens(nn.Module):
  """As `Remainder`, by a Transformer over the items of the sets as tokens, without positions.

  The first token is the sum of all items, so that sets of more than `most` lose only what attention would add.
  """
  items: int
  hidden: int = 400
  dim: int = 64
  layers: int = 2
  most: int = 64

  @nn.compact
  def __call__(self, x, total):
    there, items = jax.lax.top_k(x, min(self.most, self.items))
    vectors = nn.Embed(self.items, self.dim, name='vectors')
    first = x @ vectors.embedding / jnp.sqrt(jnp.maximum(x.sum(1, keepdims=True), 1))
    first = first + nn.Dense(self.dim)(_sizes(x, total))
    read = Encoder(self.layers, self.dim, 4, 4 * self.dim)(
      jnp.concatenate([first[:, None], vectors(items)], 1), jnp.pad(there, ((0, 0), (1, 0)), constant_values=1), 1)
    return nn.Dense(self.items, name='logits')(nn.tanh(nn.Dense(self.hidden)(read[:, 0])))


def _sizes(x, total):
  """The sizes of sets `x [batch, items]` and of what they will be, `[batch, 2]`, about 0."""
  return jnp.log1p(jnp.stack([x.sum(1), total], 1)) - 3


class PairCritic(nn.Module):
  """A `ProfileCritic` that reads pairs too: the mean product, by dimension, of the vectors of two of a profile's items.

  Sums of products of pairs are had from sums of squares (Rendle 2010, equation 3).
  """
  own: int = 64
  hidden: int = 128

  @nn.compact
  def __call__(self, x, vectors):
    own = self.param('items', nn.initializers.normal(.125), (x.shape[1], self.own))
    length = x.sum(1, keepdims=True)
    sums, squares = (jnp.concatenate([x @ vectors**power, x @ own**power], 1) for power in (1, 2))
    # Vectors of length 1 have products of 1 / dim.
    pairs = vectors.shape[1] * (sums**2 - squares) / jnp.maximum(length * (length - 1), 1)
    state = jnp.concatenate([3 * sums / jnp.sqrt(length + 1), pairs, jnp.log1p(length) - 3], 1)
    return verdict(state, self.hidden)


@flax.struct.dataclass
class State:
  """All that a step changes."""
  params: dict
  opt: tuple
  step: jax.Array


def bound(params, model, x, share, order):
  """-log p(x) of each row at most, by one draw of how much is shown (Hoogeboom et al. 2022, equation 4).

  Args:
    params, model: of a `Remainder` or of `Tokens`.
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


def autoregressive(model, members, held_out, factors, config, key, around):
  """Order-agnostic autoregressive diffusion of sets, kept where it is best on held-out profiles.

  Args:
    model: `Remainder` or `Tokens`.
    members, held_out: `Ragged` over users; values are columns, no row is empty.
    factors: collaborative item vectors `[items, dim]`, with which the vectors of `Tokens` begin.
    config: `ProfileConfig`; rate, batch, steps and patience are the autoencoder's.
    key: of all randomness.
    around: `loop.Surroundings`.

  Returns:
    (parameters, summary of `loop.run`): `best` is minus the bound, in nats an item of the held-out profiles.
  """
  first, steps, look = jax.random.split(key, 3)
  columns, length = model.items, int(members.lengths.max())
  model = _short(model, length)
  optimizer = optax.adam(config.vae_rate)
  params = jax.jit(model.init)(first, jnp.zeros((1, columns)), jnp.ones(1))
  popular = np.log(np.bincount(members.values, minlength=columns) + .5)
  params['params']['logits']['bias'] = jnp.asarray(popular - popular.mean(), jnp.float32)
  if isinstance(model, Tokens):
    params['params']['vectors']['embedding'] = factors / jnp.sqrt(jnp.square(factors).sum(1).mean())

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
                  keep=lambda state: state.params, evaluate=lambda params: (-float(judged(params)) / total, {}))


def _short(model, longest):
  """The model, with no more tokens than sets of at most `longest` items need."""
  return model.clone(most=min(model.most, longest)) if isinstance(model, Tokens) else model


@functools.partial(jax.jit, static_argnames=('model', 'steps'))
def _draw_remainder(model, steps, params, temperature, key, total):
  def step(x, at):
    logits = model.apply(params, x, total) / temperature
    scores = jnp.where(x > 0, -jnp.inf, logits + jax.random.gumbel(jax.random.fold_in(key, at), logits.shape))
    number = jnp.ceil(total * (at + 1) / steps) - x.sum(1)
    return jnp.where((number > 0)[:, None] & (scores > above(scores, number)[:, None]), 1., x), None

  return jax.lax.scan(step, jnp.zeros((len(total), model.items)), jnp.arange(steps))[0] > 0


def draw_autoregressive(model, params, members, temperature, number, seed):
  """`number` profiles of lengths like those of `members`, as a `Ragged`, in at most 32 steps each."""
  def draw(key, lengths):
    longest = 1 << (int(lengths.max()) - 1).bit_length()  # of few values, each of which is compiled once
    return _draw_remainder(_short(model, longest), min(longest, _STEPS), params, temperature, key, lengths)
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
