"""SASRec (Kang and McAuley 2018) with cross-entropy over all items (Klenitskiy and Vasilev 2023)."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp

from experiments.peers import training

SASREC_SPACE = {
  'order': ('random', 'time'),
  'layers': (1, 2),
  'dropout': (.2, .1, .5),
}
_DIM, _LONGEST, _RATE, _STEPS = 64, 100, .003, 1500
# Places of a history that a step predicts: all of a long batch would make the softmax the whole cost.
_BATCH, _PLACES = 64, 16


class SasRec(nn.Module):
  """Causal self-attention over a history; items share their embeddings with the last layer.

  Attributes:
    items: number of warm items.
    longest: the longest history.
    layers: blocks.
    heads: attention heads.
    dim: width.
  """
  items: int
  longest: int
  layers: int
  heads: int = 2
  dim: int = _DIM

  def setup(self):
    initial = nn.initializers.normal(.02)
    self.vectors = self.param('vectors', initial, (self.items, self.dim))
    self.start = self.param('start', initial, (self.dim,))
    self.positions = self.param('positions', initial, (self.longest + 1, self.dim))
    self.norms = [[nn.LayerNorm() for _ in range(2)] for _ in range(self.layers)]
    self.attention = [[nn.Dense(self.dim) for _ in range(4)] for _ in range(self.layers)]
    self.feed = [[nn.Dense(self.dim) for _ in range(2)] for _ in range(self.layers)]
    self.norm = nn.LayerNorm()

  def __call__(self, items, rate=0., key=None):
    """The states `[batch, length + 1, dim]` of histories `[batch, length]`, padded at the end; state k knows k items.

    Args:
      items: int32 `[batch, length]`.
      rate: of dropout, a number or traced.
      key: of dropout, or None for none.
    """
    keys = iter(() if key is None else jax.random.split(key, 1 + 3 * self.layers))

    def drop(x):
      if key is None:
        return x
      return x * jax.random.bernoulli(next(keys), 1 - rate, x.shape) / (1 - rate)
    x = self.vectors[items] * self.dim ** .5
    x = jnp.concatenate([jnp.broadcast_to(self.start, (len(x), 1, self.dim)), x], 1)
    length = x.shape[1]
    x = drop(x + self.positions[:length])
    readable = jnp.tril(jnp.ones((length, length), bool))
    for norms, (query, key_, value, out), (up, down) in zip(self.norms, self.attention, self.feed, strict=True):
      # As in the original, the norm is on the query; keys and values are taken from the sum.
      heads = [layer(part).reshape(*x.shape[:2], self.heads, -1)
               for layer, part in ((query, norms[0](x)), (key_, x), (value, x))]
      logits = jnp.einsum('bqhd,bkhd->bhqk', heads[0], heads[1]) * (self.dim // self.heads) ** -.5
      weights = drop(jax.nn.softmax(jnp.where(readable, logits, -1e9)))
      read = out(jnp.einsum('bhqk,bkhd->bqhd', weights, heads[2]).reshape(x.shape))
      x = x + drop(read)
      x = x + drop(down(nn.relu(up(norms[1](x)))))
    return self.norm(x)


def shuffled(key, items, weights):
  """Histories `[batch, length]` in a random order each, what is padded still last."""
  order = jnp.argsort(jax.random.uniform(key, items.shape) + (weights <= 0), axis=1)
  return jnp.take_along_axis(items, order, 1)


def _step(static, state, data, key, number):
  model, ordered = static
  chosen, order, places, drop = jax.random.split(key, 4)
  rows = jax.random.choice(chosen, data['users'], (_BATCH,))
  items, lengths = data['items'][rows], data['lengths'][rows]
  if not ordered:
    items = shuffled(order, items, data['weights'][rows])
  places = jnp.floor(jax.random.uniform(places, (_BATCH, _PLACES)) * lengths[:, None]).astype(jnp.int32)
  # A row counts by its length, so that each interaction counts alike.
  counts = lengths / lengths.sum() / _PLACES

  def loss(params):
    states = model.apply({'params': params}, items, data['dropout'], drop)
    logits = jnp.take_along_axis(states, places[..., None], 1) @ params['vectors'].T
    losses = -jnp.take_along_axis(jax.nn.log_softmax(logits), jnp.take_along_axis(items, places, 1)[..., None], 2)
    return (losses[..., 0] * counts[:, None]).sum()
  params, moments, value = training.adam(loss, *state, _RATE)
  return (params, moments), value


@functools.partial(jax.jit, static_argnames='model')
def last_states(model, params, items, lengths):
  """The state after the whole of each history, `[users, dim]`, some users at a time."""
  def one(part):
    states = model.apply({'params': params}, part[0][None])
    return states[0, part[1]]
  return jax.lax.map(one, (items, lengths), batch_size=128)


def sasrec(problem, options, key):
  """SASRec with a full softmax at `_PLACES` random places of each history; the newest 100 entries are read.

  In random order a history gets a new one each step, as one without times always does. Early stopping on warm
  validation NDCG@20, patience 8 looks of 50 steps.
  """
  start, steps = jax.random.split(key)
  items, weights = training.padded(problem, _LONGEST)
  lengths = weights.sum(1).astype(jnp.int32)
  model = SasRec(len(problem.prepared.warm), items.shape[1], options['layers'])
  params = jax.jit(model.init)(start, items[:1])['params']
  data = {'items': items, 'weights': weights, 'lengths': lengths, 'users': training.active(problem),
          'dropout': options['dropout']}

  def assemble(state):
    return training.factors(problem, last_states(model, state[0], items, lengths), state[0]['vectors'])
  ordered = problem.prepared.ordered and options['order'] == 'time'
  found = training.train(_step, (model, ordered), (params, training.moments(params)), data, steps, assemble,
                         training.judge(problem), steps=_STEPS, chunk=50, patience=8)
  return training.score, found
