"""Controls at equal budget: for each user as many warm and cold items as a given expansion has, at its weight."""

import jax
import jax.numpy as jnp
import numpy as np

from ganrec_jax.adversarial.expand import batches, draw, made, without


def _drawn(budget, data, key, source, logits, *tables, batch=64):
  """Draws from softmax(`logits(users [b], seen [b, length], *tables)`), `[b, items]`, what `budget` holds a user."""
  number = np.zeros((2, len(data.histories)), np.int64)
  np.add.at(number, (data.cold[budget.item].astype(int), budget.user), 1)
  users = np.flatnonzero(number.sum(0))
  counts = {'asked': len(budget), 'exhausted': 0, 'kept': 0}
  weights = np.unique(budget.weight)
  if len(weights) > 1:
    raise ValueError(f'the budget has {len(weights)} weights; one is due')
  if not len(users):
    return made([], [], 1., source, [], counts)
  slots, cold = int(number.sum(0).max()), jnp.asarray(data.cold)

  @jax.jit
  def sampled(key, users, seen, wanted, tables):
    return draw(key, without(logits(users, seen, *tables), seen), cold, wanted)

  found = []
  for i, (part, real, seen) in enumerate(batches(data, users, min(batch, len(users)))):
    warm, chilled = number[:, part]
    wanted = np.arange(slots) >= warm[:, None]
    items, there = jax.device_get(sampled(jax.random.fold_in(key, i), part, seen, wanted, tables))
    due = np.arange(slots) < (warm + chilled)[:, None]
    rows, places = np.nonzero((there & due)[:real])
    found.append((part[rows], items[rows, places]))
  user, item = (np.concatenate(column) for column in zip(*found, strict=True))
  counts |= {'exhausted': len(budget) - len(user), 'kept': len(user)}
  return made(user, item, weights[0], source, np.full(len(user), np.nan), counts)


def random_pairs(budget, data, key):
  """Items drawn evenly.

  Args:
    budget: the `Generated` whose number of warm and cold items a user, and weight, is met.
    data: `ExpandData`.
    key: of all randomness.

  Returns:
    `Generated`; fewer rows only where a user has no candidates left (`counts['exhausted']`).
  """
  return _drawn(budget, data, key, 'random_pairs', lambda users, seen: jnp.zeros((len(users), len(data.cold))))


def popular_pairs(budget, data, key):
  """Warm items drawn by their training interactions, cold ones evenly; arguments as in `random_pairs`."""
  count = np.bincount(data.histories.values, minlength=len(data.cold))
  logits = jnp.where(data.cold, 0., jnp.log(jnp.asarray(count, jnp.float32)))
  return _drawn(budget, data, key, 'popular_pairs',
                lambda users, seen, logits: jnp.broadcast_to(logits, (len(users), len(logits))), logits)


def content_knn_pairs(budget, data, key, temperature=.1):
  """Items drawn by softmax(cosine of their text to the mean text of the history / T); as in `random_pairs`."""
  texts = jnp.asarray(data.item_texts)
  texts = texts / jnp.maximum(jnp.linalg.norm(texts, axis=1, keepdims=True), 1e-12)

  def logits(users, seen, texts):
    del users
    profile = texts.at[seen].get(mode='fill', fill_value=0).sum(1)
    profile = profile / jnp.maximum(jnp.linalg.norm(profile, axis=1, keepdims=True), 1e-12)
    with jax.default_matmul_precision('highest'):
      return profile @ texts.T / temperature

  return _drawn(budget, data, key, 'content_knn_pairs', logits, texts)


def self_labelled(budget, data, key, score_fn, params, temperature=.5):
  """Items drawn by softmax(the recommender's own scores / T), scores in standard deviations of each user's.

  Args:
    budget, data, key: as in `random_pairs`.
    score_fn: `score_fn(params, users [batch]) -> [batch, items]`, finite.
    params: the recommender's.
    temperature: T.
  """
  def logits(users, seen, params):
    del seen
    scores = score_fn(params, users)
    spread = jnp.maximum(scores.std(1, keepdims=True), 1e-12)
    return (scores - scores.mean(1, keepdims=True)) / spread / temperature

  return _drawn(budget, data, key, 'self_labelled', logits, params)
