"""From the form a data set is published in to plain tables in a scratch folder: SQL over its files, every row checked.

A published file is not for its user to mend, so nothing is guessed and a bad row is an error; what a source drops or
repairs on purpose it counts itself.
"""

import contextlib
import dataclasses
import gzip
import json
import zlib
from pathlib import Path

from ganrec_jax.data import relations, tables
from ganrec_jax.data.relations import literal, quoted
from ganrec_jax.errors import DataError

_GROUP = 20_480  # rows that are held at once where a table is written; with long texts they are what takes memory


@dataclasses.dataclass(frozen=True)
class Rule:
  """What every row must fulfil: the column, SQL that is true of a good row, and what is allowed, in words."""
  column: str
  test: str
  allowed: str


def not_empty(column):
  """The `Rule` that a column holds more than blanks."""
  return Rule(column, f"trim({quoted(column)}) <> ''", 'a text that is not empty')


@contextlib.contextmanager
def database(scratch):
  """A DuckDB database in the folder `scratch`, closed at the end; what it says of itself is a `DataError`."""
  with relations.named(str(scratch)), tables.connected(str(scratch)) as connection:
    yield connection


def stage(connection, table, file, select, rules):
  """Makes `table` by a SELECT whose column `_line` is the row's number in the file, and checks it row by row.

  Args:
    connection: of `database`.
    table: its name.
    file: what a person calls the file that is read.
    select: SQL, such as 'select * from' with `json_lines` or `csv`.
    rules: a tuple of `Rule`.

  Raises:
    DataError: for a file that cannot be read or has no row, and for the first row that breaks a rule.
  """
  broken = ' '.join(f'when not coalesce({rule.test}, false) then {k}' for k, rule in enumerate(rules))
  try:
    with relations.named(str(file)):
      connection.execute(f'create table {table} as {select}')
      size, = connection.execute(f'select count(*) from {table}').fetchone()
      found = connection.execute(f'select _line, case {broken} end as broken from {table} where broken is not null '
                                 'order by _line limit 1').fetchone()
  except DataError as error:
    raise DataError(_no_object(file) or str(error)) from error
  if not size:
    raise DataError(f'{file}: holds no row')
  if found:
    line, rule = found[0], rules[found[1]]
    value, = connection.execute(f'select {quoted(rule.column)} from {table} where _line = {line}').fetchone()
    shown = repr(value if not isinstance(value, str) or len(value) < 100 else f'{value[:100]}...')
    raise DataError(f'{file}, row {line}, column {rule.column}: {shown}; allowed is {rule.allowed}')


def _no_object(file):
  """The first line of a file of JSON lines that is no JSON object, for a message; None where there is none.

  DuckDB counts the lines of a file otherwise than people do.
  """
  if not str(file).endswith('.gz'):
    return None
  with contextlib.suppress(OSError, EOFError, zlib.error), gzip.open(file) as lines:
    for number, line in enumerate(lines, 1):
      try:
        good = not line.strip() or isinstance(json.loads(line), dict)
      except (ValueError, RecursionError):
        good = False
      if not good:
        return f'{file}, row {number}: {line.decode(errors="replace").strip()[:100]!r}; allowed is a JSON object'
  return None


def json_lines(path, fields):
  """SQL for some fields of a .gz file of JSON lines as text, lists as JSON, null where absent; and `_line`."""
  typed = ', '.join(f"{literal(field)}: 'VARCHAR'" for field in fields)
  return _numbered(f"read_json({literal(str(path))}, format='newline_delimited', compression='gzip', "
                   f'records=true, columns={{{typed}}})')


def csv(path, columns, *, delimiter=',', quote='"'):
  """SQL for all columns of a CSV file without a header line, as text; and `_line`."""
  typed = ', '.join(f"{literal(column)}: 'VARCHAR'" for column in columns)
  return _numbered(f"read_csv({literal(str(path))}, auto_detect=false, header=false, delim={literal(delimiter)}, "
                   f'quote={literal(quote)}, escape={literal(quote)}, columns={{{typed}}})')


def _numbered(source):
  return f'(select *, row_number() over () as _line from {source})'


def write(connection, select, path):
  """Writes the rows of a SELECT as a Parquet file; returns its path as a string."""
  connection.execute(f'copy ({select}) to {literal(str(path))} (format parquet, row_group_size {_GROUP})')
  return str(path)


def load(name, citation, counts, **fields):
  """The `Dataset` of plain tables in scratch, with the name, the citation and the counts of what they were made from.

  Args:
    name: of the data set.
    citation: its citation.
    counts: of all that was dropped or repaired on the way to the tables.
    **fields: of `TablesConfig`.
  """
  dataset = tables.load(tables.TablesConfig(**fields))
  kept = {key: dataset.info[key] for key in ('rows', 'catalogue') if key in dataset.info}
  return dataclasses.replace(dataset, info={'name': name, 'simulated': False, 'citation': citation, 'counts': counts,
                                            **kept})


def choose(sources, folder):
  """The first of several published forms of one data set whose archives all lie in `folder`, else the first one."""
  return next((source for source in sources
               if folder and all((Path(folder).expanduser() / archive.name).is_file() for archive in source.archives)),
              sources[0])
