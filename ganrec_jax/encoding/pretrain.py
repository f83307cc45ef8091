"""Masked-language-model training of a BERT from scratch (Devlin et al. 2019, section 3.1)."""

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import optax

from ganrec_jax.encoding.tokenizer import MASK, PAD, SPECIAL
from ganrec_jax.errors import DataError
from ganrec_jax.models import bert
from ganrec_jax.training import loop
from ganrec_jax.training.update import gradient_update, slowable

CHOSEN, MASKED, RANDOM = .15, .8, .1  # shares: of the tokens; of the chosen ones, masked and replaced at random


@flax.struct.dataclass
class MlmState:
  """Parameters (the encoder's and the head's) and the state of the optimizer."""
  params: dict
  opt_state: optax.OptState


class MlmHead(nn.Module):
  """Logits over the vocabulary: dense, GELU, layer norm, then the word embedding transposed, and a bias."""
  config: bert.BertConfig

  @nn.compact
  def __call__(self, hidden, word):
    """Reads `hidden [..., dim]` and `word [vocab, dim]`; returns logits `[..., vocab]`."""
    x = jax.nn.gelu(nn.Dense(self.config.dim, name='dense')(hidden), approximate=False)
    x = nn.LayerNorm(epsilon=self.config.epsilon, use_fast_variance=False, name='norm')(x)
    return x @ word.T + self.param('bias', nn.initializers.zeros, (self.config.vocab_size,))


def draw_masks(key, ids, vocab_size):
  """Chooses 15% of the tokens that are not special; of these 80% become `[MASK]`, 10% a random piece, 10% stay.

  Args:
    key: a JAX key.
    ids: int32 `[batch, length]`.
    vocab_size: pieces are drawn from the ids after the special ones.

  Returns:
    (inputs int32 `[batch, length]`, chosen bool `[batch, length]`).
  """
  choose, kind, piece = jax.random.split(key, 3)
  chosen = (jax.random.uniform(choose, ids.shape) < CHOSEN) & (ids >= len(SPECIAL))
  u = jax.random.uniform(kind, ids.shape)
  random = jax.random.randint(piece, ids.shape, len(SPECIAL), vocab_size)
  replaced = jnp.where(u < MASKED, MASK, jnp.where(u < MASKED + RANDOM, random, ids))
  return jnp.where(chosen, replaced, ids), chosen


def masked_batch(key, ids, vocab_size):
  """A batch: inputs, targets and `weight`, with which the mean over the rows is the mean over all chosen tokens."""
  inputs, chosen = draw_masks(key, ids, vocab_size)
  counts = chosen.sum(1)
  return {'inputs': inputs, 'targets': ids, 'chosen': chosen,
          'weight': counts / jnp.maximum(counts.mean(), 1 / len(ids))}


def mlm_loss(params, batch, config, dtype=jnp.float32, remat=False):
  """The mean over the chosen tokens of -log p(token | the rest); returns (loss, {'accuracy'}).

  `dtype` and `remat` are the encoder's, see `bert.apply`; the head computes in float32.
  """
  hidden = bert.apply(params['bert'], config, batch['inputs'], batch['inputs'] != PAD, dtype, remat)
  hidden = hidden.astype(jnp.float32)
  logits = MlmHead(config).apply({'params': params['head']}, hidden, params['bert']['word']['embedding'])
  nll = optax.softmax_cross_entropy_with_integer_labels(logits, batch['targets'])
  right = logits.argmax(-1) == batch['targets']

  def mean(values):
    rows = (values * batch['chosen']).sum(1) / jnp.maximum(batch['chosen'].sum(1), 1)
    return (rows * batch['weight']).mean()

  return mean(nll), {'accuracy': mean(right)}


def padded_tokens(token_ids, config, fill=PAD):
  """Token ids int32 `[texts, length]`, padded by `fill` to a multiple of 8 and cut at the model's positions.

  Raises:
    DataError: where there are no texts, or an id lies outside the vocabulary.
  """
  if not len(token_ids):
    raise DataError('no texts to train on; at least one is due')
  longest = max(len(ids) for ids in token_ids)
  length = min(-(-max(longest, 1) // 8) * 8, config.positions)
  padded = np.full((len(token_ids), length), fill, np.int32)
  for row, ids in enumerate(token_ids):
    padded[row, :min(len(ids), length)] = ids[:length]
  bad = (padded != fill) & ((padded < 0) | (padded >= config.vocab_size))
  if bad.any():
    row = np.flatnonzero(bad.any(1))[0]
    raise DataError(f'text {row}: token ids from {padded[row].min()} to {padded[row].max()}, allowed are 0 to '
                    f'{config.vocab_size - 1}')
  return padded


def masked_language_model(token_ids, config, key, around, schedule, *, learning_rate=2e-3, batch=64, held_out=.05,
                          dtype=jnp.float32, remat=False):
  """Trains a BERT from scratch on texts that were tokenized by a vocabulary of `tokenizer.train_wordpiece`.

  Validation is minus the loss on held-out texts with masks drawn once; the best parameters by it are returned.

  Args:
    token_ids: a list of int arrays `[length]`, one a text.
    config: the shape; its vocabulary must hold all ids.
    key: of all randomness.
    around: a `loop.Surroundings`.
    schedule: a `loop.Schedule`.
    learning_rate: the peak, after a warm-up over a tenth of the steps, falling along a cosine to 0.
    batch: texts a step.
    held_out: the share of the texts kept for validation; where it comes to no text, all texts serve as both.
    dtype: of the encoder's computation.
    remat: whether its blocks are computed again in the backward pass.

  Returns:
    (parameters of the encoder, summary): `summary` is that of `loop.run`; its `best` is minus the held-out loss.

  Raises:
    DataError: where there are no texts, or an id lies outside the vocabulary.
  """
  ids = padded_tokens(token_ids, config)
  split_key, init_key, head_key, mask_key, train_key = jax.random.split(key, 5)
  order = np.asarray(jax.random.permutation(split_key, len(ids)))
  cut = int(held_out * len(ids))
  train, valid = (ids[order[cut:]], ids[order[:cut]]) if cut else (ids, ids)
  params = {'bert': bert.init(init_key, config)}
  params['head'] = jax.jit(MlmHead(config).init)(head_key, jnp.zeros((1, config.dim)),
                                                 params['bert']['word']['embedding'])['params']
  rate = optax.warmup_cosine_decay_schedule(0., learning_rate, max(1, schedule.steps // 10), max(2, schedule.steps))
  optimizer = slowable(optax.chain(optax.clip_by_global_norm(1.), optax.adamw(rate, b2=.98, weight_decay=.01)))
  update = gradient_update(lambda params, batch: mlm_loss(params, batch, config, dtype, remat), optimizer,
                           around.micro_batch)

  def sample(key, data):
    rows_key, masks_key = jax.random.split(key)
    return masked_batch(masks_key, data[jax.random.randint(rows_key, (batch,), 0, len(data))], config.vocab_size)

  def step(state, batch, axis=None):
    params, opt_state, metrics = update(state.params, state.opt_state, batch, axis=axis)
    return MlmState(params, opt_state), metrics

  fixed = [masked_batch(jax.random.fold_in(mask_key, start), jnp.asarray(valid[start:start + 256]), config.vocab_size)
           for start in range(0, len(valid), 256)]
  judge = jax.jit(lambda params, batch: mlm_loss(params, batch, config, dtype))

  def evaluate(params):
    counts = np.array([int(b['chosen'].sum()) for b in fixed])
    values = np.array([[value, metrics['accuracy']] for value, metrics in (judge(params, b) for b in fixed)])
    loss, accuracy = counts @ values / max(counts.sum(), 1)
    return -float(loss), {'valid_accuracy': float(accuracy)}

  state = MlmState(params, jax.jit(optimizer.init)(params))
  kept, summary = loop.run(step, sample, state, train, train_key, schedule, around,
                           keep=lambda state: state.params, evaluate=evaluate)
  return kept['bert'], summary
