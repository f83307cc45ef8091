"""The data that all stages speak of: frozen dataclasses of NumPy arrays, checked when they are made."""

import dataclasses
import hashlib

import numpy as np

from ganrec_jax.errors import DataError

# What a row of the log is used for. Only `train` is ever fitted; `history` is what is known of a cold user
# when he is to be recommended something.
PARTS = ('unused', 'train', 'valid', 'test', 'cold_valid', 'cold_test', 'history', 'user_valid', 'user_test')


def _check(condition, message):
  if not condition:
    raise DataError(message)


def _check_column(name, array, length, kinds):
  _check(isinstance(array, np.ndarray) and array.ndim == 1, f'{name} must be a one-dimensional NumPy array')
  _check(array.dtype.kind in kinds, f'{name} has dtype {array.dtype}, allowed are kinds {kinds!r}')
  _check(len(array) == length, f'{name} has {len(array)} rows where {length} are due')


@dataclasses.dataclass(frozen=True)
class Interactions:
  """A behaviour log: user and item indices, dense from 0, with a value (count, rating or 1) and maybe a time.

  Attributes:
    user: int32 `[n]`.
    item: int32 `[n]`.
    value: float32 `[n]`, positive and finite.
    time: int64 `[n]`, seconds since 1970 in UTC, or None where the log has no times.

  Raises:
    DataError: for columns of other lengths or types, negative indices, values that are not positive or finite.
  """
  user: np.ndarray
  item: np.ndarray
  value: np.ndarray
  time: np.ndarray | None = None

  def __post_init__(self):
    n = len(self.user)
    _check_column('user', self.user, n, 'i')
    _check_column('item', self.item, n, 'i')
    _check_column('value', self.value, n, 'f')
    if self.time is not None:
      _check_column('time', self.time, n, 'i')
    if n:
      for name in ('user', 'item'):
        row = int(np.argmin(getattr(self, name)))
        _check(getattr(self, name)[row] >= 0, f'row {row}, column {name}: {getattr(self, name)[row]} is negative')
      bad = np.flatnonzero(~(np.isfinite(self.value) & (self.value > 0)))
      if len(bad):
        raise DataError(f'row {bad[0]}, column value: {self.value[bad[0]]} is not positive and finite')

  def __len__(self):
    return len(self.user)

  def take(self, rows):
    """The interactions at `rows`, an index or mask array `[n]`."""
    return Interactions(self.user[rows], self.item[rows], self.value[rows],
                        None if self.time is None else self.time[rows])


@dataclasses.dataclass(frozen=True)
class Catalogue:
  """The items: ids, titles for people, texts for the encoder, phrases (tags, genres) for attribute kernels.

  Attributes:
    ids: str `[items]`, unique.
    titles: str `[items]`, what a person is shown.
    texts: str `[items]`, what the encoder reads; '' where an item has none.
    phrases: one tuple of whole attribute phrases (tags, genres, brands) an item; () where it has none.
    vectors: float32 `[items, dim]`, ready features (of images, sounds, another encoder), zeros where an item has none;
      or None.

  Raises:
    DataError: for repeated ids, columns of other lengths, vectors that are not finite.
  """
  ids: np.ndarray
  titles: np.ndarray
  texts: np.ndarray
  phrases: tuple[tuple[str, ...], ...]
  vectors: np.ndarray | None = None

  def __post_init__(self):
    n = len(self.ids)
    for name in ('ids', 'titles', 'texts'):
      _check_column(name, getattr(self, name), n, 'U')
    _check(len(self.phrases) == n, f'phrases has {len(self.phrases)} rows where {n} are due')
    if self.vectors is not None:
      _check(self.vectors.ndim == 2 and len(self.vectors) == n and self.vectors.dtype == np.float32,
             f'vectors is {self.vectors.dtype} of shape {self.vectors.shape}, allowed is float32 of shape ({n}, dim)')
      _check(np.isfinite(self.vectors).all(), 'vectors holds a number that is not finite')
    ids, counts = np.unique(self.ids, return_counts=True)
    if len(ids) < n:
      raise DataError(f'item id {ids[np.argmax(counts)]!r} occurs {counts.max()} times; ids must be unique')

  def __len__(self):
    return len(self.ids)

  def take(self, items):
    """The catalogue of `items`, an index array `[m]`."""
    return Catalogue(self.ids[items], self.titles[items], self.texts[items], tuple(self.phrases[i] for i in items),
                     None if self.vectors is None else self.vectors[items])


@dataclasses.dataclass(frozen=True)
class Dataset:
  """A log with its catalogue and users.

  Attributes:
    interactions: the log, at most one row for each (user, item).
    catalogue: the items.
    user_ids: str `[users]`, unique.
    info: what a reader of the results must know: `name`, `simulated` (bool), `citation`, and counts of all that was
      dropped, merged or repaired on the way.

  Raises:
    DataError: for indices beyond the catalogue or the users, or repeated pairs.
  """
  interactions: Interactions
  catalogue: Catalogue
  user_ids: np.ndarray
  info: dict

  def __post_init__(self):
    log = self.interactions
    _check_column('user_ids', self.user_ids, len(self.user_ids), 'U')
    _check(len(np.unique(self.user_ids)) == len(self.user_ids), 'user_ids must be unique')
    _check(len(log) > 0, 'no interactions left')
    for name, index, size in (('user', log.user, self.users), ('item', log.item, self.items)):
      row = int(np.argmax(index))
      _check(index[row] < size, f'row {row}, column {name}: index {index[row]}, allowed are 0 to {size - 1}')
    # Sorted pairs, the usual case, are different where each is larger than the one before; no codes, no sorting.
    same = log.user[1:] == log.user[:-1]
    if not ((log.user[1:] > log.user[:-1]) | (same & (log.item[1:] > log.item[:-1]))).all():
      pairs = np.sort(log.user.astype(np.int64) * self.items + log.item)
      _check((pairs[1:] > pairs[:-1]).all(), 'a (user, item) pair occurs more than once; merge duplicates first')

  @property
  def users(self):
    """The number of users."""
    return len(self.user_ids)

  @property
  def items(self):
    """The number of items."""
    return len(self.catalogue)

  def sha256(self):
    """The SHA-256 of everything in it, as hex."""
    log, digest = self.interactions, hashlib.sha256()
    for array in (log.user, log.item, log.value, *(() if log.time is None else (log.time,))):
      digest.update(np.ascontiguousarray(array).tobytes())
    for words in (self.user_ids, self.catalogue.ids, self.catalogue.titles, self.catalogue.texts):
      digest.update('\x1f'.join(words.tolist()).encode())
    digest.update(repr(self.catalogue.phrases).encode())
    if self.catalogue.vectors is not None:
      digest.update(self.catalogue.vectors.tobytes())
    return digest.hexdigest()


@dataclasses.dataclass(frozen=True)
class Split:
  """What each row of a log is used for.

  Attributes:
    part: int8 `[n]`, an index into `PARTS` for each interaction.
    in_all: bool `[n]`, whether a held-out row counts as a target of the task `all`.
    info: what a reader of the results must know of how it was made; see `splits.describe`.

  Raises:
    DataError: for codes outside `PARTS`.
  """
  part: np.ndarray
  in_all: np.ndarray
  info: dict = dataclasses.field(default_factory=dict)

  def __post_init__(self):
    _check_column('part', self.part, len(self.part), 'i')
    _check_column('in_all', self.in_all, len(self.part), 'b')
    if len(self.part):
      _check(self.part.min() >= 0 and self.part.max() < len(PARTS),
             f'part codes run from {self.part.min()} to {self.part.max()}, allowed are 0 to {len(PARTS) - 1}')

  def rows(self, *parts):
    """The row numbers int64 `[m]` that belong to any of the named `parts`."""
    return np.flatnonzero(np.isin(self.part, [PARTS.index(p) for p in parts]))

  def sha256(self):
    """The SHA-256 of the split, as hex."""
    return hashlib.sha256(self.part.tobytes() + self.in_all.tobytes()).hexdigest()
