"""Adaptation of an encoder to the task: items that share a listener get near vectors, by InfoNCE."""

import jax
import jax.numpy as jnp
import numpy as np
import optax

from ganrec_jax.data.ragged import pad
from ganrec_jax.encoding import tuning
from ganrec_jax.encoding.pretrain import padded_tokens
from ganrec_jax.encoding.vectors import embed
from ganrec_jax.errors import DataError
from ganrec_jax.training import loop


def false_negatives(left, right, histories):
  """Which items on the right are no negatives of which pair: those that the pair's listener has heard too.

  Args:
    left: int `[batch]`, the first item of each pair.
    right: int `[batch]`, the second one, a positive of its own pair only.
    histories: int `[batch, length]`, items of the listener of each pair, -1 where padded.

  Returns:
    bool `[batch, batch]`, true at (p, q) where right q must not count against pair p; false on the diagonal.
  """
  known = (right[None, :, None] == histories[:, None, :]).any(-1)
  known |= (right[None, :] == left[:, None]) | (right[None, :] == right[:, None])
  return known & ~jnp.eye(len(left), dtype=bool)


def info_nce(left, right, hidden, row, temperature):
  """InfoNCE (van den Oord et al. 2018): -log softmax_q(cos(left_p, right_q) / temperature) at q = p, q not hidden.

  Args:
    left: `[rows, dim]`, part of a batch.
    right: `[batch, dim]`, of the whole batch.
    hidden: bool `[rows, batch]`, see `false_negatives`.
    row: int `[rows]`, the place of each row in the batch.
    temperature: positive.

  Returns:
    (losses `[rows]`, whether the positive is the nearest `[rows]`).
  """
  left, right = (x / jnp.maximum(jnp.linalg.norm(x, axis=-1, keepdims=True), 1e-6) for x in (left, right))
  logits = jnp.where(hidden, -jnp.inf, left @ right.T / temperature)
  return optax.softmax_cross_entropy_with_integer_labels(logits, row), logits.argmax(-1) == row


def contrastive_loss(params, batch, config, *, temperature, axis=None, **reading):
  """InfoNCE with the negatives of the global batch, gathered over the mapped axis; returns (loss, {'accuracy'}).

  Each device's loss depends on the right-hand texts of all devices; the transpose of the gathering sums what they
  send back, so that the mean of the gradients over the devices is that of the global loss.

  Args:
    params: of the encoder.
    batch: `left`, `right` int `[rows, length]` token ids, -1 where padded; `hidden` bool `[rows, batch]`;
      `row` int `[rows]`; `weight [rows]`.
    config: the encoder's shape.
    temperature: divides the cosines.
    axis: the mapped axis, or None on one device.
    **reading: options of `vectors.embed`.
  """
  ids = jnp.concatenate([batch['left'], batch['right']])
  left, right = jnp.split(embed(params, config, ids, **reading), 2)
  if axis is not None:
    # Rows that `devices.share` added lie at the end; they are no negatives.
    right = jax.lax.all_gather(right, axis, tiled=True)[:batch['hidden'].shape[1]]
  losses, nearest = info_nce(left, right, batch['hidden'], batch['row'], temperature)
  return (losses * batch['weight']).mean(), {'accuracy': (nearest * batch['weight']).mean()}


def draw_pairs(key, data, batch):
  """A global batch of pairs: a listener drawn by the length of his history, and two different items of it.

  Args:
    key: a JAX key.
    data: `ids` int `[items, tokens]`; `histories` int `[users, length]`, -1 where padded, each with two items or
      more at its front; `counts` int `[users]`; `cumulative` float32 `[users]`, the running sum of counts in shares.
    batch: how many pairs.
  """
  user_key, first_key, second_key = jax.random.split(key, 3)
  users = jnp.searchsorted(data['cumulative'], jax.random.uniform(user_key, (batch,)), side='right')
  users = jnp.minimum(users, len(data['counts']) - 1)
  counts, histories = data['counts'][users], data['histories'][users]
  first = jax.random.randint(first_key, (batch,), 0, counts)
  second = (first + jax.random.randint(second_key, (batch,), 1, counts)) % counts
  left, right = histories[jnp.arange(batch), first], histories[jnp.arange(batch), second]
  return pair_batch(data['ids'], left, right, histories)


def pair_batch(ids, left, right, histories):
  """The batch of the pairs of items `left [batch]`, `right [batch]` of listeners with `histories [batch, length]`."""
  return {'left': ids[left], 'right': ids[right], 'hidden': false_negatives(left, right, histories),
          'row': jnp.arange(len(left)), 'weight': jnp.ones(len(left))}


def _tables(histories, keep, length, rng):
  """At most `length` items of `keep` (bool `[items]`) of each user with two or more of them, -1 where padded."""
  rows = []
  for user in range(len(histories)):
    items = histories.row(user)
    items = items[keep[items]]
    if len(items) >= 2:
      rows.append(rng.permutation(items)[:length])
  table = np.full((len(rows), length), -1, np.int32)
  for row, items in enumerate(rows):
    table[row, :len(items)] = items
  return table, np.array([len(items) for items in rows], np.int32)


def _held_out_pairs(histories, held, length, count, rng):
  """Pairs (held-out item, another item) of one listener each, with the listener's history, at most `count`."""
  rows, items = np.repeat(np.arange(len(histories)), histories.lengths), histories.values
  place = np.flatnonzero(held[items] & (histories.lengths[rows] >= 2))
  place = rng.permutation(place)[:count]
  other = histories.offsets[rows[place]] + (place - histories.offsets[rows[place]] + 1 + rng.integers(
      0, histories.lengths[rows[place]] - 1)) % histories.lengths[rows[place]]
  table, weights = pad(histories, rows[place], length, -1)
  return items[place], items[other], np.where(weights > 0, table, -1)


def contrastive(params, config, token_ids, histories, key, around, schedule, *, learning_rate=5e-5, rank=0,
                temperature=.1, batch=64, weight_decay=.01, held_out=.1, history=64, valid_pairs=1024, pooling='mean',
                dtype=jnp.float32, remat=False, max_length=64):
  """Fine-tunes an encoder so that items with common listeners get near vectors; 'frozen' is not to call it.

  A share of the items is held out of all training pairs. Validation is minus the loss of pairs of a held-out item and
  another item of one of its listeners, among the pairs of the batch: it says whether the texts of unseen items gain.

  Args:
    params: of the encoder, not changed.
    config: its shape.
    token_ids: a list of int arrays `[length]`, one an item.
    histories: a `Ragged` of items a user, of training interactions only.
    key: of all randomness.
    around: a `loop.Surroundings`.
    schedule: a `loop.Schedule`; with patience 0 the best parameters are still the ones returned, maybe the given.
    learning_rate: the peak of Adam's rate, see `tuning.adam`.
    rank: of the adapters, see `tuning.adapters`; 0 tunes all parameters.
    temperature: divides the cosines.
    batch: pairs a step.
    weight_decay: of AdamW.
    held_out: the share of items held out.
    history: the most items of a user that are kept; longer histories are sampled.
    valid_pairs: the most pairs of the validation.
    pooling: 'mean', 'cls' or 'last'.
    dtype: of the encoder's computation.
    remat: whether its blocks are computed again in the backward pass.
    max_length: tokens of a text beyond it are cut.

  Returns:
    (parameters, summary): `summary` is that of `loop.run` and `first`, the validation value before the first step.

  Raises:
    DataError: where no listener has two items left, no validation pair can be made, or an item lies outside.
  """
  if len(histories.values) and histories.values.max() >= len(token_ids):
    raise DataError(f'histories: item {histories.values.max()}, allowed are 0 to {len(token_ids) - 1}')
  seed_key, train_key = jax.random.split(key)
  rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence(np.asarray(jax.random.key_data(seed_key)).tolist())))
  ids = padded_tokens([row[:max_length] for row in token_ids], config, -1)
  heard = np.unique(histories.values)
  held = np.zeros(len(ids), bool)
  held[rng.permutation(heard)[:max(1, round(held_out * len(heard)))]] = True
  table, counts = _tables(histories, ~held, history, rng)
  valid = _held_out_pairs(histories, held, history, valid_pairs, rng)
  if not len(table) or not len(valid[0]):
    raise DataError(f'histories: {len(table)} listeners with two items for training and {len(valid[0])} pairs for '
                    'validation; at least one of each is due')
  data = {'ids': ids, 'histories': table, 'counts': counts,
          'cumulative': (np.cumsum(counts) / counts.sum()).astype(np.float32)}
  optimizer = tuning.adam(learning_rate, schedule.steps, weight_decay)

  def loss(params, batch, axis):
    return contrastive_loss(params, batch, config, temperature=temperature, axis=axis, pooling=pooling, dtype=dtype,
                            remat=remat, rows=around.micro_batch)

  evaluate = _validation(config, ids, valid, batch, temperature, pooling=pooling, dtype=dtype)
  first, _ = evaluate(params)
  kept, summary = loop.run(tuning.make_step(loss, optimizer), lambda key, data: draw_pairs(key, data, batch),
                           tuning.begin(jax.random.fold_in(seed_key, 1), params, rank, optimizer), data, train_key,
                           schedule, around, keep=tuning.TuneState.whole, evaluate=evaluate)
  return tuning.better(params, first, kept, summary)


def _validation(config, ids, pairs, batch, temperature, **reading):
  """Makes `evaluate(params)` over fixed pairs (left, right, histories), in whole batches."""
  @jax.jit
  def judge(params, left, right, histories):
    return contrastive_loss(params, pair_batch(jnp.asarray(ids), left, right, histories), config,
                            temperature=temperature, **reading)

  size = min(batch, len(pairs[0]))
  starts = range(0, len(pairs[0]) - size + 1, size)

  def evaluate(params):
    values = np.mean([[loss, metrics['accuracy']] for loss, metrics in (
        judge(params, *(column[start:start + size] for column in pairs)) for start in starts)], 0)
    return -float(values[0]), {'valid_accuracy': float(values[1])}

  return evaluate
