import collections
import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ganrec_jax.data.splits import KINDS, REASONS, describe, make_split
from ganrec_jax.data.types import PARTS, Catalogue, Dataset, Interactions
from ganrec_jax.errors import ConfigError, DataError

USERS = ITEMS = 12
SHARES = st.sampled_from([0., .2, .5, .9])


@st.composite
def _logs(draw):
  """Logs of 1 to 60 pairs: users without rows, items without rows and a single item among them, times with ties."""
  items = draw(st.sampled_from([1, 3, ITEMS]))
  pairs = draw(st.sets(st.tuples(st.integers(0, USERS - 1), st.integers(0, items - 1)), min_size=1, max_size=60))
  user, item = np.array(sorted(pairs), np.int32).T
  times = np.array(draw(st.lists(st.integers(0, 20), min_size=len(user), max_size=len(user))), np.int64)
  return Interactions(user, item, np.ones(len(user), np.float32), times)


def _random_log(users=200, items=100, rows=4000, seed=0):
  rng = np.random.default_rng(seed)
  pairs = rng.permutation(users * items)[:rows]
  return Interactions((pairs // items).astype(np.int32), (pairs % items).astype(np.int32), np.ones(rows, np.float32),
                      rng.integers(0, 10 ** 6, rows))


def _dataset(log, users=USERS, items=ITEMS):
  ids = np.array([f'i{k}' for k in range(items)])
  return Dataset(log, Catalogue(ids, ids, ids, ((),) * items), np.array([f'u{k}' for k in range(users)]),
                 {'name': 'tiny'})


def _split(log, users=USERS, items=ITEMS, **arguments):
  """The split, or None where the log cannot be split so."""
  try:
    return make_split(log, users, items, **arguments)
  except DataError:
    return None


def _members(index, split, *parts):
  return set(index[split.rows(*parts)].tolist())


@pytest.mark.parametrize('kind', KINDS)
@settings(deadline=None, max_examples=150)
@given(_logs(), SHARES, SHARES, st.integers(0, 2 ** 32), st.integers(1, 4))
def test_no_cold_item_or_user_is_ever_trained_on(kind, log, cold_items, cold_users, seed, history):
  arguments = {'kind': kind, 'cold_items': cold_items, 'cold_users': cold_users, 'seed': seed, 'history': history}
  split = _split(log, **arguments)
  if split is None:
    return
  users, items = (_members(index, split, 'train') for index in (log.user, log.item))
  assert len(split.part) == len(log)
  valid, test = (_members(log.item, split, part) for part in ('cold_valid', 'cold_test'))
  assert not valid & test and not items & (valid | test)
  assert _members(log.user, split, 'cold_valid', 'cold_test', 'valid', 'test') <= users
  user_valid, user_test = (_members(log.user, split, part) for part in ('user_valid', 'user_test'))
  assert not user_valid & user_test and not users & (user_valid | user_test)
  assert _members(log.user, split, 'history') == user_valid | user_test
  assert _members(log.item, split, 'valid', 'test', 'history', 'user_valid', 'user_test') <= items
  known = collections.Counter(log.user[split.rows('history')].tolist())
  assert all(count <= history for count in known.values())
  cold = split.rows('cold_valid', 'cold_test')
  assert set(split.rows('valid', 'test')) == set(np.flatnonzero(split.in_all)) - set(cold)
  for part in ('cold_valid', 'cold_test'):
    rows = split.rows(part)
    counted, tenth = split.in_all[rows].sum(), round(.1 * len(rows))
    # Items that came new with time all count, drawn ones by a tenth of their rows.
    assert counted == tenth if kind != 'temporal' else tenth <= counted <= len(rows)
    assert counted == len(rows) or kind != 'temporal' or cold_items > 0
  again = make_split(log, USERS, ITEMS, **arguments)
  assert again.sha256() == split.sha256()


@pytest.mark.parametrize(('kind', 'sha256'), [
  ('random', 'f4760935e537b02daab8e080da1a301dddbd7e45ea9dfe26215d05892834e00b'),
  ('temporal', 'c1c0be310ab83a0f34061662d238ff20a2b83839507adb7ada02f95438c32a3e'),
  ('leave_one_out', '80c5a6e0ae048601a1a2422edc04158285b9478be894a8ae9510df0cdbaea622')])
def test_the_bits_of_a_split_stay_what_they_are(kind, sha256):
  arguments = {'kind': kind, 'cold_items': .2, 'cold_users': .1, 'seed': 7, 'history': 5}
  log = _random_log()
  assert make_split(log, 200, 100, **arguments).sha256() == sha256
  assert make_split(log, 200, 100, **arguments, draw=0).sha256() == sha256
  others = {make_split(log, 200, 100, **arguments, draw=draw).sha256() for draw in range(5)}
  assert len(others) == 5 and sha256 in others


@pytest.mark.parametrize('kind', KINDS)
@settings(deadline=None, max_examples=100)
@given(_logs(), SHARES, SHARES, st.integers(0, 9), st.integers(1, 4))
def test_every_row_is_in_a_part_or_unused_for_a_reason(kind, log, cold_items, cold_users, seed, history):
  split = _split(log, kind=kind, cold_items=cold_items, cold_users=cold_users, seed=seed, history=history)
  if split is None:
    return
  told = describe(split, _dataset(log))
  unused = told['rows'].pop('unused', 0)
  assert sum(told['rows'].values()) + sum(told['unused'].values()) == len(log)
  assert unused == sum(told['unused'].values()) and set(told['unused']) <= set(REASONS)
  assert all(told['unused'].values())
  users, items = (_members(index, split, 'train') for index in (log.user, log.item))
  rows = split.rows('unused').tolist()
  known = {row for row in rows if int(log.user[row]) in users}  # users who stay
  lone = {row for row in rows if int(log.item[row]) not in items}
  asked = _members(log.user, split, 'history')
  # Without times there is one way to lose a row of a user who stays or of an item that is trained.
  if kind != 'temporal':
    assert 'outside_its_window' not in told['unused'] and not known
    assert told['unused'].get('older_than_the_history', 0) == 0 or cold_users > 0
    assert sum(told['unused'].get(reason, 0) for reason in REASONS[1:3]) == len(lone)
    assert told['unused'].get('user_without_history_or_targets', 0) == sum(
      row not in lone and int(log.user[row]) not in asked for row in rows)


@settings(deadline=None, max_examples=100)
@given(_logs(), SHARES, SHARES, st.integers(0, 9))
def test_what_comes_new_in_each_window_equals_its_definition(log, cold_items, cold_users, seed):
  split = _split(log, kind='temporal', cold_items=cold_items, cold_users=cold_users, seed=seed)
  if split is None:
    return
  windows = describe(split, _dataset(log))['windows']
  times = np.sort(log.time)
  cuts = [times[0], times[int(.8 * len(log))], times[int(.9 * len(log))], times[-1] + 1]
  assert [w['from'] for w in windows.values()] == [f'1970-01-01T00:00:{cut:02d}Z' for cut in cuts[:3]]
  for (name, told), start, stop in zip(windows.items(), cuts[:-1], cuts[1:], strict=True):
    rows = np.flatnonzero((log.time >= start) & (log.time < stop))
    assert told['rows'] == len(rows), name
    for what, index in (('users', log.user), ('items', log.item)):
      new = {k for k in set(index.tolist()) if start <= log.time[index == k].min() < stop}
      assert told[f'new_{what}'] == len(new)
      assert told[f'share_of_new_{what}'] == (np.mean([int(index[row]) in new for row in rows]) if len(rows) else 0)
  assert windows['train']['share_of_new_users'] == 1


def test_given_cuts_are_the_windows():
  log = _random_log()
  log = dataclasses.replace(log, time=log.time + 1262304000)  # from 2010-01-01 on, for twelve days
  arguments = {'kind': 'temporal', 'cold_items': 0, 'cold_users': 0, 'seed': 0}
  split = make_split(log, 200, 100, **arguments, valid_from='2010-01-05', test_from='2010-01-09T12:00:00+02:00')
  first, second = 1262304000 + 4 * 86400, 1262304000 + 8 * 86400 + 10 * 3600
  assert log.time[split.rows('train')].max() < first <= log.time[split.rows('valid')].min()
  assert log.time[split.rows('valid')].max() < second <= log.time[split.rows('test')].min()
  assert not len(split.rows('unused'))
  assert split.info['windows']['test']['from'] == '2010-01-09T10:00:00Z'
  # A cut within a second leaves that second before it.
  exact = log.time[split.rows('valid')].min()
  late = f'{np.datetime64(int(exact), "s")}.5Z'
  assert log.time[make_split(log, 200, 100, **arguments, valid_from=late, test_from='2010-01-10').rows(
    'train')].max() == exact
  for cuts, message in ((('2009-01-01', '2010-01-08'), 'valid_from is 2009-01-01, but the log begins at 2010-01-01T'),
                        (('2010-01-05', '2011-01-08'), 'test_from is 2011-01-08, but the log ends at 2010-01-12T')):
    with pytest.raises(DataError, match=message):
      make_split(log, 200, 100, **arguments, valid_from=cuts[0], test_from=cuts[1])


@settings(deadline=None, max_examples=150)
@given(_logs(), SHARES, SHARES, st.integers(0, 9), st.integers(1, 4))
def test_temporal_split_never_looks_ahead(log, cold_items, cold_users, seed, history):
  split = _split(log, kind='temporal', cold_items=cold_items, cold_users=cold_users, seed=seed, history=history)
  if split is None:
    return
  latest = [-1, *(log.time[split.rows(*parts)].max(initial=-1) for parts in (
    ('train',), ('valid', 'cold_valid', 'user_valid')))]
  earliest = [log.time[split.rows(*parts)].min(initial=99) for parts in (
    ('valid', 'cold_valid', 'user_valid'), ('test', 'cold_test', 'user_test'))]
  assert latest[1] < min(earliest) and latest[2] < earliest[1]
  for user in _members(log.user, split, 'history'):
    mine = log.user == user
    known = mine & (split.part == PARTS.index('history'))
    targets = mine & np.isin(split.part, [PARTS.index('user_valid'), PARTS.index('user_test')])
    assert log.time[known].max() <= log.time[targets].min()


@settings(deadline=None, max_examples=60)
@given(_logs(), st.booleans(), st.integers(0, 9))
def test_leave_one_out_holds_out_the_last_of_each_user(log, timed, seed):
  if not timed:
    log = dataclasses.replace(log, time=None)
  split = make_split(log, USERS, ITEMS, kind='leave_one_out', cold_items=0, cold_users=0, seed=seed)
  for user in range(USERS):
    rows = np.flatnonzero(log.user == user)
    names = [PARTS[code] for code in split.part[rows]]
    assert set(names) <= {'train', 'valid', 'test'} and names.count('test') <= 1 and names.count('valid') <= 1
    if len(rows) < 3:
      assert set(names) <= {'train'}
    if timed and 'test' in names:
      assert log.time[rows[names.index('test')]] == log.time[rows].max()
    if timed and {'valid', 'test'} <= set(names):
      assert log.time[rows[names.index('valid')]] == np.sort(log.time[rows])[-2]


def test_random_split_has_the_shares_it_says():
  log = _random_log()
  split = make_split(log, 200, 100, kind='random', cold_items=.2, cold_users=.1, seed=3)
  numbers = describe(split, _dataset(log, 200, 100))
  assert numbers['cold_items'] == 20 and numbers['cold_users'] == 20
  assert numbers['warm_items'] == 80 and numbers['warm_users'] == 180
  rows = numbers['rows']
  warm = rows['train'] + rows['valid'] + rows['test']
  assert rows['valid'] == rows['test'] == int(.1 * warm)
  assert sum(rows.values()) == len(log)
  usable = collections.Counter(log.user[split.rows('history', 'user_valid', 'user_test')].tolist())
  assert rows['history'] == sum(min(10, count // 2) for count in usable.values())
  assert numbers['targets_in_all'] == rows['valid'] + rows['test'] + sum(
    round(.1 * rows[part]) for part in ('cold_valid', 'cold_test'))
  for one, other in (('cold_valid', 'cold_test'), ('user_valid', 'user_test')):
    index = log.item if one == 'cold_valid' else log.user
    assert len(_members(index, split, one)) == len(_members(index, split, other)) == 10
  # A cold user's rows are all used but for those on cold items, and a warm user's rows are all used.
  unused = split.rows('unused')
  assert _members(log.user, split, 'unused') <= _members(log.user, split, 'history')
  assert set(log.item[unused].tolist()) <= _members(log.item, split, 'cold_valid', 'cold_test')


def test_all_kinds_depend_on_the_seed():
  log = dataclasses.replace(_random_log(), time=None)
  for kind in ('random', 'leave_one_out'):
    splits = [make_split(log, 200, 100, kind=kind, cold_items=0, cold_users=0, seed=seed) for seed in range(4)]
    assert len({split.sha256() for split in splits}) == 4
  timed = _random_log()
  for shares in ({'cold_items': .2, 'cold_users': 0}, {'cold_items': 0, 'cold_users': .2}):
    assert len({make_split(timed, 200, 100, kind='temporal', seed=s, **shares).sha256() for s in range(4)}) == 4


def test_temporal_split_by_hand():
  user = np.array([0, 0, 0, 0, 2, 2, 2, 2, 1, 1, 0, 0, 2, 2, 1, 1, 0, 0, 2, 0], np.int32)
  item = np.array([0, 1, 2, 5, 0, 1, 2, 5, 0, 1, 3, 6, 3, 6, 2, 5, 4, 7, 3, 8], np.int32)
  time = np.array([0, 1, 2, 3, 4, 5, 6, 7, 8, 8, 8, 0, 9, 0, 9, 9, 9, 0, 9, 9], np.int64)
  keep = [k for k in range(20) if k != 18]
  log = Interactions(user, item, np.ones(20, np.float32), time).take(keep)
  split = make_split(log, 3, 9, kind='temporal', cold_items=0, cold_users=0, seed=0, history=1)
  # Sorted times: 0 0 0 0 1 ... ; row 15 of 19 is the first cut and row 17 the second, both at time 9.
  names = dict(zip(keep, (PARTS[code] for code in split.part), strict=True))
  assert {names[k] for k in range(8)} == {'train'} and names[11] == names[13] == names[17] == 'train'
  assert names[10] == 'train' and names[12] == 'test'
  assert names[8] == names[9] == 'train' and names[14] == names[15] == 'test'
  assert names[16] == names[19] == 'cold_test'


def test_temporal_split_gives_new_users_a_history_in_time_order():
  rng = np.random.default_rng(1)
  old = _random_log(20, 10, 160, 1)
  new = Interactions(np.full(6, 20, np.int32), np.arange(6, dtype=np.int32), np.ones(6, np.float32),
                     np.arange(10 ** 7, 10 ** 7 + 6)[rng.permutation(6)])
  log = Interactions(*(np.concatenate([getattr(old, name), getattr(new, name)])
                       for name in ('user', 'item', 'value', 'time')))
  split = make_split(log, 21, 10, kind='temporal', cold_items=0, cold_users=0, seed=0, history=2)
  by_time = np.argsort(new.time)
  assert [PARTS[code] for code in split.part[160:][by_time]] == ['history'] * 2 + ['user_test'] * 4


def test_refusals():
  log = _random_log()
  arguments = {'kind': 'random', 'cold_items': .2, 'cold_users': .1, 'seed': 0}
  for changed, message in (({'kind': 'radnom'}, "'radnom', allowed are random, temporal, leave_one_out"),
                           ({'cold_items': 1}, 'cold_items is 1, allowed'), ({'cold_users': -.1}, 'cold_users is -0.1'),
                           ({'cold_items': float('nan')}, 'cold_items is nan'), ({'history': 0}, 'history is 0'),
                           ({'draw': -1}, 'draw is -1, allowed is 0'),
                           ({'valid_from': '2010'}, 'split.test_from is empty; give both'),
                           ({'test_from': '2010-01-01'}, 'split.valid_from is empty; give both'),
                           ({'valid_from': '2010-13-01', 'test_from': '2011-01-01'},
                            "valid_from is '2010-13-01'; allowed are dates and times in ISO 8601"),
                           ({'valid_from': '2010-01-01', 'test_from': '2011-01-01'}, "kind 'random'; allowed is temp"),
                           ({'kind': 'temporal', 'valid_from': '2011-01-01', 'test_from': '2011-01-01'},
                            'valid_from is 2011-01-01, test_from 2011-01-01; allowed is a test_from after')):
    with pytest.raises(ConfigError, match=message):
      make_split(log, 200, 100, **{**arguments, **changed})
  with pytest.raises(DataError, match='this log has none; allowed here are random and leave_one_out'):
    make_split(dataclasses.replace(log, time=None), 200, 100, **{**arguments, 'kind': 'temporal'})
  with pytest.raises(DataError, match='100% of the rows have the time 5'):
    make_split(dataclasses.replace(log, time=np.full(len(log), 5)), 200, 100, **{**arguments, 'kind': 'temporal'})
  with pytest.raises(DataError, match='no interactions to split'):
    make_split(log.take([]), 200, 100, **arguments)
