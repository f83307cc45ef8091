"""All that is wrong with the files of users: it is named with its place, or repaired and counted; nothing is lost."""

import gzip
import io
import itertools
import os
import pathlib
import stat
import tarfile
import time
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ganrec_jax.data import events, files, tables
from ganrec_jax.errors import DataError

_ROW = 'user,item\n1,2\n'


def _load(folder, log, items=None, suffix='.csv', **fields):
  """The dataset of a log and a catalogue, given as text or bytes."""
  paths = {}
  for name, content in (('interactions', log), ('items', items)):
    if content is not None:
      path = pathlib.Path(folder, f'{name}{suffix if name == "interactions" else ".csv"}')
      path.write_bytes(content if isinstance(content, bytes) else content.encode())
      paths[name] = str(path)
  return tables.load(tables.TablesConfig(**paths, **fields))


def _rows(data):
  log = data.interactions
  times = itertools.repeat(None) if log.time is None else log.time.tolist()
  return [(str(data.user_ids[u]), str(data.catalogue.ids[i]), v, t)
          for u, i, v, t in zip(log.user, log.item, log.value.tolist(), times, strict=False)]


# What is wrong, the log, fields of the config, and words of the message.
_REFUSED = [
  ('an empty file', '', {}, ['interactions.csv', 'is empty']),
  ('an empty archive', gzip.compress(b''), {'suffix': '.csv.gz'}, ['first line is empty']),
  ('a truncated archive', gzip.compress(b'user,item\n1,2\n' * 999)[:-20], {'suffix': '.csv.gz'}, ['csv.gz', 'GZIP']),
  ('no archive', _ROW, {'suffix': '.csv.gz'}, ['Not a gzipped file']),
  ('no Parquet', _ROW, {'suffix': '.parquet'}, ['interactions.parquet', 'magic bytes']),
  ('broken JSON', '{"user":1,"item":2}\n{"user"', {'suffix': '.jsonl'}, ['interactions.jsonl', 'before line 3']),
  ('no JSON lines', '[1, 2]\n', {'suffix': '.jsonl'}, ['interactions.jsonl', 'records']),
  ('a missing value in JSON', '{"user":1,"item":2}\n{"user":1,"item":3,"rating":4}\n', {'suffix': '.jsonl'},
   ['row 1, column rating', 'None']),
  ('a header only', 'user,item\n', {}, ['a header and no row']),
  ('no header', '1,2\n3,4\n', {}, ['no column for user among 1, 2', 'data.tables.user=COLUMN']),
  ('a line before the header', 'my export\nuser,item\n1,2\n', {}, ['no column for user among my export']),
  ('a column twice', 'user,item,item\n1,2,3\n', {}, ['line 1', "'item' more than once"]),
  ('another delimiter', 'user;item\n1;2\n', {'delimiter': ','}, ['no column for user among user;item']),
  ('a column that is not there', _ROW, {'user': 'customer'}, ["no column 'customer'", 'user, item']),
  ('a long row', _ROW + '3,4,5\n6,7\n', {}, ['csv, line 3: 3 columns where 2 are due', "'3,4,5'"]),
  ('a short row', 'user,item,rating\n1,2,3\n3,4\n', {}, ['line 3: 2 columns where 3 are due', "'3,4'"]),
  ('a late long row', 'user,item\n' + '1,2\n' * 30_000 + '9,8,7\n', {}, ['line 30002', "'9,8,7'"]),
  ('an open quote', _ROW + '3,"4\n5,6\n', {}, ['line 3', 'unterminated quote', '3,"4']),
  ('an open quote, to be dropped', _ROW + '3,"4\n5,6\n', {'bad_rows': 'drop'}, ['line 3', 'may hide others']),
  ('NUL in an id', b'user,item\n1,2\n1,a\0\n', {}, ['row 2, column item', "'a\\x00'", 'NUL is none']),
  ('Latin-1', 'user,item\n1,2\n1,\xff\n'.encode('latin-1'), {}, ['line 3', 'encoding']),
  ('Latin-1 in the header', 'user,item,\xff\n1,2,3\n'.encode('latin-1'), {}, ['line 1', 'no utf-8', 'encoding']),
  ('an empty user id', 'user,item\n,2\n', {}, ['row 1, column user', 'None', 'not empty']),
  ('a blank item id', _ROW + '1,  \n', {}, ['row 2, column item', "'  '", 'not empty']),
  ('a very long id', f'user,item\n1,{"x" * 201}\n', {}, ['row 1, column item', "xxx...'", 'up to 200 characters']),
  ('no number', 'user,item,rating\n1,2,3\n1,3,x\n', {}, ['row 2, column rating', "'x'", 'finite numbers from 0 on']),
  ('a comma in a number', 'user,item,rating\n1,2,"3,5"\n', {}, ['row 1, column rating', "'3,5'"]),
  ('NaN', 'user,item,rating\n1,2,nan\n', {}, ['row 1, column rating', "'nan'"]),
  ('infinity', 'user,item,rating\n1,2,inf\n', {}, ['row 1, column rating', "'inf'"]),
  ('more than a float holds', 'user,item,rating\n1,2,1e300\n', {}, ['row 1, column rating', "'1e300'"]),
  ('a negative rating', 'user,item,rating\n1,2,-1\n', {}, ['row 1, column rating', "'-1'"]),
  ('nothing but zeros', 'user,item,rating\n1,2,0\n', {}, ['no row of 1 is left']),
  ('a negative time', 'user,item,time\n1,2,-5\n', {}, ['row 1, column time', "'-5'", 'from 1970 to now']),
  ('an absurd time', 'user,item,time\n1,2,1e300\n', {}, ['row 1, column time', "'1e300'"]),
  ('the future', 'user,item,time\n1,2,2150-01-01\n', {}, ['row 1, column time', '2150']),
  ('the near future', f'user,item,time\n1,2,{int(time.time()) + 2 * 86400}\n', {}, ['row 1, column time']),
  ('a 13th month', 'user,item,time\n1,2,2020-13-01\n', {}, ['row 1, column time', "'2020-13-01'"]),
  ('a time of no known form', 'user,item,time\n1,2,1/2/2020 8:55 AM\n', {}, ['row 1, column time', '1/2/2020']),
  ('a missing time', 'user,item,time\n1,2,5\n1,3,\n', {}, ['row 2, column time', 'None']),
  ('an unknown event', 'user,item,event\n1,2,buy\n1,3,glance\n', {'event_weights': 'buy=1'},
   ['row 2, column event', "'glance'", 'allowed are buy']),
  ('events without a column', _ROW, {'event_weights': 'buy=1'}, ['there is no column event']),
]


@pytest.mark.parametrize(('log', 'fields', 'words'), [case[1:] for case in _REFUSED], ids=[c[0] for c in _REFUSED])
def test_a_log_that_cannot_be_used_is_refused_with_its_place(tmp_path, log, fields, words):
  with pytest.raises(DataError) as caught:
    _load(tmp_path, log, **fields)
  assert all(word in str(caught.value) for word in words), str(caught.value)
  assert '\n' not in str(caught.value) and len(str(caught.value)) < 1000


# What is odd, the log, fields of the config, and the rows (user, item, value) that are read.
_ACCEPTED = [
  ('UTF-8 with a mark', '\ufeffuser,item\nü,2\n', {}, [('ü', '2', 1.)]),
  ('UTF-16, known by its mark', 'user,item\nü,2\n'.encode('utf-16'), {}, [('ü', '2', 1.)]),
  ('Latin-1, named', 'user,item\nü,2\n'.encode('latin-1'), {'encoding': 'latin-1'}, [('ü', '2', 1.)]),
  ('semicolons', 'user;item\n1;2,5\n', {}, [('1', '2,5', 1.)]),
  ('bars', 'user|item\n1|2\n', {}, [('1', '2', 1.)]),
  ('tabs', 'user\titem\n1\t2\n', {}, [('1', '2', 1.)]),
  ('a quotation mark within', 'user,item\n1,12" pan\n', {}, [('1', '12" pan', 1.)]),
  ('marks that are no quotes', 'user\titem\n1\t"a\n2\tb\n', {'suffix': '.tsv', 'quoting': False},
   [('1', '"a', 1.), ('2', 'b', 1.)]),
  ('blank lines, no last line end', 'user,item\n\n1,2\n\n3,4', {}, [('1', '2', 1.), ('3', '4', 1.)]),
  ('old line ends', 'user,item\r1,2\r3,4\r', {}, [('1', '2', 1.), ('3', '4', 1.)]),
  ('leading zeros', 'user,item\n01,2\n1,02\n', {}, [('01', '2', 1.), ('1', '02', 1.)]),
  ('1 and "1" in JSON', '{"user":1,"item":"a"}\n{"user":"1","item":"b"}\n{"user":"01","item":"a"}\n',
   {'suffix': '.jsonl'}, [('01', 'a', 1.), ('1', 'a', 1.), ('1', 'b', 1.)]),
  ('more digits than a number has', f'user,item\n{"9" * 30},{"9" * 31}\n', {}, [('9' * 30, '9' * 31, 1.)]),
  ('emoji and right-to-left ids', 'user,item\n👩‍👧,שלום\n', {}, [('👩‍👧', 'שלום', 1.)]),
  ('SQL in ids', "user,item\n1,'); drop table log; --\n", {}, [('1', "'); drop table log; --", 1.)]),
  ('no header, named', '1,2,x\n', {'header': 'user,item,rest'}, [('1', '2', 1.)]),
  ('events left out', 'user,item,event\n1,2,view\n1,3,buy\n', {'event_weights': 'view=0,buy=2'}, [('1', '3', 2.)]),
]


@pytest.mark.parametrize(('log', 'fields', 'rows'), [case[1:] for case in _ACCEPTED], ids=[c[0] for c in _ACCEPTED])
def test_an_odd_log_is_read_as_it_is(tmp_path, log, fields, rows):
  assert [row[:3] for row in _rows(_load(tmp_path, log, **fields))] == rows


def test_bad_rows_are_dropped_and_counted_by_reason(tmp_path, caplog):
  bad = {'a_user_id_is_empty': ',b,1,5', 'an_item_id_is_empty': 'u,,1,5', 'an_item_id_is_no_plain_text': 'u,a\0,1,5',
         'a_value_is_no_number': 'u,b,many,5', 'a_time_is_unreadable': 'u,b,1,soon', 'have_the_value_zero': 'u,b,0,5',
         'have_other_columns': 'u,b,1,5,7'}
  rows = ['user,item,value,time', 'u,a,2,5', *bad.values(), 'u,a,3,4', 'u,b']
  data = _load(tmp_path, '\n'.join(rows), bad_rows='drop')
  assert _rows(data) == [('u', 'a', 5., 5)]
  counts = {reason: number for reason, number in data.info['rows'].items() if number}
  assert counts == dict.fromkeys(bad, 1) | {'read': 10, 'pairs': 1, 'were_merged': 1, 'have_other_columns': 2}
  assert all(reason.replace('_', ' ') in caplog.text for reason in bad)


# What is wrong with a catalogue, its text, fields of the config, and words of the message.
_REFUSED_ITEMS = [
  ('an item twice', 'item_id,title\n2,A\n2,B\n', {}, ['items.csv, row 2, column item_id', "'2'", 'other words']),
  ('no ids', 'name\nA\n', {}, ['no column for item among name', 'item_id=COLUMN']),
  ('an unknown column in a template', 'id,title\n2,A\n', {'template': '{brand}'}, ["no column 'brand'"]),
  ('an unknown column of phrases', 'id,title\n2,A\n', {'phrases': 'brand'}, ["no column 'brand'"]),
  ('an unknown column of numbers', 'id,title\n2,A\n', {'numbers': 'price'}, ["no column 'price'"]),
  ('an unknown title', 'id,title\n2,A\n', {'title': 'headline'}, ["no column 'headline'"]),
  ('an open quote', 'id,title\n2,"A\n3,B\n', {}, ['items.csv, line 2', 'unterminated quote']),
  ('a title beyond all bounds', f'id,title\n2,{"x" * 3_000_000}\n', {}, ['items.csv, line 2', 'Maximum line size']),
  ('a vector that is none', 'id,v\n2,"[1, x]"\n', {'vectors': 'v'}, ["item '2', column v", '[1, x]']),
  ('no vector at all', 'id,v\n2,\n', {'vectors': 'v'}, ['column v: no item has a vector']),
  ('vectors that are not there', 'id,v\n2,\n', {'vectors': 'none.npy'}, ['none.npy']),
]


@pytest.mark.parametrize(('items', 'fields', 'words'), [case[1:] for case in _REFUSED_ITEMS],
                         ids=[c[0] for c in _REFUSED_ITEMS])
def test_a_catalogue_that_cannot_be_used_is_refused_with_its_place(tmp_path, items, fields, words):
  with pytest.raises(DataError) as caught:
    _load(tmp_path, _ROW, items, **fields)
  assert all(word in str(caught.value) for word in words), str(caught.value)
  assert '\n' not in str(caught.value) and len(str(caught.value)) < 1000


def test_titles_are_words_on_one_line(tmp_path):
  items = ('id,title\n2,"<b>Bold</b> &amp;amp; 5 < 6\nnew\tline\0"\n3,"\u202eevil\u202c 👩‍👧 שלום"\n'
           f'4,{"x" * 2**20}\n5,=HYPERLINK("a")\n7,"[""Ann"", null, [""Bob""]]"\n8,"[draft"\n')
  data = _load(tmp_path, 'user,item\n' + ''.join(f'u,{i}\n' for i in range(2, 9)), items)
  assert data.catalogue.titles.tolist() == [
    'Bold & 5 < 6 new line', 'evil 👩‍👧 שלום', 'x' * 300, '=HYPERLINK("a")', '6', 'Ann. Bob', '[draft']
  assert data.info['catalogue'] == {
    'rows': 6, 'rows_with_other_columns': 0, 'rows_of_items_without_interaction': 0, 'repeated': 0,
    'items_without_row': 1, 'items_without_text': 1, 'titles_cut': 1, 'texts_cut': 1}


def test_a_file_that_changes_while_it_is_read_is_refused(tmp_path, monkeypatch):
  read = events.read

  def read_and_append(*arguments, **options):
    with open(tmp_path / 'interactions.csv', 'a') as file:
      file.write('5,6\n')
    return read(*arguments, **options)

  monkeypatch.setattr(events, 'read', read_and_append)
  with pytest.raises(DataError, match='interactions.csv: has changed while it was read'):
    _load(tmp_path, _ROW)


def test_missing_and_mixed_files_are_named(tmp_path):
  def refused(path, *words):
    with pytest.raises(DataError) as caught:
      files.find(str(path))
    assert all(word in str(caught.value) for word in words), str(caught.value)

  refused(tmp_path / 'none.csv', 'no such file')
  refused(tmp_path, 'no folder with tables')
  (tmp_path / 'a.csv').write_text(_ROW)
  (tmp_path / 'b.tsv').write_text('user\titem\n1\t2\n')
  refused(tmp_path, 'tables of one kind')
  refused(tmp_path / '*', 'tables of one kind')
  (tmp_path / 'log.xlsx').write_text('x')
  refused(tmp_path / 'log.xlsx', 'allowed are .csv')
  (tmp_path / 'gone.csv').symlink_to(tmp_path / 'nowhere')
  refused(tmp_path / 'gone.csv', 'gone.csv: cannot be read')
  (tmp_path / 'loop.csv').symlink_to(tmp_path / 'loop.csv')
  refused(tmp_path / 'loop.csv', 'loop.csv: cannot be read', 'symbolic links')
  (tmp_path / 'folder.csv').mkdir()
  refused(tmp_path / 'folder.csv', 'no folder with tables')
  os.mkfifo(tmp_path / 'pipe.csv')
  refused(tmp_path / 'pipe.csv', 'is no file')
  (tmp_path / 'link.csv').symlink_to(tmp_path / 'a.csv')
  assert files.find(str(tmp_path / 'link.csv')).kind == '.csv'


def test_files_of_a_folder_share_a_header(tmp_path):
  (tmp_path / 'a.csv').write_text(_ROW)
  (tmp_path / 'b.csv').write_text('item,user\n1,2\n')
  with pytest.raises(DataError, match='b.csv: its header is item, user and that of .*a.csv is user, item'):
    tables.load(tables.TablesConfig(str(tmp_path)))
  (tmp_path / 'b.csv').write_text('user,item\n1,3\n1,\n')
  with pytest.raises(DataError, match='b.csv, row 2, column item'):
    tables.load(tables.TablesConfig(str(tmp_path)))
  (tmp_path / 'b.csv').write_text('user,item\n1,3\n1\n')
  with pytest.raises(DataError, match='b.csv, line 3: 1 columns where 2'):
    tables.load(tables.TablesConfig(str(tmp_path)))


def _zip(path, members, **attributes):
  with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as archive:
    for name, content in members.items():
      info = zipfile.ZipInfo(name)
      info.external_attr, info.compress_type = attributes.get('mode', 0o644) << 16, zipfile.ZIP_DEFLATED
      archive.writestr(info, content)


def test_an_archive_is_unpacked_into_its_folder_and_nowhere_else(tmp_path):
  folder = tmp_path / 'deep' / 'scratch'
  folder.mkdir(parents=True)
  _zip(tmp_path / 'a.zip', {'../../log.csv': 'x', '/etc/items.csv': 'y', 'other.csv': 'z'})
  found = files.unpack(tmp_path / 'a.zip', ['log.csv', 'items.csv'], folder)
  assert {path.read_text() for path in found.values()} == {'x', 'y'}
  assert sorted(path.name for path in folder.iterdir()) == ['items.csv', 'log.csv']
  assert sorted(path.name for path in tmp_path.iterdir()) == ['a.zip', 'deep']
  with pytest.raises(DataError, match='a.zip: no tags.csv among its members'):
    files.unpack(tmp_path / 'a.zip', ['tags.csv'], folder)


def test_links_bombs_and_damage_in_archives_are_refused(tmp_path, monkeypatch):
  def refused(name, words):
    with pytest.raises(DataError, match=words):
      files.unpack(tmp_path / name, ['log.csv'], tmp_path)

  _zip(tmp_path / 'link.zip', {'log.csv': '/etc/passwd'}, mode=stat.S_IFLNK | 0o777)
  refused('link.zip', 'log.csv is a link')
  with tarfile.open(tmp_path / 'link.tar.gz', 'w:gz') as archive:
    link = tarfile.TarInfo('log.csv')
    link.type, link.linkname = tarfile.SYMTYPE, '/etc/passwd'
    archive.addfile(link)
  refused('link.tar.gz', 'is a link or a folder')
  monkeypatch.setattr(files, '_LEAST', 2**20)
  _zip(tmp_path / 'bomb.zip', {'log.csv': b'0' * 2**23})
  refused('bomb.zip', 'log.csv: unpacks to more than')
  whole = (tmp_path / 'bomb.zip').read_bytes()
  (tmp_path / 'cut.zip').write_bytes(whole[:len(whole) // 2])
  refused('cut.zip', 'damaged, truncated or encrypted')
  (tmp_path / 'text.tar.gz').write_bytes(b'no archive')
  refused('text.tar.gz', 'damaged, truncated or encrypted')
  refused('none.zip', 'No such file')


def test_a_tar_is_unpacked(tmp_path):
  with tarfile.open(tmp_path / 'a.tar.gz', 'w:gz') as archive:
    member = tarfile.TarInfo('inside/log.csv')
    member.size = 3
    archive.addfile(member, io.BytesIO(b'abc'))
  assert files.unpack(tmp_path / 'a.tar.gz', ['log.csv'], tmp_path)['log.csv'].read_bytes() == b'abc'


@settings(deadline=None, max_examples=60)
@given(content=st.binary(max_size=80), suffix=st.sampled_from(['.csv', '.tsv', '.csv.gz', '.jsonl', '.parquet']),
       drop=st.booleans(), headed=st.booleans())
def test_no_bytes_give_a_traceback_or_lose_a_row(tmp_path_factory, content, suffix, drop, headed):
  folder = tmp_path_factory.mktemp('bytes')
  content = (b'user,item\n' if headed else b'') + content
  content = gzip.compress(content) if suffix == '.csv.gz' else content
  try:
    data = _load(folder, content, suffix=suffix, bad_rows='drop' if drop else 'refuse')
  except DataError:
    return
  counts = data.info['rows']
  assert counts['read'] == sum(number for reason, number in counts.items() if reason != 'read')
  assert counts['pairs'] == len(data.interactions) >= 1 and np.isfinite(data.interactions.value).all()


_LINES = st.lists(st.sampled_from([
  '1,2,3', '1,2,x', '1,2', '1,2,3,4', ',,', '"1,2",3,4', 'a,"b""c",1', '1,2,0', '  ,1,1']), min_size=1, max_size=8)


@settings(deadline=None, max_examples=60)
@given(lines=_LINES)
def test_every_line_is_a_row_or_counted(tmp_path_factory, lines):
  try:
    counts = _load(tmp_path_factory.mktemp('lines'), '\n'.join(['user,item,value', *lines]) + '\n',
                   bad_rows='drop').info['rows']
  except DataError as error:
    assert 'is left' in str(error) or 'a header and no row' in str(error)
    return
  assert counts['read'] == len(lines) == sum(number for reason, number in counts.items() if reason != 'read')
  assert counts['have_other_columns'] == sum(line in ('1,2', '1,2,3,4') for line in lines)
