"""Scores of many users at once by programs of few shapes, all of which can be compiled before the first question."""

import dataclasses

import jax
import numpy as np

from ganrec_jax.models import adventure, als, closed_form

LONGEST = 1000  # items in a history that is folded in
# Users a batch, and the padded lengths of the histories that are folded in, with the batches each is done in.
BATCHES = (1, 8, 64)
_FOLDS = {64: (1, 8, 64), LONGEST: (1, 8)}
_ROOM = 16384  # entries of all histories of a batch


@dataclasses.dataclass(frozen=True)
class Profile:
  """A user to be scored.

  Attributes:
    items: int32 `[length]`, the history; at least one and, where `factor` is None, at most `LONGEST`.
    weights: float32 `[length]`, above 0.
    factor: float32 `[dim]` of a training user, or None for a new one.
    gamma: how adventurous, see `models/adventure.py`.
  """
  items: np.ndarray
  weights: np.ndarray
  factor: np.ndarray | None = None
  gamma: float = 0.


@dataclasses.dataclass(frozen=True)
class Scores:
  """What a profile's items are worth.

  Attributes:
    scores: float32 `[items]`.
    deviations: float32 `[2]`, see `closed_form.score_listed`.
  """
  scores: np.ndarray
  deviations: np.ndarray


def score(base, popularity, profiles):
  """The `Scores` of each profile; they do not depend on what else is in the batch, but for rounding.

  Args:
    base: `ClosedFormParams`.
    popularity: float32 `[items]`, log popularity of deviation 1 over warm items.
    profiles: a list of `Profile`.
  """
  factors = _factors(base, profiles)
  room, found = room_of(base), []
  for batch in _batches([len(profile.items) for profile in profiles], room):
    size = next(size for size in BATCHES if size >= len(batch))
    some = [profiles[place] for place in batch]
    lengths = [len(profile.items) for profile in some]
    total = sum(lengths)
    items, owner, weights = np.zeros(room, np.int32), np.zeros(room, np.int32), np.zeros(room, np.float32)
    items[:total] = np.concatenate([profile.items for profile in some])
    weights[:total] = np.concatenate([profile.weights for profile in some])
    owner[:total] = np.repeat(np.arange(len(some)), lengths)
    gamma = np.zeros((size, 1), np.float32)
    gamma[:len(some), 0] = [profile.gamma for profile in some]
    rows = np.zeros((size, factors.shape[1]), np.float32)
    rows[:len(some)] = factors[batch]
    scores, deviations = _score(base, popularity, rows, items, weights, owner, np.int32(total), gamma)
    found += [Scores(*pair) for pair in zip(np.asarray(scores)[:len(some)], np.asarray(deviations), strict=False)]
  return found


def room_of(base):
  """How many entries a batch has room for."""
  return max(_ROOM, base.length)


def compile_all(base, popularity):
  """Compiles every program that `score` may ask for."""
  one, width = np.zeros(1, np.int32), base.factors.items.shape[1]
  for size in BATCHES:
    score(base, popularity, [Profile(one, np.ones(1, np.float32), np.zeros(width, np.float32))] * size)
  for length, sizes in _FOLDS.items():
    for size in sizes:
      _fold(base, [Profile(np.zeros(length, np.int32), np.ones(length, np.float32))] * size, size, length)


def _batches(lengths, room):
  """Cuts places into runs of at most `BATCHES[-1]` with at most `room` entries; yields lists of places."""
  batch, entries = [], 0
  for place, length in enumerate(lengths):
    if batch and (len(batch) == BATCHES[-1] or entries + length > room):
      yield batch
      batch, entries = [], 0
    batch.append(place)
    entries += length
  if batch:
    yield batch


def _factors(base, profiles):
  """The factors float32 `[profiles, dim]`; new users are folded in, the short histories together."""
  out = np.zeros((len(profiles), base.factors.items.shape[1]), np.float32)
  new = {length: [] for length in _FOLDS}
  for place, profile in enumerate(profiles):
    if profile.factor is None:
      new[next(length for length in _FOLDS if length >= len(profile.items))].append(place)
    else:
      out[place] = profile.factor
  for length, places in new.items():
    sizes = _FOLDS[length]
    for start in range(0, len(places), sizes[-1]):
      some = places[start:start + sizes[-1]]
      size = next(size for size in sizes if size >= len(some))
      out[some] = _fold(base, [profiles[place] for place in some], size, length)[:len(some)]
  return out


def _fold(base, profiles, size, length):
  items, weights = np.zeros((size, length), np.int32), np.zeros((size, length), np.float32)
  for row, profile in enumerate(profiles):
    items[row, :len(profile.items)] = profile.items
    weights[row, :len(profile.items)] = profile.weights
  return np.asarray(als.fold_in(base.factors, items, weights))


@jax.jit
def _score(base, popularity, factors, items, weights, owner, total, gamma):
  scores, deviations = closed_form.score_listed(base, factors, items, weights, owner, total)
  return adventure.damp(scores, popularity, base.warm, gamma), deviations
