"""What each interaction is used for: training, validation, test, new items and new users.

Rules that all kinds share
- Cold items are drawn among the items that users who stay have interactions with, cold users among those with two
  interactions or more; of both, the first half (rounded down) is for validation, the other for test.
- A row of a cold item counts (cold_valid, cold_test) where its user has training interactions; else it is unused.
- A row of a cold user counts where its item has training interactions; else it is unused. The first rows, `history`
  at most and no more than half of them, are what is known of him ('history'); all others are the targets ('user_valid',
  'user_test'). A cold user without both is unused.
- `in_all` is set for all warm rows held out and for a seeded tenth of the rows of cold_valid and of cold_test, so that
  drawn cold items weigh as new ones do in life; for items that really came new (`temporal`) it is set for all rows.
- `random` and `leave_one_out`: a warm row held out whose user or item has no training row goes to training.
- `temporal`: no row is moved, since that would train on the future. An item (a user) without a training row that is
  first seen between the two cuts is cold for validation, one that is first seen after the second is cold for test.
  Rows count in the window of their part alone: rows of a cold validation item (user) from after the second cut, and
  rows of a drawn cold item from before its window, are unused. A cold user's history is the last `history` rows
  before his window where he has that many. How many users and items come new in each window is in `Split.info`.
- No row is lost silently: `Split.info['unused']` counts the unused rows by `REASONS`.
"""

import dataclasses
import datetime
import math

import numpy as np

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

# Why a row is unused; the first that holds.
REASONS = ('outside_its_window', 'user_not_in_training', 'item_not_in_training', 'user_without_history_or_targets',
           'older_than_the_history')

# Purposes of the random draws, folded into the seed.
_USERS, _ITEMS, _ROWS, _ORDER, _IN_ALL, _DRAW = range(10, 16)


@dataclasses.dataclass(frozen=True)
class SplitConfig:
  """How a log is split.

  Attributes:
    kind: 'random', 'temporal' or 'leave_one_out'.
    cold_items: the share of the items that lose all their training interactions, from 0 to below 1.
    cold_users: the share of the users that lose all their training interactions, from 0 to below 1.
    history: how many interactions of a cold user are known at most when he is recommended something, from 1.
    draw: which of several draws from the same data, from 0.
    valid_from: the time, ISO 8601 in UTC, from which on rows of a temporal split are for validation; '' where the
      cuts are taken from the log.
    test_from: likewise, for test.

  Raises:
    ConfigError: for values out of range.
  """
  kind: str = 'random'
  cold_items: float = 0.
  cold_users: float = 0.
  history: int = 10
  draw: int = 0
  valid_from: str = ''
  test_from: str = ''

  def __post_init__(self):
    if self.kind not in KINDS:
      raise ConfigError(f'split kind is {self.kind!r}, allowed are {", ".join(KINDS)}')
    for name in ('cold_items', 'cold_users'):
      if not 0 <= getattr(self, name) < 1:
        raise ConfigError(f'{name} is {getattr(self, name)}, allowed is 0 to below 1')
    for name, least in (('history', 1), ('draw', 0)):
      if getattr(self, name) < least:
        raise ConfigError(f'{name} is {getattr(self, name)}, allowed is {least} and more')
    if bool(self.valid_from) != bool(self.test_from):
      missing = 'test_from' if self.valid_from else 'valid_from'
      raise ConfigError(f'split.{missing} is empty; give both valid_from and test_from, or neither')
    if self.valid_from:
      first, second = self.cuts()
      if self.kind != 'temporal':
        raise ConfigError(f'split.valid_from is {self.valid_from} and the kind {self.kind!r}; allowed is temporal')
      if first >= second:
        raise ConfigError(f'split.valid_from is {self.valid_from}, test_from {self.test_from}; allowed is a test_from '
                          'after valid_from')

  def cuts(self):
    """Seconds since 1970 at which validation and test begin, where they are given."""
    return tuple(_seconds(name, getattr(self, name)) for name in ('valid_from', 'test_from'))


def _seconds(name, text):
  """The first whole second since 1970 that is not before the ISO 8601 `text`, in UTC where it names no zone."""
  try:
    moment = datetime.datetime.fromisoformat(text.strip())
  except ValueError as error:
    raise ConfigError(f'split.{name} is {text!r}; allowed are dates and times in ISO 8601 such as 2010-06-30 or '
                      '2010-06-30T12:00:00Z') from error
  return math.ceil((moment if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)).timestamp())


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
  """The parts int8 `[m]` of cold users' rows, these rows int64 `[m]`, and who can be asked bool `[users]`."""
  role = user_role[log.user]
  rows = np.flatnonzero((role > TRAIN) & trained_items[log.item] & (window <= role))
  user, size = log.user[rows], len(user_role)
  position, count = _positions(user, order[rows], size)
  before = np.bincount(user[window[rows] < role[rows]], minlength=size)
  start = np.maximum(before, np.minimum(history, count // 2))
  usable = (start > 0) & (start < count)
  known = position < start[user]
  part = np.where(known, PARTS.index('history'), _USER_PARTS[role[rows]])
  used = usable[user] & (~known | (position >= start[user] - history))
  return np.where(used, part, PARTS.index('unused')).astype(np.int8), rows, usable


def _assemble(log, window, user_role, item_role, order, config, seed, info=None, came=None):
  """The `Split` that the windows int8 `[n]` of the rows and the roles of users and items make.

  `came`, bool `[items]`, are the items that came new with time; none if None.
  """
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
  parts, rows, usable = _cold_user_parts(log, window, user_role, trained_items, order, config.history)
  part[rows] = parts
  real = np.zeros(len(log), bool) if came is None else came[log.item]
  in_all = (warm & (window > TRAIN)) | (cold & real)
  rng = _rng(seed, _IN_ALL)
  for code in _ITEM_PARTS[1:]:
    rows = rng.permutation(np.flatnonzero((part == code) & ~real))
    in_all[rows[:round(COLD_SHARE_IN_ALL * len(rows))]] = True

  rows = np.flatnonzero(part == PARTS.index('unused'))
  user, item, stay, when = log.user[rows], log.item[rows], stays[rows], window[rows]
  outside = np.where(stay, when != role[rows], when > user_role[user])
  why = np.select([outside, stay & ~trained_users[user], ~stay & ~trained_items[item], ~usable[user]], range(4), 4)
  counts = np.bincount(why, minlength=len(REASONS)).tolist()
  unused = {reason: count for reason, count in zip(REASONS, counts, strict=True) if count}
  return Split(part, in_all, {**(info or {}), 'unused': unused})


def random_split(log, users, items, config, seed):
  """Warm pairs at random, 80/10/10; arguments and rules as in `make_split`."""
  user_role, item_role = _draw_cold(log, users, items, config.cold_users, config.cold_items, seed)
  window = _windows_of_cold(log, user_role, item_role)
  warm = window == TRAIN
  rows = _rng(seed, _ROWS).permutation(np.flatnonzero(warm))
  valid, test = int(VALID_SHARE * len(rows)), int(TEST_SHARE * len(rows))
  window[rows[:valid]] = VALID
  window[rows[valid:valid + test]] = TEST
  order = _rng(seed, _ORDER).permutation(len(log))
  return _assemble(log, _move_untrained(log, window, warm), user_role, item_role, order, config, seed)


def leave_one_out(log, users, items, config, seed):
  """Each user's last warm pair for test, the last but one for validation; users with fewer than three only train.

  Arguments and rules as in `make_split`; the last by time, or by a seeded order where the log has no times.
  """
  user_role, item_role = _draw_cold(log, users, items, config.cold_users, config.cold_items, seed)
  window = _windows_of_cold(log, user_role, item_role)
  warm = window == TRAIN
  rows, order = np.flatnonzero(warm), _order(log, seed)
  position, count = _positions(log.user[rows], order[rows], users)
  from_end = count[log.user[rows]] - position
  enough = count[log.user[rows]] >= 3
  window[rows[enough & (from_end == 2)]] = VALID
  window[rows[enough & (from_end == 1)]] = TEST
  return _assemble(log, _move_untrained(log, window, warm), user_role, item_role, order, config, seed)


def _first_window(index, window, size):
  """int8 `[size]`: the earliest window of the rows of each of 0 to size - 1; TRAIN where there is no row."""
  first = np.full(size, TEST + 1, np.int8)
  np.minimum.at(first, index, window)
  return np.where(first > TEST, TRAIN, first).astype(np.int8)


def _cuts(log, config):
  """The times at which validation and test begin: those given, or of the rows at 80% and 90% of the sorted log."""
  if config.valid_from:
    first, second = config.cuts()
    for empty, name, what, time in ((log.time.min() >= first, 'valid_from', 'begins', log.time.min()),
                                    (log.time.max() < second, 'test_from', 'ends', log.time.max())):
      if empty:
        raise DataError(f'split.{name} is {getattr(config, name)}, but the log {what} at {_iso(time)}; allowed are '
                        'cuts with rows before valid_from, to train on, and rows from test_from on')
    return first, second
  places = [int((1 - VALID_SHARE - TEST_SHARE) * len(log)), int((1 - TEST_SHARE) * len(log))]
  first, second = np.partition(log.time, places)[places]
  if first == log.time.min():
    raise DataError(f'column time: {np.mean(log.time == first):.0%} of the rows have the time {first}, the earliest; '
                    'a temporal split needs rows from before its first cut')
  return first, second


def _iso(time):
  return f'{np.datetime64(int(time), "s")}Z'


def _arrivals(log, window, users, items, starts):
  """For each window its start, rows, the users and items first seen in it, and the share of its rows that is theirs."""
  first = [(what, index, _first_window(index, window, size), _occurs(index, size))
           for what, index, size in (('users', log.user, users), ('items', log.item, items))]
  found = {}
  for code, (name, start) in enumerate(zip(('train', 'valid', 'test'), starts, strict=True)):
    inside = window == code
    found[name] = {'from': _iso(start), 'rows': int(inside.sum())}
    for what, index, seen, occurs in first:
      new = (seen == code) & occurs
      found[name] |= {f'new_{what}': int(new.sum()),
                      f'share_of_new_{what}': float(np.mean(new[index[inside]])) if inside.any() else 0.}
  return found


def temporal_split(log, users, items, config, seed):
  """One global cut in time: the last tenth of the rows for test, the tenth before for validation, or by given cuts.

  Rows of the same time stay together, on the later side. Arguments and rules as in `make_split`.

  Raises:
    DataError: for a log without times, or in which nothing lies before the first cut, or after a given second one.
  """
  if log.time is None:
    raise DataError('a temporal split needs times and this log has none; allowed here are random and leave_one_out')
  first, second = _cuts(log, config)
  window = ((log.time >= first).astype(np.int8) + (log.time >= second)).astype(np.int8)
  user_role, item_role = _draw_cold(log, users, items, config.cold_users, config.cold_items, seed)
  stays = user_role[log.user] == TRAIN
  train = stays & (item_role[log.item] == TRAIN) & (window == TRAIN)
  trained_users, trained_items = _occurs(log.user[train], users), _occurs(log.item[train], items)
  natural = _first_window(log.item[stays], window[stays], items)
  came = (item_role == TRAIN) & ~trained_items & (natural > TRAIN)
  item_role = np.where(came, natural, item_role)
  known = trained_items[log.item]
  natural = _first_window(log.user[known], window[known], users)
  user_role = np.where((user_role == TRAIN) & ~trained_users, natural, user_role)
  info = {'windows': _arrivals(log, window, users, items, (log.time.min(), first, second))}
  return _assemble(log, window, user_role, item_role, _order(log, seed), config, seed, info, came)


KINDS = {'random': random_split, 'temporal': temporal_split, 'leave_one_out': leave_one_out}


def make_split(interactions, users, items, *, seed, **options):
  """Splits a log by the rules at the head of this module; the same arguments give the same bits.

  Args:
    interactions: the log, `[n]`.
    users: the number of users.
    items: the number of items.
    seed: not negative.
    options: the fields of `SplitConfig`.

  Raises:
    ConfigError: for an option that is not allowed.
    DataError: for a log that cannot be split so: without times, or with nothing left to train on.
  """
  config = SplitConfig(**options)
  if not len(interactions):
    raise DataError('no interactions to split')
  if config.draw:
    seed = int(np.random.SeedSequence([seed, _DRAW, config.draw]).generate_state(1, np.uint64)[0])
  return KINDS[config.kind](interactions, users, items, config, seed)


def describe(split, dataset):
  """Counts: rows of each part that is there, targets of the task `all`, trained and cold users and items.

  Where the split was not read from a file, `unused` counts the unused rows by `REASONS`; `windows`, for a temporal one,
  says when each begins, how many users and items are first seen in it, and the share of its rows that is theirs.
  """
  log = dataset.interactions
  train = split.rows('train')
  return {
    'rows': {name: int(np.sum(split.part == code)) for code, name in enumerate(PARTS) if (split.part == code).any()},
    'targets_in_all': int(np.sum(split.in_all[split.rows('valid', 'test', 'cold_valid', 'cold_test')])),
    'warm_users': len(np.unique(log.user[train])),
    'warm_items': len(np.unique(log.item[train])),
    'cold_items': len(np.unique(log.item[split.rows('cold_valid', 'cold_test')])),
    'cold_users': len(np.unique(log.user[split.rows('user_valid', 'user_test')])),
    **split.info,
  }
