"""One's own tables: a log and a catalogue as CSV, TSV, JSON lines, Parquet or the answer to a query, never guessed at.

Every row of the log is either used or counted: rows in = rows merged into a pair + rows dropped, by reason.
"""

import contextlib
import dataclasses
import os
import re
import tempfile

import duckdb
from absl import logging

from ganrec_jax import artifacts
from ganrec_jax.data import catalogue, columns, events, files, relations
from ganrec_jax.data.types import Dataset
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
MERGES = ('sum', 'last', 'max')
_MEGABYTES = 100  # what DuckDB may hold for each thread; the rest lies on disk


@dataclasses.dataclass(frozen=True)
class TablesConfig:
  """Where the tables are and how they are read.

  Attributes:
    interactions: a file, a folder or a glob; .csv, .tsv, .jsonl (each also .gz) or .parquet.
    items: likewise, the catalogue; '' where there is none: titles and texts are then the ids.
    database: a DuckDB or SQLite file or postgresql://user@host/name, which `query` and `items_query` ask instead.
    query: a SELECT for the log.
    items_query: a SELECT for the catalogue.
    user, item, value, time, event: column names of the log; '' looks for the usual ones.
    item_id: the catalogue's id column; '' looks for the usual ones.
    title: the catalogue's title column; '' looks for the usual ones.
    template: an item's text, with {column} for its columns; '' is the title and all columns that hold words.
    phrases: columns of the catalogue, separated by commas, whose parts (between |, ; or ,) are attributes.
    numbers: columns of the catalogue, separated by commas, whose numbers become attributes such as 'price 5-10'.
    vectors: a column of the catalogue with lists of numbers, or a .npy file with a row for each of its rows: features
      of images or sounds, or texts already encoded.
    event_weights: 'view=1,purchase=4', the value of each kind of event, 0 to leave it out; other kinds are bad rows.
    merge: 'sum', 'last' or 'max': what becomes of rows with the same user and item.
    encoding: of CSV files: 'utf-8', 'latin-1' or 'utf-16'.
    delimiter: between the columns of CSV files; '' finds it.
    header: column names, separated by commas, for a log in CSV files without a header line.
    quoting: whether quotation marks around a field are no part of it.
    bad_rows: 'refuse' or 'drop', with a count.

  Raises:
    ConfigError: for values out of range.
  """
  interactions: str = ''
  items: str = ''
  database: str = ''
  query: str = ''
  items_query: str = ''
  user: str = ''
  item: str = ''
  value: str = ''
  time: str = ''
  event: str = ''
  item_id: str = ''
  title: str = ''
  template: str = ''
  phrases: str = ''
  numbers: str = ''
  vectors: str = ''
  event_weights: str = ''
  merge: str = 'sum'
  encoding: str = 'utf-8'
  delimiter: str = ''
  header: str = ''
  quoting: bool = True
  bad_rows: str = 'refuse'

  def __post_init__(self):
    if bool(self.interactions) == bool(self.query):
      raise ConfigError('data.tables.interactions is empty; it takes the path of a log, for example '
                        '--config=configs/tables.py:interactions=log.csv,items=items.csv' if not self.query else
                        'data.tables.interactions and data.tables.query are both given; one of them is due')
    if re.search('//[^/@]*:.*@|[?&]password=', self.database):
      # The config is written into the work directory, and into results.json.
      raise ConfigError('data.tables.database holds a password; leave it out, and give it by the environment variable '
                        'PGPASSWORD or the file ~/.pgpass')
    if self.items and self.items_query:
      raise ConfigError('data.tables.items and data.tables.items_query are both given; one of them is due')
    for name, allowed in (('merge', MERGES), ('encoding', ('utf-8', 'latin-1', 'utf-16')),
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
      if not equals or not 0 <= found[kind.strip()] < float('inf'):
        raise ConfigError(f'data.tables.event_weights has the part {part!r}; parts look like purchase=4, from 0 on')
    return found


def kept(config, folder):
  """The `Dataset` of `load`, read once: kept in a folder of its own below `folder`, and read anew when a file changes.

  The answer to a query is not kept, since a warehouse does not say when it changes.

  Raises:
    DataError: as `load` does.
  """
  if config.query or config.items_query:
    return load(config)
  paths = (config.interactions, *filter(None, (config.items,)))
  found = [files.find(path) for path in paths]
  vectors = files.state(config.vectors) if config.vectors.endswith('.npy') else None
  options = dataclasses.asdict(config) | {name: os.path.abspath(path) for name, path in (
    ('interactions', config.interactions), ('items', config.items)) if path}
  place = os.path.join(folder, 'columns', artifacts.digest(options)[:16])
  state = [[table.names, table.state] for table in found], vectors
  return columns.cached(place, [options, state], lambda target: load(config, target))


def load(config, folder=None):
  """The `Dataset` of one's own tables; `info` says what was read, merged, dropped and ignored.

  Args:
    config: a `TablesConfig`.
    folder: where the columns of the log are kept as memory-mapped files; in memory if None.

  Raises:
    DataError: naming file, row, column and value, where the tables cannot be used.
  """
  with tempfile.TemporaryDirectory(prefix='ganrec_jax') as scratch, connected(scratch) as connection:
    return _load(connection, config, scratch, folder)


def _load(connection, config, scratch, folder):
  log = log_of(connection, config, config.interactions, scratch)
  names, kinds = roles(config, log)
  with relations.named(log.name):
    user_ids, item_ids, pairs, counts = events.read(connection, log, names, kinds, merge=config.merge,
                                                    refuse=config.bad_rows == 'refuse', folder=folder)
  log.files.verify()
  items, more = _catalogue(connection, config, item_ids, scratch)
  return Dataset(pairs, items, user_ids, described(config, log.columns, names, counts) | more)


def roles(config, log):
  """The column for each role (user, item and, or None, value, time, event) in a `Relation`, and the weights of events.

  Raises:
    DataError: where a column is not there or not found.
  """
  names = {role: _find(role, getattr(config, role), log, needed=role in ('user', 'item'))
           for role in ('user', 'item', 'value', 'time', 'event')}
  kinds = config.weights()
  if kinds and not names['event']:
    raise DataError(f'{log.name}: event_weights are given, but there is no column event among {", ".join(log.columns)}')
  return names, kinds


def described(config, columns, names, counts):
  """The `info` of a dataset from the `columns` of a log, their roles `names` and the `counts` of its rows: what
  was read and ignored; warns of every reason for which rows were dropped."""
  name = os.path.basename(os.path.normpath(config.interactions)) or 'query'
  for reason, number in counts.items():
    if reason not in ('read', 'pairs') and number:
      logging.warning('%s: %d of %d rows %s', name, number, counts['read'], reason.replace('_', ' '))
  used = {role: column for role, column in names.items() if column and (config.event_weights or role != 'event')}
  return {'name': name, 'simulated': False, 'citation': '', 'rows': counts, 'columns': used,
          'ignored_columns': [column for column in columns if column not in used.values()]}


def catalogue_of(config, item_ids):
  """The `Catalogue` of the items `item_ids`, str `[items]` in ascending order, and what was found and missed.

  Raises:
    DataError: as `load` does.
  """
  with tempfile.TemporaryDirectory(prefix='ganrec_jax') as scratch, connected(scratch) as connection:
    connection.execute('create table items as select unnest(?) as id', [item_ids.tolist()])
    return _catalogue(connection, config, item_ids, scratch)


def _catalogue(connection, config, item_ids, scratch):
  if not config.items and not config.items_query:
    return catalogue.of_ids(item_ids), {}
  table = _relation(connection, config, 'items', config.items, config.items_query, scratch)
  with relations.named(table.name):
    found = catalogue.read(connection, table, _catalogue_columns(config, table), item_ids, config.bad_rows == 'refuse')
  table.files.verify()
  return found


def connected(scratch):
  """A connection of DuckDB with its tables on disk, so that a log need not fit into memory; closed at the end."""
  return contextlib.closing(duckdb.connect(os.path.join(scratch, 'log.duckdb'), config={
    'preserve_insertion_order': True, 'memory_limit': f'{_MEGABYTES * (os.cpu_count() or 1)}MB',
    'temp_directory': scratch}))


def log_of(connection, config, path, scratch):
  """The `Relation` of the log at `path`, or of the config's query; `scratch` is a folder for its answer."""
  return _relation(connection, config, 'interactions', path, config.query, scratch)


def _relation(connection, config, name, path, query, scratch):
  if query:
    return relations.of_query(connection, config.database, query, scratch, name)
  options = {'header': config.header} if name == 'interactions' else {}
  return relations.of_files(connection, path, encoding=config.encoding, delimiter=config.delimiter,
                            quoting=config.quoting, refuse=config.bad_rows == 'refuse', **options)


def _plain(name):
  return re.sub(r'[^a-z0-9]', '', name.lower())


def _find(role, given, relation, needed, field=''):
  """The name of the column that plays a role, or None where it is not needed and not there.

  Raises:
    DataError: where it is given and not there, or needed and not found.
  """
  if given:
    if given not in relation.columns:
      raise DataError(f'{relation.name}: no column {given!r}; there are {", ".join(relation.columns)}')
    return given
  for usual in USUAL[role]:
    for name in relation.columns:
      if _plain(name) == usual:
        return name
  if needed:
    raise DataError(f'{relation.name}: no column for {role} among {", ".join(relation.columns)}; name it by '
                    f'--config.data.tables.{field or role}=COLUMN')
  return None


def _catalogue_columns(config, relation):
  ids = [name for name in relation.columns if _plain(name) == 'id']
  return catalogue.Columns(
    key=ids[0] if ids and not config.item_id else _find('item', config.item_id, relation, True, 'item_id'),
    title=_find('title', config.title, relation, needed=False), template=config.template,
    phrases=tuple(filter(None, config.phrases.split(','))), numbers=tuple(filter(None, config.numbers.split(','))),
    vectors=config.vectors or None)
