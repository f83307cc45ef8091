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
  """An index of the words of titles, by which a search looks at what it finds and at nothing else.

  Attributes:
    titles: str `[items]`, folded.
    popularity: float `[items]`; of equal hits the more popular come first.
    words: str `[n]`, in ascending order.
    owners: int32 `[n]`, the item of each word.
  """
  titles: np.ndarray
  popularity: np.ndarray
  words: np.ndarray
  owners: np.ndarray

  @classmethod
  def of(cls, titles, popularity):
    """The index of the titles str `[items]`."""
    plain = [folded(title) for title in titles.tolist()]
    pairs = sorted((word, item) for item, title in enumerate(plain) for word in set(_WORD.findall(title)))
    words, owners = zip(*pairs, strict=True) if pairs else ((), ())
    return cls(np.array(plain, str), np.asarray(popularity), np.array(words, str), np.array(owners, np.int32))

  def find(self, query, k=10):
    """The best `k` items, int `[up to k]`, with a word that begins like each word of the query.

    The title itself comes first, then titles that begin like the query, then the more popular ones; where there is
    none, the titles that are spelt most alike.
    """
    query = folded(query[:_SHOWN])
    tokens = _WORD.findall(query)[:_TOKENS]
    if not tokens:
      return np.zeros(0, np.int64)
    found = None
    for token in tokens:
      # The last character of all, so that every word that begins with the token is in between.
      start, stop = np.searchsorted(self.words, [token, f'{token}\U0010ffff'])
      owners = np.unique(self.owners[start:stop])
      found = owners if found is None else np.intersect1d(found, owners, assume_unique=True)
    if not len(found):
      near = {title: rank for rank, title in enumerate(nearest(query, self.titles, k))}
      items = np.flatnonzero(np.isin(self.titles, list(near)))
      return np.array(sorted(items.tolist(), key=lambda item: near[self.titles[item]]), np.int64)[:k]
    titles = self.titles[found]
    order = np.lexsort((-self.popularity[found], ~np.char.startswith(titles, query), titles != query))
    return found[order[:k]]
