"""Training of the neural recommenders: softmax losses over warm items, on the device, with early stopping."""

import jax
import jax.numpy as jnp
import numpy as np
import optax

from ganrec_jax.data.ragged import Ragged, group, merge, pad
from ganrec_jax.errors import DataError
from ganrec_jax.models import recommenders
from ganrec_jax.models.recommenders import Recommender
from ganrec_jax.training import loop
from ganrec_jax.training.update import gradient_update

# The most logits of a full softmax that are held at a time; 128 MiB.
_LOGITS = 2**25


def newest(histories: Ragged, length, ordered):
  """The last `length` entries of each row, without those of weight 0; without an order, the heaviest ones."""
  rows = np.repeat(np.arange(len(histories)), histories.lengths)
  there = histories.weights > 0
  rows, values, weights = rows[there], histories.values[there], histories.weights[there]
  kept = group(rows, values, len(histories), weights, order=None if ordered else weights)
  left = np.repeat(kept.offsets[1:], kept.lengths) - np.arange(len(kept.values))
  last = left <= length
  return group(rows[last], kept.values[last], len(histories), kept.weights[last])


def inclusion(counts, negatives, power):
  """The chance of each item to be among `negatives` drawn ones, min(1, c (1 + count)^power), float32 `[items]`.

  c is such that the chances sum to min(negatives, items).
  """
  odds = (1. + np.asarray(counts, np.float64)) ** power
  chance, sure = np.ones(len(odds)), np.zeros(len(odds), bool)
  while not sure.all():
    chance[~sure] = odds[~sure] * max(negatives - sure.sum(), 0) / odds[~sure].sum()
    if not (chance > 1).any():
      break
    sure |= chance >= 1
    chance[sure] = 1.
  return chance.astype(np.float32)


def draw(key, chance, number):
  """Draws `number` different items so that item j is among them with `chance[j]`: systematic sampling in random order.

  Args:
    key: a random key.
    chance: float32 `[items]`, at most 1 each, with the sum `number` (Madow 1949).
    number: how many.

  Returns:
    int32 `[number]`.
  """
  shuffle, start = jax.random.split(key)
  order = jax.random.permutation(shuffle, len(chance))
  # A coarse start keeps start + k exact in float32.
  ticks = (jax.random.randint(start, (), 0, 64) + .5) / 64 + jnp.arange(number)
  total = jnp.cumsum(chance[order])
  return order[jnp.minimum(jnp.searchsorted(total, ticks, side='right'), len(chance) - 1)].astype(jnp.int32)


def softmax_loss(state, targets, weights, vectors, bias, candidates, log_chance, temperature):
  """Cross-entropy of a softmax over items, summed over each row's weighted targets, float32 `[batch]`.

  With `log_chance` None the candidates are all items that compete. Else they are a sample, of which item j is part
  with the chance exp(log_chance_j), and the normaliser is estimated without bias by
  sum over targets of exp(s) + sum over other candidates of exp(s_j - log_chance_j)
  (the logQ correction of Bengio and Senecal 2008 for a sample without replacement).

  Args:
    state: float32 `[batch, places, dim]`.
    targets: int `[batch, places, targets]`, different items at one place.
    weights: float32 `[batch, places, targets]`; 0 is no target.
    vectors: float32 `[items, dim]`.
    bias: float32 `[items]`.
    candidates: int `[candidates]`.
    log_chance: float32 `[candidates]` or None.
    temperature: divides the products.
  """
  own = jnp.einsum('bpd,bptd->bpt', state, vectors[targets]) / temperature + bias[targets]
  if log_chance is None:
    normaliser = _log_normaliser(state / temperature, vectors[candidates], bias[candidates])
  else:
    others = jnp.einsum('bpd,cd->bpc', state, vectors[candidates]) / temperature + bias[candidates]
    is_target = ((targets[..., None] == candidates) & (weights > 0)[..., None]).any(2)
    others = jnp.where(is_target, -jnp.inf, others - log_chance)
    normaliser = jax.nn.logsumexp(jnp.concatenate([jnp.where(weights > 0, own, -jnp.inf), others], -1), axis=-1)
    normaliser = jnp.where((weights > 0).any(-1), normaliser, 0)
  return (weights * (normaliser[..., None] - own)).sum((1, 2))


def _log_normaliser(state, vectors, bias):
  """log sum_j exp(state . v_j + b_j) float32 `[batch, places]`, over so many items at a time as `_LOGITS` has room for.

  The gradient makes the logits of each block once more, so that neither way holds more than one block of them.
  """
  items, most = len(vectors), max(_LOGITS // (state.shape[0] * state.shape[1]), 1)
  blocks = -(-items // most)
  size = -(-items // blocks)
  missing = blocks * size - items
  vectors = jnp.pad(vectors, ((0, missing), (0, 0))).reshape(blocks, size, -1)
  bias = jnp.pad(bias, (0, missing), constant_values=-jnp.inf).reshape(blocks, size)

  def of_block(vectors, bias):
    return jax.nn.logsumexp(jnp.einsum('bpd,cd->bpc', state, vectors) + bias, axis=-1)
  if blocks == 1:
    return of_block(vectors[0], bias[0])
  return jax.nn.logsumexp(jax.lax.map(lambda block: jax.checkpoint(of_block)(*block), (vectors, bias)), axis=0)


def make_sample(config, negatives):
  """Makes `sample(key, data) -> batch`: the rows of one step and all of its noise; see `training.devices`."""
  def sample(key, data):
    rows, split, ids, drawn, places = jax.random.split(key, 5)
    rows = data['users'][jax.random.randint(rows, (config.batch,), 0, len(data['users']))]
    items, weights = data['items'][rows], data['weights'][rows]
    if config.kind == 'mlp':
      read = jax.random.uniform(split, items.shape) < config.input_share
      batch = {'items': items, 'inputs': jnp.where(read, weights, 0), 'targets': jnp.where(read, 0, weights)}
    else:
      if not config.ordered:
        order = jnp.argsort(jax.random.uniform(split, items.shape) + (weights <= 0), axis=1)
        items, weights = jnp.take_along_axis(items, order, 1), jnp.take_along_axis(weights, order, 1)
      lengths = (weights > 0).sum(1, keepdims=True)
      places = jnp.floor(jax.random.uniform(places, (config.batch, config.places)) * lengths).astype(jnp.int32)
      # A row counts by its length, so that each interaction counts alike.
      batch = {'items': items, 'inputs': weights, 'places': places,
               'targets': jnp.take_along_axis(weights, places, 1) * lengths}
    # The mean over the rows is then the mean over all targets of the global batch.
    batch['targets'] *= config.batch / jnp.maximum(batch['targets'].sum(), 1e-6)
    batch['id_mask'] = _for_each_row(jax.random.uniform(ids, data['has_id'].shape) >= config.id_dropout, config.batch)
    if config.loss == 'sampled':
      batch['negatives'] = _for_each_row(draw(drawn, data['chance'], negatives), config.batch)
    return batch | {'weight': jnp.ones(config.batch)}
  return sample


def _for_each_row(x, batch):
  # Every leaf of a batch is cut by rows, so what all rows share is repeated; the compiler keeps one copy.
  return jnp.broadcast_to(x, (batch, *x.shape))


def make_loss(config, data):
  """Makes `loss(params, batch) -> (mean over the rows, metrics)` for the texts and masks in `data`."""
  def loss(params, batch):
    id_mask = batch['id_mask'][0]
    vectors = recommenders.item_vectors(params, data['texts'], data['has_id'], id_mask)
    bias = params['bias'] * (data['has_id'] & id_mask)
    items, targets = batch['items'], batch['targets']
    if config.kind == 'mlp':
      state = recommenders.represent(params, config, items, batch['inputs'], vectors)[:, None]
      items, targets = items[:, None], targets[:, None]
    else:
      places = batch['places'][..., None]
      state = jnp.take_along_axis(recommenders.states(params, config, items, batch['inputs'], vectors), places, 1)
      items, targets = jnp.take_along_axis(items, batch['places'], 1)[..., None], targets[..., None]
    candidates, log_chance = data['warm'], None
    if config.loss == 'sampled':
      chosen = batch['negatives'][0]
      candidates, log_chance = candidates[chosen], jnp.log(data['chance'][chosen])
    losses = softmax_loss(state, items, targets, vectors, bias, candidates, log_chance, config.temperature)
    return (batch['weight'] * losses).mean(), {}
  return loss


def make_optimizer(config):
  """AdamW with gradients clipped to length 1, a linear warm-up and a cosine to a tenth of the rate."""
  rate = optax.warmup_cosine_decay_schedule(0., config.learning_rate, max(1, config.steps // 20),
                                            max(2, config.steps), .1 * config.learning_rate)
  return optax.chain(optax.clip_by_global_norm(1.), optax.adamw(rate, weight_decay=config.weight_decay))


def prepare(histories: Ragged, item_texts, warm_mask, config):
  """The arrays that training reads: padded histories, texts, masks and the chances of negatives.

  All histories are padded to the longest of them, of which `max_history` entries are kept at most: one length, so that
  one program serves all steps, and the data lie on the device from the first step to the last.

  Raises:
    DataError: where a history holds an item that is not warm, a text vector or weight is not finite, or there is
      nothing to train on.
  """
  items, warm = len(warm_mask), np.flatnonzero(warm_mask)
  texts = np.zeros((items, 1), np.float32) if item_texts is None else np.asarray(item_texts, np.float32)
  if len(texts) != items:
    raise DataError(f'item texts have {len(texts)} rows where {items} are due')
  bad = np.flatnonzero(~np.isfinite(texts).all(1))
  if len(bad):
    raise DataError(f'item texts, row {bad[0]}: not finite; all entries must be finite numbers')
  bad = np.flatnonzero(~(np.isfinite(histories.weights) & (histories.weights >= 0)))
  if len(bad):
    raise DataError(f'histories, entry {bad[0]}: weight {histories.weights[bad[0]]}; allowed are finite numbers from 0')
  bad = np.flatnonzero(~np.asarray(warm_mask)[histories.values])
  if len(bad):
    user = np.searchsorted(histories.offsets, bad[0], side='right') - 1
    raise DataError(f'histories, user {user}: item {histories.values[bad[0]]} is not warm; only warm items are trained')
  kept = newest(histories, config.max_history, config.ordered)
  users = np.flatnonzero(kept.lengths)
  if not len(users):
    raise DataError('histories: no interaction of weight above 0 is left to train on')
  padded = pad(kept, np.arange(len(kept)), int(kept.lengths.max()), 0)
  counts = np.bincount(histories.values, histories.weights, items)
  return {'items': padded[0], 'weights': padded[1], 'users': users.astype(np.int32), 'texts': texts,
          'has_id': counts > 0, 'warm': warm.astype(np.int32),
          'chance': inclusion(counts[warm], config.negatives, config.negative_power)}


def assemble(params, data, config):
  """The `Recommender` that scores with trained `params` on the arrays of `prepare`."""
  has_id = jnp.asarray(data['has_id'])
  vectors = recommenders.item_vectors(params, jnp.asarray(data['texts']), has_id, has_id)
  return Recommender(params, vectors, params['bias'] * has_id, jnp.asarray(data['items']),
                     jnp.asarray(data['weights']), config)


def fit(histories: Ragged, item_texts, warm_mask, config, key, around, evaluate=None, generated=None):
  """Trains a recommender on the weighted histories of users.

  Args:
    histories: rows are users; values are warm items, oldest first where `config.ordered`; weights scale the loss of a
      target and, for the MLP, the part of an entry in its input.
    item_texts: float32 `[items, text_dim]`, zero rows without text; or None where no item has any.
    warm_mask: bool `[items]`; cold items are never candidates in training and have neither ID nor bias.
    config: `RecommenderConfig`.
    key: of all randomness.
    around: `loop.Surroundings`.
    evaluate: `evaluate(Recommender) -> (value, metrics)`, the higher the better; None trains all steps.
    generated: `Ragged` over users of generated interactions, warm and cold items, or None. They come before the real
      ones in a history and are trained on like them; a user is scored by what he really did.

  Returns:
    (`Recommender`, summary): see `loop.run`.

  Raises:
    DataError: see `prepare`.
    loop.Diverged: where the loss is not finite.
  """
  real = data = prepare(histories, item_texts, warm_mask, config)
  if generated is not None:
    trained = np.array(warm_mask)
    trained[generated.values] = True
    data = prepare(merge(generated, histories), item_texts, trained, config)
  real = {name: real[name] for name in ('items', 'weights')}
  data = jax.tree.map(jnp.asarray, data)
  start, steps = jax.random.split(key)
  optimizer = make_optimizer(config)
  params = recommenders.init(start, config, len(warm_mask), data['texts'].shape[1])
  update = gradient_update(make_loss(config, data), optimizer)

  def step(state, batch, axis=None):
    params, opt_state, metrics = update(*state, batch, axis=axis)
    return (params, opt_state), metrics

  sample = make_sample(config, min(config.negatives, len(data['warm'])))
  kept, summary = loop.run(
    step, sample, (params, jax.jit(optimizer.init)(params)), data, steps,
    loop.Schedule(config.steps, config.chunk, config.patience), around, keep=lambda state: state[0],
    evaluate=evaluate and (lambda kept: evaluate(assemble(kept, data | real, config))))
  return assemble(kept, data | real, config), summary
