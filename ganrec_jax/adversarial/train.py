"""Alternating training of generator and discriminator, with monitors that say how it ended."""

from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
from absl import logging

from ganrec_jax.adversarial import monitors
from ganrec_jax.adversarial.step import (
  AdversarialConfig,
  GanState,
  fakes,
  init_state,
  make_sample,
  make_step,
  networks,
  user_tokens,
)
from ganrec_jax.errors import DataError
from ganrec_jax.training import loop

__all__ = ['AdversarialConfig', 'GanParams', 'GanState', 'TrainingData', 'mahalanobis', 'train']

_NEIGHBOURS = 3
_FEWEST = 20  # rows; with fewer, a tenth of them says nothing
_MOST_HELD_OUT = 1000  # rows a look compares


@flax.struct.dataclass
class TrainingData:
  """What the players learn from: warm items and training pairs only.

  Attributes:
    item_factors: float32 `[items, d]`, collaborative vectors.
    item_texts: float32 `[items, e]`, whitened text vectors.
    pair_user: int32 `[pairs]`; this and what follows only for the design 'interaction'.
    pair_item: int32 `[pairs]`, rows of `item_factors`.
    pair_value: float32 `[pairs]`, counts or ratings.
    user_vectors: float32 `[users, tokens, w]`, the user's tokens u_i.
  """
  item_factors: Any
  item_texts: Any
  pair_user: Any = None
  pair_item: Any = None
  pair_value: Any = None
  user_vectors: Any = None


@flax.struct.dataclass
class GanParams:
  """What is kept of a run.

  Attributes:
    generator: the averaged parameters of G.
    discriminator: the parameters of D.
    shift: `[d]`; a collaborative vector is shift + scale x.
    scale: scalar.
    precision: `[d, d]`, inverse covariance of real standardised vectors.
    limit: the largest squared Mahalanobis distance of a real one.
  """
  generator: Any
  discriminator: Any
  shift: jax.Array
  scale: jax.Array
  precision: jax.Array
  limit: jax.Array


def _standardise(factors):
  """Shift `[d]` and one scale, so that angles between vectors stay what they are."""
  shift = factors.mean(0)
  return shift, jnp.maximum(jnp.sqrt(jnp.square(factors - shift).mean()), 1e-12)


def _parted(data, config, key):
  """Real samples as dicts of arrays, those to train on and those held out, and the training items' rows `[items]`.

  Raises:
    DataError: for too few rows or vectors that are not finite.
  """
  for name in ('item_factors', 'item_texts', 'user_vectors'):
    leaf = getattr(data, name)
    if leaf is not None and not np.isfinite(leaf).all():
      raise DataError(f'{name}, row {np.argwhere(~np.isfinite(leaf))[0][0]}: not finite')
  interaction = config.design == 'interaction'
  if interaction and (data.pair_user is None or data.user_vectors is None):
    raise DataError('the design interaction needs pairs and user_vectors; the data hold none')
  total = len(data.pair_user if interaction else data.item_factors)
  if total < _FEWEST:
    raise DataError(f'{total} {"pairs" if interaction else "warm items"} to train on; allowed are {_FEWEST} and more')
  order = np.asarray(jax.random.permutation(key, total))
  held = min(max(_NEIGHBOURS + 2, round(config.held_out * total)), total - _NEIGHBOURS - 2)
  train, held = np.sort(order[held:]), np.sort(order[:held])
  items = np.arange(len(data.item_factors)) if interaction else train
  shift, scale = _standardise(data.item_factors[items])
  vectors = (data.item_factors - shift) / scale

  def samples(rows):
    if not interaction:
      return {'x': vectors[rows], 'item': jnp.searchsorted(items, rows), 'text': jnp.asarray(data.item_texts)[rows]}
    item = data.pair_item[rows]
    x = jnp.concatenate([vectors[item], strength[rows][:, None]], 1)
    return {'x': x, 'item': jnp.asarray(item), 'text': jnp.asarray(data.item_texts)[item],
            'owner': jnp.asarray(data.pair_user[rows]), 'conditions': jnp.asarray(data.user_vectors)}

  if interaction:
    strength = np.log1p(data.pair_value).astype(np.float32)
    strength = (strength - strength[train].mean()) / max(strength[train].std(), 1e-6)
  return samples(train), samples(_thin(held)), items, (shift, scale)


def _thin(rows):
  """At most `_MOST_HELD_OUT` of the sorted `rows`, evenly."""
  return rows[np.linspace(0, len(rows) - 1, min(len(rows), _MOST_HELD_OUT)).astype(int)]


def _make_look(config, vectors, texts, held, key):
  """Makes `look(kept) -> (metrics, D's logits of the held-out real samples, of as many fakes)`."""
  width = vectors.shape[1]
  generator, discriminator = networks(config, width)
  condition = held['conditions'][held['owner']] if 'owner' in held else held['text'][:, None]
  rows = jnp.arange(len(held['x']))
  z = jax.random.normal(key, (len(rows), config.noise))

  @jax.jit
  def look(kept, held, condition, z, vectors, texts):
    # One fake for each real sample, from all of the generator's tokens alike.
    fake = fakes(config, generator, kept['generator'], z, condition)[rows, rows % config.samples]
    light = held['text'] if config.design == 'embedding' else texts[monitors.nearest(fake[:, :width], vectors)[0]]
    user = user_tokens(config, condition)
    real_logits, fake_logits = (discriminator.apply(kept['discriminator'], x, user, text)
                                for x, text in ((held['x'], held['text']), (fake, light)))
    metrics = monitors.compare(held['x'][:, :width], fake[:, :width], vectors, real_logits, fake_logits, _NEIGHBOURS)
    return metrics | {'error': jnp.square(fake - held['x']).mean()}, real_logits, fake_logits

  def measured(kept):
    metrics, *logits = jax.device_get(look(kept, held, condition, z, vectors, texts))
    return {name: float(value) for name, value in metrics.items()}, *logits
  return measured


def _quantiles(logits):
  """The realness 1 / (1 + exp(-logit)) of samples at 21 even quantiles, a list, for plots."""
  return np.quantile(1 / (1 + np.exp(-logits.astype(np.float64))), np.linspace(0, 1, 21)).tolist()


def _verdict(config, metrics):
  """The status of a run that stayed finite, and the reason."""
  reached, due = metrics['distinct'], config.least_distinct * metrics['distinct_real']
  if reached < due:
    return 'collapsed', (f'{reached:.0f} distinct items reached; at least {due:.1f} are due '
                         f'(held-out real samples reach {metrics["distinct_real"]:.0f})')
  if metrics['precision'] < config.least_precision:
    return 'collapsed', (f'{metrics["precision"]:.4f} of the fakes lie on the manifold of held-out real samples; '
                         f'at least {config.least_precision} are due')
  if config.adversarial_weight and metrics['d_ranked_accuracy'] >= config.most_accuracy:
    return 'collapsed', (f'D tells {metrics["d_ranked_accuracy"]:.4f} of held-out pairs apart; '
                         f'below {config.most_accuracy} is due')
  return 'converged', ''


def train(data, config, key, around):
  """Trains G against D and keeps the state with the lowest Frechet distance to held-out real samples.

  Args:
    data: `TrainingData`.
    config: `AdversarialConfig`.
    key: of all randomness.
    around: `loop.Surroundings`.

  Returns:
    (`GanParams` or None, report). The report holds `status`: 'converged', 'collapsed' (few distinct items, fakes off
    the manifold of real samples, or D tells nearly all apart), or 'diverged' (a number that is not finite; then there
    are no parameters); `reason`; and, where it did not diverge, `steps`, `best_step`, `rows`, `held_out`, the
    monitors of what is kept, on held-out samples, and `realness`, what D says of these and of as many fakes.

  Raises:
    DataError: for too few rows, or vectors that are not finite.
  """
  keys = dict(zip(('part', 'init', 'train', 'look'), jax.random.split(key, 4), strict=True))
  rows, held, items, (shift, scale) = _parted(data, config, keys['part'])
  vectors = jnp.asarray((data.item_factors[items] - shift) / scale)
  texts = jnp.asarray(data.item_texts)[items]
  tokens = rows['conditions'].shape[1:] if 'conditions' in rows else (1, texts.shape[1])
  state = init_state(config, vectors.shape[1], tokens, texts.shape[1:], keys['init'])
  look = _make_look(config, vectors, texts, held, keys['look'])

  def evaluate(kept):
    metrics = look(kept)[0]
    return -metrics['frechet'], metrics

  schedule = loop.Schedule(config.steps, config.chunk, config.patience)
  won = ('d_accuracy', config.most_accuracy, 'D has won') if config.adversarial_weight else None
  watch = loop.Watch((('d_', 'D'), ('g_', 'G')), won, look=lambda metrics: _verdict(config, metrics)[1])
  try:
    kept, summary = loop.run(
      make_step(config, vectors, texts, around.micro_batch), make_sample(config), state, rows, keys['train'], schedule,
      around, keep=lambda state: {'generator': state.average, 'discriminator': state.discriminator}, evaluate=evaluate,
      watch=watch)
  except loop.Diverged as error:
    logging.warning('%s %s: %s', around.name, error.status, error)
    return None, {'status': error.status, 'reason': str(error)}
  metrics, real_logits, fake_logits = look(kept)
  report = {'steps': summary['steps'], 'best_step': summary['best_step'], 'restarts': summary['restarts'],
            'rows': len(rows['x']), 'held_out': len(held['x'])} | metrics
  bad = [name for name, value in metrics.items() if not np.isfinite(value)]
  if bad or not np.isfinite(summary['best']):
    reason = f'{", ".join(bad) or "frechet"} of the held-out samples is not finite'
    logging.warning('%s diverged: %s', around.name, reason)
    return None, report | {'status': 'diverged', 'reason': reason}
  status, reason = _verdict(config, metrics)
  if reason:
    logging.warning('%s %s: %s', around.name, status, reason)
  precision, limit = _range(vectors)
  params = GanParams(kept['generator'], kept['discriminator'], jnp.asarray(shift), jnp.asarray(scale),
                     precision, limit)
  realness = {'real': _quantiles(real_logits), 'generated': _quantiles(fake_logits)}
  return params, report | {'status': status, 'reason': reason, 'realness': realness}


def mahalanobis(vectors, precision):
  """Squared Mahalanobis distance `[...]` of standardised `vectors [..., d]`, whose mean is 0."""
  with jax.default_matmul_precision('highest'):
    return jnp.einsum('...i,ij,...j->...', vectors, precision, vectors)


def _range(vectors):
  """Inverse covariance and largest squared Mahalanobis distance of real standardised vectors `[items, d]`."""
  covariance = monitors.moments(vectors)[1]
  precision = jnp.linalg.inv(covariance + 1e-3 * jnp.eye(len(covariance)))
  return precision, mahalanobis(vectors, precision).max()
