"""What the domains of the sample worlds differ in: the attributes of their items, their words, their temperament."""

import dataclasses
from collections.abc import Callable

import numpy as np
from scipy.special import ndtr


@dataclasses.dataclass(frozen=True)
class Attribute:
  """A property of items, of which each item has one value or several different ones.

  Attributes:
    key: its name in templates, as in {mood}; a second value of the same item is {mood2}.
    values: the ways of writing each value, the usual one first.
    weights: the weight of each of an item's values in its content vector; their number is the number of values.
    of_genre: the values that an item of each genre may have; () where all may.
    by_subgenre: whether each subgenre has its own odds of the values.
    forms: names in templates of the ways of writing, where these are no synonyms: {country} and {city}.
    ordered: whether neighbours in `values` are alike, as prices are.
    personal: whether a person wants the same value in all of his interests, such as a budget.
  """
  key: str
  values: tuple[tuple[str, ...], ...]
  weights: tuple[float, ...]
  of_genre: tuple[tuple[int, ...], ...] = ()
  by_subgenre: bool = False
  forms: tuple[str, ...] = ()
  ordered: bool = False
  personal: bool = False


def taxonomy(genres):
  """The attributes genre and subgenre of `genres`: the ways of writing a genre -> those of its four subgenres."""
  return (Attribute('genre', tuple(genres), (.6,)),
          Attribute('subgenre', tuple(names for subgenres in genres.values() for names in subgenres), (.9,)))


def of_genre(key, names, weights):
  """An `Attribute` whose values are one-way `names`, as many for each genre, some perhaps in several genres."""
  known = sorted({name for row in names for name in row})
  places = tuple(tuple(known.index(name) for name in row) for row in names)
  return Attribute(key, tuple((name,) for name in known), weights, of_genre=places)


@dataclasses.dataclass(frozen=True)
class Vocabulary:
  """The words of a domain; templates have {name}, {title} and the keys of the attributes.

  Attributes:
    letter: what item ids begin with.
    attributes: those of an item; the first two are genre and subgenre, see `taxonomy`.
    names: `names(rng, count)`, that many different invented names.
    titles: templates of titles, each with {name}, so that titles differ.
    leads: templates of how a text begins, each with {name} or {title}.
    clauses: templates of what may follow.
    fillers: what may follow and tells nothing.
    tags: the chance that an attribute is among an item's tags.
    hints: the attributes of which one is all that is told of some items.
    repeats: whether a text may tell an attribute again.
    joint: what stands between the parts of a text: ', ', or '. ' for sentences.
    words: the bounds of a text's length.
  """
  letter: str
  attributes: tuple[Attribute, ...]
  names: Callable
  titles: tuple[str, ...]
  leads: tuple[str, ...]
  clauses: tuple[str, ...]
  fillers: tuple[str, ...]
  tags: tuple[tuple[str, float], ...]
  hints: tuple[str, ...]
  repeats: bool = False
  joint: str = ', '
  words: tuple[int, int] = (8, 30)


@dataclasses.dataclass(frozen=True)
class Values:
  """How much a person makes of an item: a step function of the latent mean + slope fondness + spread noise.

  Attributes:
    kind: 'count' (a whole number from 1, of the order of exp(latent)), 'hours' (exp(latent) in tenths from .1) or
      'rating' (the latent in half steps from .5 to 5).
    mean: of the latent at a fondness of zero.
    slope: of the latent in fondness, the log-preference above the person's average.
    spread: standard deviation of the normal noise.
  """
  kind: str
  mean: float
  slope: float
  spread: float

  def draw(self, fondness, noise):
    """The values float64 `[n]` at fondness `[n]` and standard normal noise `[n]`."""
    latent = self.mean + self.slope * fondness + self.spread * noise
    if self.kind == 'count':
      return np.ceil(np.exp(latent))
    if self.kind == 'hours':
      return np.maximum(np.round(np.exp(latent), 1), .1)
    return np.clip(np.round(2 * latent) / 2, .5, 5)

  def chance(self, fondness, least):
    """The probability, of the shape of `fondness`, that the value is `least` or more."""
    if self.kind == 'count':
      threshold = np.log(np.ceil(least) - 1) if least > 1 else -np.inf
    elif self.kind == 'hours':
      threshold = np.log((np.ceil(np.round(10 * least, 6)) - .5) / 10) if least > .1 else -np.inf
    else:
      threshold = -np.inf if least <= .5 else np.inf if least > 5 else (np.ceil(2 * least) - .5) / 2
    return ndtr((self.mean + self.slope * fondness - threshold) / self.spread)


@dataclasses.dataclass(frozen=True)
class Temperament:
  """How a domain's people and items behave.

  Attributes:
    values: how much a person makes of an item.
    periods: the number of periods of the world; within one nothing changes.
    period_seconds: the length of a period.
    content: the share of an item's taste vector that its attributes explain; the rest no text tells.
    drift: how far tastes turn in the world's time, 0 (not at all) to 1 (a quarter turn).
    newcomers: the share of people who came in the last sixth of the time and took two to four items.
    releases: the share of items released within the world's time.
    sharpness: how strongly taste decides.
    popularity: the exponent of the power law of items.
    activity: the exponent of the power law of people.
    ramp: a new release is as widely known as it will be after so many periods.
    life: the median number of periods after which an item is dead; infinite where items live on.
    life_spread: the standard deviation of the logarithm of that number.
  """
  values: Values
  periods: int = 12
  period_seconds: int = 61 * 86400
  content: float = .65
  drift: float = .5
  newcomers: float = .1
  releases: float = .25
  sharpness: float = 10.
  popularity: float = .8
  activity: float = 1.4
  ramp: int = 4
  life: float = np.inf
  life_spread: float = 0.

  @property
  def mortal(self):
    """Whether items die."""
    return bool(np.isfinite(self.life))


@dataclasses.dataclass(frozen=True)
class Domain:
  """A domain of sample worlds.

  Attributes:
    name: 'music', for instance.
    people: who they are, as in 'no real listeners'.
    verb: what they did with their items, as in 'listened to'.
    vocabulary: the words.
    temperament: the behaviour.
  """
  name: str
  people: str
  verb: str
  vocabulary: Vocabulary
  temperament: Temperament
