"""Splits as files: CSV with the columns user_id, item_id, part and in_all, written and read in blocks of rows."""

import codecs
import contextlib
import csv
import gzip
import itertools
import operator
import re
import zlib
from pathlib import Path

import numpy as np

from ganrec_jax.artifacts import write_atomically
from ganrec_jax.data.clean import restrict
from ganrec_jax.data.types import PARTS, Split
from ganrec_jax.errors import DataError

_COLUMNS = ('user_id', 'item_id', 'part', 'in_all')
_SPECIAL = re.compile('[",\r\n]')
_BLOCK = 1 << 13  # rows at a time: they stay in the processor's cache
_PADDING = 0xff  # a byte that UTF-8 does not have
_LEVEL = 6  # of gzip; the highest takes three times as long for 2% less


def cells(words):
  """The UTF-8 bytes of `words [n]`, uint8 `[n, width]`, padded for `write_rows`."""
  encoded = [word.encode() for word in words]
  lengths = np.array([len(word) for word in encoded])
  table = np.full((len(encoded), max(1, lengths.max(initial=0))), _PADDING, np.uint8)
  table[np.arange(table.shape[1]) < lengths[:, None]] = np.frombuffer(b''.join(encoded), np.uint8)
  return table


def write_rows(file, rows, columns):
  """Writes a line for each of `rows [n]` to a binary file, some at a time.

  Args:
    file: where to.
    rows: int `[n]`.
    columns: functions of rows `[m]` to their cells uint8 `[m, width]`, see `cells`; separators are part of the cells.
  """
  for start in range(0, len(rows), _BLOCK):
    block = np.concatenate([column(rows[start:start + _BLOCK]) for column in columns], axis=1)
    file.write(block[block != _PADDING].tobytes())


def _quoted(word):
  return '"' + word.replace('"', '""') + '"' if _SPECIAL.search(word) else word


def write_split(path, dataset, split):
  """Writes the used rows in the order of the log as CSV, gzipped where the name ends in .gz; equal splits, equal bytes.

  Columns are user_id, item_id, part and in_all (0 or 1).

  Raises:
    UserError: where it cannot be written; the file appears whole or not at all.
  """
  log, path = dataset.interactions, Path(path)
  users, items = (cells([f'{_quoted(word)},' for word in ids.tolist()])
                  for ids in (dataset.user_ids, dataset.catalogue.ids))
  ends = cells([f'{part},{flag}\n' for part in PARTS for flag in (0, 1)])
  columns = (lambda rows: users[log.user[rows]], lambda rows: items[log.item[rows]],
             lambda rows: ends[2 * split.part[rows] + split.in_all[rows]])

  def write(file):
    with contextlib.ExitStack() as stack:
      if path.suffix == '.gz':
        file = stack.enter_context(gzip.GzipFile('', 'wb', _LEVEL, file, mtime=0))
      file.write((','.join(_COLUMNS) + '\n').encode())
      write_rows(file, np.flatnonzero(split.part), columns)
  write_atomically(path, write)


def _first_bad_byte(path):
  """The place and value of the first byte that is not UTF-8."""
  decoder, place = codecs.getincrementaldecoder('utf-8')(), 0
  with (gzip.open if path.suffix == '.gz' else open)(path, 'rb') as file:
    while True:
      chunk, pending = file.read(1 << 20), len(decoder.getstate()[0])
      try:
        decoder.decode(chunk, final=not chunk)
      except UnicodeDecodeError as error:
        return place - pending + error.start, error.object[error.start]
      place += len(chunk)


@contextlib.contextmanager
def _reader(path):
  """A CSV reader of a file, and its header; what is wrong with the file is a `DataError`."""
  reader = None
  try:
    with (gzip.open if path.suffix == '.gz' else open)(path, 'rt', encoding='utf-8-sig', newline='') as file:
      reader = csv.reader(file, strict=True)
      yield reader, next(reader, [])
  except csv.Error as error:
    raise DataError(f'{path}, row {reader.line_num}: {error}; allowed is CSV') from error
  except (EOFError, zlib.error, gzip.BadGzipFile) as error:
    raise DataError(f'{path}: damaged gzip file ({error}); copy it again') from error
  except OSError as error:
    raise DataError(f'{path}: cannot be read ({error.strerror})') from error
  except UnicodeDecodeError as error:
    place, byte = _first_bad_byte(path)
    raise DataError(f'{path}: byte {place} is {byte:#x}, allowed is UTF-8') from error


def read_columns(path):
  """The columns of a split file as they are written: user ids, item ids, parts and in_all, str `[n]` each.

  Raises:
    DataError: for a file that is missing or damaged, or lacks a column.
  """
  blocks = [columns for _, columns in _blocks(Path(path))]
  return tuple(np.concatenate([np.array(block[k]) for block in blocks]) for k in range(len(_COLUMNS)))


def _line(path, row):
  """The line in which row `row` (from 0, after the header) of the file ends; fields may hold line breaks."""
  with _reader(path) as (reader, _):
    next(itertools.islice(reader, row, None))
    return reader.line_num


def _blocks(path):
  """The rows of a file, some at a time: the number of the first, and the columns `_COLUMNS` as tuples of str."""
  with _reader(path) as (reader, header):
    missing = [name for name in _COLUMNS if name not in header]
    if missing:
      raise DataError(f'{path}, row 1: no column {", ".join(missing)} among {", ".join(header)!r}; allowed is the '
                      f'header {",".join(_COLUMNS)}')
    pick, first = operator.itemgetter(*(header.index(name) for name in _COLUMNS)), 0
    while block := list(itertools.islice(reader, _BLOCK)):
      widths = list(map(len, block))
      if widths.count(len(header)) < len(block):
        row = next(row for row, width in enumerate(widths) if width != len(header))
        raise DataError(f'{path}, row {_line(path, first + row)}: {widths[row]} columns where the header has '
                        f'{len(header)}')
      yield first, tuple(zip(*map(pick, block), strict=True))
      first += len(block)
  if not first:
    raise DataError(f'{path}: no rows after the header')


def _refuse(path, row, column, value, allowed):
  raise DataError(f'{path}, row {_line(path, row)}, column {column}: {value!r}; allowed is {allowed}')


def _find(keys, values):
  """The index int64 `[n]` of each of `values` in the unique `keys`, -1 where it is not there."""
  order = np.argsort(keys, kind='stable')
  index = order[np.minimum(np.searchsorted(keys, values, sorter=order), len(keys) - 1)]
  return np.where(keys[index] == values, index, -1)


def read_split(path, dataset):
  """Reads the split that a file in the form of `write_split` holds.

  Returns:
    (dataset, split): the dataset restricted to the pairs of the file (others are counted in `info['dropped']`), and the
    `Split` of its interactions.

  Raises:
    DataError: for a file that is missing or damaged, a missing column, an unknown part, an in_all that is not 0 or 1, a
      pair that occurs twice, a pair that the data do not have; the message names file, row, column and value.
  """
  path, name = Path(path), dataset.info['name']
  codes = {part: code for code, part in enumerate(PARTS) if part != 'unused'}
  columns = [  # as in `_COLUMNS`: the index of each word, its type, and what is allowed
    ({word: place for place, word in enumerate(dataset.user_ids.tolist())}, np.int32, f'a user of {name}'),
    ({word: place for place, word in enumerate(dataset.catalogue.ids.tolist())}, np.int32, f'an item of {name}'),
    (codes, np.int8, ', '.join(codes)), ({'0': 0, '1': 1}, np.int8, '0 or 1')]
  found = []
  for first, block in _blocks(path):
    found.append([])
    for column, words, (places, kind, allowed) in zip(_COLUMNS, block, columns, strict=True):
      index = np.fromiter(map(places.get, words, itertools.repeat(-1)), kind, len(words))
      if index.min() < 0:
        row = int(np.argmax(index < 0))
        _refuse(path, first + row, column, words[row], allowed)
      found[-1].append(index)
  user, item, part, in_all = (np.concatenate(arrays) for arrays in zip(*found, strict=True))
  pairs, log = user.astype(np.int64) * dataset.items + item, dataset.interactions

  def refuse(row, allowed):
    names = str(dataset.user_ids[user[row]]), str(dataset.catalogue.ids[item[row]])
    _refuse(path, row, 'user_id and item_id', names, allowed)
  order = np.argsort(pairs, kind='stable')
  repeated = order[1:][pairs[order][1:] == pairs[order][:-1]]
  if len(repeated):
    refuse(int(repeated.min()), 'each pair once')
  row = _find(log.user.astype(np.int64) * dataset.items + log.item, pairs)
  if row.min() < 0:
    refuse(int(np.argmax(row < 0)), f'an interaction of {name}')
  by = np.argsort(row, kind='stable')
  return restrict(dataset, row[by], 'not_in_split_file'), Split(part[by], in_all[by] == 1)
