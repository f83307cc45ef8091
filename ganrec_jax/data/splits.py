"""What each interaction is used for: training, validation, test, new items and new users.

Rules that all kinds share
- Cold items are drawn among the items that users who stay have interactions with, cold users among those with two
  interactions or more; of both, the first half (rounded down) is for validation, the other for test.
- A row of a cold item counts (cold_valid, cold_test) where its user has training interactions; else it is unused.
- A row of a cold user counts where its item has training interactions; else it is unused. The first rows, `history`
  at most and no more than half of them, are what is known of him ('history'); all others are the targets ('user_valid',
  'user_test'). A cold user without both is unused.
- `in_all` is set for all warm rows held out and for a seeded tenth of the rows of cold_valid and of cold_test.
- `random` and `leave_one_out`: a warm row held out whose user or item has no training row goes to training.
- `temporal`: no row is moved, since that would train on the future. An item (a user) without a training row that is
  first seen between the two cuts is cold for validation, one that is first seen after the second is cold for test.
  Rows count in the window of their part alone: rows of a cold validation item (user) from after the second cut, and
  rows of a drawn cold item from before its window, are unused. A cold user's history is the last `history` rows
  before his window where he has that many.
"""

import csv
import gzip
import io
import zlib
from pathlib import Path

import numpy as np

from ganrec_jax.artifacts import write_atomically
from ganrec_jax.data.clean import restrict
from ganrec_jax.data.types import PARTS, Split
from ganrec_jax.errors import ConfigError, DataError

VALID_SHARE = TEST_SHARE = .1
COLD_SHARE_IN_ALL = .1

# Windows of the log, and roles of users and items: 0 is training (warm), 1 validation, 2 test.
TRAIN, VALID, TEST = 0, 1, 2
_WARM_PARTS, _ITEM_PARTS, _USER_PARTS = (
  np.array([PARTS.index(p) for p in parts], np.int8)
  for parts in (('train', 'valid', 'test'), ('unused', 'cold_valid', 'cold_test'),
                ('unused', 'user_valid', 'user_test')))

# Purposes of the random draws, folded into the seed.
_USERS, _ITEMS, _ROWS, _ORDER, _IN_ALL = range(10, 15)


def _rng(seed, purpose):
  return np.random.default_rng(np.random.SeedSequence([seed, purpose]))


def _draw_roles(eligible, fraction, rng):
  """Roles int8 `[size]`: a `fraction` (rounded down) of the `eligible` (bool `[size]`) is VALID or TEST."""
  roles = np.zeros(len(eligible), np.int8)
  candidates = np.flatnonzero(eligible)
  drawn = rng.permutation(candidates)[:int(fraction * len(candidates))]
  roles[drawn[:len(drawn) // 2]] = VALID
  roles[drawn[len(drawn) // 2:]] = TEST
  return roles


def _draw_cold(log, users, items, cold_users, cold_items, seed):
  """The roles of users int8 `[users]` and of items int8 `[items]`."""
  user_role = _draw_roles(np.bincount(log.user, minlength=users) >= 2, cold_users, _rng(seed, _USERS))
  stay = user_role[log.user] == TRAIN
  item_role = _draw_roles(np.bincount(log.item[stay], minlength=items) > 0, cold_items, _rng(seed, _ITEMS))
  return user_role, item_role


def _occurs(index, size):
  """bool `[size]`: which of 0 to size - 1 occur in `index`."""
  occurs = np.zeros(size, bool)
  occurs[index] = True
  return occurs


def _positions(groups, order, size):
  """The position int64 `[n]` of each row within its group by `order`, and the size int64 `[size]` of each group."""
  sizes = np.bincount(groups, minlength=size)
  by = np.lexsort((order, groups))
  positions = np.empty(len(groups), np.int64)
  positions[by] = np.arange(len(groups)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
  return positions, sizes


def _order(log, seed):
  """The rank int64 `[n]` of each row by time, where there are times; ties, and logs without times, by `seed`."""
  ties = _rng(seed, _ORDER).permutation(len(log))
  by = np.argsort(ties) if log.time is None else np.lexsort((ties, log.time))
  rank = np.empty(len(log), np.int64)
  rank[by] = np.arange(len(log))
  return rank


def _windows_of_cold(log, user_role, item_role):
  """Windows int8 `[n]` without times: the rows of a cold user or else item lie in the window of his or its role."""
  return np.where(user_role[log.user] > TRAIN, user_role[log.user], item_role[log.item])


def _move_untrained(log, window, warm):
  """Puts the `warm` rows that are held out but whose user or item has no training row into training."""
  train = warm & (window == TRAIN)
  trained = np.isin(log.user, log.user[train]) & np.isin(log.item, log.item[train])
  return np.where(warm & ~trained, TRAIN, window).astype(np.int8)


def _cold_user_parts(log, window, user_role, trained_items, order, history):
  """The parts int8 `[m]` of cold users' rows, and the numbers int64 `[m]` of these rows."""
  role = user_role[log.user]
  rows = np.flatnonzero((role > TRAIN) & trained_items[log.item] & (window <= role))
  user, size = log.user[rows], len(user_role)
  position, count = _positions(user, order[rows], size)
  before = np.bincount(user[window[rows] < role[rows]], minlength=size)
  start = np.maximum(before, np.minimum(history, count // 2))
  usable = ((start > 0) & (start < count))[user]
  known = position < start[user]
  part = np.where(known, PARTS.index('history'), _USER_PARTS[role[rows]])
  used = usable & (~known | (position >= start[user] - history))
  return np.where(used, part, PARTS.index('unused')).astype(np.int8), rows


def _assemble(log, window, user_role, item_role, order, history, seed):
  """The `Split` that the windows int8 `[n]` of the rows and the roles of users and items make."""
  role = item_role[log.item]
  stays = user_role[log.user] == TRAIN
  warm = stays & (role == TRAIN)
  train = warm & (window == TRAIN)
  if not train.any():
    raise DataError(f'the split leaves nothing to train on of {len(log)} interactions')
  part = np.where(warm, _WARM_PARTS[window], np.int8(0))
  trained_users, trained_items = _occurs(log.user[train], len(user_role)), _occurs(log.item[train], len(item_role))
  cold = stays & trained_users[log.user] & (role > TRAIN) & (window == role)
  part[cold] = _ITEM_PARTS[role[cold]]
  parts, rows = _cold_user_parts(log, window, user_role, trained_items, order, history)
  part[rows] = parts
  in_all = warm & (window > TRAIN)
  rng = _rng(seed, _IN_ALL)
  for code in _ITEM_PARTS[1:]:
    rows = rng.permutation(np.flatnonzero(part == code))
    in_all[rows[:round(COLD_SHARE_IN_ALL * len(rows))]] = True
  return Split(part, in_all)


def random_split(log, users, items, *, cold_items, cold_users, seed, history=5):
  """Warm pairs at random, 80/10/10; arguments and rules as in `make_split`."""
  user_role, item_role = _draw_cold(log, users, items, cold_users, cold_items, seed)
  window = _windows_of_cold(log, user_role, item_role)
  warm = window == TRAIN
  rows = _rng(seed, _ROWS).permutation(np.flatnonzero(warm))
  valid, test = int(VALID_SHARE * len(rows)), int(TEST_SHARE * len(rows))
  window[rows[:valid]] = VALID
  window[rows[valid:valid + test]] = TEST
  order = _rng(seed, _ORDER).permutation(len(log))
  return _assemble(log, _move_untrained(log, window, warm), user_role, item_role, order, history, seed)


def leave_one_out(log, users, items, *, cold_items, cold_users, seed, history=5):
  """Each user's last warm pair for test, the last but one for validation; users with fewer than three only train.

  Arguments and rules as in `make_split`; the last by time, or by a seeded order where the log has no times.
  """
  user_role, item_role = _draw_cold(log, users, items, cold_users, cold_items, seed)
  window = _windows_of_cold(log, user_role, item_role)
  warm = window == TRAIN
  rows, order = np.flatnonzero(warm), _order(log, seed)
  position, count = _positions(log.user[rows], order[rows], users)
  from_end = count[log.user[rows]] - position
  enough = count[log.user[rows]] >= 3
  window[rows[enough & (from_end == 2)]] = VALID
  window[rows[enough & (from_end == 1)]] = TEST
  return _assemble(log, _move_untrained(log, window, warm), user_role, item_role, order, history, seed)


def _first_window(index, window, size):
  """int8 `[size]`: the earliest window of the rows of each of 0 to size - 1; TRAIN where there is no row."""
  first = np.full(size, TEST + 1, np.int8)
  np.minimum.at(first, index, window)
  return np.where(first > TEST, TRAIN, first).astype(np.int8)


def temporal_split(log, users, items, *, cold_items, cold_users, seed, history=5):
  """One global cut in time: the last tenth of the rows for test, the tenth before for validation.

  Rows of the same time stay together, on the later side. Arguments and rules as in `make_split`.

  Raises:
    DataError: for a log without times, or in which nothing lies before the first cut.
  """
  if log.time is None:
    raise DataError('a temporal split needs times and this log has none; allowed here are random and leave_one_out')
  times = np.sort(log.time)
  first = times[int((1 - VALID_SHARE - TEST_SHARE) * len(log))]
  second = times[int((1 - TEST_SHARE) * len(log))]
  window = ((log.time >= first).astype(np.int8) + (log.time >= second)).astype(np.int8)
  if window.all():
    raise DataError(f'column time: {np.mean(log.time == first):.0%} of the rows have the time {first}, the earliest; '
                    'a temporal split needs rows from before its first cut')
  user_role, item_role = _draw_cold(log, users, items, cold_users, cold_items, seed)
  stays = user_role[log.user] == TRAIN
  train = stays & (item_role[log.item] == TRAIN) & (window == TRAIN)
  trained_users, trained_items = _occurs(log.user[train], users), _occurs(log.item[train], items)
  natural = _first_window(log.item[stays], window[stays], items)
  item_role = np.where((item_role == TRAIN) & ~trained_items, natural, item_role)
  known = trained_items[log.item]
  natural = _first_window(log.user[known], window[known], users)
  user_role = np.where((user_role == TRAIN) & ~trained_users, natural, user_role)
  return _assemble(log, window, user_role, item_role, _order(log, seed), history, seed)


KINDS = {'random': random_split, 'temporal': temporal_split, 'leave_one_out': leave_one_out}


def make_split(interactions, users, items, *, kind, cold_items, cold_users, seed, history=5):
  """Splits a log by the rules at the head of this module; the same arguments give the same bits.

  Args:
    interactions: the log, `[n]`.
    users: the number of users.
    items: the number of items.
    kind: 'random', 'temporal' or 'leave_one_out'.
    cold_items: the share of the items that lose all their training interactions, from 0 to below 1.
    cold_users: the share of the users that lose all their training interactions, from 0 to below 1.
    seed: not negative.
    history: how many interactions of a cold user are known at most when he is recommended something, from 1.

  Raises:
    ConfigError: for an argument that is not allowed.
    DataError: for a log that cannot be split so: without times, or with nothing left to train on.
  """
  if kind not in KINDS:
    raise ConfigError(f'split kind is {kind!r}, allowed are {", ".join(KINDS)}')
  for name, share in (('cold_items', cold_items), ('cold_users', cold_users)):
    if not 0 <= share < 1:
      raise ConfigError(f'{name} is {share}, allowed is 0 to below 1')
  if history < 1:
    raise ConfigError(f'history is {history}, allowed is 1 and more')
  if not len(interactions):
    raise DataError('no interactions to split')
  return KINDS[kind](interactions, users, items, cold_items=cold_items, cold_users=cold_users, seed=seed,
                     history=history)


def describe(split, dataset):
  """Counts: rows of each part that is there, targets of the task `all`, trained and cold users and items."""
  log = dataset.interactions
  train = split.rows('train')
  return {
    'rows': {name: int(np.sum(split.part == code)) for code, name in enumerate(PARTS) if (split.part == code).any()},
    'targets_in_all': int(np.sum(split.in_all[split.rows('valid', 'test', 'cold_valid', 'cold_test')])),
    'warm_users': len(np.unique(log.user[train])),
    'warm_items': len(np.unique(log.item[train])),
    'cold_items': len(np.unique(log.item[split.rows('cold_valid', 'cold_test')])),
    'cold_users': len(np.unique(log.user[split.rows('user_valid', 'user_test')])),
  }


_COLUMNS = ('user_id', 'item_id', 'part', 'in_all')


def write_split(path, dataset, split):
  """Writes the used rows in the order of the log as CSV, gzipped where the name ends in .gz; equal splits, equal bytes.

  Columns are user_id, item_id, part and in_all (0 or 1).

  Raises:
    UserError: where it cannot be written; the file appears whole or not at all.
  """
  rows = np.flatnonzero(split.part)
  log, text = dataset.interactions, io.StringIO(newline='')
  writer = csv.writer(text, lineterminator='\n')
  writer.writerow(_COLUMNS)
  columns = (dataset.user_ids[log.user[rows]], dataset.catalogue.ids[log.item[rows]],
             np.array(PARTS)[split.part[rows]], split.in_all[rows].astype(int))
  writer.writerows(zip(*(column.tolist() for column in columns), strict=True))
  content, path = text.getvalue().encode(), Path(path)
  if path.suffix == '.gz':
    content = gzip.compress(content, mtime=0)
  write_atomically(path, lambda file: file.write(content))


def _read_text(path):
  try:
    content = path.read_bytes()
    return (gzip.decompress(content) if path.suffix == '.gz' else content).decode('utf-8-sig')
  except (EOFError, zlib.error, gzip.BadGzipFile) as error:
    raise DataError(f'{path}: damaged gzip file ({error}); copy it again') from error
  except OSError as error:
    raise DataError(f'{path}: cannot be read ({error.strerror})') from error
  except UnicodeDecodeError as error:
    raise DataError(f'{path}: byte {error.start} is {error.object[error.start]:#x}, allowed is UTF-8') from error


def _read_rows(path):
  """The line number, user id, item id, part and in_all of each row of the file, as lists."""
  reader = csv.reader(io.StringIO(_read_text(path), newline=''), strict=True)
  rows = []
  try:
    header = next(reader, [])
    missing = [name for name in _COLUMNS if name not in header]
    if missing:
      raise DataError(f'{path}, row 1: no column {", ".join(missing)} among {", ".join(header)!r}; allowed is the '
                      f'header {",".join(_COLUMNS)}')
    places = [header.index(name) for name in _COLUMNS]
    for row in reader:
      if len(row) != len(header):
        raise DataError(f'{path}, row {reader.line_num}: {len(row)} columns where the header has {len(header)}')
      rows.append([reader.line_num, *(row[place] for place in places)])
  except csv.Error as error:
    raise DataError(f'{path}, row {reader.line_num}: {error}; allowed is CSV') from error
  if not rows:
    raise DataError(f'{path}: no rows after the header')
  return zip(*rows, strict=True)


def _refuse(path, lines, column, values, bad, allowed):
  """Raises a `DataError` for the first of the `bad` rows (bool `[n]`)."""
  if bad.any():
    row = int(np.argmax(bad))
    raise DataError(f'{path}, row {lines[row]}, column {column}: {values[row]!r}; allowed is {allowed}')


def _find(ids, values):
  """The index int64 `[n]` of each of `values` in the unique `ids`, -1 where it is not there."""
  order = np.argsort(ids)
  place = np.minimum(np.searchsorted(ids, values, sorter=order), len(ids) - 1)
  index = order[place]
  return np.where(ids[index] == values, index, -1)


def read_split(path, dataset):
  """Reads the split that a file in the form of `write_split` holds.

  Returns:
    (dataset, split): the dataset restricted to the pairs of the file (others are counted in `info['dropped']`), and the
    `Split` of its interactions.

  Raises:
    DataError: for a file that is missing or damaged, a missing column, an unknown part, an in_all that is not 0 or 1, a
      pair that occurs twice, a pair that the data do not have; the message names file, row, column and value.
  """
  path = Path(path)
  lines, user_ids, item_ids, parts, in_all = _read_rows(path)
  codes = {name: code for code, name in enumerate(PARTS) if name != 'unused'}
  part = np.array([codes.get(name, 0) for name in parts], np.int8)
  _refuse(path, lines, 'part', parts, part == 0, ', '.join(codes))
  flag = np.array(in_all)
  _refuse(path, lines, 'in_all', in_all, (flag != '0') & (flag != '1'), '0 or 1')
  user, item = _find(dataset.user_ids, np.array(user_ids)), _find(dataset.catalogue.ids, np.array(item_ids))
  _refuse(path, lines, 'user_id', user_ids, user < 0, f'a user of {dataset.info["name"]}')
  _refuse(path, lines, 'item_id', item_ids, item < 0, f'an item of {dataset.info["name"]}')
  pairs, log = user * dataset.items + item, dataset.interactions
  pair_names = list(zip(user_ids, item_ids, strict=True))
  repeated = np.ones(len(pairs), bool)
  repeated[np.unique(pairs, return_index=True)[1]] = False
  _refuse(path, lines, 'user_id and item_id', pair_names, repeated, 'each pair once')
  known = log.user.astype(np.int64) * dataset.items + log.item
  row = _find(known, pairs)
  _refuse(path, lines, 'user_id and item_id', pair_names, row < 0, f'an interaction of {dataset.info["name"]}')
  by = np.argsort(row)
  return restrict(dataset, row[by], 'not_in_split_file'), Split(part[by], flag[by] == '1')
