"""Expansion: generated samples become weighted interactions with their provenance."""

import csv
import dataclasses
import gzip
import io
import math

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
from absl import logging

from ganrec_jax.adversarial import monitors
from ganrec_jax.adversarial.step import fakes, networks, user_tokens
from ganrec_jax.adversarial.train import mahalanobis
from ganrec_jax.artifacts import write_atomically
from ganrec_jax.data.ragged import Ragged, pad
from ganrec_jax.errors import ConfigError, DataError

COLUMNS = ('user_id', 'item_id', 'weight', 'source', 'realness')


@dataclasses.dataclass(frozen=True)
class ExpandConfig:
  """Hyper-parameters of `generate`.

  Attributes:
    per_user: samples drawn for each user, before any is dropped.
    weight: of each generated interaction; a real one has 1.
    temperature: T of softmax(score / T).
    cold_share: chance that a sample is a cold item.
    quantile: the share of the samples that D finds least real, dropped among warm and cold items alike; 0 keeps all.
      A threshold from real samples would not do: where D wins, it drops nearly everything.
    batch: users at a time; the memory grows with batch x items.

  Raises:
    ConfigError: for values out of range.
  """
  per_user: int = 10
  weight: float = .1
  temperature: float = .1
  cold_share: float = .5
  quantile: float = .05
  batch: int = 64

  def __post_init__(self):
    for name in ('per_user', 'batch'):
      if getattr(self, name) < 1:
        raise ConfigError(f'{name} is {getattr(self, name)}; allowed are whole numbers from 1 on')
    for name in ('weight', 'temperature'):
      if not 0 < getattr(self, name) < math.inf:
        raise ConfigError(f'{name} is {getattr(self, name)}; allowed are finite numbers above 0')
    if not 0 <= self.cold_share <= 1:
      raise ConfigError(f'cold_share is {self.cold_share}; allowed are numbers from 0 to 1')
    if not 0 <= self.quantile < 1:
      raise ConfigError(f'quantile is {self.quantile}; allowed are numbers from 0 to below 1')


@flax.struct.dataclass
class ExpandData:
  """What is known of all users and items when interactions are generated.

  Attributes:
    histories: `Ragged` over users, training items; no fake repeats one of these.
    users: int `[n]`, whom fakes are made for: warm users only.
    cold: bool `[items]`, items without training interactions.
    user_factors: float32 `[users, d]`, collaborative vectors.
    item_factors: float32 `[items, d]`; cold items hold what their text predicts.
    item_texts: float32 `[items, e]`, whitened text vectors.
    user_vectors: float32 `[users, tokens, w]`, for the design 'interaction'.
  """
  histories: Ragged = flax.struct.field(pytree_node=False)
  users: np.ndarray
  cold: np.ndarray
  user_factors: np.ndarray
  item_factors: np.ndarray
  item_texts: np.ndarray
  user_vectors: np.ndarray | None = None


@dataclasses.dataclass(frozen=True)
class Generated:
  """Generated interactions, and how many were dropped on the way.

  Attributes:
    user: int32 `[n]`.
    item: int32 `[n]`.
    weight: float32 `[n]`.
    source: str `[n]`, what made each.
    realness: float32 `[n]`, D(x), or NaN where no discriminator judged.
    counts: `asked`, `kept` and the counts dropped as `exhausted` (no candidate left), `outliers`, `unreal` and
      `repeated`.
  """
  user: np.ndarray
  item: np.ndarray
  weight: np.ndarray
  source: np.ndarray
  realness: np.ndarray
  counts: dict = dataclasses.field(default_factory=dict)

  def __len__(self):
    return len(self.user)


def made(user, item, weight, source, realness, counts):
  """`Generated` with one weight and source for all rows `[n]`, ordered by user and item."""
  order = np.lexsort((item, user))
  n = len(order)
  return Generated(np.asarray(user, np.int32)[order], np.asarray(item, np.int32)[order],
                   np.full(n, weight, np.float32), np.full(n, source, f'U{len(source)}'),
                   np.asarray(realness, np.float32)[order], counts)


def batches(data, users, size):
  """Yields users int `[size]`, padded by repeating the last, how many are real, and their items `[size, length]`.

  Items are padded with the number of items, an index that scatters drop.
  """
  length = max(1, int(data.histories.lengths[users].max(initial=0)))
  for start in range(0, len(users), size):
    part = users[start:start + size]
    filled = np.pad(part, (0, size - len(part)), mode='edge')
    yield filled, len(part), pad(data.histories, filled, length, len(data.cold))[0]


def without(logits, seen):
  """`logits [batch, items]` with -inf at the items `seen [batch, length]`."""
  return logits.at[jnp.arange(len(seen))[:, None], seen].set(-jnp.inf, mode='drop')


def draw(key, logits, cold, wanted):
  """Samples items without replacement from softmax(logits), apart for warm and cold slots (Gumbel top-k).

  Args:
    key: for the Gumbel noise.
    logits: float32 `[batch, items]`, -inf where an item is no candidate.
    cold: bool `[items]`.
    wanted: bool `[batch, slots]`, whether a slot is for a cold item.

  Returns:
    items int32 `[batch, slots]` and bool `[batch, slots]`, false where the candidates are exhausted.
  """
  slots, total = wanted.shape[1], logits.shape[1]
  noisy = logits + jax.random.gumbel(key, logits.shape)

  def best(allowed):
    values, items = jax.lax.top_k(jnp.where(allowed, noisy, -jnp.inf), min(slots, total))
    fill = ((0, 0), (0, max(0, slots - total)))
    return jnp.pad(values, fill, constant_values=-jnp.inf), jnp.pad(items, fill)

  rank = jnp.where(wanted, jnp.cumsum(wanted, 1), jnp.cumsum(~wanted, 1)) - 1
  (warm_values, warm), (cold_values, chilled) = (
    jax.tree.map(lambda x: jnp.take_along_axis(x, rank, 1), best(allowed)) for allowed in (~cold, cold))
  return (jnp.where(wanted, chilled, warm).astype(jnp.int32),
          jnp.isfinite(jnp.where(wanted, cold_values, warm_values)))


def _from_items(config, expand, params, tables, key, users, seen):
  """Draws for `users [b]` from u . G(z, text_j); one z an item and batch of users."""
  generator, discriminator = networks(config, tables['factors'].shape[1])
  z_key, cold_key, draw_key, pick_key = jax.random.split(key, 4)
  texts = tables['texts']
  z = jax.random.normal(z_key, (len(texts), config.noise))
  x = fakes(config, generator, params.generator, z, texts[:, None])
  x = x[jnp.arange(len(x)), jax.random.randint(pick_key, len(x), 0, config.samples)]
  logits = discriminator.apply(params.discriminator, x, texts[:, None][:, :0], texts)
  with jax.default_matmul_precision('highest'):
    scores = tables['users'][users] @ (params.shift + params.scale * x).T / expand.temperature
  wanted = jax.random.bernoulli(cold_key, expand.cold_share, (len(users), expand.per_user))
  items, there = draw(draw_key, without(scores, seen), tables['cold'], wanted)
  return items, there, logits[items], mahalanobis(x, params.precision)[items]


def _from_users(config, expand, params, tables, key, users, seen):
  """Draws for `users [b]` by G(z, u): each fake becomes an item with chance exp(-|x - v_j|^2 / (2 T))."""
  width = tables['factors'].shape[1]
  generator, discriminator = networks(config, width)
  z_key, cold_key, draw_key = jax.random.split(key, 3)
  draws, b = -(-expand.per_user // config.samples), len(users)
  condition = jnp.repeat(tables['user_vectors'][users], draws, 0)
  z = jax.random.normal(z_key, (b * draws, config.noise))
  x = fakes(config, generator, params.generator, z, condition)
  x = x.reshape(b, draws * config.samples, -1)[:, :expand.per_user].reshape(b * expand.per_user, -1)
  vectors = (tables['factors'] - params.shift) / params.scale
  logits = -monitors.squared_distances(x[:, :width], vectors) / (2 * expand.temperature)
  wanted = jax.random.bernoulli(cold_key, expand.cold_share, (len(x), 1))
  items, there = draw(draw_key, without(logits, jnp.repeat(seen, expand.per_user, 0)), tables['cold'], wanted)
  items, there = items[:, 0], there[:, 0]
  user = user_tokens(config, jnp.repeat(tables['user_vectors'][users], expand.per_user, 0))
  real = discriminator.apply(params.discriminator, x, user, tables['texts'][items])
  far = mahalanobis(x[:, :width], params.precision)
  return tuple(a.reshape(b, expand.per_user) for a in (items, there, real, far))


def generate(params, data, config, expand, key, source='gan'):
  """Draws interactions for every user of `data.users`, drops outliers and what D finds unreal.

  Design 'embedding': items from softmax(u . G(z, text_j) / T) without replacement. Design 'interaction': vectors from
  G(z, u), each becoming an item by its distance. In both a sample is a cold item with chance `cold_share`, else a
  warm one that the user has not in training. Outliers lie beyond every real vector's Mahalanobis distance.

  Args:
    params: `GanParams`; or None (a diverged run), whereupon nothing is generated.
    data: `ExpandData`.
    config: the `AdversarialConfig` of the training.
    expand: `ExpandConfig`.
    key: of all randomness; the user batch's number is folded in.
    source: the provenance written beside each row.

  Returns:
    `Generated`; without an adversary (`adversarial_weight` 0) nothing is dropped as unreal.
  """
  users = np.sort(np.asarray(data.users))
  if params is None or not len(users):
    return made([], [], expand.weight, source, [], {'asked': 0, 'kept': 0})
  tables = {'users': data.user_factors, 'factors': data.item_factors, 'texts': data.item_texts, 'cold': data.cold}
  function = _from_items
  if config.design == 'interaction':
    function, tables = _from_users, tables | {'user_vectors': data.user_vectors}
  tables = jax.tree.map(jnp.asarray, tables)
  sampled = jax.jit(lambda params, tables, key, users, seen: function(
    config, expand, params, tables, key, users, seen))
  found = []
  for number, (part, real, seen) in enumerate(batches(data, users, min(expand.batch, len(users)))):
    out = jax.device_get(sampled(params, tables, jax.random.fold_in(key, number), part, seen))
    found.append([np.repeat(part[:real], expand.per_user), *(column[:real].ravel() for column in out)])
  user, item, there, logits, distance = (np.concatenate(column) for column in zip(*found, strict=True))
  counts, keep = {'asked': len(user)}, np.ones(len(user), bool)
  unreal = np.zeros(len(user), bool)
  if config.adversarial_weight:
    unreal = _least_real(logits, np.asarray(data.cold)[item], there & (distance <= params.limit), expand.quantile)
  for name, bad in (('exhausted', ~there), ('outliers', ~(distance <= params.limit)), ('unreal', unreal)):
    counts[name] = int((keep & bad).sum())
    keep &= ~bad
  rows = np.flatnonzero(keep)
  # Independent draws of one user may meet; the first one counts.
  _, first = np.unique(user[rows].astype(np.int64) * len(data.cold) + item[rows], return_index=True)
  counts['repeated'], counts['kept'] = len(rows) - len(first), len(first)
  rows = rows[first]
  logging.info('%s: %s', source, ', '.join(f'{name} {count}' for name, count in counts.items()))
  realness = 1 / (1 + np.exp(-logits[rows].astype(np.float64)))
  return made(user[rows], item[rows], expand.weight, source, realness, counts)


def joined(parts, weights):
  """The `Generated` of several rows (row -> `Generated`) one after another, each with its own of `weights`."""
  columns = {name: np.concatenate([getattr(part, name) for part in parts.values()])
             for name in ('user', 'item', 'source', 'realness')}
  return Generated(weight=np.concatenate([np.full(len(part), weights[row], np.float32)
                                          for row, part in parts.items()]), **columns)


def _least_real(logits, cold, candidates, share):
  """bool `[n]`: the `share` of the warm and of the cold `candidates` with the lowest of `logits [n]`."""
  found = np.zeros(len(logits), bool)
  for kind in (cold, ~cold):
    rows = np.flatnonzero(candidates & kind)
    found[rows[np.argsort(logits[rows], kind='stable')[:round(share * len(rows))]]] = True
  return found


def write(path, generated, user_ids, item_ids):
  """Writes `generated.csv.gz` at once or not at all; equal rows give equal bytes."""
  text = io.StringIO(newline='')
  writer = csv.writer(text, lineterminator='\n')
  writer.writerow(COLUMNS)
  for u, i, w, s, r in zip(generated.user, generated.item, generated.weight, generated.source, generated.realness,
                           strict=True):
    writer.writerow((user_ids[u], item_ids[i], repr(float(w)), s, '' if np.isnan(r) else repr(float(r))))
  write_atomically(path, lambda file: file.write(gzip.compress(text.getvalue().encode(), mtime=0)))


def read(path, user_ids, item_ids):
  """Reads what `write` wrote.

  Raises:
    DataError: naming file, row, column and value, for a damaged file, unknown ids, or numbers out of range.
  """
  places = [{str(name): i for i, name in enumerate(ids)} for ids in (user_ids, item_ids)]
  columns = [[], [], [], [], []]
  try:
    with gzip.open(path, 'rt', encoding='utf-8', newline='') as file:
      rows = csv.reader(file)
      header = tuple(next(rows, ()))
      if header != COLUMNS:
        raise DataError(f'{path}: the columns are {",".join(header)!r}; {",".join(COLUMNS)!r} are due')
      for number, row in enumerate(rows, 1):
        for column, value in zip(columns, _parsed(path, number, row, places), strict=True):
          column.append(value)
  except (OSError, EOFError, UnicodeDecodeError) as error:
    raise DataError(f'{path}: cannot be read ({error})') from error
  user, item, weight, source, realness = columns
  return Generated(np.array(user, np.int32), np.array(item, np.int32), np.array(weight, np.float32),
                   np.array(source, str), np.array(realness, np.float32))


def _parsed(path, number, row, places):
  where = f'{path}, row {number}'
  if len(row) != len(COLUMNS):
    raise DataError(f'{where}: {len(row)} columns where {len(COLUMNS)} are due')
  for column, value, known in zip(COLUMNS[:2], row[:2], places, strict=True):
    if value not in known:
      raise DataError(f'{where}, column {column}: unknown id {value!r}')
  try:
    weight, realness = float(row[2]), float(row[4] or 'nan')
  except ValueError as error:
    raise DataError(f'{where}: weight {row[2]!r} or realness {row[4]!r} is not a number') from error
  if not 0 < weight < math.inf:
    raise DataError(f'{where}, column weight: {row[2]!r} is not positive and finite')
  if row[4] and not 0 <= realness <= 1:
    raise DataError(f'{where}, column realness: {row[4]!r}; allowed are numbers from 0 to 1')
  return places[0][row[0]], places[1][row[1]], weight, row[3], realness
