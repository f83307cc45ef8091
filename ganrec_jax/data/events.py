"""The rows of a log, judged one by one, and what is left of them as columns: encoded once, a row a (user, item) pair.

Every row is either used or counted: rows read = rows merged into a pair + rows dropped, by reason.
"""

import dataclasses
import os
import time as clock

import numpy as np

from ganrec_jax.data.clean import merged
from ganrec_jax.data.relations import literal, malformed, quoted
from ganrec_jax.data.types import Interactions
from ganrec_jax.errors import DataError

LONGEST_ID = 200  # characters
_DAY = 86400  # how far clocks and zones may be ahead
_ISO = (r'^\s*(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d(?::\d\d(?:\.\d+)?)?)\s*'
        r'(?:[Zz]|UTC|([+-])(\d\d):?(\d\d)?)?)?\s*$')
_BATCH = 250_000
_SMALLEST, _LARGEST = 1e-30, 1e30  # what float32 can hold, with room for sums


@dataclasses.dataclass(frozen=True)
class _Reason:
  """Why a row cannot be used: a name to count by, the column at fault, SQL that is true of it, what is allowed."""
  name: str
  column: str
  test: str
  allowed: str


def read(connection, relation, names, kinds, *, merge, refuse, folder=None):
  """Reads a log.

  Args:
    connection, relation, names, kinds, refuse: of `judge`.
    merge: 'sum', 'max' or 'last', by time and then by row: what becomes of the values of a pair.
    folder: where the columns are kept as memory-mapped files; in memory if None.

  Returns:
    (user ids str `[users]`, item ids str `[items]`, `Interactions` sorted by user and item, counts by reason).

  Raises:
    DataError: for the first bad row, where these are refused; where no row is left.
  """
  counts, usable = judge(connection, relation, names, kinds, refuse)
  ids = {role: _ids(connection, role) for role in ('user', 'item')}
  if not usable:
    raise DataError(f'{relation.name}: no row of {counts["read"]} is left ({counts})')
  log = _columns(connection, usable, merge, names['time'], folder)
  counts |= {'pairs': len(log), 'were_merged': usable - len(log)}
  return ids['user'], ids['item'], log, counts


def judge(connection, relation, names, kinds, refuse):
  """Makes the table `log` of all rows: user, item, value, time, file, and a reason where a row cannot be used.

  Args:
    connection: of DuckDB, on disk where the log may be larger than memory.
    relation: the `Relation` of the log.
    names: the columns for user, item and, or None, value, time and event.
    kinds: the value of each kind of event, 0 for those that are left out; {} where all count alike.
    refuse: whether a bad row is an error, rather than dropped and counted.

  Returns:
    (counts of rows read and of rows dropped by reason, the number of usable rows).

  Raises:
    DataError: for a log without rows; for the first bad row, where these are refused.
  """
  counts = _count(connection, relation, _judge(connection, relation, names, kinds), refuse)
  return counts, counts['read'] - sum(number for reason, number in counts.items() if reason != 'read')


def _judge(connection, relation, names, kinds):
  """Makes the table `log`; returns the `_Reason`s, whose places are the codes in its column `reason`."""
  value, event, time = (None if not names[role] else quoted(names[role]) for role in ('value', 'event', 'time'))
  made = {role: f'trim({quoted(names[role])})' for role in ('user', 'item')} | {
    'number': f'try_cast(trim({value}) as double)' if value else '1.0::double', 'weight': '1.0::double',
    'time': _moment(time) if time else 'null::bigint'}
  reasons = [reason for role, name in (('user', 'a_user_id'), ('item', 'an_item_id')) for reason in (
    _Reason(f'{name}_is_empty', names[role], f"coalesce({role}, '') = ''", 'a text that is not empty'),
    _Reason(f'{name}_is_no_plain_text', names[role], f'length({role}) > {LONGEST_ID} or contains({role}, chr(0))',
            f'up to {LONGEST_ID} characters, NUL is none'))]
  if value:
    reasons.append(_Reason('a_value_is_no_number', names['value'],
                           f'not coalesce(number between 0 and {_LARGEST}, false)', 'finite numbers from 0 on'))
  if kinds:
    cases = ' '.join(f'when {literal(kind)} then {weight}' for kind, weight in kinds.items())
    made['weight'] = f'(case trim({event}) {cases} end)::double'
    reasons.append(_Reason('an_event_is_unknown', names['event'], 'weight is null', ', '.join(kinds)))
  if time:
    latest = int(clock.time()) + _DAY
    reasons.append(_Reason('a_time_is_unreadable', names['time'], f'not coalesce(time between 0 and {latest}, false)',
                           'seconds, milliseconds or microseconds since 1970, or ISO 8601, from 1970 to now'))
  # A value of zero is no mistake, and no interaction.
  tests = [*(reason.test for reason in reasons), f'number * weight < {_SMALLEST}']
  reason = 'case ' + ' '.join(f'when {test} then {k}' for k, test in enumerate(tests)) + ' end'
  columns = ', '.join(f'{sql} as {name}' for name, sql in made.items())
  connection.execute(
    f'create table log as select user, item, number * weight as value, time, ({reason})::utinyint as reason, file '
    f'from (select {columns}, _file as file from {relation.sql})')
  return reasons


def _moment(column):
  """SQL for seconds since 1970 in UTC: numbers by their size, texts as ISO 8601; null where neither."""
  number = f'try_cast(trim({column}) as double)'
  # DuckDB reads a zone without heeding it, so it is taken off and counted here.
  day, clock, sign, hours, minutes = (f"regexp_extract({column}, '{_ISO}', {group})" for group in range(1, 6))
  zone = (f"case {sign} when '' then 0 else (case {sign} when '-' then -1 else 1 end) * (3600 * {hours}::bigint "
          f"+ 60 * coalesce(try_cast({minutes} as bigint), 0)) end")
  return (f'case when {number} is not null then try_cast(floor(case when abs({number}) < 1e11 then {number} '
          f'when abs({number}) < 1e14 then {number} / 1e3 else {number} / 1e6 end) as bigint) '
          f"when {day} = '' then null "
          f"else cast(floor(epoch(try_cast({day} || ' ' || coalesce(nullif({clock}, ''), '00:00') as timestamp))) "
          f'as bigint) - {zone} end')


def _count(connection, relation, reasons, refuse):
  """The number of rows read, and of those that cannot be used by reason.

  Raises:
    DataError: for a log without rows; for the first bad row, where these are refused.
  """
  found = {reason: (number, first) for reason, number, first in connection.execute(
    'select reason, count(*), min(rowid) from log group by reason').fetchall()}
  if not found:
    raise DataError(f'{relation.name}: holds a header and no row')
  broken = malformed(connection)
  counts = {'read': broken + sum(number for number, _ in found.values()), 'have_other_columns': broken}
  for k, reason in enumerate(reasons):
    number, row = found.get(k, (0, None))
    counts[reason.name] = number
    if number and refuse:
      raise DataError(f'{_where(connection, relation, row, reason.column)}; allowed are {reason.allowed} ({number} '
                      'such rows; --config.data.tables.bad_rows=drop leaves them out)')
  return counts | {'have_the_value_zero': found.get(len(reasons), (0, None))[0]}


def _where(connection, relation, row, column):
  """File, row, column and value of a row of the log, counted from 0 over all files."""
  file, = connection.execute('select file from log where rowid = ?', [row]).fetchone()
  before, = connection.execute('select min(rowid) from log where file = ?', [file]).fetchone()
  value, = connection.execute(f'select {quoted(column)} from {relation.sql} limit 1 offset {row}').fetchone()
  shown = repr(value if value is None or len(value) < 100 else f'{value[:100]}...')
  name = relation.name if len(relation.files.names) == 1 else file
  return f'{name}, row {row - before + 1}, column {column}: {shown}'


def _ids(connection, role):
  """Makes the table of a role's ids and their codes, in the order of the ids; returns the ids, str `[n]`."""
  connection.execute(f'create table {role}s as select id, (row_number() over (order by id) - 1)::integer as code '
                     f'from (select distinct {role} as id from log where reason is null)')
  return np.array(connection.sql(f'select id from {role}s order by code').fetchnumpy()['id'], str)


def _columns(connection, rows, merge, timed, folder):
  """The `Interactions` of the usable rows, a row a pair; read in batches, so that memory does not grow with the log."""
  kinds = {'user': np.int32, 'item': np.int32, 'value': np.float32} | ({'time': np.int64} if timed else {})
  columns = {name: _new(folder, name, kind, rows) for name, kind in kinds.items()}
  # Sorted, so that a sum has one order and the same bits on any number of threads.
  last = ', coalesce(time, 0)' if merge == 'last' else ''
  batches = connection.sql(
    'select users.code as user, items.code as item, value, coalesce(time, 0) as time from log '
    'join users on users.id = log.user join items on items.id = log.item where reason is null '
    f'order by users.code, items.code{last}, log.rowid').to_arrow_reader(_BATCH)
  size, left = 0, None
  for batch in batches:
    found = {name: batch.column(name).to_numpy() for name in ('user', 'item', 'value', 'time')}
    if left is not None:
      found = {name: np.concatenate([left[name], column]) for name, column in found.items()}
    # The last pair may go on in the next batch.
    last_pair = (found['user'] == found['user'][-1]) & (found['item'] == found['item'][-1])
    end = int(np.argmax(last_pair))
    left = {name: column[end:] for name, column in found.items()}
    if end:
      size = _put(columns, size, merged({name: column[:end] for name, column in found.items()}, merge))
  size = _put(columns, size, merged(left, merge))
  columns = {name: _cut(folder, name, column, size) for name, column in columns.items()}
  return Interactions(columns['user'], columns['item'], columns['value'], columns.get('time'))


def _put(columns, size, pairs):
  """Writes pairs behind the first `size` ones; returns how many there are now."""
  place = slice(size, size + len(pairs['user']))
  for name, column in columns.items():
    column[place] = pairs[name]
  return place.stop


def _new(folder, name, kind, rows):
  if folder is None:
    return np.empty(rows, kind)
  return np.lib.format.open_memmap(os.path.join(folder, f'{name}.npy'), 'w+', kind, (rows,))


def _cut(folder, name, column, size):
  """The first `size` rows; of a mapped file by writing them anew where there are more."""
  if len(column) == size:
    return column
  if folder is None:
    return column[:size].copy()
  path = os.path.join(folder, f'{name}.npy')
  short = np.lib.format.open_memmap(f'{path}.short', 'w+', column.dtype, (size,))
  for start in range(0, size, _BATCH):
    short[start:start + _BATCH] = column[start:min(start + _BATCH, size)]
  del column
  os.replace(f'{path}.short', path)
  return short
