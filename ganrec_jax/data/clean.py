"""Which rows of a log are kept: duplicates merged, rare users and items dropped, a share of the users drawn."""

import numpy as np

from ganrec_jax.data.types import Dataset, Interactions
from ganrec_jax.errors import DataError

_SUBSAMPLE = 1  # The purpose of the random draw, folded into the seed.


def merge_duplicates(user, item, value, time=None):
  """Merges the rows of a (user, item) pair that occurs more than once: values are summed, the latest time is kept.

  The latest time, so that a pair before a cut in time holds nothing from after it.

  Args:
    user: int `[n]`, not negative.
    item: int `[n]`, not negative.
    value: float or int `[n]`.
    time: int `[n]` or None.

  Returns:
    (user, item, value, time, merged): the columns `[m]` sorted by user and item, and `merged = n - m`.
  """
  order = np.lexsort((item, user))
  found = {name: column[order] for name, column in (('user', user), ('item', item), ('value', value), ('time', time))
           if column is not None}
  pairs = merged(found, 'sum') if len(user) else found
  return pairs['user'], pairs['item'], pairs['value'], pairs.get('time'), len(user) - len(pairs['user'])


def merged(found, merge):
  """The columns of a log with one row a pair.

  Args:
    found: user, item, value and, where there are times, time `[n]`, sorted by user, item and, for 'last', time; one row
      at least.
    merge: 'sum', 'max' or 'last': what becomes of the values of a pair.

  Returns:
    user, item, value, time `[pairs]`; the time is the latest, so that a pair before a cut in time holds nothing from
    after it.
  """
  starts = np.flatnonzero((found['user'][1:] != found['user'][:-1]) | (found['item'][1:] != found['item'][:-1])) + 1
  starts = np.concatenate([[0], starts])
  if merge == 'last':
    value = found['value'][np.append(starts[1:], len(found['value'])) - 1]
  else:
    value = {'sum': np.add, 'max': np.maximum}[merge].reduceat(found['value'], starts)
  times = {'time': np.maximum.reduceat(found['time'], starts)} if 'time' in found else {}
  return {'user': found['user'][starts], 'item': found['item'][starts], 'value': value, **times}


def restrict(dataset, rows, reason):
  """The dataset with the interactions `rows` (index or mask array `[n]`) alone, users and items renumbered from 0.

  Users and items keep their order; those without an interaction are dropped. What was dropped is counted in
  `info['dropped'][reason]` as users, items and interactions, added to what that reason dropped before.

  Raises:
    DataError: when nothing is left.
  """
  log = dataset.interactions
  user, item = log.user[rows], log.item[rows]
  if not len(user):
    raise DataError(f'{dataset.info["name"]}: {reason} leaves no interaction of the {len(log)}')
  users, user = _renumber(user, dataset.users)
  items, item = _renumber(item, dataset.items)
  dropped = dict(dataset.info.get('dropped', {}))
  before = dropped.get(reason, {'users': 0, 'items': 0, 'interactions': 0})
  dropped[reason] = {
    'users': before['users'] + dataset.users - len(users),
    'items': before['items'] + dataset.items - len(items),
    'interactions': before['interactions'] + len(log) - len(user),
  }
  kept = Interactions(user, item, log.value[rows], None if log.time is None else log.time[rows])
  return Dataset(kept, dataset.catalogue.take(items), dataset.user_ids[users], {**dataset.info, 'dropped': dropped})


def _renumber(index, size):
  """Which of 0 to size - 1 occur in `index [n]`, ascending, and the place int32 `[n]` of each entry among them."""
  occurs = np.zeros(size, bool)
  occurs[index] = True
  return np.flatnonzero(occurs), (np.cumsum(occurs, dtype=np.int32) - 1)[index]


def at_most(dataset, most):
  """The interactions of users with `most` interactions or fewer; others, maybe bots, are counted in `info['dropped']`.

  Raises:
    DataError: when nothing is left.
  """
  log = dataset.interactions
  return restrict(dataset, np.bincount(log.user, minlength=dataset.users)[log.user] <= most, 'most_interactions')


def at_least(dataset, least):
  """The interactions of value `least` or more; the others are counted in `info['dropped']['least_value']`.

  Raises:
    DataError: when nothing is left.
  """
  return restrict(dataset, dataset.interactions.value >= least, 'least_value')


def k_core(dataset, min_user, min_item):
  """The largest part of the dataset in which each user has `min_user` and each item `min_item` interactions or more.

  Dropped rows are counted in `info['dropped']['k_core']`.

  Raises:
    DataError: when nothing is left.
  """
  log = dataset.interactions
  kept, before = np.ones(len(log), bool), -1
  while before != (before := int(kept.sum())):
    for index, size, least in ((log.user, dataset.users, min_user), (log.item, dataset.items, min_item)):
      kept &= (np.bincount(index[kept], minlength=size) >= least)[index]
  if not before:
    raise DataError(f'{dataset.info["name"]}: no interaction is left of {len(log)} by {dataset.users} users on '
                    f'{dataset.items} items when each user must have {min_user} or more and each item {min_item} '
                    'or more; lower these numbers')
  return restrict(dataset, kept, 'k_core')


def subsample_users(dataset, fraction, seed):
  """The dataset of `round(fraction * users)` users, one at least, drawn by `seed`; 0 < fraction <= 1.

  Raises:
    DataError: for a fraction out of range, or when the users drawn have no interaction.
  """
  if not 0 < fraction <= 1:
    raise DataError(f'fraction of users is {fraction}, allowed is more than 0 and at most 1')
  rng = np.random.default_rng(np.random.SeedSequence([seed, _SUBSAMPLE]))
  chosen = np.zeros(dataset.users, bool)
  chosen[rng.permutation(dataset.users)[:max(1, round(fraction * dataset.users))]] = True
  return restrict(dataset, chosen[dataset.interactions.user], 'subsample_users')
