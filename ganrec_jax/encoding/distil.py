"""Distillation of a recommender's item factors into an encoder, by the kernel ridge regression that will use it."""

import jax
import jax.numpy as jnp
import numpy as np

from ganrec_jax.encoding import tuning, vectors
from ganrec_jax.encoding.pretrain import padded_tokens
from ganrec_jax.errors import DataError
from ganrec_jax.models import kernels
from ganrec_jax.training import hosts, loop


def ridge_errors(texts, targets, whitening, ridge):
  """The leave-one-out errors of kernel ridge regression from texts to targets, |f_j - v_j|^2 / mean_k |v_k|^2.

  It is differentiable in `texts`: what is minimised is the very error of a new item's predicted factors, with the
  batch's other items as the known ones.

  Args:
    texts: float32 `[batch, dim]`, text vectors.
    targets: float32 `[batch, width]`, v.
    whitening: the fixed `kernels.Whitening` before the kernel exp(2 (z_i z_j - 1)).
    ridge: noise variance.

  Returns:
    float32 `[batch]`.
  """
  z = whitening.apply(texts)
  with jax.default_matmul_precision('highest'):
    eye = jnp.eye(len(z))
    system = jnp.exp(kernels.SHARPNESS * (z @ z.T - 1)) * (1 - eye) + (1 + ridge) * eye
    inverse = jax.scipy.linalg.cho_solve(jax.scipy.linalg.cho_factor(system, lower=True), eye)
  error = (kernels.leave_one_out(inverse, targets) - targets) ** 2
  return error.sum(1) / jnp.maximum((targets**2).sum(1).mean(), 1e-12)


def explained(texts, targets, new_texts, new_targets, ridge):
  """The share of the squares of `new_targets [new, width]` that kernel ridge regression on other items explains.

  Args:
    texts: float32 `[known, dim]`, text vectors of the items with `targets [known, width]`; the whitening's too.
    targets: float32 `[known, width]`.
    new_texts: float32 `[new, dim]`.
    new_targets: float32 `[new, width]`.
    ridge: noise variance.
  """
  whitening = kernels.whiten(texts, np.arange(len(texts)))
  z, new = whitening.apply(texts), whitening.apply(new_texts)
  kernel, cross = (jnp.exp(kernels.SHARPNESS * (left @ z.T - 1)) for left in (z, new))
  inverse = kernels.positive_inverse(kernels.with_unit_diagonal(kernel) + ridge * jnp.eye(len(z)), 'ridge')
  error = ((cross @ (inverse @ targets) - new_targets) ** 2).sum()
  return 1 - float(error / jnp.maximum((jnp.asarray(new_targets) ** 2).sum(), 1e-12))


def distil_loss(params, batch, config, whitening, *, size, ridge=.3, axis=None, **reading):
  """The mean of `ridge_errors` over the global batch, gathered over the mapped axis; returns (loss, {}).

  Args:
    params: of the encoder.
    batch: `ids` int `[rows, length]`, -1 where padded; `targets [rows, width]`; `row` int `[rows]`; `weight [rows]`.
    config: the encoder's shape.
    whitening: see `ridge_errors`, like `ridge`.
    size: rows of the global batch.
    axis: the mapped axis, or None on one device.
    **reading: options of `vectors.embed`.
  """
  texts, targets = vectors.embed(params, config, batch['ids'], **reading), batch['targets']
  if axis is not None:
    # Rows that `devices.share` added lie at the end; they are no neighbours.
    texts, targets = (jax.lax.all_gather(x, axis, tiled=True)[:size] for x in (texts, targets))
  return (ridge_errors(texts, targets, whitening, ridge)[batch['row']] * batch['weight']).mean(), {}


def distil(params, config, token_ids, targets, key, around, schedule, *, learning_rate=5e-5, rank=0, batch=64,
           weight_decay=.01, held_out=.1, references=1024, ridge=.3, pooling='mean', dtype=jnp.float32, remat=False,
           max_length=64):
  """Tunes an encoder so that kernel ridge regression on its whitened vectors predicts the items' factors.

  A share of the items is held out, as if they were new. Validation is the share of their factors' squares that kernel
  ridge regression explains, from the vectors of some of the other items, with a whitening fitted on these.

  Args:
    params: of the encoder, not changed.
    config: its shape.
    token_ids: a list of int arrays `[length]`, one a warm item.
    targets: float32 `[items, width]`, the factors of the same items, of a model without text.
    key: of all randomness.
    around: a `loop.Surroundings`.
    schedule: a `loop.Schedule`; with patience 0 the best parameters are still the ones returned, maybe the given.
    learning_rate: the peak of Adam's rate, see `tuning.adam`.
    rank: of the adapters, see `tuning.adapters`; 0 tunes all parameters.
    batch: items a step; fewer where there are fewer.
    weight_decay: of AdamW.
    held_out: the share of items held out.
    references: the most items from whose vectors the held-out ones are predicted.
    ridge: noise variance of the regression.
    pooling: 'mean', 'cls' or 'last'.
    dtype: of the encoder's computation.
    remat: whether its blocks are computed again in the backward pass.
    max_length: tokens of a text beyond it are cut.

  Returns:
    (parameters, summary): `summary` is that of `loop.run` and `first`, the validation value before the first step.

  Raises:
    DataError: where there are fewer than four items, or not as many targets.
  """
  if len(token_ids) != len(targets) or len(targets) < 4:
    raise DataError(f'{len(token_ids)} texts and {len(targets)} targets; as many are due, at least four')
  split_key, tune_key, train_key = jax.random.split(key, 3)
  order = np.asarray(jax.random.permutation(split_key, len(targets)))
  cut = max(1, round(held_out * len(order)))
  held, known = order[:cut][:references], order[cut:]
  rows = [row[:min(max_length, config.positions)] for row in token_ids]
  targets = np.asarray(targets, np.float32)
  some = known[:references]

  def encode(params, items):
    return vectors.encode(params, config, [rows[item] for item in items], pooling=pooling, dtype=dtype,
                          devices=hosts.local(around.devices))

  def evaluate(params):
    # Minus the share that stays open, the loss of the training on held-out items.
    return explained(encode(params, some), targets[some], encode(params, held), targets[held], ridge) - 1, {}

  whitening, (first, _) = kernels.whiten(encode(params, some), np.arange(len(some))), evaluate(params)
  data = {'ids': padded_tokens(rows, config, -1)[known], 'targets': targets[known]}
  size = min(batch, len(known))

  def sample(key, data):
    some = jax.random.choice(key, len(data['ids']), (size,), replace=False)
    return {'ids': data['ids'][some], 'targets': data['targets'][some], 'row': jnp.arange(size),
            'weight': jnp.ones(size)}

  def loss(params, batch, axis):
    return distil_loss(params, batch, config, whitening, size=size, ridge=ridge, axis=axis, pooling=pooling,
                       dtype=dtype, remat=remat, rows=around.micro_batch)

  optimizer = tuning.adam(learning_rate, schedule.steps, weight_decay)
  kept, summary = loop.run(tuning.make_step(loss, optimizer), sample, tuning.begin(tune_key, params, rank, optimizer),
                           data, train_key, schedule, around, keep=tuning.TuneState.whole, evaluate=evaluate)
  return tuning.better(params, first, kept, summary)
