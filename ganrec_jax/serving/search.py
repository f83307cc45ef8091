"""Titles found while they are typed, and the nearest of known names where one is unknown."""

import dataclasses
import difflib
import re
import unicodedata

import numpy as np

from ganrec_jax.errors import UserError

_WORD = re.compile(r'\w+')
_TOKENS = 8  # words of a search that are looked at
_SHOWN = 100  # characters of an unknown name that are repeated
_NEAR = 40  # names that share most pairs of letters, among which the nearest are looked for


class UnknownName(UserError):
  """A `name` that nothing has."""

  def __init__(self, name, words):
    super().__init__(words)
    self.name = name


def folded(words):
  """The words in lower case, without accents and marks."""
  parts = unicodedata.normalize('NFKD', words)
  return ''.join(part for part in parts if not unicodedata.combining(part)).casefold().strip()


def nearest(name, names, k=5):
  """The `k` of `names`, str `[n]`, that are most like `name`.

  By pairs of letters in common first, which is one pass over arrays, and of the best of these by `difflib`.
  """
  if not len(names):
    return []
  name = f' {name[:_SHOWN]}'
  letters = np.char.add(' ', names)
  codes = letters.view(np.uint32).reshape(len(names), -1).astype(np.uint64)
  pairs = (codes[:, :-1] << np.uint64(32)) | codes[:, 1:]
  asked = np.array(sorted({(ord(a) << 32) | ord(b) for a, b in zip(name, name[1:], strict=False)}), np.uint64)
  common = np.isin(pairs, asked).sum(1)
  alike = common / (np.char.str_len(letters) + len(name))
  near = names[np.argsort(-alike, kind='stable')[:_NEAR]].tolist()
  return difflib.get_close_matches(name.strip(), near, n=k, cutoff=0.)


@dataclasses.dataclass(frozen=True)
class Names:
  """Names and where they stand.

  Attributes:
    what: what they are the names of, for messages.
    names: str `[n]`, unique.
    places: the place of each name.
  """
  what: str
  names: np.ndarray
  places: dict

  @classmethod
  def of(cls, what, names):
    """The `Names` of a str `[n]`."""
    return cls(what, names, {name: place for place, name in enumerate(names.tolist())})

  def place(self, name):
    """Where a name stands.

    Raises:
      UnknownName: where nothing has it, naming the nearest.
    """
    if name not in self.places:
      shown = name if len(name) <= _SHOWN else f'{name[:_SHOWN]}...'
      near = ', '.join(nearest(name, self.names))
      raise UnknownName(name, f'unknown {self.what} {shown!r}; the nearest ids are {near}')
    return self.places[name]


@dataclasses.dataclass(frozen=True)
class Titles:
  """An index of titles by their words and by how they begin; a search never goes through the titles themselves.

  Attributes:
    titles: str `[items]`, folded, in ascending order.
    items: int32 `[items]`, whose titles these are.
    rank: int32 `[items]`, the place of each item by popularity; of equal hits the more popular come first.
    words: str `[n]`, in ascending order.
    owners: int32 `[n]`, the item of each word.
  """
  titles: np.ndarray
  items: np.ndarray
  rank: np.ndarray
  words: np.ndarray
  owners: np.ndarray

  @classmethod
  def of(cls, titles, popularity):
    """The index of the titles str `[items]`."""
    plain = [folded(title) for title in titles.tolist()]
    pairs = sorted((word, item) for item, title in enumerate(plain) for word in set(_WORD.findall(title)))
    words, owners = zip(*pairs, strict=True) if pairs else ((), ())
    items = np.array(sorted(range(len(plain)), key=plain.__getitem__), np.int32)
    rank = np.argsort(np.argsort(-np.asarray(popularity), kind='stable')).astype(np.int32)
    return cls(np.array(plain, str)[items], items, rank, np.array(words, str), np.array(owners, np.int32))

  def find(self, query, k=10):
    """The best `k` items, int `[up to k]`, with a word that begins like each word of the query.

    The title itself comes first, then titles that begin like the query, then the more popular ones; where there is
    none, the titles that are spelt most alike.
    """
    query = folded(query[:_SHOWN])
    tokens = _WORD.findall(query)[:_TOKENS]
    if not tokens:
      return np.zeros(0, np.int64)
    hits = np.ones(len(self.items), bool)
    for token in tokens:
      having = np.zeros(len(hits), bool)
      having[self.owners[_beginning(self.words, token)]] = True
      hits &= having
    found = np.flatnonzero(hits)
    if not len(found):
      near = dict.fromkeys(nearest(query, self.titles, k))
      return np.array([self.items[np.searchsorted(self.titles, title)] for title in near], np.int64)
    place = self.rank.astype(np.int64)
    place[self.items[_beginning(self.titles, query)]] -= len(hits)
    place[self.items[np.searchsorted(self.titles, query):np.searchsorted(self.titles, query, 'right')]] -= len(hits)
    best = found[np.argpartition(place[found], min(k, len(found)) - 1)[:k]]
    return best[np.argsort(place[best])]


def _beginning(names, start):
  """Where in ascending `names` those are that begin like `start`, a slice."""
  # The last character of all: every name that begins so is in between.
  return slice(*np.searchsorted(names, [start, f'{start}\U0010ffff']))
