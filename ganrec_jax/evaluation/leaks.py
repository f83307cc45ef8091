"""The leak check: nothing held out may be in anything that was fitted."""

import numpy as np

from ganrec_jax.data.types import PARTS, Dataset, Split
from ganrec_jax.errors import DataError

HELD_OUT = ('valid', 'test', 'cold_valid', 'cold_test', 'user_valid', 'user_test')
_FEWEST = 20  # new pairs; a rate of fewer says little


class LeakError(DataError):
  """Something held out was fitted: the message names the artifact, the user and the item."""


def _indices(name, column, array, size):
  array = np.asarray(array)
  if array.ndim != 1 or array.dtype.kind not in 'iu':
    raise DataError(f'{name}: {column} is {array.dtype} of shape {array.shape}, allowed is a list of integers')
  bad = np.flatnonzero((array < 0) | (array >= size))
  if len(bad):
    raise DataError(f'{name}, row {bad[0]}, column {column}: index {array[bad[0]]}, allowed are 0 to {size - 1}')
  return array.astype(np.int64)


def _pairs(name, dataset, users, items):
  users, items = _indices(name, 'user', users, dataset.users), _indices(name, 'item', items, dataset.items)
  if len(users) != len(items):
    raise DataError(f'{name}: {len(users)} users and {len(items)} items; pairs are due')
  return users, items


def _codes(dataset, users, items):
  return users.astype(np.int64) * dataset.items + items


def cold_masks(dataset: Dataset, split: Split):
  """Which users bool `[users]` and which items bool `[items]` are cold: nothing fitted may see them."""
  log = dataset.interactions
  users, items = np.zeros(dataset.users, bool), np.zeros(dataset.items, bool)
  users[log.user[split.rows('history', 'user_valid', 'user_test')]] = True
  items[log.item[split.rows('cold_valid', 'cold_test')]] = True
  return users, items


def _fail(where, dataset, leaked, what, users=None, items=None):
  """Raises a `LeakError` for the first row of the mask `leaked [n]`, if any."""
  if leaked.any():
    row = int(np.argmax(leaked))
    names = ([] if users is None else [f'user {str(dataset.user_ids[users[row]])!r}']) + (
        [] if items is None else [f'item {str(dataset.catalogue.ids[items[row]])!r}'])
    raise LeakError(f'leak in {where}, row {row}: {", ".join(names)} is {what} ({leaked.sum()} such rows); '
                    'only training pairs of warm users and warm items may be fitted')


def check(dataset: Dataset, split: Split, fitted, fitted_items=None, fitted_users=None):
  """Fails where held-out pairs, cold items or cold users are in what was fitted.

  Rows of the log that the split leaves unused may not be fitted either.

  Args:
    dataset: the data.
    split: its split.
    fitted: artifact name -> (users int `[n]`, items int `[n]`), the real pairs it was fitted on.
    fitted_items: artifact name -> items int `[n]` whose texts or vectors it was fitted on (vocabulary, whitening).
    fitted_users: artifact name -> users int `[n]`, likewise.

  Raises:
    LeakError: naming the artifact, the user's and the item's id, and what is wrong with them.
    DataError: for indices that do not exist.
  """
  log, (cold_users, cold_items) = dataset.interactions, cold_masks(dataset, split)
  reserved = {}
  for part in (*HELD_OUT, 'history', 'unused'):
    rows = split.rows(part)
    reserved[part] = _codes(dataset, log.user[rows], log.item[rows])
  for name, pairs in fitted.items():
    users, items = _pairs(name, dataset, *pairs)
    codes = _codes(dataset, users, items)
    for part in PARTS:
      if part in reserved:
        _fail(name, dataset, np.isin(codes, reserved[part]), f'a pair of the part {part}', users, items)
    _fail(name, dataset, cold_items[items], 'a pair of a cold item', users, items)
    _fail(name, dataset, cold_users[users], 'a pair of a cold user', users, items)
  for name, items in (fitted_items or {}).items():
    items = _indices(name, 'item', items, dataset.items)
    _fail(name, dataset, cold_items[items], 'a cold item', items=items)
  for name, users in (fitted_users or {}).items():
    users = _indices(name, 'user', users, dataset.users)
    _fail(name, dataset, cold_users[users], 'a cold user', users=users)


def _coincidences(dataset, held, new, chosen):
  """Counts of the pairs `new` (codes `[n]`) and `held` (codes `[h]`) whose item is in `chosen`, bool `[items]`."""
  new, held = new[chosen[new % dataset.items]], held[chosen[held % dataset.items]]
  users = max(1, len(np.unique(new // dataset.items)))
  asked = held[np.isin(held // dataset.items, new // dataset.items)]
  shown = np.bincount(new % dataset.items, minlength=dataset.items)
  wanted = np.bincount(asked % dataset.items, minlength=dataset.items)
  per_user = np.bincount(asked // dataset.items, minlength=dataset.users)[new // dataset.items]
  return {'new_pairs': len(new), 'held_out_pairs': len(held), 'coincidences': int(np.isin(new, held).sum()),
          'expected_popularity': float(shown @ wanted / users),
          'expected_uniform': float(per_user.sum() / max(1, chosen.sum()))}


def check_generated(dataset: Dataset, split: Split, users, items, name='generated') -> dict:
  """Counts how often generated pairs coincide with held-out ones, and fails where that is implausible.

  A generator may meet a held-out pair by being right, so a coincidence is no leak, and dropping coincidences would
  be one. Counted are distinct pairs that are not in training, for warm and for cold items apart. Beside the count
  stands what is expected by chance: `expected_popularity`, where each item keeps its number of generated pairs and
  these go to random ones of the users that have any, and `expected_uniform`, where each user keeps his number and
  the items are drawn evenly. The rule: of at least 20 new pairs, more than half coincide, and more than twice what
  popularity explains.

  Args:
    dataset: the data.
    split: its split.
    users: int `[n]`, the users of the generated pairs.
    items: int `[n]`, their items; cold ones are allowed.
    name: of the artifact, for messages.

  Returns:
    `pairs`, `distinct_pairs`, `training_pairs` (distinct ones that repeat training), and for `warm` and `cold` a dict
    of `new_pairs`, `held_out_pairs`, `coincidences`, `expected_popularity`, `expected_uniform`.

  Raises:
    LeakError: for a cold user or an implausible rate.
    DataError: for indices that do not exist.
  """
  users, items = _pairs(name, dataset, users, items)
  cold_users, cold_items = cold_masks(dataset, split)
  _fail(name, dataset, cold_users[users], 'a generated pair of a cold user', users, items)
  log, train, held = dataset.interactions, split.rows('train'), split.rows(*HELD_OUT)
  distinct = np.unique(_codes(dataset, users, items))
  repeats = np.isin(distinct, _codes(dataset, log.user[train], log.item[train]))
  report = {'pairs': len(users), 'distinct_pairs': len(distinct), 'training_pairs': int(repeats.sum())}
  for kind, chosen in (('warm', ~cold_items), ('cold', cold_items)):
    found = _coincidences(dataset, _codes(dataset, log.user[held], log.item[held]), distinct[~repeats], chosen)
    report[kind] = found
    limit = max(found['new_pairs'] / 2, 2 * found['expected_popularity'])
    if found['new_pairs'] >= _FEWEST and found['coincidences'] > limit:
      raise LeakError(f'leak in {name}: {found["coincidences"]} of {found["new_pairs"]} new pairs with {kind} items '
                      f'repeat held-out pairs; allowed are {limit:.1f} (half of them, or twice the '
                      f'{found["expected_popularity"]:.1f} that popularity explains)')
  return report
