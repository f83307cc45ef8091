"""The space of taste of a sample world: the vectors of attributes, and the odds at which they occur together."""

import dataclasses
from collections.abc import Callable

import numpy as np

DIM = 16


@dataclasses.dataclass(frozen=True)
class Space:
  """Where items are and what people want.

  Attributes:
    draw: `draw(rng, count)`, the attributes int32 `[count, values]` of that many places.
    vectors: `vectors(values int [count, values])`, their vectors float64 `[count, dim]`, of length one.
  """
  draw: Callable
  vectors: Callable


def unit(vectors):
  """The `vectors [..., dim]` at length one."""
  return vectors / np.sqrt((vectors ** 2).sum(-1, keepdims=True))


def make_space(rng, vocabulary):
  """The `Space` of a vocabulary, its vectors and odds drawn from the generator `rng`."""
  attributes = vocabulary.attributes
  tables = [rng.standard_normal((len(attribute.values), DIM)) for attribute in attributes]
  tables = [_along_arc(table) if attribute.ordered else unit(table)
            for attribute, table in zip(attributes, tables, strict=True)]
  subgenres = len(attributes[1].values)
  subgenre_odds = rng.dirichlet(np.full(subgenres, 3.))
  odds = [rng.dirichlet(np.full(len(attribute.values), .4), size=subgenres) + 1e-4 if attribute.by_subgenre else None
          for attribute in attributes]

  def draw(rng, count):
    subgenre = rng.choice(subgenres, count, p=subgenre_odds)
    genre = subgenre // (subgenres // len(attributes[0].values))
    rest = [_draw_values(rng, attribute, genre, subgenre, its_odds)
            for attribute, its_odds in zip(attributes[2:], odds[2:], strict=True)]
    return np.column_stack([genre, subgenre, *rest]).astype(np.int32)

  def vectors(values):
    weighted = [(w, table) for attribute, table in zip(attributes, tables, strict=True) for w in attribute.weights]
    return unit(np.sum([w * table[index] for (w, table), index in zip(weighted, values.T, strict=True)], 0))

  return Space(draw, vectors)


def _draw_values(rng, attribute, genre, subgenre, odds):
  """The values int `[count, k]` of an attribute for items of a genre and subgenre, int `[count]` each."""
  count, k = len(subgenre), len(attribute.weights)
  if attribute.by_subgenre:
    keys = np.log(odds[subgenre]) + rng.gumbel(size=(count, odds.shape[1]))
    return np.argsort(-keys, 1, kind='stable')[:, :k]
  if attribute.of_genre:
    among = np.array(attribute.of_genre)[genre]
    return np.take_along_axis(among, np.argsort(rng.random(among.shape), 1, kind='stable')[:, :k], 1)
  return rng.integers(len(attribute.values), size=count)[:, None]


def _along_arc(table):
  """Unit vectors `[values, dim]` evenly along three quarters of a half circle, so that neighbours are alike."""
  first, second = unit(table[0]), table[1]
  second = unit(second - (second * first).sum() * first)
  angle = .75 * np.pi * np.linspace(0, 1, len(table))[:, None]
  return np.cos(angle) * first + np.sin(angle) * second
