"""Files whose lines are Python dictionaries, as Python 2 printed them: read as literals, nothing is ever evaluated."""

import ast
import dataclasses
import datetime
import gzip
import os
import zlib

from tqdm import tqdm

from ganrec_jax.errors import DataError

LONGEST_LINE = 2**20  # bytes
_SHOW_EVERY = 10_000  # lines


@dataclasses.dataclass(frozen=True, slots=True)
class Record:
  """One line of a file: where it is, and its fields."""
  path: str
  line: int
  fields: dict

  def text(self, field):
    """A field that holds a text, or None where it is absent.

    Raises:
      DataError: for anything else; so do the other methods.
    """
    value = self.fields.get(field)
    if value is None:
      return None
    if not isinstance(value, str):
      self.refuse(field, 'a text')
    return _mended(value)

  def texts(self, field):
    """A field that holds a list of texts; an empty list where it is absent."""
    value = self.fields.get(field) or []
    if not isinstance(value, list) or not all(isinstance(part, str) for part in value):
      self.refuse(field, 'a list of texts')
    return [_mended(part) for part in value]

  def number(self, field, most):
    """A field that holds a number from 0 to `most`, or None where it is absent."""
    value = self.fields.get(field)
    if value is not None and (isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= most):
      self.refuse(field, f'a number from 0 to {most}')
    return value

  def day(self, field):
    """A field that holds a day such as 2017-12-17, as a text."""
    try:
      return datetime.date.fromisoformat(self.fields.get(field)).isoformat()
    except (TypeError, ValueError):
      self.refuse(field, 'a day such as 2017-12-17')

  def refuse(self, field, allowed):
    """Raises a `DataError` that names the place and the value of a field."""
    raise DataError(f'{self.path}, line {self.line}, column {field}: {_shown(repr(self.fields.get(field)))}; '
                    f'allowed is {allowed}')


def _mended(text):
  """The text with surrogate pairs, which some builds of Python 2 printed for rare signs, made into signs again."""
  try:
    text.encode()
  except UnicodeEncodeError:
    return text.encode('utf-16-le', 'surrogatepass').decode('utf-16-le', 'replace')
  return text


def _shown(text):
  return text if len(text) <= 100 else f'{text[:100]}...'


def records(path):
  """Yields the `Record` of each line of a .gz file that is not blank, with a progress bar.

  Raises:
    DataError: naming file and line, for a line that is no dictionary of literals or longer than `LONGEST_LINE`, and for
      a damaged archive.
  """
  number = 0
  try:
    with open(path, 'rb') as raw, gzip.open(raw) as lines, tqdm(
        total=os.path.getsize(path), desc=os.path.basename(path), unit='B', unit_scale=True, mininterval=1.) as bar:
      while line := lines.readline(LONGEST_LINE + 1):
        number += 1
        if number % _SHOW_EVERY == 0:
          bar.update(raw.tell() - bar.n)
        if not line.isspace():
          yield Record(str(path), number, _parse(path, number, line))
      bar.update(raw.tell() - bar.n)
  except (OSError, EOFError, zlib.error) as error:
    raise DataError(f'{path}, after line {number}: damaged or truncated archive ({error}); get it anew') from error
  if not number:
    raise DataError(f'{path}: holds no line')


def _parse(path, number, line):
  if len(line) > LONGEST_LINE:
    raise DataError(f'{path}, line {number}: is longer than {LONGEST_LINE:,} bytes, which is the most allowed')
  try:
    found = ast.literal_eval(line.decode().strip())
  except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
    found = None
  if not isinstance(found, dict):
    raise DataError(f'{path}, line {number}: {_shown(repr(line.decode(errors="replace").strip()))}; allowed is a '
                    "dictionary of literals such as {u'username': u'somebody', u'hours': 1.2}")
  return found
