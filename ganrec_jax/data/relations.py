"""Tables as DuckDB reads them: files of any kind, or the answer to a query, with every column as text."""

import contextlib
import csv
import dataclasses
import os
import re
import sqlite3

import duckdb

from ganrec_jax.data import files
from ganrec_jax.errors import ConfigError, DataError

_POSTGRES = ('postgresql://', 'postgres://')
_MEGABYTES = 150  # what DuckDB may hold for each thread; the rest lies on disk
# Where DuckDB's advice begins, which is about options that are not a user's.
_ADVICE = re.compile(r'Possible|Try (?:setting|increasing)')


@dataclasses.dataclass(frozen=True)
class Relation:
  """A table to be read.

  Attributes:
    name: what a person calls it.
    sql: what stands behind FROM: its columns as text, and `_file`.
    columns: their names.
    files: where it is read from.
  """
  name: str
  sql: str
  columns: tuple[str, ...]
  files: files.Files


def quoted(name):
  """A name as an SQL identifier."""
  return '"' + name.replace('"', '""') + '"'


def literal(text):
  """A text as an SQL literal."""
  return "'" + text.replace("'", "''") + "'"


def connect(folder):
  """A DuckDB database in a file in `folder`, so that no table need fit into memory."""
  return duckdb.connect(os.path.join(folder, 'log.duckdb'), config={
    'preserve_insertion_order': True, 'memory_limit': f'{_MEGABYTES * (os.cpu_count() or 1)}MB',
    'temp_directory': str(folder)})


def of_files(connection, path, *, encoding='utf-8', delimiter='', header='', quoting=True):
  """The `Relation` of a file, a folder or a glob.

  Args:
    connection: of DuckDB.
    path: of .csv, .tsv, .jsonl (each also .gz) or .parquet files.
    encoding: of CSV files.
    delimiter: between the columns of CSV files; '' detects it.
    header: the column names, separated by commas, of CSV files that have no header line.
    quoting: whether quotation marks around a field are no part of it.

  Raises:
    DataError: for files that are not there or cannot be read.
  """
  found = files.find(path)
  names = ', '.join(literal(name) for name in found.names)
  if found.kind == '.parquet':
    source = f"read_parquet([{names}], filename='_file', union_by_name=true)"
  elif found.kind == '.jsonl':
    # Depth 1: every field is JSON, nothing in it is guessed; all rows are looked at for fields.
    source = (f"read_json([{names}], filename='_file', format='newline_delimited', maximum_depth=1, sample_size=-1, "
              'union_by_name=true)')
  else:
    source = _csv(names, delimiter or ('\t' if found.kind == '.tsv' else ''), encoding, header, quoting)
  described = connection.execute(f'describe from {source}').fetchall()
  columns = tuple(name for name, *_ in described if name != '_file')
  texts = ', '.join(f'{_as_text(quoted(name), kind)} as {quoted(name)}' for name, kind, *_ in described
                    if name != '_file')
  return Relation(path, f'(select {texts}, _file from {source})', columns, found)


def _csv(names, delimiter, encoding, header, quoting):
  """SQL that reads CSV files; nothing but the delimiter is guessed, and that only where none is given."""
  columns = [name.strip() for name in header.split(',') if name.strip()]
  mark = literal('"' if quoting else '')
  options = ["filename='_file'", 'skip=0', f'encoding={literal(encoding)}', f'header={str(not columns).lower()}',
             f'quote={mark}', f'escape={mark}']
  if columns:
    typed = ', '.join(f"{literal(name)}: 'VARCHAR'" for name in columns)
    options += ['auto_detect=false', f'columns={{{typed}}}', f'delim={literal(delimiter or ",")}']
  else:
    options += ['all_varchar=true', 'union_by_name=true'] + ([f'delim={literal(delimiter)}'] if delimiter else [])
  return f'read_csv([{names}], {", ".join(options)})'


def _as_text(column, kind):
  """SQL for a column as text: lists and structures as JSON, JSON strings without their quotes."""
  if kind == 'JSON':
    return f"{column} ->> '$'"
  if re.search(r'\[|STRUCT|MAP', kind):
    return f'to_json({column})::varchar'
  return f'{column}::varchar'


def of_query(connection, database, query, folder, name):
  """The `Relation` of the answer to `query`, read once into a file in `folder`; nothing is written to `database`.

  Args:
    connection: of DuckDB.
    database: a DuckDB or SQLite file, or postgresql://user@host/name.
    query: one SELECT.
    folder: a folder for the answer.
    name: of the answer.

  Raises:
    ConfigError: for a query without a database.
    DataError: for a database that cannot be reached, or a query it refuses.
  """
  if not database:
    raise ConfigError('data.tables.query needs data.tables.database: a DuckDB or SQLite file, or postgresql://...')
  where = re.sub(r'//([^/@:]*):[^/@]*@', r'//\1:***@', database)  # a password is nothing for a message
  path = os.path.join(folder, f'{name}.parquet')
  try:
    if database.startswith(_POSTGRES):
      path = os.path.join(folder, f'{name}.csv')
      _ask_postgres(database, query, path)
    elif not os.path.isfile(database):
      raise DataError(f'{where}: no such file; data.tables.database is a DuckDB or SQLite file, or postgresql://...')
    elif _is_sqlite(database):
      path = os.path.join(folder, f'{name}.csv')
      _ask_sqlite(database, query, path)
    else:
      with duckdb.connect(database, read_only=True) as warehouse:
        warehouse.execute(f'copy ({query.rstrip("; ")}) to {literal(path)} (format parquet)')
  except (duckdb.Error, sqlite3.Error, OSError) as error:
    raise DataError(f'{where}: {first_words(error)}; the query was {query!r}') from error
  return dataclasses.replace(of_files(connection, path), name=f'{where}, {name} query')


def _is_sqlite(path):
  with open(path, 'rb') as file:
    return file.read(16) == b'SQLite format 3\0'


def _ask_sqlite(path, query, target):
  with contextlib.closing(sqlite3.connect(f'file:{path}?mode=ro', uri=True)) as warehouse, \
      open(target, 'w', encoding='utf-8', newline='') as file:
    answer, writer = warehouse.execute(query), csv.writer(file, quoting=csv.QUOTE_MINIMAL)
    if answer.description is None:
      raise DataError(f'{path}: the query gives no rows; one SELECT is due')
    writer.writerow([column[0] for column in answer.description])
    writer.writerows(answer)


def _ask_postgres(database, query, target):
  try:
    import psycopg  # an extra: few need it
  except ImportError as error:
    raise DataError("postgresql:// needs the package psycopg: pip install 'ganrec_jax[postgres]'") from error
  try:
    with psycopg.connect(database, connect_timeout=10) as warehouse, open(target, 'wb') as file:
      warehouse.read_only = True
      with warehouse.cursor() as cursor:
        cursor.execute("set time zone 'UTC'")
        with cursor.copy(f'copy ({query.rstrip("; ")}) to stdout (format csv, header, encoding \'utf-8\')') as rows:
          for block in rows:
            file.write(block)
  except psycopg.Error as error:
    raise DataError(f'{re.sub("//[^@]*@", "//", database)}: {first_words(error)}; the query was {query!r}') from error


def first_words(error):
  """What a database says of an error, on one line and without its advice."""
  return ' '.join(_ADVICE.split(str(error))[0].split())[:600]
