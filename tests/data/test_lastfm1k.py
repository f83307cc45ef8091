"""Last.fm 1K: an artist is known by id or by name; what cannot be used is counted."""

import dataclasses
import io
import tarfile

import pytest

from ganrec_jax.data import lastfm1k, published
from ganrec_jax.errors import DataError

ID = 'f1b1cf71-bd35-4e99-8624-24a6e15f133a'
LISTENS = (f'user_000001\t2009-05-04T23:08:57Z\t{ID}\tDeep Dish\t\tFuck Me "Im Famous\n'
           f'user_000001\t2009-05-04T13:54:10Z\t{ID}\tdeep dish\tx\tTrack\n'
           f'user_000001\t2009-05-04T13:52:04Z\t{ID}\tDeep Dish\tx\tTrack\n'
           'user_000002\t2007-01-01T00:00:00Z\t\t坂本龍一\t\t"Quoted" Track\n'
           'user_000002\t2008-01-01T00:00:00Z\t\t坂本龍一\t\tOther, with a comma\n'
           f'user_000002\t2006-01-01T00:00:00Z\t{ID}\tDeep Dish\t\tTrack\n')


def _write(folder, text=LISTENS, member=f'lastfm-dataset-1K/{lastfm1k.MEMBER}'):
  folder.mkdir(parents=True, exist_ok=True)
  with tarfile.open(folder / lastfm1k.ARCHIVE, 'w:gz') as archive:
    content = text.encode()
    header = tarfile.TarInfo(member)
    header.size = len(content)
    archive.addfile(header, io.BytesIO(content))
  return folder


def _load(tmp_path, **changed):
  source = dataclasses.replace(lastfm1k.SOURCE, published={})
  return published.load(source, _write(tmp_path / 'manual', **changed), tmp_path / 'data')


def test_counts_listens_and_keeps_the_time_of_the_last_one(tmp_path):
  data = _load(tmp_path)
  log = data.interactions
  rows = [(str(data.user_ids[u]), str(data.catalogue.ids[i]), float(v), int(t))
          for u, i, v, t in zip(log.user, log.item, log.value, log.time, strict=True)]
  assert rows == [('user_000001', ID, 3., 1241478537), ('user_000002', ID, 1., 1136073600),
                  ('user_000002', '坂本龍一', 2., 1199145600)]
  assert data.catalogue.titles.tolist() == data.catalogue.texts.tolist() == ['Deep Dish', '坂本龍一']
  assert data.info['counts'] == {'users': 2, 'listens': 6} and data.info['name'] == 'lastfm1k'


def test_artists_that_have_no_usable_id_are_dropped_and_counted(tmp_path):
  data = _load(tmp_path, text=LISTENS + f'user_000001\t2009-05-04T23:08:57Z\t\t{"x" * 201}\t\tTrack\n'
                                        'user_000001\t2009-05-04T23:08:57Z\t\t \t\tTrack\n')
  assert len(data.interactions) == 3 and data.info['counts']['listens'] == 8
  assert data.info['rows']['an_item_id_is_no_plain_text'] == data.info['rows']['an_item_id_is_empty'] == 1


def test_refuses_a_row_of_other_columns_and_writes_nothing(tmp_path):
  with pytest.raises(DataError, match=f'{lastfm1k.MEMBER}.*Line: 7.*ocelma.net') as found:
    _load(tmp_path, text=LISTENS + 'user_000001\t2009-05-04T23:08:57Z\n')
  assert not (tmp_path / 'data').exists() and '\n' not in str(found.value)


def test_refuses_an_archive_without_the_log_or_with_other_counts(tmp_path):
  with pytest.raises(DataError, match=f'no {lastfm1k.MEMBER} among its members'):
    _load(tmp_path, member='other.tsv')
  with pytest.raises(DataError, match='2 users where 992 are published; 6 listens where 19150868 are published'):
    published.load(lastfm1k.SOURCE, _write(tmp_path / 'manual'), tmp_path / 'data')
