"""One's own tables: a log and a catalogue as CSV, TSV or Parquet, read by DuckDB, checked row by row, never guessed at.

Every row of the log is either used or counted: rows in = rows merged into a pair + rows dropped, by reason.
"""

import dataclasses
import glob
import html
import os
import re

import duckdb
import numpy as np
from absl import logging

from ganrec_jax.data.types import Catalogue, Dataset, Interactions
from ganrec_jax.errors import ConfigError, DataError

# Usual names, compared in lower case without anything but letters and digits; the first that is there is taken.
USUAL = {
  'user': ('userid', 'user', 'uid', 'customerid', 'customer', 'reviewerid', 'visitorid', 'memberid', 'listenerid'),
  'item': ('itemid', 'item', 'iid', 'movieid', 'productid', 'product', 'parentasin', 'asin', 'artistid', 'trackid',
           'newsid', 'articleid', 'gameid', 'game', 'sku', 'isbn'),
  'value': ('value', 'rating', 'overall', 'score', 'weight', 'count', 'plays', 'playcount', 'hoursplayed', 'quantity'),
  'time': ('timestamp', 'time', 'datetime', 'date', 'ts', 'eventtime', 'unixreviewtime', 'createdat'),
  'event': ('event', 'eventtype', 'behavior', 'action'),
  'title': ('title', 'name', 'productname', 'headline'),
}
MERGES = {'sum': 'sum(value)', 'max': 'max(value)', 'last': 'arg_max(value, (time, number))'}
SUFFIXES = ('.csv', '.csv.gz', '.tsv', '.tsv.gz', '.parquet')
_LATEST = 4102444800  # 2100-01-01, later than any event
_ISO = r'^(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d(?::\d\d(?:\.\d+)?)?)\s*(?:[Zz]|([+-])(\d\d):?(\d\d)?)?)?$'
_TAG = re.compile(r'<[^>]{0,200}>')
_SEPARATED = re.compile(r'\s*[|;,]\s*')


@dataclasses.dataclass(frozen=True)
class TablesConfig:
  """Where the tables are and how they are read.

  Attributes:
    interactions: a file, a folder or a glob; .csv, .csv.gz, .tsv, .tsv.gz or .parquet.
    items: likewise, the catalogue; '' where there is none: titles and texts are then the ids.
    user, item, value, time, event: column names of the log; '' looks for the usual ones.
    item_id: the catalogue's id column; '' looks for the usual ones.
    title: the catalogue's title column; '' looks for the usual ones.
    template: an item's text, with {column} for its columns; '' is the title and all columns that hold words.
    phrases: columns of the catalogue, separated by commas, whose parts (between |, ; or ,) are attributes.
    event_weights: 'view=1,purchase=4', the value of each kind of event; other kinds are bad rows.
    merge: 'sum', 'last' or 'max': what becomes of rows with the same user and item.
    encoding: of CSV files: 'utf-8', 'latin-1' or 'utf-16'.
    bad_rows: 'refuse' or 'drop', with a count.

  Raises:
    ConfigError: for values out of range.
  """
  interactions: str
  items: str = ''
  user: str = ''
  item: str = ''
  value: str = ''
  time: str = ''
  event: str = ''
  item_id: str = ''
  title: str = ''
  template: str = ''
  phrases: str = ''
  event_weights: str = ''
  merge: str = 'sum'
  encoding: str = 'utf-8'
  bad_rows: str = 'refuse'

  def __post_init__(self):
    if not self.interactions:
      raise ConfigError('data.tables.interactions is empty; it takes the path of a log, for example '
                        '--config=configs/tables.py:interactions=log.csv,items=items.csv')
    for name, allowed in (('merge', tuple(MERGES)), ('encoding', ('utf-8', 'latin-1', 'utf-16')),
                          ('bad_rows', ('refuse', 'drop'))):
      if getattr(self, name) not in allowed:
        raise ConfigError(f'data.tables.{name} is {getattr(self, name)!r}; allowed are {", ".join(allowed)}')
    self.weights()

  def weights(self):
    """The value of each kind of event, as a dict."""
    found = {}
    for part in filter(None, self.event_weights.split(',')):
      kind, equals, number = part.partition('=')
      try:
        found[kind.strip()] = float(number)
      except ValueError:
        equals = ''
      if not equals or not 0 < found[kind.strip()] < float('inf'):
        raise ConfigError(f'data.tables.event_weights has the part {part!r}; parts look like purchase=4, above 0')
    return found


def load(config):
  """The `Dataset` of one's own tables; `info` says what was read, merged, dropped and ignored.

  Raises:
    DataError: naming file, row, column and value, where the tables cannot be used.
  """
  connection = duckdb.connect(config={'preserve_insertion_order': True})
  try:
    columns = _open(connection, 'raw', config.interactions, config.encoding)
    names = {role: _find(role, getattr(config, role), columns, config.interactions, needed=role in ('user', 'item'))
             for role in ('user', 'item', 'value', 'time', 'event')}
    if config.event_weights and not names['event']:
      raise DataError(f'{config.interactions}: event_weights are given, but there is no column event among '
                      f'{", ".join(columns)}')
    counts = _clean(connection, config, names)
    user_ids, item_ids, log = _pairs(connection, config, counts)
    catalogue, more = _catalogue(connection, config, item_ids)
  except duckdb.Error as error:
    raise DataError(f'{config.interactions}: {_first_words(error)}') from error
  finally:
    connection.close()
  used = {name for name in names.values() if name}
  info = {'name': os.path.basename(os.path.normpath(config.interactions)), 'simulated': False, 'citation': '',
          'rows': counts, 'columns': {role: name for role, name in names.items() if name},
          'ignored_columns': [name for name in columns if name not in used], **more}
  for reason, number in counts.items():
    if reason not in ('read', 'pairs') and number:
      logging.warning('%s: %d of %d rows %s', config.interactions, number, counts['read'], reason.replace('_', ' '))
  return Dataset(log, catalogue, user_ids, info)


def _first_words(error):
  """What DuckDB says of an error, on one line and without its advice."""
  return ' '.join(str(error).split('Possible')[0].split())[:600]


def _files(path):
  """The files that `path` names, in order.

  Raises:
    DataError: where there are none, or they are of no or of several kinds.
  """
  if os.path.isdir(path):
    found = sorted(file for file in glob.glob(os.path.join(path, '*')) if file.endswith(SUFFIXES))
  else:
    found = [path] if os.path.exists(path) else sorted(glob.glob(path))
  if not found:
    raise DataError(f'{path}: no such file, no folder with tables, and no glob that matches')
  kinds = {next((suffix.removesuffix('.gz') for suffix in SUFFIXES if file.endswith(suffix)), '') for file in found}
  if len(kinds) > 1 or '' in kinds:
    raise DataError(f'{path}: {", ".join(found[:4])}: tables of one kind are due, allowed are {", ".join(SUFFIXES)}')
  for file in found:
    if not os.path.getsize(file):
      raise DataError(f'{file}: is empty; a header and rows are due')
  return found, kinds.pop()


def _open(connection, table, path, encoding):
  """Makes `table` of all rows, every column as text, with `file` and `number` (the row in its file); its columns."""
  files, kind = _files(path)
  names = ', '.join(_literal(file) for file in files)
  # All columns are text: ids keep their leading zeros, and numbers are checked here, with their row.
  source = f"read_parquet([{names}], filename='_file')" if kind == '.parquet' else (
    f"read_csv([{names}], filename='_file', header=true, all_varchar=true, quote='\"', escape='\"', "
    f"encoding='{encoding}'{', delim=chr(9)' if kind == '.tsv' else ''})")
  columns = [name for name in connection.sql(f'from {source}').columns if name != '_file']
  kept = ', '.join(f'{_quoted(name)}::varchar as {_quoted(name)}' for name in columns)
  connection.execute(f'create table {table} as select {kept}, _file, row_number() over () as _line from {source}')
  connection.execute(f'create or replace table {table} as select * exclude (_line), '
                     f'_line - min(_line) over (partition by _file) + 1 as _row, _line from {table} order by _line')
  return columns


def _quoted(name):
  return '"' + name.replace('"', '""') + '"'


def _literal(text):
  return "'" + text.replace("'", "''") + "'"


def _plain(name):
  return re.sub(r'[^a-z0-9]', '', name.lower())


def _find(role, given, columns, path, needed):
  """The name of the column that plays a role, or None where it is not needed and not there.

  Raises:
    DataError: where it is given and not there, or needed and not found.
  """
  if given:
    if given not in columns:
      raise DataError(f'{path}: no column {given!r}; there are {", ".join(columns)}')
    return given
  for usual in USUAL[role]:
    for name in columns:
      if _plain(name) == usual:
        return name
  if needed:
    raise DataError(f'{path}: no column for {role} among {", ".join(columns)}; name it by '
                    f'--config.data.tables.{role}=COLUMN')
  return None


def _clean(connection, config, names):
  """Makes the table `log` (user, item, value, time, number) of the good rows; returns the counts by reason.

  Raises:
    DataError: for the first bad row, where these are refused.
  """
  user, item = _quoted(names['user']), _quoted(names['item'])
  value, event, time = (None if not names[role] else _quoted(names[role]) for role in ('value', 'event', 'time'))
  kinds = config.weights()
  amount = f'try_cast(trim({value}) as double)' if value else '1.0'
  if kinds:
    cases = ' '.join(f'when {_literal(kind)} then {weight}' for kind, weight in kinds.items())
    amount = f'{amount} * case trim({event}) {cases} end' if value else f'case trim({event}) {cases} end'
  moment = _moment(time) if time else 'null::bigint'
  bad = [('a_user_id_is_empty', names['user'], f"{user} is null or trim({user}) = ''", 'a text that is not empty'),
         ('an_item_id_is_empty', names['item'], f"{item} is null or trim({item}) = ''", 'a text that is not empty')]
  if kinds:
    bad.append(('an_event_is_unknown', names['event'], f'(case trim({event}) {cases} end) is null', ', '.join(kinds)))
  if value:
    number = f'try_cast(trim({value}) as double)'
    bad.append(('a_value_is_no_number', names['value'],
                f'{number} is null or not isfinite({number}) or {number} < 0', 'finite numbers from 0 on'))
  if time:
    bad.append(('a_time_is_unreadable', names['time'],
                f'({moment}) is null or ({moment}) not between 0 and {_LATEST}',
                'seconds, milliseconds or microseconds since 1970, or ISO 8601, from 1970 to 2100'))
  reason = 'case ' + ' '.join(f"when {test} then '{name}'" for name, _, test, _ in bad) + ' end'
  connection.execute(f'create table judged as select *, {reason} as _reason from raw')
  counts = {'read': connection.execute('select count(*) from raw').fetchone()[0]}
  if not counts['read']:
    raise DataError(f'{config.interactions}: holds a header and no row')
  for name, column, _, allowed in bad:
    found = connection.execute(f'select count(*), min(_line) from judged where _reason = {name!r}').fetchone()
    counts[name] = found[0]
    if found[0] and config.bad_rows == 'refuse':
      file, row, what = connection.execute(
        f'select _file, _row, {_quoted(column)} from judged where _line = {found[1]}').fetchone()
      raise DataError(f'{file}, row {row}, column {column}: {what!r}; allowed are {allowed} ({found[0]} such rows; '
                      '--config.data.tables.bad_rows=drop leaves them out)')
  connection.execute(f'create table log as select trim({user}) as user, trim({item}) as item, {amount} as value, '
                     f'{moment} as time, _line as number from judged where _reason is null')
  counts['have_the_value_zero'] = connection.execute('select count(*) from log where value = 0').fetchone()[0]
  connection.execute('delete from log where value = 0')
  return counts


def _moment(column):
  """SQL for seconds since 1970 in UTC: numbers by their size, texts as ISO 8601; null where neither."""
  number, text = f'try_cast(trim({column}) as double)', f'trim({column})'
  # DuckDB reads a zone without heeding it, so it is taken off and counted here.
  day, clock, sign, hours, minutes = (f"regexp_extract({text}, '{_ISO}', {group})" for group in range(1, 6))
  zone = (f"case {sign} when '' then 0 else (case {sign} when '-' then -1 else 1 end) * (3600 * {hours}::bigint "
          f"+ 60 * coalesce(try_cast({minutes} as bigint), 0)) end")
  return (f'case when {number} is not null then cast(floor(case when abs({number}) < 1e11 then {number} '
          f'when abs({number}) < 1e14 then {number} / 1e3 else {number} / 1e6 end) as bigint) '
          f"when {day} = '' then null "
          f"else cast(floor(epoch(try_cast({day} || ' ' || coalesce(nullif({clock}, ''), '00:00') as timestamp))) "
          f'as bigint) - {zone} end')


def _pairs(connection, config, counts):
  """User ids, item ids and the `Interactions` of one row a pair; adds `pairs` and what was merged to `counts`."""
  connection.execute(f'create table pairs as select user, item, {MERGES[config.merge]} as value, max(time) as time '
                     'from log group by user, item')
  counts['pairs'] = connection.execute('select count(*) from pairs').fetchone()[0]
  counts['were_merged'] = connection.execute('select count(*) from log').fetchone()[0] - counts['pairs']
  if not counts['pairs']:
    raise DataError(f'{config.interactions}: no row of {counts["read"]} is left ({counts})')
  ids = {}
  for role in ('user', 'item'):
    connection.execute(f'create table {role}s as select id, row_number() over (order by id) - 1 as place '
                       f'from (select distinct {role} as id from pairs)')
    ids[role] = np.array([row[0] for row in connection.execute(f'select id from {role}s order by place').fetchall()])
  found = connection.execute(
    'select cast(users.place as integer) as user, cast(items.place as integer) as item, cast(value as float) as value, '
    'coalesce(time, -1) as time from pairs join users on users.id = pairs.user join items on items.id = pairs.item '
    'order by 1, 2').fetchnumpy()
  time = np.asarray(found['time'], np.int64)
  log = Interactions(np.asarray(found['user'], np.int32), np.asarray(found['item'], np.int32),
                     np.asarray(found['value'], np.float32), None if (time < 0).any() else time)
  return ids['user'], ids['item'], log


def words(text):
  """A text without HTML tags, entities and repeated blanks."""
  return ' '.join(html.unescape(_TAG.sub(' ', html.unescape(text or ''))).split())


def _catalogue(connection, config, item_ids):
  """The `Catalogue` of the items of the log, and what was found and missed on the way."""
  if not config.items:
    return Catalogue(item_ids, item_ids, item_ids, ((),) * len(item_ids)), {}
  columns = _open(connection, 'catalogue', config.items, config.encoding)
  key = _find('item', config.item_id, columns, config.items, needed=True) if config.item_id or not any(
    _plain(name) == 'id' for name in columns) else next(name for name in columns if _plain(name) == 'id')
  title = _find('title', config.title, columns, config.items, needed=False)
  phrases = [name for name in config.phrases.split(',') if name]
  for name in phrases + re.findall(r'{(.*?)}', config.template):
    if name not in columns:
      raise DataError(f'{config.items}: no column {name!r}; there are {", ".join(columns)}')
  rows = connection.execute(
    f'select {", ".join(f"catalogue.{_quoted(name)}" for name in columns)}, _file, _row from catalogue '
    f'join items on items.id = trim(catalogue.{_quoted(key)}) order by _line').fetchall()
  entries, repeated = {}, 0
  for row in rows:
    entry, identity = dict(zip(columns, row, strict=False)), row[columns.index(key)].strip()
    if identity in entries:
      repeated += 1
      if entries[identity] != entry and config.bad_rows == 'refuse':
        raise DataError(f'{row[-2]}, row {row[-1]}, column {key}: {identity!r} occurs before with other words; allowed '
                        'is one row for each item (--config.data.tables.bad_rows=drop keeps the first)')
    entries.setdefault(identity, entry)
  total = connection.execute('select count(*) from catalogue').fetchone()[0]
  made = [_entry(entries.get(str(identity)), str(identity), key, title, config.template, phrases)
          for identity in item_ids]
  titles, texts, attributes = zip(*made, strict=True)
  return (Catalogue(item_ids, np.array(titles), np.array(texts), tuple(attributes)),
          {'catalogue': {'rows': total, 'rows_of_items_without_interaction': total - len(rows), 'repeated': repeated,
                         'items_without_row': sum(str(i) not in entries for i in item_ids),
                         'items_without_text': sum(not text for text in texts)}})


def _entry(entry, identity, key, title, template, phrases):
  """Title, text and attributes of one item; its id and nothing where the catalogue lacks it."""
  if entry is None:
    return identity, '', ()
  name = words(entry[title]) if title else ''
  if template:
    text = words(re.sub(r'{(.*?)}', lambda found: entry[found[1]] or '', template))
  else:
    rest = (words(value) for column, value in entry.items() if column not in (key, title) and value)
    text = '. '.join(part for part in (name, *(r for r in rest if re.search('[^\\W\\d]{2}', r))) if part)
  attributes = tuple(dict.fromkeys(part for column in phrases for part in _SEPARATED.split(words(entry[column]))
                                   if part))
  return name or identity, text, attributes
