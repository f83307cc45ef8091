"""The sample worlds: simulated items, people whose true tastes are known, and the log of what they took.

There is one model; `ganrec_jax.data.worlds` has the words and the temperaments of its five domains.

Everything is a function of (config, seed), to the bit: vectors lie on a grid so coarse that their inner products are
exact in float64, hence the same in any order of summation and for any number of threads.
"""

import dataclasses

import numpy as np

from ganrec_jax.data.types import Catalogue, Dataset, Interactions
from ganrec_jax.data.worlds import DOMAINS
from ganrec_jax.data.worlds.domain import Temperament
from ganrec_jax.data.worlds.space import DIM, make_space, unit
from ganrec_jax.data.worlds.writing import write
from ganrec_jax.errors import ConfigError

START = 1704067200  # 2024-01-01 in UTC
INTERESTS = 3
_FADE = 3.  # the log-exposure that an item loses from its release to its death
_LEAST_PROBABILITY = 1e-30
_MOST_OF_WHAT_IS_LEFT = .9
# The shares of a `Temperament` that a `WorldConfig` may change, and the largest of each.
_SHARES = {'content': 1, 'drift': 1, 'newcomers': .4, 'releases': .5}


@dataclasses.dataclass(frozen=True)
class WorldConfig:
  """The size and the nature of a sample world.

  Attributes:
    domain: 'music', 'video', 'ecommerce', 'news' or 'games'.
    users: people, 20 to 100,000.
    items: what they choose from, 40 (where items die, 120) to 20,000.
    events: (user, item) pairs wanted, 5 a user to a fifth (where items die, a seventh) of all pairs; the log comes
      within a tenth of it.
    seed: of everything, 0 to 2**32 - 1.
    content, drift, newcomers, releases: see `Temperament`, 0 to 1, 0 to 1, 0 to .4, and 0 to .5 (where items die, .8 to
      .95); None is the domain's own.

  Raises:
    ConfigError: for values out of range.
  """
  domain: str = 'music'
  users: int = 1200
  items: int = 900
  events: int = 30_000
  seed: int = 0
  content: float | None = None
  drift: float | None = None
  newcomers: float | None = None
  releases: float | None = None

  def __post_init__(self):
    if self.domain not in DOMAINS:
      raise ConfigError(f'sample world: domain={self.domain!r}, allowed are {", ".join(DOMAINS)}')
    mortal = DOMAINS[self.domain].temperament.mortal
    for name, low, high in (('users', 20, 100_000), ('items', 120 if mortal else 40, 20_000), ('seed', 0, 2**32 - 1)):
      _check_range(name, getattr(self, name), low, high, whole=True)
    _check_range('events', self.events, 5 * self.users, self.users * self.items // (7 if mortal else 5), whole=True)
    for name, high in _SHARES.items():
      if getattr(self, name) is not None:
        low, high = (.8, .95) if mortal and name == 'releases' else (0, high)
        _check_range(name, getattr(self, name), low, high, whole=False)

  def temperament(self):
    """The `Temperament` of the domain with the shares that are set here."""
    given = {name: getattr(self, name) for name in _SHARES if getattr(self, name) is not None}
    return dataclasses.replace(DOMAINS[self.domain].temperament, **given)


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
    temperament: how its people and items behave.
    dataset: the log, catalogue and users; all that a recommender may see.
    attributes: int32 `[items, values]`, the true values of all attributes of the domain's vocabulary in their order.
    content: float64 `[items, dim]`, the part of an item's vector that its attributes explain.
    vectors: float64 `[items, dim]`, `content` and an idiosyncratic part.
    exposure: float64 `[items]`, log popularity that is no matter of taste.
    release: int32 `[items]`, the period from which an item can be taken; 0 or less where it was always there.
    life: float64 `[items]`, the number of periods from its release to its death; infinite where it lives on.
    tastes: float64 `[2, users, interests, dim]`, where each interest starts and where it turns to.
    interest_weights: float64 `[users, interests]`, summing to 1; 0 for interests a person does not have.
    active: int32 `[users, 2]`, the first period a person is there and the one after the last.
    activity: int32 `[users]`, the number of items a person took.
  """
  config: WorldConfig
  temperament: Temperament
  dataset: Dataset
  attributes: np.ndarray
  content: np.ndarray
  vectors: np.ndarray
  exposure: np.ndarray
  release: np.ndarray
  life: np.ndarray
  tastes: np.ndarray
  interest_weights: np.ndarray
  active: np.ndarray
  activity: np.ndarray


def make_world(config):
  """Makes the `World` of a `WorldConfig`; the same config gives the same bits."""
  domain, temperament = DOMAINS[config.domain], config.temperament()
  vocabulary = domain.vocabulary
  space, items = _make_items(config, temperament, vocabulary)
  people = _make_people(config, temperament, vocabulary, space, items)
  log = _take(config, temperament, items, people)
  titles, texts, phrases = write(_generator(config.seed, 'text'), vocabulary, items['attributes'])
  catalogue = Catalogue(_ids(vocabulary.letter, config.items), titles, texts, phrases)
  info = {'name': f'sample {domain.name}', 'simulated': True, 'verb': domain.verb,
          'citation': f'simulated by ganrec_jax; no real {domain.people}'}
  people['activity'] = np.bincount(log.user, minlength=config.users).astype(np.int32)
  return World(config, temperament, Dataset(log, catalogue, _ids('u', config.users), info), **items, **people)


def taste(world, users, period):
  """The true log-preference of people for items apart from exposure, float64 `[b, items]`, in a period."""
  return _taste(_similarities(world.tastes[:, users], world.vectors), world.interest_weights[users],
                world.temperament, period)


def affinity(world, users, time=None):
  """The log of the odds, up to a constant for each person, that the next new item is this one.

  Args:
    world: a `World`.
    users: int `[b]`.
    time: seconds since 1970; the end of the world if None. Tastes stand still within a period.

  Returns:
    float32 `[b, items]`: log sum_m w_m exp(s t_m(time) . v_j) + exposure_j(time); -inf before the release and after
    the death.
  """
  last = world.temperament.periods - 1
  period = last if time is None else int(np.clip((time - START) // world.temperament.period_seconds, 0, last))
  return (taste(world, users, period) + _exposure_in(world, period)).astype(np.float32)


def log_probability(world, users, since=None, least=0.):
  """The log of the probability that people come to take each item: its ranking is the `oracle`.

  The probability is over the periods in which the person is there, so over drifting tastes, new releases and deaths,
  and knows that nobody takes an item twice: in the limit of many items, drawing n of them without replacement by
  weights w_j takes item j with probability 1 - exp(-rate w_j), with the rate at which these sum to n (Rosen, 1972).
  The hazards rate * w_j of the periods add up, and each period's rate answers for what was taken in those before.

  Args:
    world: a `World`.
    users: int `[b]`.
    since: seconds since 1970, from which to count (for a split in time): the probability is then of taking from then
      on what is not known to have been taken before. None counts all.
    least: what is taken with a smaller value is never known (a log without low ratings) and counts for nothing.

  Returns:
    float32 `[b, items]`, finite: the log of 1e-30 where an item cannot have been taken.
  """
  temperament = world.temperament
  passed = 0. if since is None else (since - START) / temperament.period_seconds
  counted = np.clip(np.arange(1, temperament.periods + 1) - passed, 0, 1)
  similarities = _similarities(world.tastes[:, users], world.vectors)
  start, end = world.active[users].T
  # Of the hazard so far, all and what is counted; of the probability of a value too small, before and since.
  hazard, counted_hazard, low_before, low = np.zeros((4, len(users), world.config.items))
  for period in range(temperament.periods):
    there = np.flatnonzero((start <= period) & (period < end))
    likes = _taste(similarities[:, there], world.interest_weights[users[there]], temperament, period)
    scores = likes + _exposure_in(world, period)
    weights = np.exp(scores - scores.max(1, keepdims=True))
    wanted = world.activity[users[there]] / (end - start)[there]
    now = _rate(weights, np.exp(-hazard[there]), wanted)[:, None] * weights
    now_counted = counted[period] * now
    if least > 0:
      too_small = 1 - temperament.values.chance(_fondness(likes), least)
      low_before[there] -= np.exp(-hazard[there]) * np.expm1(now_counted - now) * too_small
      low[there] -= np.exp(-counted_hazard[there]) * np.expm1(-now_counted) * too_small
    hazard[there] += now
    counted_hazard[there] += now_counted
  # The probability that what is not known to have been taken before was not taken before.
  untouched = 1 / (1 + low_before * np.exp(np.minimum(hazard - counted_hazard, 700)))
  probability = untouched * (-np.expm1(-counted_hazard) - low)
  return np.log(np.maximum(probability, _LEAST_PROBABILITY)).astype(np.float32)


def acceptance(world, users, items):
  """The probability float64 `[b, k]` that people `[b]` take the recommended `items [b, k]` at the end of the world.

  Exposure is the recommender's now, so taste alone decides: sigmoid(taste - log(mean exp(taste)) - 2); a person of
  even taste accepts 12% of anything, and a match makes up for it. What has gone stale by then is liked less by as much,
  and nobody takes what is dead.
  """
  last = world.temperament.periods - 1
  scores = taste(world, users, last)
  level = np.log(np.exp(scores).mean(1, keepdims=True)) + 2
  scores = scores + _freshness(world.release, world.life, last)
  return 1 / (1 + np.exp(level - np.take_along_axis(scores, items, 1)))


def react(world, users, items, seed):
  """What people do with recommendations at the end of the world.

  Args:
    world: a `World`.
    users: int `[b]`.
    items: int `[b, k]`.
    seed: int; the same person, item and seed give the same answer, whatever else is asked.

  Returns:
    bool `[b, k]`: whether it is taken.
  """
  noise = np.stack([_generator(world.config.seed, 'react', seed, user).random(world.config.items)[row]
                    for user, row in zip(users.tolist(), items, strict=True)])
  return noise < acceptance(world, users, items)


def _generator(seed, purpose, *more):
  purposes = ('items', 'people', 'take', 'text', 'react')
  return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, purposes.index(purpose), *more])))


def _ids(letter, count):
  return np.array([f'{letter}{i + 1:0{max(4, len(str(count)))}d}' for i in range(count)])


def _on_grid(vectors):
  return np.round(vectors * 2**12) / 2**12


def _make_items(config, temperament, vocabulary):
  """The `Space` of the world, and its items."""
  rng = _generator(config.seed, 'items')
  space = make_space(rng, vocabulary)
  attributes = space.draw(rng, config.items)
  own = unit(rng.standard_normal((config.items, DIM)))
  content = _on_grid(np.sqrt(temperament.content) * space.vectors(attributes))
  vectors = content + _on_grid(np.sqrt(1 - temperament.content) * own)
  exposure = -temperament.popularity * np.log(rng.permutation(config.items) + 1.)
  release = np.where(np.arange(config.items) < round(temperament.releases * config.items),
                     rng.integers(1, temperament.periods, config.items), 0)
  release, life = rng.permutation(release), np.full(config.items, np.inf)
  if temperament.mortal:
    life = np.ceil(temperament.life * np.exp(temperament.life_spread * rng.standard_normal(config.items))).clip(2)
    release = np.where(release > 0, release, -np.floor(life * rng.random(config.items)))  # the old ones are still alive
  return space, {'attributes': attributes, 'content': content, 'vectors': vectors, 'exposure': exposure,
                  'release': release.astype(np.int32), 'life': life}


def _make_people(config, temperament, vocabulary, space, items):
  rng = _generator(config.seed, 'people')
  count, periods = config.users, temperament.periods
  # Two thirds of an interest are a place in the space of attributes, the rest is the person's own.
  shape = (2, count, INTERESTS, DIM)
  wanted = space.draw(rng, 2 * count * INTERESTS).reshape(*shape[:3], -1)
  personal = np.repeat([a.personal for a in vocabulary.attributes], [len(a.weights) for a in vocabulary.attributes])
  wanted = np.where(personal, wanted[:1, :, :1], wanted)
  told = space.vectors(wanted.reshape(-1, wanted.shape[-1])).reshape(shape)
  tastes = _on_grid(unit(np.sqrt(2 / 3) * told + np.sqrt(1 / 3) * unit(rng.standard_normal(shape))))
  has = np.arange(INTERESTS) < rng.choice(INTERESTS, count, p=[.35, .4, .25])[:, None] + 1
  weights = rng.dirichlet(np.full(INTERESTS, 3.), size=count) * has
  newcomer = rng.permutation(np.arange(count) < round(temperament.newcomers * count))
  first = np.where(rng.random(count) < .5, 0, rng.integers(0, periods - periods // 4, count))
  first = np.where(newcomer, rng.integers(periods - periods // 6, periods, count), first)
  last = np.where((rng.random(count) < .2) & ~newcomer, first + rng.integers(periods // 4, periods, count), periods)
  last = np.minimum(last, periods)
  few = rng.integers(2, 5, count)
  many = np.minimum(1 + rng.pareto(temperament.activity, count), 30)
  most = np.minimum(config.items // 3, 2 * _alive_between(items, first, last) // 3)
  many = _scale(many, config.events - few[newcomer].sum(), ~newcomer, 5, most)
  return {'tastes': tastes, 'interest_weights': weights / weights.sum(1, keepdims=True),
          'active': np.column_stack([first, last]).astype(np.int32),
          'activity': np.where(newcomer, few, many).astype(np.int32)}


def _alive_between(items, first, last):
  """The number int `[users]` of items that can be taken in any period from `first` to before `last`, `[users]` each."""
  released, dead = np.sort(items['release']), np.sort(items['release'] + items['life'])
  return np.searchsorted(released, last) - np.searchsorted(dead, first, 'right')


def _scale(numbers, total, counted, low, high):
  """`numbers [n]` times a factor, rounded and clipped to `low` to `high [n]`: the `counted` ones sum to `total`."""
  factor = total / numbers[counted].sum()
  for _ in range(20):
    factor *= total / np.clip(factor * numbers, low, high)[counted].sum()
  return np.clip(np.round(factor * numbers), low, high)


def _similarities(tastes, vectors):
  """Inner products `[2, b, interests, items]`; exact, since both lie on the grid."""
  return tastes @ vectors.T


def _taste(similarities, interest_weights, temperament, period):
  angle = np.pi / 2 * temperament.drift * (period + .5) / temperament.periods
  turned = np.cos(angle) * similarities[0] + np.sin(angle) * similarities[1]
  return np.log((interest_weights[..., None] * np.exp(temperament.sharpness * turned)).sum(1))


def _fondness(likes):
  """How much more than the average item people like each one, `[b, items]`."""
  return likes - likes.mean(1, keepdims=True)


def _rate(weights, left, wanted):
  """The rate `[b]` at which sum_j left_j (1 - exp(-rate w_j)) = wanted; all but `wanted [b]` are `[b, items]`.

  Where more is wanted than is left, it is the rate for most of that. Newton's steps from below: the sum is concave in
  the rate, so they never overshoot.
  """
  wanted = np.minimum(wanted, _MOST_OF_WHAT_IS_LEFT * (left * (weights > 0)).sum(1))
  rate = wanted / (left * weights).sum(1)
  for _ in range(8):
    not_taken = left * np.exp(-rate[:, None] * weights)
    rate += (wanted - (left - not_taken).sum(1)) / (not_taken * weights).sum(1)
  return rate


def _exposure(exposure, release, life, temperament, period):
  """The log-exposure `[items]` in a period: rising for `ramp` periods from the release; -inf without life."""
  ramp = np.where(release > 0, np.clip((period - release + 1) / temperament.ramp, 0, 1), 1.)
  return (exposure + np.log(ramp, where=ramp > 0, out=np.full(len(ramp), -np.inf))
          + _freshness(release, life, period))


def _exposure_in(world, period):
  return _exposure(world.exposure, world.release, world.life, world.temperament, period)


def _freshness(release, life, period):
  """What age takes from the log-exposure `[items]`: up to `_FADE` in a lifetime, then all."""
  age = np.maximum(period - release, 0)
  return np.where(age < life, -_FADE * age / life, -np.inf)


def _take(config, temperament, items, people):
  """Draws the log: in each period each person takes new items by the odds of the affinity (Plackett-Luce)."""
  rng = _generator(config.seed, 'take')
  start, end = people['active'].T[..., None]
  there = (start <= np.arange(temperament.periods)) & (np.arange(temperament.periods) < end)
  counts = rng.multinomial(people['activity'], there / there.sum(1, keepdims=True))
  columns, block = [], 1 + 2_000_000 // config.items
  for first in range(0, config.users, block):
    users = np.arange(first, min(first + block, config.users))
    similarities = _similarities(people['tastes'][:, users], items['vectors'])
    taken = np.zeros((len(users), config.items), bool)
    for period in range(temperament.periods):
      some = np.flatnonzero(counts[users, period])
      if not len(some):
        continue
      exposure = _exposure(items['exposure'], items['release'], items['life'], temperament, period)
      likes = _taste(similarities[:, some], people['interest_weights'][users[some]], temperament, period)
      keys = likes + exposure + rng.gumbel(size=likes.shape)
      keys[taken[some]] = -np.inf
      wanted = np.minimum(counts[users[some], period], np.isfinite(keys).sum(1))  # nobody takes more than there is
      best = np.argsort(-keys, 1, kind='stable')[:, :wanted.max()]
      row, rank = np.nonzero(np.arange(best.shape[1]) < wanted[:, None])
      item = best[row, rank]
      taken[some[row], item] = True
      value = temperament.values.draw(likes[row, item] - likes.mean(1)[row], rng.standard_normal(len(row)))
      time = (START + period * temperament.period_seconds
              + rng.integers(temperament.period_seconds, size=len(row)))
      columns.append((users[some[row]], item, value, time))
  user, item, value, time = (np.concatenate(parts) for parts in zip(*columns, strict=True))
  order = np.lexsort((item, user, time))
  return Interactions(user[order].astype(np.int32), item[order].astype(np.int32), value[order].astype(np.float32),
                      time[order].astype(np.int64))
