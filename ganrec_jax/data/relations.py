"""Tables as DuckDB reads them: files of any kind, or the answer to a query, with every column as text."""

import codecs
import contextlib
import csv
import dataclasses
import gzip
import os
import re
import sqlite3
import zlib

import duckdb

from ganrec_jax.data import files
from ganrec_jax.errors import ConfigError, DataError

_LONGEST_HEADER = 2**20
_MALFORMED = re.compile(r'CSV Error on Line: (\d+) (?:Original Line: (.*) )?'
                        r'((?:Expected Number|Value with|Invalid unicode|Maximum line).*)')
_FILE = re.compile(r' file ?= ?(\S.*?)(?: delimiter ?=|$)')
_POSTGRES = ('postgresql://', 'postgres://')


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


@contextlib.contextmanager
def named(name):
  """Turns what DuckDB raises for a damaged table into a `DataError` of one line that names the table and the line."""
  try:
    yield
  except duckdb.Error as error:
    said = ' '.join(str(error).split())
    found = _MALFORMED.search(said)
    if not found:
      # DuckDB counts the line after the malformed one.
      raise DataError(f'{name}: {first_words(error).replace(" in line ", " before line ")}') from error
    line, text, what = found[1], (found[2] or '').strip(), found[3].split('Possible')[0].strip(' .')
    what = re.sub(r'Expected Number of Columns: (\d+) Found: (\d+)', r'\2 columns where \1 are due', what)
    if 'unicode' in what:
      what, text = 'bytes that are no text of this encoding; another is named by --config.data.tables.encoding', ''
    text = f' in {text[:100]!r}' if text else ''
    file = _FILE.search(said)
    raise DataError(f'{file[1] if file else name}, line {line}: {what}{text}') from error


def of_files(connection, path, *, encoding='utf-8', delimiter='', header='', quoting=True, refuse=True):
  """The `Relation` of a file, a folder or a glob.

  Args:
    connection: of DuckDB.
    path: of .csv, .tsv, .jsonl (each also .gz) or .parquet files.
    encoding: of CSV files; one that begins with the mark of UTF-16 is that.
    delimiter: between the columns of CSV files; '' finds it in the first line.
    header: the column names, separated by commas, of CSV files that have no header line.
    quoting: whether quotation marks around a field are no part of it.
    refuse: whether a line with too many or too few columns is an error, rather than dropped (see `malformed`).

  Raises:
    DataError: for files that are not there or cannot be read.
  """
  found = files.find(path)
  names = ', '.join(literal(name) for name in found.names)
  if found.kind == '.parquet':
    source = f"read_parquet([{names}], filename='_file', union_by_name=true)"
  elif found.kind == '.jsonl':
    # Depth 1: every field is JSON, nothing in it is guessed; all rows are looked at for fields.
    source = (f"read_json([{names}], filename='_file', format='newline_delimited', records='true', maximum_depth=1, "
              'sample_size=-1, union_by_name=true)')
  else:
    source = _csv(found, delimiter or ('\t' if found.kind == '.tsv' else ''), encoding, header, quoting, refuse)
  with named(path):
    described = connection.execute(f'describe from {source}').fetchall()
  columns = tuple(name for name, *_ in described if name != '_file')
  texts = ', '.join(f'{_as_text(quoted(name), kind)} as {quoted(name)}' for name, kind, *_ in described
                    if name != '_file')
  return Relation(path, f'(select {texts}, _file from {source})', columns, found)


def malformed(connection):
  """How many lines the last read of CSV files has dropped since they had too many or too few columns.

  Raises:
    DataError: where it has dropped a line for another reason, which may have swallowed others.
  """
  there = connection.execute("select 1 from duckdb_tables() where table_name = 'reject_errors'").fetchone()
  if not there:
    return 0
  last = 'scan_id = (select max(scan_id) from reject_errors)'
  worse = connection.execute('select file_path, line, error_message from reject_errors join reject_scans '
                             f'using (scan_id, file_id) where {last} and error_type not in '
                             "('TOO MANY COLUMNS', 'MISSING COLUMNS') order by line limit 1").fetchone()
  if worse:
    raise DataError(f'{worse[0]}, line {worse[1]}: {first_words(worse[2])}; such a line may hide others and is not '
                    'dropped, mend it')
  return connection.execute(f'select count(distinct (file_id, line)) from reject_errors where {last}').fetchone()[0]


def _csv(found, delimiter, encoding, header, quoting, refuse):
  """SQL that reads CSV files; their columns are those of the header, nothing is guessed from the rows."""
  columns = [name.strip() for name in header.split(',') if name.strip()]
  if found.state[0][0] > 1:
    with open(found.names[0], 'rb') as file:
      encoding = 'utf-16' if file.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) else encoding
  headed = not columns
  if headed:
    heads = {name: _head(name, delimiter, encoding, quoting) for name in found.names}
    (first, (columns, delimiter)), *others = heads.items()
    for name, head in others:
      if head != (columns, delimiter):
        raise DataError(f'{name}: its header is {", ".join(head[0])} and that of {first} is {", ".join(columns)}; '
                        'allowed is one header for all files')
  typed, mark = ', '.join(f"{literal(name)}: 'VARCHAR'" for name in columns), literal('"' if quoting else '')
  options = [f"filename='_file', auto_detect=false, header={str(headed).lower()}, columns={{{typed}}}",
             f'delim={literal(delimiter or ",")}, quote={mark}, escape={mark}, encoding={literal(encoding)}',
             *([] if refuse else ['store_rejects=true, rejects_limit=0'])]
  return f'read_csv([{", ".join(literal(name) for name in found.names)}], {", ".join(options)})'


def _head(path, delimiter, encoding, quoting):
  """The column names in the first line of a CSV file, and its delimiter: the one of , ; | and tab that divides most."""
  try:
    with (gzip.open if path.endswith('.gz') else open)(path, 'rb') as file:
      line = file.read(_LONGEST_HEADER) if encoding == 'utf-16' else file.readline(_LONGEST_HEADER)
    line = line.decode('utf-8-sig' if encoding == 'utf-8' else encoding, 'ignore' if encoding == 'utf-16' else 'strict')
    line = re.split('[\r\n]', line, maxsplit=1)[0]
  except (OSError, EOFError, zlib.error) as error:
    raise DataError(f'{path}: damaged or truncated file ({error}); get it anew') from error
  except UnicodeError as error:
    raise DataError(f'{path}, line 1: bytes that are no {encoding}; another is named by '
                    '--config.data.tables.encoding') from error
  if not line.strip():
    raise DataError(f'{path}: its first line is empty; a header is due')
  delimiter = delimiter or max(',\t;|', key=line.count)
  mark = {} if quoting else {'quoting': csv.QUOTE_NONE}
  columns = [name.strip() for name in next(csv.reader([line], delimiter=delimiter[:1], **mark))]
  repeated = [name for name in columns if columns.count(name) > 1]
  if repeated or '' in columns or '_file' in columns:
    raise DataError(f'{path}, line 1: the header {line.strip()[:200]!r} has the column '
                    f'{(repeated or [""])[0]!r} more than once or without a name; allowed are names that differ')
  return columns, delimiter


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
  path = os.path.join(folder, f'{name}.parquet')
  try:
    if database.startswith(_POSTGRES):
      path = os.path.join(folder, f'{name}.csv')
      _ask_postgres(database, query, path)
    elif not os.path.isfile(database):
      raise DataError(f'{database}: no such file; data.tables.database is a DuckDB or SQLite file, or postgresql://...')
    elif _is_sqlite(database):
      path = os.path.join(folder, f'{name}.csv')
      _ask_sqlite(database, query, path)
    else:
      with duckdb.connect(database, read_only=True) as warehouse:
        warehouse.execute(f'copy ({query.rstrip("; ")}) to {literal(path)} (format parquet)')
  except (duckdb.Error, sqlite3.Error, OSError) as error:
    raise DataError(f'{database}: {first_words(error)}; the query was {query!r}') from error
  return dataclasses.replace(of_files(connection, path), name=f'{database}, {name} query')


def view(database, name, path, **options):
  """Makes the DuckDB file `database` with a view called `name` of the tables at `path`, to be asked by `of_query`.

  Args:
    database: the path of a file that is not there yet.
    name: of the view.
    path: as in `of_files`.
    **options: of `of_files`.

  Raises:
    DataError: for tables that are not there or cannot be read.
  """
  with named(str(path)), duckdb.connect(str(database)) as connection:
    relation = of_files(connection, str(path), **options)
    connection.execute(f'create view {quoted(name)} as select * from {relation.sql}')


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
    raise DataError(f'{database}: {first_words(error)}; the query was {query!r}') from error


def first_words(error):
  """What a database says of an error, on one line and without its advice."""
  return ' '.join(re.split('Possible |LINE 1:|Try (?:setting|increasing) ', str(error))[0].split())[:600]
