import collections
import dataclasses
import gzip

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ganrec_jax.data.splits import KINDS, describe, make_split, read_split, write_split
from ganrec_jax.data.types import PARTS, Catalogue, Dataset, Interactions, Split
from ganrec_jax.errors import ConfigError, DataError, UserError

USERS = ITEMS = 12
SHARES = st.sampled_from([0., .2, .5, .9])


@st.composite
def _logs(draw, min_size=1):
  """Logs of 1 to 60 pairs: users without rows, items without rows and a single item among them, times with ties."""
  items = draw(st.sampled_from([1, 3, ITEMS]))
  pairs = draw(st.sets(st.tuples(st.integers(0, USERS - 1), st.integers(0, items - 1)), min_size=min_size, max_size=60))
  user, item = np.array(sorted(pairs), np.int32).T
  times = np.array(draw(st.lists(st.integers(0, 20), min_size=len(user), max_size=len(user))), np.int64)
  return Interactions(user, item, np.ones(len(user), np.float32), times)


def _random_log(users=200, items=100, rows=4000, seed=0):
  rng = np.random.default_rng(seed)
  pairs = rng.permutation(users * items)[:rows]
  return Interactions((pairs // items).astype(np.int32), (pairs % items).astype(np.int32), np.ones(rows, np.float32),
                      rng.integers(0, 10 ** 6, rows))


def _dataset(log, users=USERS, items=ITEMS):
  ids = np.array([f'item "{k}", \u00e9\n' for k in range(items)])
  return Dataset(log, Catalogue(ids, ids, ids, ((),) * items), np.array([f'u,{k}' for k in range(users)]),
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
    assert split.in_all[rows].sum() == round(.1 * len(rows))
  again = make_split(log, USERS, ITEMS, **arguments)
  assert again.sha256() == split.sha256()


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
  assert rows['history'] == sum(min(5, count // 2) for count in usable.values())
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
                           ({'cold_items': float('nan')}, 'cold_items is nan'), ({'history': 0}, 'history is 0')):
    with pytest.raises(ConfigError, match=message):
      make_split(log, 200, 100, **{**arguments, **changed})
  with pytest.raises(DataError, match='this log has none; allowed here are random and leave_one_out'):
    make_split(dataclasses.replace(log, time=None), 200, 100, **{**arguments, 'kind': 'temporal'})
  with pytest.raises(DataError, match='100% of the rows have the time 5'):
    make_split(dataclasses.replace(log, time=np.full(len(log), 5)), 200, 100, **{**arguments, 'kind': 'temporal'})
  with pytest.raises(DataError, match='no interactions to split'):
    make_split(log.take([]), 200, 100, **arguments)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(_logs(min_size=3), st.data(), st.sampled_from(['s.csv', 's.csv.gz']))
def test_what_is_written_is_read(tmp_path, log, data, name):
  part = np.array(data.draw(st.lists(st.integers(0, len(PARTS) - 1), min_size=len(log), max_size=len(log))), np.int8)
  part[data.draw(st.integers(0, len(log) - 1))] = 1
  in_all = np.array(data.draw(st.lists(st.booleans(), min_size=len(log), max_size=len(log))))
  dataset, split = _dataset(log), Split(part, in_all)
  write_split(tmp_path / name, dataset, split)
  written = (tmp_path / name).read_bytes()
  read, read_back = read_split(tmp_path / name, dataset)
  used = np.flatnonzero(part)
  np.testing.assert_array_equal(read_back.part, part[used])
  np.testing.assert_array_equal(read_back.in_all, in_all[used])
  np.testing.assert_array_equal(read.user_ids[read.interactions.user], dataset.user_ids[log.user[used]])
  np.testing.assert_array_equal(read.catalogue.ids[read.interactions.item], dataset.catalogue.ids[log.item[used]])
  np.testing.assert_array_equal(read.interactions.time, log.time[used])
  assert read.info['dropped']['not_in_split_file']['interactions'] == len(log) - len(used)
  write_split(tmp_path / name, read, read_back)
  assert (tmp_path / name).read_bytes() == written and len(list(tmp_path.iterdir())) <= 2
  again, split_again = read_split(tmp_path / name, read)
  assert again.sha256() == read.sha256() and split_again.sha256() == read_back.sha256()


def _file_dataset():
  ids = np.array(['a', 'b'])
  log = Interactions(np.array([0, 0, 1], np.int32), np.array([0, 1, 0], np.int32), np.ones(3, np.float32))
  return Dataset(log, Catalogue(ids, ids, ids, ((), ())), np.array(['u', 'v']), {'name': 'tiny'})


@pytest.mark.parametrize('text, message', [
  ('user_id,item_id,part\nu,a,train\n', 'row 1: no column in_all among .*header user_id,item_id,part,in_all'),
  ('', 'row 1: no column user_id'),
  ('user_id,item_id,part,in_all\n', 'no rows after the header'),
  ('user_id,item_id,part,in_all\nu,a,train,0\nu,b,trian,1\n', "row 3, column part: 'trian'; allowed is train, valid"),
  ('user_id,item_id,part,in_all\nu,a,unused,0\n', "row 2, column part: 'unused'"),
  ('user_id,item_id,part,in_all\nu,a,train,yes\n', "row 2, column in_all: 'yes'; allowed is 0 or 1"),
  ('user_id,item_id,part,in_all\nu,a,train,0\nu,a,test,1\n', r"row 3, .* \('u', 'a'\); allowed is each pair once"),
  ('user_id,item_id,part,in_all\nw,a,train,0\n', "row 2, column user_id: 'w'; allowed is a user of tiny"),
  ('user_id,item_id,part,in_all\nu,aa,train,0\n', "row 2, column item_id: 'aa'; allowed is an item of tiny"),
  ('user_id,item_id,part,in_all\nv,b,train,0\n', r"row 2, .* \('v', 'b'\); allowed is an interaction of tiny"),
  ('user_id,item_id,part,in_all\nu,a,train\n', 'row 2: 3 columns where the header has 4'),
  ('user_id,item_id,part,in_all\nu,"a,train,0\n', 'allowed is CSV'),
])
def test_refuses_a_bad_split_file(tmp_path, text, message):
  path = tmp_path / 'split.csv'
  path.write_text(text)
  with pytest.raises(DataError, match=f'split.csv.*{message}'):
    read_split(path, _file_dataset())


def test_reads_columns_in_any_order_and_crlf(tmp_path):
  path = tmp_path / 'split.csv'
  path.write_bytes(b'\xef\xbb\xbfpart,x,in_all,item_id,user_id\r\ntest,,1,a,v\r\ntrain,,0,a,u\r\n')
  dataset, split = read_split(path, _file_dataset())
  assert dataset.user_ids[dataset.interactions.user].tolist() == ['u', 'v'] and dataset.catalogue.ids.tolist() == ['a']
  assert split.part.tolist() == [1, 3] and split.in_all.tolist() == [False, True]


def test_refuses_a_damaged_or_missing_file(tmp_path):
  path = tmp_path / 'split.csv.gz'
  with pytest.raises(DataError, match='split.csv.gz: cannot be read'):
    read_split(path, _file_dataset())
  write_split(path, _file_dataset(), Split(np.array([1, 2, 3], np.int8), np.ones(3, bool)))
  whole = path.read_bytes()
  for damaged in (whole[:-9], whole[:12], b'no gzip', whole[:20] + b'\xff\xff' + whole[22:]):
    path.write_bytes(damaged)
    with pytest.raises(DataError, match='split.csv.gz: damaged gzip file'):
      read_split(path, _file_dataset())
  path.write_bytes(gzip.compress(b'user_id,item_id,part,in_all\n\xff'))
  with pytest.raises(DataError, match='byte 28 is 0xff, allowed is UTF-8'):
    read_split(path, _file_dataset())


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
  path = tmp_path / 'split.csv.gz'
  path.write_bytes(b'old')

  def no_space(*_):
    raise OSError(28, 'No space left on device')

  monkeypatch.setattr('os.replace', no_space)
  with pytest.raises(UserError, match='split.csv.gz: cannot be written .No space left on device'):
    write_split(path, _file_dataset(), Split(np.array([1, 2, 3], np.int8), np.ones(3, bool)))
  assert [p.name for p in tmp_path.iterdir()] == [path.name] and path.read_bytes() == b'old'


def test_the_frozen_lastfm_draws(real_data, tmp_path):
  from ganrec_jax.data import published
  from ganrec_jax.data.clean import k_core
  full = published.load(published.named('lastfm'), str(real_data), str(tmp_path))
  core = k_core(full, 5, 3)
  for name in ('lastfm', *(f'lastfm-{k}' for k in range(1, 5))):
    path = real_data / 'splits' / f'{name}.csv.gz'
    dataset, split = read_split(path, full)
    numbers = describe(split, dataset)
    assert dataset.sha256() == core.sha256() and numbers['cold_items'] == 921
    if name == 'lastfm':
      assert (dataset.users, dataset.items) == (1869, 4607)
      assert numbers['rows'] == {'train': 50781, 'valid': 6306, 'test': 6235, 'cold_valid': 6752, 'cold_test': 7358}
    write_split(tmp_path / 'again.csv.gz', dataset, split)
    assert gzip.decompress((tmp_path / 'again.csv.gz').read_bytes()) == gzip.decompress(path.read_bytes())
