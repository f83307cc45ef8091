"""Archives are found or downloaded, read whole, and kept as a copy that says what it was made from."""

import dataclasses
import functools
import http.server
import pathlib
import re
import sys
import threading
import zipfile

import numpy as np
import pytest

from ganrec_jax.data import archives, files, published, tables, tfds_copy
from ganrec_jax.data.types import Catalogue, Dataset, Interactions
from ganrec_jax.errors import ConfigError, DataError

LOG = 'user_id,item_id,rating,timestamp\nu1,b,4,1000000000\nu1,a,2.5,1000000001\nü2,a,5,1000000002\n'
ITEMS = 'item_id,title,genre\na,שלום 🎵,spy|film\nb,Bond,\nunheard,Nobody,film\n'


def _tiny(paths, scratch):
  log = files.unpack(paths['log.zip'], ('log.csv',), scratch)['log.csv']
  items = files.unpack(paths['items.zip'], ('items.csv',), scratch)['items.csv']
  data = tables.load(tables.TablesConfig(interactions=str(log), items=str(items), phrases='genre'), scratch)
  return dataclasses.replace(data, info={**data.info, 'counts': {'rows': data.info['rows']['read']}})


# Port 9 of this machine answers nobody.
SOURCE = published.Source(
  'tiny', 'https://example.org/tiny', 'Doe 2020', 'free',
  (published.Archive('log.zip', 'http://127.0.0.1:9/log.zip'), published.Archive('items.zip')), _tiny, {'rows': 3})


def _zip(folder, name, text):
  folder.mkdir(parents=True, exist_ok=True)
  with zipfile.ZipFile(folder / f'{name}.zip', 'w') as archive:
    archive.writestr(zipfile.ZipInfo(f'tiny/{name}.csv'), text)  # without the time, for the same bits each time


def _write(folder, log=LOG, items=ITEMS):
  _zip(folder, 'log', log)
  _zip(folder, 'items', items)
  return folder


def _load(tmp_path, source=SOURCE, **texts):
  return published.load(source, str(_write(tmp_path / 'manual', **texts)), str(tmp_path / 'data'))


def test_a_source_becomes_a_dataset_that_says_where_it_is_from(tmp_path):
  data = _load(tmp_path)
  log = data.interactions
  assert list(zip(data.user_ids[log.user], data.catalogue.ids[log.item], log.value, log.time, strict=True)) == [
    ('u1', 'a', 2.5, 1000000001), ('u1', 'b', 4, 1000000000), ('ü2', 'a', 5, 1000000002)]
  assert data.catalogue.titles.tolist() == ['שלום 🎵', 'Bond'] and data.catalogue.phrases == (('spy', 'film'), ())
  info = data.info
  assert (info['name'], info['simulated'], info['citation'], info['homepage'], info['licence']) == (
    'tiny', False, 'Doe 2020', 'https://example.org/tiny', 'free')
  assert info['archive_sha256'] == {name: archives.sha256(tmp_path / 'manual' / name)
                                    for name in ('log.zip', 'items.zip')}
  assert info['rows']['read'] == 3 and info['catalogue']['rows'] == 3 and str(tmp_path) not in repr(info)
  assert 'tensorflow' not in sys.modules


def test_the_copy_is_a_builder_of_tfds(tmp_path):
  import tensorflow_datasets as tfds
  _load(tmp_path)
  users, items = (tfds.builder_from_directory(str(tmp_path / 'data' / 'tiny' / config / '1.0.0'))
                  for config in ('users', 'items'))
  assert users.name == items.name == 'tiny' and users.info.citation == 'Doe 2020'
  assert users.info.homepage == 'https://example.org/tiny'
  record = users.as_data_source(split='train')[0]
  assert record['user_id'] == b'u1' and record['items'].tolist() == [0, 1] and record['values'].tolist() == [2.5, 4]
  assert record['times'].tolist() == [1000000001, 1000000000]
  assert [record['title'].decode() for record in items.as_data_source(split='train')] == ['שלום 🎵', 'Bond']


def test_the_copy_serves_without_archives_and_follows_other_ones(tmp_path, monkeypatch):
  first = _load(tmp_path)
  again = published.load(SOURCE, None, str(tmp_path / 'data'))
  assert again.sha256() == first.sha256() and again.info == first.info
  monkeypatch.setattr(tfds_copy, 'write', lambda *_: pytest.fail('the copy is made anew'))
  assert _load(tmp_path).sha256() == first.sha256()
  (tmp_path / 'manual' / 'log.zip').unlink()  # the other one is still the one that the copy was made from
  assert published.load(SOURCE, str(tmp_path / 'manual'), str(tmp_path / 'data')).sha256() == first.sha256()
  monkeypatch.undo()
  second = _load(tmp_path, log=LOG.replace('2.5', '3'))
  assert second.interactions.value[0] == 3 and second.info['archive_sha256'] != first.info['archive_sha256']


def test_another_version_of_the_reader_is_another_copy(tmp_path):
  _load(tmp_path)
  with pytest.raises(DataError, match='items.zip: not in'):
    published.load(dataclasses.replace(SOURCE, version='1.1.0'), None, str(tmp_path / 'data'))


def test_a_copy_of_which_a_half_is_older_is_made_anew(tmp_path):
  _load(tmp_path)
  older = tmp_path / 'older'
  (tmp_path / 'data' / 'tiny' / 'items').rename(older)
  expected = _load(tmp_path, log=LOG.replace('u1,b', 'u1,c')).sha256()
  newer = tmp_path / 'data' / 'tiny' / 'items'
  newer.rename(tmp_path / 'newer')
  older.rename(newer)
  assert _load(tmp_path, log=LOG.replace('u1,b', 'u1,c')).sha256() == expected


@pytest.mark.parametrize('config', ['users', 'items'])
@pytest.mark.parametrize(('name', 'content'), [
  ('*array_record*', b''), ('metadata.json', b'{'), ('metadata.json', b'{}'), ('dataset_info.json', b'{')])
def test_refuses_a_damaged_copy(tmp_path, config, name, content):
  _load(tmp_path)
  path, = (tmp_path / 'data').glob(f'tiny/{config}/*/{name}')
  path.write_bytes(content)
  for manual_dir in (None, str(tmp_path / 'manual')):
    with pytest.raises(DataError, match=r'tiny: the prepared copy is damaged .* delete this folder'):
      published.load(SOURCE, manual_dir, str(tmp_path / 'data'))


def test_a_changed_byte_of_the_copy_is_found_or_changes_nothing(tmp_path):
  expected, refused = _load(tmp_path).sha256(), 0
  for path in (tmp_path / 'data').glob('tiny/*/*/*array_record*'):
    content = path.read_bytes()
    for place in np.flatnonzero(np.frombuffer(content, np.uint8))[::20]:
      path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1:])
      try:
        assert published.load(SOURCE, None, str(tmp_path / 'data')).sha256() == expected
      except DataError as error:
        assert 'tiny: the prepared copy is damaged' in str(error) and '\n' not in str(error)
        refused += 1
    path.write_bytes(content)
  assert refused > 5


@pytest.mark.parametrize(('texts', 'message'), [
  ({'log': LOG.replace('2.5', 'two')}, r"log.csv, row 2, column rating: 'two'; allowed are .*from 0 on \(1 such rows\) "
                                       r'\(data set tiny, https://example.org/tiny\)$'),
  ({'items': ITEMS + 'a,Other,\n'}, "item_id: 'a' occurs before with other words; allowed is one row for each item "
                                    r'\(data set'),
  ({'log': LOG + 'u3,a,1,1\n'}, 'log.zip, items.zip: 4 rows where 3 are published'),
])
def test_refuses_what_cannot_be_used_and_writes_nothing(tmp_path, texts, message):
  with pytest.raises(DataError, match=message):
    _load(tmp_path, **texts)
  assert not (tmp_path / 'data').exists()


def test_the_published_counts_hold_for_a_copy_too(tmp_path):
  _load(tmp_path)
  with pytest.raises(DataError, match='3 rows where 5 are published'):
    _load(tmp_path, dataclasses.replace(SOURCE, published={'rows': 5}))


def test_the_manual_folder_below_data_dir_is_looked_into(tmp_path):
  _write(tmp_path / 'data' / 'downloads' / 'manual')
  assert len(published.load(SOURCE, None, str(tmp_path / 'data')).interactions) == 3


def test_without_archive_and_network_it_says_where_it_looked(tmp_path):
  _zip(tmp_path / 'manual', 'items', ITEMS)
  with pytest.raises(DataError, match=r'log.zip is not in .*manual or .*data/downloads/manual, and http://127.0.0.1:9/'
                     r'log.zip cannot be reached .*--config.data.manual_dir=FOLDER'):
    published.load(SOURCE, str(tmp_path / 'manual'), str(tmp_path / 'data'))
  assert not (tmp_path / 'data').exists()


def test_an_archive_that_a_person_has_to_get_is_named_with_folder_and_homepage(tmp_path):
  _zip(tmp_path / 'manual', 'log', LOG)
  with pytest.raises(DataError, match=r'items.zip: not in .*manual or .*data/downloads/manual.*https://example.org/tiny'):
    published.load(SOURCE, str(tmp_path / 'manual'), str(tmp_path / 'data'))


def test_a_folder_that_cannot_be_written_to_is_named(tmp_path):
  (tmp_path / 'data').write_text('a file')
  with pytest.raises(DataError, match='tiny: the prepared copy cannot be written'):
    _load(tmp_path)


def test_a_server_that_never_answers_is_given_up():
  with http.server.HTTPServer(('127.0.0.1', 0), http.server.BaseHTTPRequestHandler) as silent:
    assert archives._unreachable(f'http://127.0.0.1:{silent.server_port}/', .2) is not None


class _QuietHandler(http.server.SimpleHTTPRequestHandler):
  def log_message(self, *arguments):
    pass


def test_downloads_and_keeps_no_bad_file(tmp_path):
  path = _write(tmp_path / 'served') / 'log.zip'
  _zip(tmp_path / 'manual', 'items', ITEMS)
  with http.server.ThreadingHTTPServer(
      ('127.0.0.1', 0), functools.partial(_QuietHandler, directory=str(path.parent))) as server:
    thread = threading.Thread(target=server.serve_forever)
    thread.start()

    def load(sha256=''):
      url = f'http://127.0.0.1:{server.server_port}/log.zip'
      source = dataclasses.replace(SOURCE, archives=(published.Archive('log.zip', url, sha256), SOURCE.archives[1]))
      return published.load(source, str(tmp_path / 'manual'), str(tmp_path / 'data'))

    good = path.read_bytes()
    try:
      path.write_bytes(good[:200])
      with pytest.raises(DataError, match='damaged, truncated or encrypted archive'):
        load()
      with pytest.raises(DataError, match='log.zip: not the file that was published'):
        load(archives.sha256(tmp_path / 'manual' / 'items.zip'))
      assert not list((tmp_path / 'data').rglob('*.zip'))
      path.write_bytes(good)
      assert len(load(archives.sha256(path)).interactions) == 3
    finally:
      server.shutdown()
      thread.join()


def test_a_file_of_ones_own_that_is_not_the_published_one_is_told_of(tmp_path, caplog):
  source = dataclasses.replace(SOURCE, archives=(dataclasses.replace(SOURCE.archives[0], sha256='0' * 64),
                                                 SOURCE.archives[1]))
  assert len(_load(tmp_path, source).interactions) == 3
  assert 'log.zip: not the file that was published' in caplog.text


@pytest.mark.parametrize('timed', [False, True])
@pytest.mark.parametrize('dim', [None, 3])
def test_a_copy_holds_every_kind_of_dataset_in_its_order(tmp_path, monkeypatch, timed, dim):
  monkeypatch.setattr(tfds_copy, '_BATCH', 400)
  rng = np.random.default_rng(0)
  users, items = 900, 500
  log = np.unique(rng.integers(0, users * items, 2000))
  rng.shuffle(log)
  user, item = (log // items).astype(np.int32), (log % items).astype(np.int32)
  vectors = None if dim is None else rng.normal(size=(items, dim)).astype(np.float32)
  data = Dataset(
    Interactions(user, item, rng.random(len(log)).astype(np.float32) + .1,
                 rng.integers(0, 2**31, len(log)) if timed else None),
    Catalogue(rng.permutation(items).astype(str), np.array([f'Title {i}' for i in range(items)]),
              np.array(['' if i % 3 else f'Text, {i} \n' for i in range(items)]),
              tuple((f'a {i}', 'b')[:i % 3] for i in range(items)), vectors),
    rng.permutation(users).astype(str), {'name': 'x', 'simulated': False, 'archive_sha256': {}})
  tfds_copy.write(SOURCE, tmp_path, data)
  found = tfds_copy.read(SOURCE, tmp_path, {})
  order = np.argsort(user, kind='stable')
  assert found.sha256() == dataclasses.replace(data, interactions=data.interactions.take(order)).sha256()
  assert (found.interactions.time is not None) == timed and (found.catalogue.vectors is not None) == (dim is not None)


def test_unknown_names_are_told_the_nearest_ones_first():
  with pytest.raises(ConfigError, match=r"data.source is 'movielens_2m'; allowed are movielens_\w+, movielens_"):
    published.named('movielens_2m', others=('sample',))
  with pytest.raises(ConfigError, match="'samples'; allowed are sample, "):
    published.named('samples', others=('sample',))


@pytest.mark.parametrize('name', [f'{key}Books' if key.endswith('_') else key for key in published.SOURCES])
def test_every_source_is_whole(name):
  source = published.named(name)
  assert source.name == name and source.archives and source.citation and source.licence
  assert source.homepage.startswith('http') and callable(source.read)
  for archive in source.archives:
    assert pathlib.PurePath(archive.name).name == archive.name and (not archive.url or archive.url.startswith('http'))
    assert not archive.sha256 or re.fullmatch('[0-9a-f]{64}', archive.sha256)
