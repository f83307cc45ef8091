"""What lists are like beyond being right: coverage, concentration, novelty, diversity, shares of cold and tail items.

`lists` are int `[n, k]` item indices throughout, best first, -1 where a list is shorter.
"""

import numpy as np

_BATCH = 1024  # users at a time where item vectors are gathered


def _exposure(lists, candidates):
  """How often each of the `candidates [c]` is recommended, int64 `[c]`."""
  counts = np.bincount(lists[lists >= 0], minlength=int(candidates.max(initial=0)) + 1)
  return counts[candidates]


def coverage(lists, candidates):
  """The share of the `candidates [c]` that are recommended to somebody."""
  return float(np.mean(_exposure(lists, candidates) > 0))


def gini(lists, candidates):
  """The Gini coefficient of the exposure over all `candidates [c]`: 0 where all are shown equally often.

  It is 1 - 1/c where one item gets everything, and NaN where nothing is recommended.
  """
  exposure, c = np.sort(_exposure(lists, candidates)), len(candidates)
  if not exposure.any():
    return float('nan')
  return float((2 * np.arange(1, c + 1) - c - 1) @ exposure / (c * exposure.sum()))


def _row_means(values, there):
  """The mean of `values [n, k]` over the entries that are `there [n, k]`, NaN where none is."""
  count = there.sum(axis=1)
  return np.where(count > 0, np.where(there, values, 0.).sum(axis=1) / np.maximum(count, 1), np.nan)


def novelty(lists, item_counts, users):
  """Mean self-information -log2((count + 1) / (users + 1)) of each list in bits, float64 `[n]`, NaN for an empty one.

  Adding one gives an item that nobody knows, such as a cold one, log2(users + 1) bits instead of infinity.

  Args:
    lists: int `[n, k]`.
    item_counts: int `[items]`, training users of each item.
    users: the number of users with training interactions.
  """
  bits = -np.log2((np.asarray(item_counts) + 1.) / (users + 1.))
  return _row_means(bits[lists], lists >= 0)


def diversity(lists, vectors):
  """One minus the mean pairwise cosine within each list, float64 `[n]`, NaN for lists of fewer than two items.

  The mean over pairs comes from the sum s of the m unit vectors: (|s|^2 - m) / (m (m - 1)). A zero vector has cosine
  0 with everything.

  Args:
    lists: int `[n, k]`.
    vectors: float `[items, dim]`, the space in which items are alike (the text space).
  """
  values = np.full(len(lists), np.nan)
  for start in range(0, len(lists), _BATCH):
    rows = lists[start:start + _BATCH]
    units = np.where((rows >= 0)[..., None], vectors[rows].astype(np.float64), 0.)
    norms = np.linalg.norm(units, axis=-1, keepdims=True)
    units /= np.where(norms > 0, norms, 1.)
    m, own = (rows >= 0).sum(axis=1), (units ** 2).sum(axis=(1, 2))
    alike = ((units.sum(axis=1) ** 2).sum(axis=1) - own) / np.maximum(m * (m - 1), 1)
    values[start:start + _BATCH] = np.where(m > 1, 1 - alike, np.nan)
  return values


def share(lists, mask):
  """The share of each list that lies in `mask`, bool `[items]`: float64 `[n]`, NaN for an empty list."""
  return _row_means(mask[lists].astype(np.float64), lists >= 0)


def beyond_accuracy(lists, candidates, item_counts, users, cold, tail, vectors=None, k=20):
  """All of these for the first `k` of the lists.

  Args:
    lists: int `[n, >= k]`.
    candidates: int `[c]`, the items of the task.
    item_counts: int `[items]`, training users of each item.
    users: the number of users with training interactions.
    cold: bool `[items]`.
    tail: bool `[items]`, warm items outside the head.
    vectors: float `[items, dim]`, or None where there is no space to measure diversity in.

  Returns:
    `coverage@k` and `gini@k` as floats; `novelty@k`, `diversity@k` (with vectors), `cold_share@k` and `tail_share@k`
    as float64 `[n]`, NaN where undefined for a user.
  """
  top = lists[:, :k]
  values = {'coverage': coverage(top, candidates), 'gini': gini(top, candidates),
            'novelty': novelty(top, item_counts, users), 'cold_share': share(top, cold),
            'tail_share': share(top, tail)}
  if vectors is not None:
    values['diversity'] = diversity(top, vectors)
  return {f'{name}@{k}': value for name, value in values.items()}
