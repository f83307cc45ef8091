"""When generated users act: spans like those of real ones, items in the order in which the log knows them."""

import dataclasses

import numpy as np

_KNOTS = 256


@dataclasses.dataclass(frozen=True)
class Times:
  """What is kept of the real times; nothing in it belongs to a single user.

  Attributes:
    starts: float64 `[256]`, quantiles of a user's first time, in seconds since 1970.
    spans: float64 `[256]`, quantiles of the seconds from his first to his last.
    last: the last time of the log.
    items: float64 `[items]`, the mean time of each item; of an item without any, the last time of the log.
  """
  starts: np.ndarray
  spans: np.ndarray
  last: float
  items: np.ndarray


def fit(log, num_items):
  """The `Times` of a log with times, `Interactions`, of at least one row."""
  time = log.time.astype(np.float64)
  first, end = np.full(log.user.max() + 1, np.inf), np.full(log.user.max() + 1, -np.inf)
  np.minimum.at(first, log.user, time)
  np.maximum.at(end, log.user, time)
  there = np.isfinite(first)
  share, counts = np.linspace(0, 1, _KNOTS), np.bincount(log.item, minlength=num_items)
  means = np.bincount(log.item, time, num_items) / np.maximum(counts, 1)
  return Times(np.quantile(first[there], share), np.quantile((end - first)[there], share), float(time.max()),
               np.where(counts > 0, means, time.max()))


def draw(times, profiles, rng):
  """A time for each entry of `profiles`, a `Ragged`: int64 `[n]`, in seconds since 1970.

  A user's first time and his span are drawn apart from the quantiles, ending with the log at the latest; his times are
  uniform between, and his items come in the order of their mean times.
  """
  share, owner = np.linspace(0, 1, _KNOTS), np.repeat(np.arange(len(profiles)), profiles.lengths)
  start = np.interp(rng.random(len(profiles)), share, times.starts)
  span = np.minimum(np.interp(rng.random(len(profiles)), share, times.spans), times.last - start)
  drawn = start[owner] + span[owner] * rng.random(len(owner))
  out = np.empty(len(owner), np.int64)
  # Both orders group by user, so that the k-th item of a user gets his k-th time.
  out[np.lexsort((times.items[profiles.values], owner))] = np.rint(drawn[np.lexsort((drawn, owner))])
  return out
