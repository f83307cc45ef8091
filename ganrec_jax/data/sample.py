"""The sample world: simulated music, listeners whose true tastes are known, and the log of what they heard.

Everything is a function of (config, seed), to the bit: vectors lie on a grid so coarse that their inner products are
exact in float64, hence the same in any order of summation and for any number of threads.
"""

import dataclasses

import numpy as np

from ganrec_jax.data import sample_words as vocabulary
from ganrec_jax.data.types import Catalogue, Dataset, Interactions
from ganrec_jax.errors import ConfigError

START = 1704067200  # 2024-01-01 in UTC
PERIODS = 12
PERIOD_SECONDS = 61 * 86400
DIM = 16
INTERESTS = 3
# The weights of genre, subgenre, two moods, era, country, two instruments in an item's content vector.
_ATTRIBUTE_WEIGHTS = np.array([.6, .9, .4, .4, .35, .3, .2, .2])
_SHARPNESS = 10.  # how strongly taste decides
_POPULARITY_EXPONENT = .8
_ACTIVITY_EXPONENT = 1.4
_RAMP_PERIODS = 4  # a new release is as widely heard as it will be after so many periods
_NO_TEXT, _LITTLE_TEXT, _MISLEADING_TEXT = .04, .08, .06
_LEAST_PROBABILITY = 1e-30


@dataclasses.dataclass(frozen=True)
class WorldConfig:
  """The size and the nature of a sample world.

  Attributes:
    users: listeners, 20 to 100,000.
    items: artists, 40 to 20,000.
    events: (user, item) pairs wanted, 5 a user to a fifth of all pairs; the log comes within a tenth of it.
    seed: of everything, 0 to 2**32 - 1.
    content: the share of an item's taste vector that its attributes explain, 0 to 1; the rest no text tells.
    drift: how far tastes turn in the two years, 0 (not at all) to 1 (a quarter turn).
    newcomers: the share of users who came in the last four months and heard two to four items, 0 to .5.
    releases: the share of items released within the two years, 0 to .5.

  Raises:
    ConfigError: for values out of range.
  """
  users: int = 1200
  items: int = 900
  events: int = 30_000
  seed: int = 0
  content: float = .65
  drift: float = .5
  newcomers: float = .1
  releases: float = .25

  def __post_init__(self):
    for name, low, high in (('users', 20, 100_000), ('items', 40, 20_000), ('seed', 0, 2**32 - 1)):
      _check_range(name, getattr(self, name), low, high, whole=True)
    _check_range('events', self.events, 5 * self.users, self.users * self.items // 5, whole=True)
    for name, high in (('content', 1), ('drift', 1), ('newcomers', .5), ('releases', .5)):
      _check_range(name, getattr(self, name), 0, high, whole=False)


def _check_range(name, value, low, high, whole):
  kinds = (int, np.integer) if whole else (int, float, np.integer, np.floating)
  if isinstance(value, bool) or not isinstance(value, kinds) or not low <= value <= high:
    raise ConfigError(f'sample world: {name}={value!r}, allowed is {"a whole number" if whole else "a number"} '
                      f'from {low:,} to {high:,}')


@dataclasses.dataclass(frozen=True)
class World:
  """A sample world: what is observed, and the truth behind it.

  Attributes:
    config: what it was made of.
    dataset: the log, catalogue and users; all that a recommender may see.
    attributes: int32 `[items, 8]`, the true genre, subgenre, moods (2), era, country and instruments (2).
    content: float64 `[items, dim]`, the part of an item's vector that its attributes explain.
    vectors: float64 `[items, dim]`, `content` and an idiosyncratic part.
    exposure: float64 `[items]`, log popularity that is no matter of taste.
    release: int32 `[items]`, the period from which an item can be heard.
    tastes: float64 `[2, users, interests, dim]`, where each interest starts and where it turns to.
    interest_weights: float64 `[users, interests]`, summing to 1; 0 for interests a listener does not have.
    active: int32 `[users, 2]`, the first period a listener is there and the one after the last.
    activity: int32 `[users]`, the number of items a listener heard.
  """
  config: WorldConfig
  dataset: Dataset
  attributes: np.ndarray
  content: np.ndarray
  vectors: np.ndarray
  exposure: np.ndarray
  release: np.ndarray
  tastes: np.ndarray
  interest_weights: np.ndarray
  active: np.ndarray
  activity: np.ndarray


def make_world(config):
  """Makes the `World` of a `WorldConfig`; the same config gives the same bits."""
  places, items = _make_items(config)
  listeners = _make_listeners(config, places)
  log = _listen(config, items, listeners)
  rng = _generator(config.seed, 'text')
  titles, texts, phrases = _write(rng, items['attributes'])
  catalogue = Catalogue(_ids('a', config.items), titles, texts, phrases)
  info = {'name': 'sample music', 'simulated': True, 'citation': 'simulated by ganrec_jax; no real listeners'}
  dataset = Dataset(log, catalogue, _ids('u', config.users), info)
  return World(config=config, dataset=dataset, **items, **listeners)


def taste(world, users, period):
  """The true log-preference of listeners for items apart from exposure, float64 `[b, items]`, in a period."""
  return _taste(_similarities(world.tastes[:, users], world.vectors), world.interest_weights[users],
                world.config.drift, period)


def affinity(world, users, time=None):
  """The log of the odds, up to a constant for each listener, that his next new item is this one.

  Args:
    world: a `World`.
    users: int `[b]`.
    time: seconds since 1970; the end of the world if None. Tastes stand still within `PERIOD_SECONDS`.

  Returns:
    float32 `[b, items]`: log sum_m w_m exp(s t_m(time) . v_j) + exposure_j(time); -inf before the release.
  """
  period = PERIODS - 1 if time is None else int(np.clip((time - START) // PERIOD_SECONDS, 0, PERIODS - 1))
  return (taste(world, users, period) + _exposure(world.exposure, world.release, period)).astype(np.float32)


def log_probability(world, users, since=None):
  """The log of the probability that listeners come to hear each item: its ranking is the `oracle`.

  The probability is over the periods in which the listener is there, so over drifting tastes and new releases, and
  knows that nobody takes an item twice: in the limit of many items, drawing n of them without replacement by weights
  w_j takes item j with probability 1 - exp(-rate w_j), with the rate at which these sum to n (Rosen, 1972). The
  hazards rate * w_j of the periods add up, and each period's rate answers for what was heard in those before.

  Args:
    world: a `World`.
    users: int `[b]`.
    since: seconds since 1970, from which to count (for a split in time): the probability is then of hearing from
      then on what was not heard before. None counts all.

  Returns:
    float32 `[b, items]`, finite: the log of 1e-30 where an item cannot have been heard.
  """
  passed = 0. if since is None else (since - START) / PERIOD_SECONDS
  counted = np.clip(np.arange(1, PERIODS + 1) - passed, 0, 1)
  similarities = _similarities(world.tastes[:, users], world.vectors)
  start, end = world.active[users].T
  hazard, counted_hazard = np.zeros((2, len(users), world.config.items))
  for period in range(PERIODS):
    there = np.flatnonzero((start <= period) & (period < end))
    scores = _taste(similarities[:, there], world.interest_weights[users[there]], world.config.drift, period)
    scores = scores + _exposure(world.exposure, world.release, period)
    weights = np.exp(scores - scores.max(1, keepdims=True))
    wanted = world.activity[users[there]] / (end - start)[there]
    now = _rate(weights, np.exp(-hazard[there]), wanted)[:, None] * weights
    hazard[there] += now
    counted_hazard[there] += counted[period] * now
  return np.log(np.maximum(-np.expm1(-counted_hazard), _LEAST_PROBABILITY)).astype(np.float32)


def acceptance(world, users, items):
  """The probability float64 `[b, k]` that listeners `[b]` play the recommended `items [b, k]` at the end of the world.

  Exposure is the recommender's now, so taste alone decides: sigmoid(taste - log(mean exp(taste)) - 2); a listener of
  even taste accepts 12% of anything, and a match makes up for it.
  """
  scores = taste(world, users, PERIODS - 1)
  level = np.log(np.exp(scores).mean(1, keepdims=True)) + 2
  return 1 / (1 + np.exp(level - np.take_along_axis(scores, items, 1)))


def react(world, users, items, seed):
  """What listeners do with recommendations at the end of the world.

  Args:
    world: a `World`.
    users: int `[b]`.
    items: int `[b, k]`.
    seed: int; the same listener, item and seed give the same answer, whatever else is asked.

  Returns:
    bool `[b, k]`: whether he plays it.
  """
  noise = np.stack([_generator(world.config.seed, 'react', seed, user).random(world.config.items)[row]
                    for user, row in zip(users.tolist(), items, strict=True)])
  return noise < acceptance(world, users, items)


def _generator(seed, purpose, *more):
  purposes = ('items', 'listeners', 'listen', 'text', 'react')
  return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, purposes.index(purpose), *more])))


def _ids(letter, count):
  return np.array([f'{letter}{i + 1:0{max(4, len(str(count)))}d}' for i in range(count)])


def _on_grid(vectors):
  return np.round(vectors * 2**12) / 2**12


def _unit(vectors):
  return vectors / np.sqrt((vectors ** 2).sum(-1, keepdims=True))


def _draw_attributes(rng, count, subgenre_odds, mood_odds):
  """Attributes int32 `[count, 8]`: moods go with the subgenre, instruments with the genre."""
  subgenre = rng.choice(len(subgenre_odds), count, p=subgenre_odds)
  genre = subgenre // 4
  keys = np.log(mood_odds[subgenre]) + rng.gumbel(size=(count, mood_odds.shape[1]))
  moods = np.argsort(-keys, 1, kind='stable')[:, :2]
  era = rng.integers(len(vocabulary.ERAS), size=count)
  country = rng.integers(len(vocabulary.COUNTRIES), size=count)
  heard = np.array([[vocabulary.INSTRUMENT_NAMES.index(i) for i in row] for row in vocabulary.INSTRUMENTS])
  instruments = np.take_along_axis(heard[genre], np.argsort(rng.random((count, 4)), 1, kind='stable')[:, :2], 1)
  return np.column_stack([genre, subgenre, moods, era, country, instruments]).astype(np.int32)


def _make_items(config):
  """The items, and a function that draws attributes and content vectors of more places in the same space of taste."""
  rng = _generator(config.seed, 'items')
  sizes = [len(table) for table in (vocabulary.GENRE_NAMES, vocabulary.SUBGENRE_NAMES, vocabulary.MOODS,
                                    vocabulary.ERAS, vocabulary.COUNTRIES, vocabulary.INSTRUMENT_NAMES)]
  tables = [_unit(rng.standard_normal((size, DIM))) for size in sizes]
  tables = [tables[i] for i in (0, 1, 2, 2, 3, 4, 5, 5)]
  odds = rng.dirichlet(np.full(sizes[1], 3.)), rng.dirichlet(np.full(sizes[2], .4), size=sizes[1]) + 1e-4

  def places(rng, count):
    attributes = _draw_attributes(rng, count, *odds)
    parts = [w * table[index] for w, table, index in zip(_ATTRIBUTE_WEIGHTS, tables, attributes.T, strict=True)]
    return attributes, _unit(np.sum(parts, 0))

  attributes, content = places(rng, config.items)
  own = _unit(rng.standard_normal((config.items, DIM)))
  content = _on_grid(np.sqrt(config.content) * content)
  vectors = content + _on_grid(np.sqrt(1 - config.content) * own)
  exposure = -_POPULARITY_EXPONENT * np.log(rng.permutation(config.items) + 1.)
  release = np.where(np.arange(config.items) < round(config.releases * config.items),
                     rng.integers(1, PERIODS, config.items), 0)
  return places, {'attributes': attributes, 'content': content, 'vectors': vectors, 'exposure': exposure,
                  'release': rng.permutation(release).astype(np.int32)}


def _make_listeners(config, places):
  rng = _generator(config.seed, 'listeners')
  count = config.users
  # Two thirds of an interest are a place in the space of attributes, the rest is the listener's own.
  shape = (2, count, INTERESTS, DIM)
  told = places(rng, 2 * count * INTERESTS)[1].reshape(shape)
  tastes = _on_grid(_unit(np.sqrt(2 / 3) * told + np.sqrt(1 / 3) * _unit(rng.standard_normal(shape))))
  has = np.arange(INTERESTS) < rng.choice(INTERESTS, count, p=[.35, .4, .25])[:, None] + 1
  weights = rng.dirichlet(np.full(INTERESTS, 3.), size=count) * has
  newcomer = rng.permutation(np.arange(count) < round(config.newcomers * count))
  first = np.where(rng.random(count) < .5, 0, rng.integers(0, PERIODS - 3, count))
  first = np.where(newcomer, rng.integers(PERIODS - 2, PERIODS, count), first)
  last = np.where((rng.random(count) < .2) & ~newcomer, first + rng.integers(3, PERIODS, count), PERIODS)
  few = rng.integers(2, 5, count)
  many = np.minimum(1 + rng.pareto(_ACTIVITY_EXPONENT, count), 30)
  many = _scale(many, config.events - few[newcomer].sum(), ~newcomer, 5, config.items // 3)
  return {'tastes': tastes, 'interest_weights': weights / weights.sum(1, keepdims=True),
          'active': np.column_stack([first, np.minimum(last, PERIODS)]).astype(np.int32),
          'activity': np.where(newcomer, few, many).astype(np.int32)}


def _scale(numbers, total, counted, low, high):
  """`numbers [n]` times a factor, rounded and clipped to `low` to `high`, so that the `counted` ones sum to `total`."""
  factor = total / numbers[counted].sum()
  for _ in range(20):
    factor *= total / np.clip(factor * numbers[counted], low, high).sum()
  return np.clip(np.round(factor * numbers), low, high)


def _similarities(tastes, vectors):
  """Inner products `[2, b, interests, items]`; exact, since both lie on the grid."""
  return tastes @ vectors.T


def _taste(similarities, interest_weights, drift, period):
  angle = np.pi / 2 * drift * (period + .5) / PERIODS
  turned = np.cos(angle) * similarities[0] + np.sin(angle) * similarities[1]
  return np.log((interest_weights[..., None] * np.exp(_SHARPNESS * turned)).sum(1))


def _rate(weights, left, wanted):
  """The rate `[b]` at which sum_j left_j (1 - exp(-rate w_j)) = wanted; all but `wanted [b]` are `[b, items]`.

  Newton's steps from below: the sum is concave in the rate, so they never overshoot.
  """
  rate = wanted / (left * weights).sum(1)
  for _ in range(8):
    not_taken = left * np.exp(-rate[:, None] * weights)
    rate += (wanted - (left - not_taken).sum(1)) / (not_taken * weights).sum(1)
  return rate


def _exposure(exposure, release, period):
  """The log-exposure `[items]` in a period: -inf before the release, rising for `_RAMP_PERIODS` after it."""
  ramp = np.where(release > 0, np.clip((period - release + 1) / _RAMP_PERIODS, 0, 1), 1.)
  return exposure + np.log(ramp, where=ramp > 0, out=np.full(len(ramp), -np.inf))


def _listen(config, items, listeners):
  """Draws the log: in each period each listener takes new items by the odds of his affinity (Plackett-Luce)."""
  rng = _generator(config.seed, 'listen')
  start, end = listeners['active'].T[..., None]
  there = (start <= np.arange(PERIODS)) & (np.arange(PERIODS) < end)
  counts = rng.multinomial(listeners['activity'], there / there.sum(1, keepdims=True))
  columns, block = [], 1 + 2_000_000 // config.items
  for first in range(0, config.users, block):
    users = np.arange(first, min(first + block, config.users))
    similarities = _similarities(listeners['tastes'][:, users], items['vectors'])
    heard = np.zeros((len(users), config.items), bool)
    for period in range(PERIODS):
      some = np.flatnonzero(counts[users, period])
      wanted = counts[users[some], period]
      if not len(some):
        continue
      likes = _taste(similarities[:, some], listeners['interest_weights'][users[some]], config.drift, period)
      keys = likes + _exposure(items['exposure'], items['release'], period) + rng.gumbel(size=likes.shape)
      keys[heard[some]] = -np.inf
      best = np.argsort(-keys, 1, kind='stable')[:, :wanted.max()]
      row, rank = np.nonzero(np.arange(best.shape[1]) < wanted[:, None])
      item = best[row, rank]
      heard[some[row], item] = True
      fond = likes[row, item] - likes.mean(1)[row]
      plays = np.ceil(np.exp(.5 + .2 * fond + .8 * rng.standard_normal(len(row))))
      time = START + period * PERIOD_SECONDS + rng.integers(PERIOD_SECONDS, size=len(row))
      columns.append((users[some[row]], item, plays, time))
  user, item, plays, time = (np.concatenate(parts) for parts in zip(*columns, strict=True))
  order = np.lexsort((item, user, time))
  return Interactions(user[order].astype(np.int32), item[order].astype(np.int32), plays[order].astype(np.float32),
                      time[order].astype(np.int64))


def _write(rng, attributes):
  """Titles, texts and tags of all items; some tell little, some nothing, some the wrong thing."""
  count = len(attributes)
  titles, texts, phrases = vocabulary.names(rng, count), [], []
  kinds = rng.permutation(np.searchsorted(np.cumsum([_NO_TEXT, _LITTLE_TEXT, _MISLEADING_TEXT]),
                                          (np.arange(count) + .5) / count))
  other = attributes[rng.permutation(count)]
  for title, kind, own, wrong in zip(titles, kinds.tolist(), attributes, other, strict=True):
    words = vocabulary.wordings(rng, wrong if kind == 2 else own)
    if kind == 0:
      text, tags = '', ()
    elif kind == 1:
      tags = (words[('genre', 'mood', 'country')[rng.integers(3)]],)
      text = f'{title}, {tags[0]}'
    else:
      text, tags = vocabulary.describe(rng, title, words), vocabulary.tags(rng, words)
    texts.append(text)
    phrases.append(tags)
  return np.array(titles), np.array(texts), tuple(phrases)
