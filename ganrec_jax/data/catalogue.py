"""The catalogue of one's own items: titles, texts, attributes and ready vectors, one row an item of the log."""

import dataclasses
import html
import json
import math
import re

import numpy as np

from ganrec_jax.data.relations import malformed, quoted
from ganrec_jax.data.types import Catalogue
from ganrec_jax.errors import DataError

LONGEST_TITLE, LONGEST_TEXT = 300, 4000  # characters; what is longer is cut and counted
_TAG = re.compile(r'<[^>]{0,200}>')
# Control signs, and those that turn the direction of writing or cannot be seen.
_UNPRINTABLE = re.compile('[\x00-\x1f\x7f-\x9f\u200b\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]+')
_SEPARATED = re.compile(r'\s*[|;,]\s*')
_FIELD = re.compile(r'{(.*?)}')
_STEPS = (1, 2, 5)


@dataclasses.dataclass(frozen=True)
class Columns:
  """Which column of a catalogue is what.

  Attributes:
    key: the item's id.
    title: or None.
    template: the text, with {column} for columns; '' is the title and all columns that hold words.
    phrases: columns whose parts, divided by |, ; or , or the entries of a list, are attributes.
    numbers: columns whose numbers become attributes by their size, such as 'price 5-10'.
    vectors: a column with a list of numbers, an image's or a sound's features, or a .npy file with a row for each row
      of the catalogue, or None.
  """
  key: str
  title: str | None
  template: str
  phrases: tuple[str, ...]
  numbers: tuple[str, ...]
  vectors: str | None


def read(connection, relation, columns, item_ids, refuse):
  """The `Catalogue` of the items of the log, and what was found and missed on the way.

  Args:
    connection: of DuckDB, with the table `items` (id) of the log.
    relation: the `Relation` of the catalogue.
    columns: its `Columns`.
    item_ids: str `[items]`, the ids of `items` in order.
    refuse: whether an item that occurs twice with other words is an error, rather than read from its first row.

  Raises:
    DataError: for a column that is not there, or what is refused, with its file and row.
  """
  in_file = bool(columns.vectors) and columns.vectors.endswith('.npy')
  for name in (*columns.phrases, *columns.numbers, *_FIELD.findall(columns.template),
               *filter(None, (columns.title, None if in_file else columns.vectors))):
    if name not in relation.columns:
      raise DataError(f'{relation.name}: no column {name!r}; there are {", ".join(relation.columns)}')
  connection.execute(f'create table catalogue as select * from {relation.sql}')
  broken = malformed(connection)
  total, = connection.execute('select count(*) from catalogue').fetchone()
  # Neither sorted nor numbered by DuckDB, which would hold all texts in memory for that.
  firsts = dict(connection.execute('select _file, min(rowid) from catalogue group by _file').fetchall())
  rows = connection.execute(f'select catalogue.*, catalogue.rowid from catalogue join items on items.id = '
                            f'trim(catalogue.{quoted(columns.key)})').fetchall()
  rows.sort(key=lambda row: row[-1])
  entries, places, repeated = _entries(rows, firsts, relation, columns, refuse)
  counts = {'rows': total + broken, 'rows_with_other_columns': broken,
            'rows_of_items_without_interaction': total - len(rows), 'repeated': repeated,
            'items_without_row': sum(identity not in entries for identity in item_ids.tolist()),
            'titles_cut': 0, 'texts_cut': 0}
  titles, texts, attributes = zip(*(_item(entries.get(identity), identity, columns, counts)
                                    for identity in item_ids.tolist()), strict=True)
  counts['items_without_text'] = sum(not text for text in texts)
  found = None
  if columns.vectors:
    found = (_vectors_of_file(columns.vectors, total, [places.get(identity, -1) for identity in item_ids.tolist()])
             if in_file else _vectors_of_column(entries, item_ids, relation, columns.vectors))
    counts['items_without_vector'] = int((~found.any(1)).sum())
  return Catalogue(item_ids, np.array(titles), np.array(texts), attributes, found), {'catalogue': counts}


def of_ids(item_ids):
  """The `Catalogue` of items of which nothing but the ids is known."""
  return Catalogue(item_ids, item_ids, item_ids, ((),) * len(item_ids))


def _entries(rows, firsts, relation, columns, refuse):
  """The first row of each item as a dict, and its place, both by id; how many rows came after first ones.

  `firsts` has the place of the first row of each file.
  """
  entries, places, repeated = {}, {}, 0
  for *values, file, place in rows:
    entry = dict(zip(relation.columns, values, strict=True))
    identity = entry[columns.key].strip()
    if identity in entries:
      repeated += 1
      if entries[identity] != entry and refuse:
        row = place - firsts[file] + 1
        raise DataError(f'{file}, row {row}, column {columns.key}: {identity!r} occurs before with other words; '
                        'allowed is one row for each item (--config.data.tables.bad_rows=drop keeps the first)')
    entries.setdefault(identity, entry)
    places.setdefault(identity, place)
  return entries, places, repeated


def parts(value):
  """The parts of a cell: the entries of a JSON list, at any depth, or the cell itself; none of an empty one."""
  if not value:
    return []
  if value.startswith('[') and value.endswith(']'):
    try:
      found = json.loads(value)
    except ValueError:
      return [value]
    return [part for entry in found if entry is not None
            for part in parts(entry if isinstance(entry, str) else json.dumps(entry))]
  return [value]


def words(value):
  """A cell as one line of words: lists joined, without HTML tags, entities, control signs and repeated blanks."""
  text = '. '.join(parts(value))
  return ' '.join(html.unescape(_UNPRINTABLE.sub(' ', _TAG.sub(' ', html.unescape(text)))).split())


def size_class(value):
  """The 1-2-5 class that holds a number, such as '5-10' for 7.5; '0' for zero, None for what is no number.

  The classes are fixed, so that nothing is fitted to items that must not be seen.
  """
  try:
    number = float(value.strip().lstrip('$€£').replace(',', ''))
  except (AttributeError, ValueError):
    return None
  if not math.isfinite(number):
    return None
  if not number:
    return '0'
  power = math.floor(math.log10(abs(number)))
  # The smallest step may lie above the number where the logarithm was rounded up.
  edges = [step * 10. ** place for place in (power - 1, power, power + 1) for step in _STEPS]
  low = max(edge for edge in edges if edge <= abs(number) * (1 + 1e-12))
  return f'{"-" if number < 0 else ""}{low:g}-{edges[edges.index(low) + 1]:g}'


def _item(entry, identity, columns, counts):
  """Title, text and attributes of one item; its id and nothing where the catalogue lacks it."""
  if entry is None:
    return identity, '', ()
  name = words(entry[columns.title]) if columns.title else ''
  sizes = [f'{column} {found}' for column in columns.numbers if (found := size_class(entry[column]))]
  if columns.template:
    text = words(_FIELD.sub(lambda found: words(entry[found[1]]), columns.template))
  else:
    # What is no word, such as a price or a link, tells an encoder nothing.
    rest = (words(value) for column, value in entry.items()
            if column not in (columns.key, columns.title, columns.vectors) and value)
    text = '. '.join(part for part in (name, *(r for r in rest if _tells(r))) if part)
  text = '. '.join(part for part in (text, *sizes) if part)
  found = (part for column in columns.phrases for cell in parts(entry[column])
           for part in (_SEPARATED.split(words(cell)) if cell == entry[column] else [words(cell)]))
  counts['titles_cut'] += len(name) > LONGEST_TITLE
  counts['texts_cut'] += len(text) > LONGEST_TEXT
  return (name[:LONGEST_TITLE] or identity, text[:LONGEST_TEXT],
          tuple(dict.fromkeys(part[:LONGEST_TITLE] for part in (*found, *sizes) if part)))


def _tells(text):
  return bool(re.search(r'[^\W\d]{2}', text)) and not text.startswith(('http://', 'https://'))


def _vectors_of_column(entries, item_ids, relation, column):
  """The ready vectors float32 `[items, dim]` in a column, zeros where an item has none."""
  found, dim = {}, None
  for place, identity in enumerate(item_ids.tolist()):
    cell = entries[identity][column] if identity in entries else None
    if not cell:
      continue
    try:
      vector = np.asarray(json.loads(cell), np.float32)
    except ValueError:
      vector = np.empty(())
    if vector.ndim != 1 or not np.isfinite(vector).all() or len(vector) != (dim or max(len(vector), 1)):
      raise DataError(f'{relation.name}, item {identity!r}, column {column}: {cell[:80]!r}; allowed is a list of '
                      f'{dim or "some"} finite numbers, as many for each item')
    found[place], dim = vector, len(vector)
  if dim is None:
    raise DataError(f'{relation.name}, column {column}: no item has a vector')
  rows = np.zeros((len(item_ids), dim), np.float32)
  rows[list(found)] = list(found.values())
  return rows


def _vectors_of_file(path, total, places):
  """The rows float32 `[items, dim]` at `places` of a .npy file, zeros where a place is -1."""
  try:
    stored = np.load(path, mmap_mode='r', allow_pickle=False)
  except (OSError, ValueError, EOFError) as error:
    raise DataError(f'{path}: cannot be read as an array ({error})') from error
  if stored.ndim != 2 or stored.dtype.kind != 'f' or len(stored) != total:
    raise DataError(f'{path}: {stored.dtype} of shape {stored.shape}; allowed are floats of shape ({total}, dim), a '
                    'row for each row of the catalogue')
  places = np.array(places)
  rows = np.where(places[:, None] >= 0, stored[np.maximum(places, 0)], 0).astype(np.float32)
  bad = np.flatnonzero(~np.isfinite(rows).all(1))
  if len(bad):
    raise DataError(f'{path}, row {places[bad[0]] + 1}: holds a number that is not finite')
  return rows
