"""One's own tables: every form gives the same data, every row is used or counted, every mistake is named."""

import collections
import gzip
import pathlib

import duckdb
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ganrec_jax.data import tables
from ganrec_jax.errors import ConfigError, DataError

LOG = 'user_id,item_id,rating,timestamp\nu1,007,4,1000000000\nu1,b,2.5,1000000001\nü2,007,5,1000000002\n'
ITEMS = ('item_id,title,genre,price\n'
         '007,"Bond, <b>James</b> &amp; Co",spy|film,9.99\nb,שלום 🎵,,3\nunheard,Nobody,film,1\n')


def _write(folder, log=LOG, items=ITEMS):
  pathlib.Path(folder, 'log.csv').write_bytes(log.encode() if isinstance(log, str) else log)
  pathlib.Path(folder, 'items.csv').write_text(items, encoding='utf-8')
  return {'interactions': f'{folder}/log.csv', 'items': f'{folder}/items.csv'}


def _load(**fields):
  return tables.load(tables.TablesConfig(**fields))


def _rows(data):
  """(user id, item id) -> (value, time)."""
  log = data.interactions
  times = [None] * len(log) if log.time is None else log.time.tolist()
  return {(str(data.user_ids[u]), str(data.catalogue.ids[i])): (float(v), t)
          for u, i, v, t in zip(log.user, log.item, log.value, times, strict=True)}


def test_a_log_and_its_catalogue(tmp_path):
  data = _load(**_write(tmp_path), phrases='genre')
  assert _rows(data) == {('u1', '007'): (4., 10**9), ('u1', 'b'): (2.5, 10**9 + 1), ('ü2', '007'): (5., 10**9 + 2)}
  assert data.catalogue.ids.tolist() == ['007', 'b']  # leading zeros are kept
  assert data.catalogue.titles.tolist() == ['Bond, James & Co', 'שלום 🎵']
  assert data.catalogue.texts.tolist() == ['Bond, James & Co. spy|film', 'שלום 🎵']
  assert data.catalogue.phrases == (('spy', 'film'), ())
  assert data.info['rows']['read'] == data.info['rows']['pairs'] == 3 and data.info['simulated'] is False
  assert data.info['catalogue'] == {'rows': 3, 'rows_with_other_columns': 0, 'rows_of_items_without_interaction': 1,
                                    'repeated': 0, 'items_without_row': 0,
                                    'items_without_text': 0, 'titles_cut': 0, 'texts_cut': 0}


@pytest.mark.parametrize('form', ['gz', 'tsv', 'parquet', 'folder', 'glob', 'semicolons', 'crlf', 'bom', 'latin-1'])
def test_every_form_gives_the_same(tmp_path, form):
  expected = _rows(_load(**_write(tmp_path)))
  path, fields, lines = tmp_path / 'other', {}, LOG.splitlines(keepends=True)
  path.mkdir()
  if form == 'gz':
    (path / 'log.csv.gz').write_bytes(gzip.compress(LOG.encode()))
  elif form == 'tsv':
    (path / 'log.tsv').write_text(LOG.replace(',', '\t'), encoding='utf-8')
  elif form == 'parquet':
    duckdb.read_csv(f'{tmp_path}/log.csv', all_varchar=True).write_parquet(f'{path}/log.parquet')
  elif form in ('folder', 'glob'):
    (path / 'a.csv').write_text(''.join(lines[:2]), encoding='utf-8')
    (path / 'b.csv').write_text(lines[0] + ''.join(lines[2:]), encoding='utf-8')
  elif form == 'latin-1':
    (path / 'log.csv').write_bytes(LOG.encode('latin-1'))
    fields['encoding'] = 'latin-1'
  else:
    text = {'semicolons': LOG.replace(',', ';'), 'crlf': LOG.replace('\n', '\r\n'), 'bom': '\ufeff' + LOG}[form]
    (path / 'log.csv').write_bytes(text.encode())
  whole = {'folder': path, 'glob': path / '*.csv'}.get(form, next(path.iterdir()))
  data = _load(interactions=str(whole), **fields)
  assert _rows(data) == expected
  assert data.catalogue.titles.tolist() == data.catalogue.ids.tolist()  # without a catalogue the ids are the words


@pytest.mark.parametrize(('text', 'seconds'), [
  ('1577836800', 1577836800), ('1577836800.9', 1577836800), ('1577836800000', 1577836800),
  ('1577836800000000', 1577836800), ('2020-01-01', 1577836800), ('2020-01-01T00:00:00Z', 1577836800),
  ('2020-01-01 02:00', 1577844000), ('2020-01-01T02:00:00+02:00', 1577836800),
  ('2019-12-31T18:30:00.5-0530', 1577836800), ('2020-01-01T02:00:00+02', 1577836800)])
def test_times_in_all_forms(tmp_path, text, seconds):
  data = _load(interactions=_write(tmp_path, f'user,item,time\nu,i,{text}\n')['interactions'])
  assert data.interactions.time.tolist() == [seconds]


@pytest.mark.parametrize(('fields', 'words'), [
  ({}, 'interactions is empty'), ({'query': 'select 1'}, 'both given'),
  ({'items': 'x.csv', 'items_query': 'select 1'}, 'both given'),
  ({'merge': 'mean'}, 'merge'), ({'encoding': 'ebcdic'}, 'encoding'),
  ({'bad_rows': 'guess'}, 'bad_rows'), ({'event_weights': 'view'}, 'view'), ({'event_weights': 'view=-1'}, 'view=-1')])
def test_values_out_of_range_are_refused(fields, words):
  with pytest.raises(ConfigError, match=words):
    tables.TablesConfig(**{'interactions': 'log.csv' if fields else ''} | fields)


def test_events_weigh_and_templates_make_texts(tmp_path):
  paths = _write(tmp_path, 'user,item,event\nu,007,view\nu,007,purchase\nu,b,view\n')
  data = _load(**paths, event_weights='view=1,purchase=4', template='{title} ({genre})')
  assert {pair: value for pair, (value, _) in _rows(data).items()} == {('u', '007'): 5., ('u', 'b'): 1.}
  assert data.catalogue.texts.tolist() == ['Bond, James & Co (spy|film)', 'שלום 🎵 ()']


_CELL = st.sampled_from(['u', 'v', ' u ', '', '01', '1', "o'hara", '=1+1', 'a\tb'])
_VALUE = st.sampled_from(['1', '2.5', '0', '', 'x', 'nan', '-1', '1e3'])


@settings(deadline=None, max_examples=40)
@given(rows=st.lists(st.tuples(_CELL, _CELL, _VALUE), min_size=1, max_size=12),
       merge=st.sampled_from(list(tables.MERGES)))
def test_every_row_is_used_or_counted(tmp_path_factory, rows, merge):
  folder = tmp_path_factory.mktemp('fuzz')
  text = 'user,item,rating\n' + ''.join(','.join(f'"{cell}"' for cell in row) + '\n' for row in rows)
  good, reasons = collections.defaultdict(list), collections.Counter()
  for user, item, value in ((u.strip(' '), i.strip(' '), v) for u, i, v in rows):
    number = float(value) if value not in ('', 'x', 'nan') else -1.
    reason = ('a_user_id_is_empty' if not user else 'an_item_id_is_empty' if not item else
              'a_value_is_no_number' if number < 0 else 'have_the_value_zero' if number == 0 else None)
    if reason:
      reasons[reason] += 1
    else:
      good[user, item].append(number)
  config = tables.TablesConfig(_write(folder, text)['interactions'], merge=merge, bad_rows='drop')
  if not good:
    with pytest.raises(DataError, match='is left'):
      tables.load(config)
    return
  data = tables.load(config)
  chosen = {'sum': sum, 'max': max, 'last': lambda values: values[-1]}[merge]
  assert {pair: value for pair, (value, _) in _rows(data).items()} == pytest.approx(
    {pair: chosen(values) for pair, values in good.items()})
  counts = data.info['rows']
  assert counts['read'] == len(rows) == counts['pairs'] + counts['were_merged'] + sum(reasons.values())
  assert {name: counts[name] for name in reasons} == reasons


def test_the_amazon_tables(real_data):
  folder = real_data / 'amazon-industrial'
  data = _load(interactions=str(folder / 'interactions.csv'), items=str(folder / 'items.csv'))
  assert data.info['rows']['read'] == 22_174 and data.users == 3285
  assert data.info['catalogue']['rows'] == 3686 and data.info['catalogue']['items_without_row'] == 0
  assert not any('<' in text and '>' in text.partition('<')[2][:3] for text in data.catalogue.texts)


def test_the_steam_table(real_data):
  data = _load(interactions=str(real_data / 'steam' / 'interactions.csv'))
  counts = {reason: number for reason, number in data.info['rows'].items() if number}
  assert counts == {'read': 70_489, 'pairs': 69_888, 'were_merged': 601}
  assert np.isfinite(data.interactions.value).all() and 'Dota 2' in data.catalogue.titles


def test_a_repeated_item_is_named_by_its_row_in_its_own_file(tmp_path):
  paths = _write(tmp_path)
  (tmp_path / 'parts').mkdir()
  for name, rows in (('a', '007,A\nb,B\n'), ('b', 'c,C\n007,D\n')):
    (tmp_path / 'parts' / f'{name}.csv').write_text(f'item_id,title\n{rows}')
  with pytest.raises(DataError, match='b.csv, row 2, column item_id'):
    _load(interactions=paths['interactions'], items=str(tmp_path / 'parts'))
  assert _load(interactions=paths['interactions'], items=str(tmp_path / 'parts'),
               bad_rows='drop').catalogue.titles.tolist() == ['A', 'B']


def test_json_lines_are_read_in_little_memory(tmp_path, monkeypatch):
  (tmp_path / 'log.jsonl').write_text('{"user": "u", "item": "i"}\n')
  monkeypatch.setattr('os.cpu_count', lambda: 1)  # the memory that DuckDB may hold is so much for each
  assert len(_load(interactions=str(tmp_path / 'log.jsonl')).interactions) == 1
