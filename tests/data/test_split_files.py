import gzip

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ganrec_jax.data import split_files
from ganrec_jax.data.split_files import read_split, write_split
from ganrec_jax.data.splits import describe
from ganrec_jax.data.types import PARTS, Catalogue, Dataset, Interactions, Split
from ganrec_jax.errors import DataError, UserError

USERS = ITEMS = 12


@st.composite
def _logs(draw):
  """Logs of 3 to 60 pairs, in any order, with times."""
  pairs = draw(st.lists(st.tuples(st.integers(0, USERS - 1), st.integers(0, ITEMS - 1)), min_size=3, max_size=60,
                        unique=True))
  user, item = np.array(pairs, np.int32).T.copy()
  return Interactions(user, item, np.ones(len(user), np.float32), np.arange(len(user)))


def _dataset(log):
  """A dataset whose ids hold what CSV must quote, and characters of one to four bytes."""
  items = np.array([f'item "{k}", \u00e9\r\n' for k in range(ITEMS)])
  users = np.array([f'u,{k}' if k % 2 else f'\U0001f3b5{k}' for k in range(USERS)])
  return Dataset(log, Catalogue(items, items, items, ((),) * ITEMS), users, {'name': 'tiny'})


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(_logs(), st.data(), st.sampled_from(['s.csv', 's.csv.gz']))
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


def test_blocks_change_nothing_and_rows_count_lines(tmp_path, monkeypatch):
  rng = np.random.default_rng(0)
  pairs = rng.permutation(USERS * ITEMS)[:100]
  log = Interactions((pairs // ITEMS).astype(np.int32), (pairs % ITEMS).astype(np.int32), np.ones(100, np.float32))
  dataset, split = _dataset(log), Split(rng.integers(0, 9, 100).astype(np.int8), rng.random(100) < .5)
  write_split(tmp_path / 'whole.csv.gz', dataset, split)
  whole = read_split(tmp_path / 'whole.csv.gz', dataset)
  monkeypatch.setattr(split_files, '_BLOCK', 7)
  write_split(tmp_path / 'blocks.csv.gz', dataset, split)
  assert (tmp_path / 'blocks.csv.gz').read_bytes() == (tmp_path / 'whole.csv.gz').read_bytes()
  read = read_split(tmp_path / 'blocks.csv.gz', dataset)
  assert [part.sha256() for part in read] == [part.sha256() for part in whole]
  # Each id of an item holds a line break: the row after the 20th ends in line 1 + 2 * 21.
  lines = gzip.decompress((tmp_path / 'whole.csv.gz').read_bytes()).decode().split('\r\n"')
  part, flag = lines[21].split('\n')[0].split(',')[1:]
  lines[21] = lines[21].replace(f',{part},{flag}', f',{part},2')
  (tmp_path / 'bad.csv').write_bytes('\r\n"'.join(lines).encode())
  with pytest.raises(DataError, match="bad.csv, row 43, column in_all: '2'; allowed is 0 or 1"):
    read_split(tmp_path / 'bad.csv', dataset)
  (tmp_path / 'bad.csv').write_bytes(b'user_id,item_id,part,in_all\n' + 'n\u00f6,'.encode() * 3000 + b'\xe2\x82')
  with pytest.raises(DataError, match='byte 12028 is 0xe2, allowed is UTF-8'):
    read_split(tmp_path / 'bad.csv', dataset)


def test_reads_columns_in_any_order_and_crlf(tmp_path):
  path = tmp_path / 'split.csv'
  path.write_bytes(b'\xef\xbb\xbfpart,x,in_all,item_id,user_id\r\ntest,,1,a,v\r\ntrain,,0,a,u\r\n')
  dataset, split = read_split(path, _file_dataset())
  assert dataset.user_ids[dataset.interactions.user].tolist() == ['u', 'v'] and dataset.catalogue.ids.tolist() == ['a']
  assert split.part.tolist() == [1, 3] and split.in_all.tolist() == [False, True]


def test_columns_are_read_as_they_are_written(tmp_path):
  path = tmp_path / 'split.csv.gz'
  data = _dataset(Interactions(np.arange(3, dtype=np.int32), np.arange(3, dtype=np.int32), np.ones(3, np.float32)))
  write_split(path, data, Split(np.array([1, 2, 4], np.int8), np.array([False, False, True])))
  users, items, parts, in_all = split_files.read_columns(path)
  assert users.tolist() == data.user_ids[:3].tolist() and items.tolist() == data.catalogue.ids[:3].tolist()
  assert parts.tolist() == ['train', 'valid', 'cold_valid'] and in_all.tolist() == ['0', '0', '1']


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
