"""What synthetic profiles give away of the real ones: who was trained on, and who was copied.

Profiles are a `Ragged` over users throughout, sets of items of the whole catalogue; weights are not read. The likeness
of two is their Jaccard similarity, the share of what either has that both have (Jaccard 1912). A user without items is
in no log: except in `nearest` empty profiles are left out.
"""

import dataclasses

import numpy as np
from scipy import sparse

from ganrec_jax.data.ragged import Ragged, take
from ganrec_jax.errors import DataError
from ganrec_jax.evaluation.significance import percentile_interval

# A copy is near from these similarities on.
NEAR = (.5, .8)
# Profiles of fewer items are no copies of anybody: many people have the same two items.
LEAST = 5
_ROWS, _OTHERS = 512, 4096  # of either side at a time
_ENTRIES = 1 << 20  # drawn at once; bounds the memory
_ATTACK, _SAMPLE = 0xa77a, 0xa77b  # purposes of the random streams


def sets(profiles, num_items, name):
  """The profiles that are not empty, as sets: `Ragged` over them, all weights 1.

  Raises:
    DataError: for items outside the catalogue, an item that a profile holds twice, or no profile that is not empty.
  """
  _check(profiles, num_items, name)
  if not len(profiles.values):
    raise DataError(f'{name}: all of {len(profiles)} profiles are empty; allowed are logs with at least one item')
  full = take(profiles, np.flatnonzero(profiles.lengths))
  return dataclasses.replace(full, weights=np.ones(len(full.values), np.float32))


def nearest(queries, others, num_items):
  """The highest Jaccard similarity of each profile of `queries` to any of `others`, float32 `[queries]`.

  It is exact, and 0 for an empty profile or without others. Time grows with the pairs that share an item, and memory
  with those of `_ROWS` queries and `_OTHERS` others.

  Raises:
    DataError: for items outside the catalogue, or an item that a profile holds twice.
  """
  _check(queries, num_items, 'queries')
  _check(others, num_items, 'others')
  best = np.zeros(len(queries), np.float32)
  for first in range(0, len(others), _OTHERS):
    some = take(others, np.arange(first, min(first + _OTHERS, len(others))))
    columns = _matrix(some, num_items).T.tocsr()
    for start in range(0, len(queries), _ROWS):
      rows = take(queries, np.arange(start, min(start + _ROWS, len(queries))))
      both = _matrix(rows, num_items) @ columns  # how many items two profiles share, where they share any
      either = np.repeat(rows.lengths, np.diff(both.indptr)) + some.lengths[both.indices] - both.data
      full = np.flatnonzero(np.diff(both.indptr))
      if len(full):
        near = np.maximum.reduceat(both.data / either.astype(np.float32), both.indptr[full])
        best[start + full] = np.maximum(best[start + full], near)
  return best


def membership(members, held_out, synthetic, num_items, seed, resamples=10000):
  """How well an attacker tells whom the generator was trained on, by each real profile's nearest synthetic one.

  Args:
    members: profiles that the generator was trained on.
    held_out: profiles of real users, like them, that it never saw.
    synthetic: the log that is given away, whole: more profiles give away more.
    num_items: of the catalogue.
    seed: of the bootstrap.
    resamples: of the bootstrap.

  Returns:
    `auc`, `low` and `high` as floats, see `attack`.

  Raises:
    DataError: where one of the three has no items, or items that cannot be.
  """
  synthetic = sets(synthetic, num_items, 'synthetic')
  near = [nearest(sets(real, num_items, name), synthetic, num_items)
          for name, real in (('members', members), ('held_out', held_out))]
  return attack(*near, seed, resamples)


def attack(near_members, near_held_out, seed, resamples=10000):
  """The same from the similarities `[members]` and `[held_out]` to the nearest synthetic profile, see `nearest`.

  The AUC is P(a member is nearer to the synthetic log than a held-out user), ties a half (the distance to the nearest
  synthetic record as in Chen et al. 2020, GAN-Leaks); .5 gives nothing away. The 95% interval is the percentile
  bootstrap, members and held-out users resampled apart; the synthetic log stays what it is.
  """
  near = near_members, near_held_out
  values = np.unique(np.concatenate(near))
  counts = [np.bincount(np.searchsorted(values, part), minlength=len(values)) for part in near]
  low, high = percentile_interval(_resampled(*counts, seed, resamples))
  return {'auc': float(_auc(*counts)), 'low': float(low), 'high': float(high)}


def copies(members, held_out, synthetic, num_items, seed, most=20000):
  """How near synthetic profiles come to those that the generator was trained on, and held-out real users as yardstick.

  Where synthetic profiles are nearer to members than other people are, they were copied. The maximum grows with the
  number of profiles; quantiles and shares do not.

  Args:
    members: profiles that the generator was trained on.
    held_out: profiles of real users that it never saw.
    synthetic: profiles; a sample of `most`, where there are more.
    num_items: of the catalogue.
    seed: of the sample.
    most: synthetic profiles that are looked at.

  Returns:
    `synthetic` and `held_out`, each a dict of the similarities to the nearest member: `median`, `q95`, `q99`, `max`;
    among profiles of at least `LEAST` items the shares `near_0.5` and `near_0.8` (as near as that, see `NEAR`) and
    `exact`, NaN without such profiles; and the number of `profiles`.

  Raises:
    DataError: where one of the three has no items, or items that cannot be.
  """
  members, held_out, synthetic = (sets(part, num_items, name) for name, part in (
    ('members', members), ('held_out', held_out), ('synthetic', synthetic)))
  if len(synthetic) > most:
    random = np.random.default_rng(np.random.SeedSequence([seed, _SAMPLE]))
    synthetic = take(synthetic, np.sort(random.choice(len(synthetic), most, replace=False)))
  return {name: _nearness(nearest(part, members, num_items), part.lengths)
          for name, part in (('synthetic', synthetic), ('held_out', held_out))}


def _check(profiles: Ragged, num_items, name):
  row = np.repeat(np.arange(len(profiles)), profiles.lengths)
  bad = np.flatnonzero((profiles.values < 0) | (profiles.values >= num_items))
  if len(bad):
    raise DataError(f'{name}, profile {row[bad[0]]}: item {profiles.values[bad[0]]}, allowed are 0 to {num_items - 1}')
  pairs = np.sort(row * num_items + profiles.values)
  twice = np.flatnonzero(pairs[1:] == pairs[:-1])
  if len(twice):
    user, item = divmod(int(pairs[twice[0]]), num_items)
    raise DataError(f'{name}, profile {user}: item {item} occurs more than once; profiles are sets')


def _matrix(profiles, num_items):
  """The profiles as rows of ones, sparse `[profiles, num_items]`."""
  return sparse.csr_array((np.ones(len(profiles.values), np.float32), profiles.values, profiles.offsets),
                          (len(profiles), num_items))


def _auc(inside, outside):
  """P(a draw of `inside` is larger than one of `outside`), ties a half: counts `[..., values]` of ascending values."""
  below = outside.cumsum(-1) - outside / 2
  return (inside * below).sum(-1) / (inside.sum(-1) * outside.sum(-1))


def _resampled(inside, outside, seed, resamples):
  """The AUC of bootstrap resamples (Efron 1979) of both sides, float64 `[resamples]`.

  To draw n users with replacement is to draw the counts of their values from a multinomial.
  """
  random = np.random.default_rng(np.random.SeedSequence([seed, _ATTACK]))
  step, found = max(1, _ENTRIES // len(inside)), []
  for start in range(0, resamples, step):
    size = min(step, resamples - start)
    found.append(_auc(*(random.multinomial(part.sum(), part / part.sum(), size) for part in (inside, outside))))
  return np.concatenate(found)


def _nearness(similarity, lengths):
  median, q95, q99, top = np.quantile(similarity, [.5, .95, .99, 1]).tolist()
  long = similarity[lengths >= LEAST]
  shares = {f'near_{least}': float((long >= np.float32(least)).mean()) if len(long) else float('nan')
            for least in NEAR}
  exact = float((long == 1).mean()) if len(long) else float('nan')
  return {'median': median, 'q95': q95, 'q99': q99, 'max': top, **shares, 'exact': exact, 'profiles': len(similarity)}
