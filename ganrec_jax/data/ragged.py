"""Lists of different lengths as flat arrays, and their padded batches in few shapes."""

import dataclasses
from collections.abc import Iterator

import numpy as np


@dataclasses.dataclass(frozen=True)
class Ragged:
  """Rows of different lengths: row r holds `values[offsets[r]:offsets[r + 1]]`, with weights beside them.

  Attributes:
    offsets: int64 `[rows + 1]`.
    values: int32 `[n]`.
    weights: float32 `[n]`.
  """
  offsets: np.ndarray
  values: np.ndarray
  weights: np.ndarray

  def __len__(self):
    return len(self.offsets) - 1

  @property
  def lengths(self):
    """int64 `[rows]`."""
    return np.diff(self.offsets)

  def row(self, index):
    """The values of one row, `[length]`."""
    return self.values[self.offsets[index]:self.offsets[index + 1]]


def group(rows, values, num_rows, weights=None, order=None):
  """Groups `values [n]` by `rows [n]` into a `Ragged` of `num_rows` rows, ordered by `order [n]` within a row.

  Without `order` the order of the input is kept within each row.
  """
  by = np.lexsort((np.arange(len(rows)) if order is None else order, rows))
  offsets = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=num_rows))]).astype(np.int64)
  weights = np.ones(len(rows), np.float32) if weights is None else weights.astype(np.float32)
  return Ragged(offsets, values[by].astype(np.int32), weights[by])


def merge(first, second):
  """The rows of two `Ragged` of the same number of rows, each row the entries of `first` followed by `second`'s."""
  rows = np.concatenate([np.repeat(np.arange(len(r)), r.lengths) for r in (first, second)])
  return group(rows, np.concatenate([first.values, second.values]), len(first),
               np.concatenate([first.weights, second.weights]))


def select(ragged, keep):
  """The entries where `keep`, bool `[n]`, holds; rows stay where they are."""
  kept = np.concatenate([[0], np.cumsum(keep)]).astype(np.int64)
  return Ragged(kept[ragged.offsets], ragged.values[keep], ragged.weights[keep])


def take(ragged, rows):
  """The `Ragged` of some rows, int `[b]`, in their order."""
  lengths = ragged.lengths[rows]
  offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
  position = np.arange(offsets[-1]) + np.repeat(ragged.offsets[rows] - offsets[:-1], lengths)
  return Ragged(offsets, ragged.values[position], ragged.weights[position])


def pad(ragged, rows, length, fill):
  """The first `length` entries of each of `rows [b]`, padded with `fill`.

  Returns:
    values int32 `[b, length]`, weights float32 `[b, length]`; weights are 0 where padded.
  """
  position = ragged.offsets[rows][:, None] + np.arange(length)
  there = np.arange(length) < ragged.lengths[rows][:, None]
  position = np.where(there, position, 0)
  if not len(ragged.values):
    return np.full((len(rows), length), fill, np.int32), np.zeros((len(rows), length), np.float32)
  return (np.where(there, ragged.values[position], fill).astype(np.int32),
          np.where(there, ragged.weights[position], 0).astype(np.float32))


def joined(parts):
  """The rows of several `Ragged`, at least one, behind one another."""
  offsets = np.concatenate([[0], np.cumsum(np.concatenate([part.lengths for part in parts]))]).astype(np.int64)
  return Ragged(offsets, *(np.concatenate([getattr(part, name) for part in parts]) for name in ('values', 'weights')))


def buckets(lengths, budget, smallest=8) -> Iterator[tuple[np.ndarray, int, int]]:
  """Sorts rows by length into batches of few shapes: the padded length is a power of two times `smallest`.

  Each batch holds at most `budget` padded entries (at least one row), so the memory a batch takes is bounded; a
  padded length has one batch size, so there are only logarithmically many shapes.

  Args:
    lengths: int `[rows]`.
    budget: padded entries a batch.
    smallest: the shortest padded length.

  Yields:
    (row numbers `[b]`, padded length, batch size): `b <= batch size`, fewer only in the last batch of a length.
  """
  lengths = np.maximum(np.asarray(lengths), 1)
  padded = smallest * 2 ** np.ceil(np.log2(np.maximum(lengths / smallest, 1))).astype(np.int64)
  for length in np.unique(padded):
    rows = np.flatnonzero(padded == length)
    size = max(1, budget // int(length))
    for start in range(0, len(rows), size):
      yield rows[start:start + size], int(length), size
