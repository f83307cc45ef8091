"""The fitted generator of profiles over a whole catalogue, and its draws, batch by batch."""

import functools
import itertools

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from ganrec_jax.data.ragged import Ragged, joined
from ganrec_jax.models import regression
from ganrec_jax.models.profiles import above
from ganrec_jax.profiles.likelihood import Prior, draw_latents

BATCH = 1024
# Profiles of a batch at a time: their scores stay in the processor's cache, which makes drawing several times as fast.
_ROWS = 64
# Latents of which a profile that is asked for takes the best.
ASKED = 20
# Latents by which the frequency of new items is set.
_LATENTS = 2048
# Noise variances of the kernel ridge regression that are tried for new items, leave-one-out.
_RIDGES = (.1, .3, 1., 3., 10.)


@flax.struct.dataclass
class Generator:
  """G(z): the logits of a profile's items are tanh(z inner + inner_bias) outer + outer_bias.

  Attributes:
    inner: float32 `[latent, hidden]`.
    inner_bias: float32 `[hidden]`.
    outer: float32 `[hidden, items]`; columns of cold items are predicted from texts.
    outer_bias: float32 `[items]`; -inf for items that never occur.
    warm: bool `[items]`.
    prior: `Prior` of z and of lengths.
  """
  inner: jax.Array
  inner_bias: jax.Array
  outer: jax.Array
  outer_bias: jax.Array
  warm: jax.Array
  prior: Prior

  def logits(self, z):
    """float32 `[batch, items]` for `z [batch, latent]`."""
    return jnp.tanh(z @ self.inner + self.inner_bias) @ self.outer + self.outer_bias


def make(params, prior, warm_items, num_items, kernel):
  """The `Generator` of a fitted `ProfileVae` over the warm items, extended to the cold ones by their texts.

  What the last layer holds of a cold item is the kernel ridge regression of what it holds of warm ones; the noise
  variance is the one that predicts warm items best, each from the others. What is predicted varies less than what is
  learned, so such items would be drawn too rarely; an offset makes them as frequent as warm ones are that are predicted
  from the others likewise. Without a kernel cold items never occur.

  Args:
    params: of the `ProfileVae`.
    prior: its `Prior`.
    warm_items: int `[m]`, the items of its columns.
    num_items: warm and cold items together.
    kernel: float32 `[items, items]`, a `LowRankKernel`, or None.
  """
  inner, last = (params['params'][name] for name in ('outer', 'logits'))
  warm = np.zeros(num_items, bool)
  warm[warm_items] = True
  cold = np.flatnonzero(~warm)
  outer = jnp.zeros((inner['kernel'].shape[1], num_items)).at[:, warm_items].set(last['kernel'])
  bias = jnp.full(num_items, -jnp.inf).at[warm_items].set(last['bias'])
  if kernel is not None and len(cold):
    targets = jnp.concatenate([last['kernel'].T, last['bias'][:, None]], 1)
    mean = targets.mean(0)
    fits = [regression.fit(kernel, warm_items, cold, ridge) for ridge in _RIDGES]
    left_out = [fit.leave_one_out(targets - mean) + mean for fit in fits]
    best = int(np.argmin([float(jnp.square(each - targets).sum()) for each in left_out]))
    predicted = fits[best].predict(targets - mean) + mean
    # One sample of latents for all generators, so that what is made of the same parameters is the same.
    z, _ = draw_latents(prior, jax.random.key(0), _LATENTS)
    offset = -jnp.log(_frequency(jnp.tanh(z @ inner['kernel'] + inner['bias']), targets, left_out[best]))
    outer, bias = outer.at[:, cold].set(predicted[:, :-1].T), bias.at[cold].set(predicted[:, -1] + offset)
  return Generator(inner['kernel'], inner['bias'], outer, bias, jnp.asarray(warm), prior)


@jax.jit
def _frequency(states, learned, predicted):
  """How often `predicted` items `[m, hidden + 1]` are drawn for each time that they are as they were `learned`.

  Mean over the `states [n, hidden]`; the last column is the bias.
  """
  def one(state):
    logits = (rows[:, :-1] @ state + rows[:, -1] for rows in (predicted, learned))
    return jnp.exp(jnp.subtract(*map(jax.nn.logsumexp, logits)))
  return jax.lax.map(one, states, batch_size=_ROWS).mean()


@functools.partial(jax.jit, static_argnames=('batch', 'each'))
def _profiles(generator, key, temperature, light, batch, each):
  latents, noise = jax.random.split(key)
  z, number = draw_latents(generator.prior, latents, batch * each)
  if each > 1:
    near = jax.lax.map(lambda one: jax.nn.softmax(generator.logits(one[None])[0] / temperature) @ light, z,
                       batch_size=batch)
    # Of `each` tastes the one whose items read most like what was asked for, so that tastes still differ.
    best = near.reshape(batch, each).argmax(1) + each * jnp.arange(batch)
    z, number = z[best], number[best]

  def some(part):
    z, number, key = part
    logits = generator.logits(z) / temperature
    scores = logits + jax.random.gumbel(key, logits.shape)
    # A real profile's length counts its warm items, so new ones are those that would have pushed out a warm one.
    return scores > above(jnp.where(generator.warm, scores, -jnp.inf), number)[:, None]

  parts = batch // _ROWS
  keys = jax.random.split(noise, parts)
  return jax.lax.map(some, (z.reshape(parts, _ROWS, -1), number.reshape(parts, _ROWS), keys)).reshape(batch, -1)


def stream(generator, temperature, key, number, first=0, light=None):
  """Yields profiles as `Ragged` of 1024 rows, the last of fewer; the same bits from wherever it goes on.

  Args:
    generator: `Generator`.
    temperature: of the draws; below 1 likely items become more likely.
    key: of all draws; batch b depends on it and on b alone.
    number: profiles in all.
    first: the batch to begin with.
    light: float `[items]`, what is asked for of the items (u, the likeness of their texts to some words): of
      `ASKED` latents each profile takes the one whose items have most of it. None asks for nothing.
  """
  light, each = (jnp.zeros(len(generator.warm)), 1) if light is None else (jnp.asarray(light), ASKED)
  drawn = (_profiles(generator, jax.random.fold_in(key, batch), temperature, light, BATCH, each)
           for batch in range(first, -(-number // BATCH)))
  # Each batch is under way on the device while the one before it is made use of.
  for batch, (chosen, _) in enumerate(itertools.pairwise(itertools.chain(drawn, [None])), first):
    chosen = np.asarray(chosen)[:number - batch * BATCH]
    offsets = np.concatenate([[0], np.cumsum(chosen.sum(1))]).astype(np.int64)
    values = np.nonzero(chosen)[1].astype(np.int32)
    yield Ragged(offsets, values, np.ones(len(values), np.float32))


def draw(generator, temperature, key, number, light=None):
  """All profiles of `stream`, one `Ragged`."""
  return joined(list(stream(generator, temperature, key, number, light=light)))
