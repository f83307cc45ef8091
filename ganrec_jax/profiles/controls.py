"""What a generator of profiles has to beat: copies, popularity alone, and walks from item to item."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from ganrec_jax.data.ragged import Ragged, take
from ganrec_jax.models.cease import cooccurrences
from ganrec_jax.models.profiles import above

_ROWS = 512


def bootstrap(members, num_items, number, seed):
  """Real profiles drawn with replacement: all that there is to learn, and nothing kept secret."""
  del num_items
  return take(members, np.random.default_rng(seed).integers(0, len(members), number))


def marginals(members, num_items, number, seed):
  """Real lengths, items by their popularity and nothing else: the floor of what gives people away."""
  counts = np.bincount(members.values, minlength=num_items)
  return drawn(functools.partial(_by_popularity, jnp.log(jnp.asarray(counts, jnp.float32))), members, number, seed)


def markov(members, num_items, number, seed):
  """Real lengths, the first item by popularity, each next one by its co-occurrences with the one before.

  Where all that ever went with an item is in the profile already, the next one is drawn by popularity.
  """
  counts = jnp.log(jnp.asarray(np.bincount(members.values, minlength=num_items), jnp.float32))
  gram = cooccurrences(members, num_items, np.ones(len(members), np.float32))
  return drawn(functools.partial(_by_walk, counts, jnp.log(gram)), members, number, seed)


def drawn(draw, members, number, seed):
  """`number` profiles by `draw(key, lengths [batch]) -> bool [batch, items]`, with lengths of real ones."""
  lengths = np.sort(np.random.default_rng(seed).choice(members.lengths, number))
  parts, key = [], jax.random.key(seed)
  for start in range(0, number, _ROWS):
    some = np.pad(lengths[start:start + _ROWS], (0, max(0, start + _ROWS - number)), mode='edge')
    parts.append(np.asarray(draw(jax.random.fold_in(key, start), jnp.asarray(some, jnp.float32)))[:number - start])
  values = np.concatenate([np.nonzero(part)[1] for part in parts]).astype(np.int32)
  offsets = np.concatenate([[0], np.cumsum(np.concatenate([part.sum(1) for part in parts]))]).astype(np.int64)
  return Ragged(offsets, values, np.ones(len(values), np.float32))


@jax.jit
def _by_popularity(logits, key, lengths):
  scores = logits + jax.random.gumbel(key, (len(lengths), len(logits)))
  return scores > above(scores, lengths)[:, None]


@jax.jit
def _by_walk(popular, rows, key, lengths):
  rank = jnp.arange(len(lengths))

  def step(state):
    number, chosen, last = state
    free = jnp.where(chosen, -jnp.inf, rows[last])
    stuck = ~(free > -jnp.inf).any(1, keepdims=True) | (number == 0)
    logits = jnp.where(stuck, jnp.where(chosen, -jnp.inf, popular), free)
    item = jax.random.categorical(jax.random.fold_in(key, number), logits)
    there = (number < lengths) & (logits > -jnp.inf).any(1)
    return number + 1, chosen.at[rank, item].set(chosen[rank, item] | there), jnp.where(there, item, last)

  first = 0, jnp.zeros((len(lengths), len(popular)), bool), jnp.zeros(len(lengths), jnp.int32)
  return jax.lax.while_loop(lambda state: state[0] < lengths.max(), step, first)[1]
