"""Splits as RecBole's atomic files, so that its models can be run on the same rows.

The form: https://recbole.io/docs/user_guide/data/atomic_files.html. Of the data set NAME there are, in the folder NAME:
- NAME.train.inter, NAME.valid.inter and NAME.test.inter, the warm rows, read by `benchmark_filename: [train, valid,
  test]`;
- NAME.cold_valid.inter, NAME.cold_test.inter, NAME.history.inter, NAME.user_valid.inter and NAME.user_test.inter, the
  rows of new items and new users, and NAME.all_valid.inter and NAME.all_test.inter, the targets of the task `all`; each
  where there are such rows, and read only where `benchmark_filename` names them;
- NAME.item, the catalogue: attributes are tokens, with _ for their blanks, since blanks separate tokens there. A title
  or text that a spreadsheet would run as a formula is quoted; ids stay as they are, since they are read back.
"""

import re
from pathlib import Path

import numpy as np

from ganrec_jax.artifacts import write_atomically
from ganrec_jax.data.split_files import cells, write_rows
from ganrec_jax.data.types import PARTS
from ganrec_jax.errors import DataError

_BREAKS = re.compile(r'[\t\r\n]+')


def _field(word):
  # RecBole reads by pandas, to which a quotation mark at the start of a field is more than a character.
  return _BREAKS.sub(' ', word).replace('"', "'")


def _words(text):
  """A title or a text as a field; what a spreadsheet would take for a formula is quoted, as OWASP advises."""
  field = _field(text)
  return f"'{field}" if field.startswith(('=', '+', '-', '@')) else field


def _ids(words, what):
  """The ids as fields.

  Raises:
    DataError: where two become the same.
  """
  fields, of = [_field(word) for word in words.tolist()], {}
  for word, field in zip(words.tolist(), fields, strict=True):
    if of.setdefault(field, word) != word:
      raise DataError(f'the {what} ids {of[field]!r} and {word!r} are the same without tabs, line breaks and quotation '
                      'marks, which atomic files cannot hold; rename one')
  return fields


def _numbers(values, end):
  """A column of numbers for `write_rows`; each is written with the fewest digits that tell it apart."""
  def column(rows):
    found, place = np.unique(values[rows], return_inverse=True)
    words = map(str, found.tolist()) if found.dtype.kind == 'i' else (
      np.format_float_positional(value, trim='-') for value in found)
    return cells([f'{word}{end}' for word in words])[place]
  return column


def write(folder, name, dataset, split):
  """Writes the data set `name` into `folder/name`; a file of a part without rows is removed where there is one.

  Raises:
    DataError: where ids are not distinct without tabs, line breaks and quotation marks.
    UserError: where a file cannot be written.
  """
  log, catalogue = dataset.interactions, dataset.catalogue
  users, items = _ids(dataset.user_ids, 'user'), _ids(catalogue.ids, 'item')
  user_cells, item_cells = (cells([f'{field}\t' for field in fields]) for fields in (users, items))
  timed = log.time is not None
  columns = [lambda rows: user_cells[log.user[rows]], lambda rows: item_cells[log.item[rows]],
             _numbers(log.value, '\t' if timed else '\n')] + ([_numbers(log.time, '\n')] if timed else [])
  header = 'user_id:token\titem_id:token\trating:float' + ('\ttimestamp:float' if timed else '') + '\n'

  def put(end, first_line, content):
    def write_file(file):
      file.write(first_line.encode())
      content(file)
    write_atomically(Path(folder) / name / f'{name}.{end}', write_file)

  parts = {part: split.rows(part) for part in PARTS if part != 'unused'}
  for held_out in ('valid', 'test'):
    both = split.rows(held_out, f'cold_{held_out}')
    parts[f'all_{held_out}'] = both[split.in_all[both]] if len(parts[f'cold_{held_out}']) else both[:0]
  for part, rows in parts.items():
    if len(rows) or part in ('train', 'valid', 'test'):
      put(f'{part}.inter', header, lambda file, rows=rows: write_rows(file, rows, columns))
    else:
      (Path(folder) / name / f'{name}.{part}.inter').unlink(missing_ok=True)
  lines = ('\t'.join((item, _words(title), _words(text), ' '.join(re.sub(r'\s+', '_', _field(p)) for p in phrases)))
           for item, title, text, phrases in zip(items, catalogue.titles.tolist(), catalogue.texts.tolist(),
                                                 catalogue.phrases, strict=True))
  put('item', 'item_id:token\ttitle:token_seq\ttext:token_seq\tphrases:token_seq\n',
      lambda file: file.writelines(f'{line}\n'.encode() for line in lines))
