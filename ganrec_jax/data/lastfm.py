"""Last.fm listening counts and artist tags (HetRec 2011).

The archives in circulation differ in line ends, header lines and blanks around numbers, so that no checksum fits them
all: the published counts are checked instead.
"""

import dataclasses

import numpy as np

from ganrec_jax.data import files
from ganrec_jax.data.clean import merge_duplicates
from ganrec_jax.data.published import Archive, Source
from ganrec_jax.data.types import Catalogue, Dataset, Interactions
from ganrec_jax.errors import DataError

ARCHIVE = 'hetrec2011-lastfm-2k.zip'
PUBLISHED = {'users': 1892, 'artists': 17632, 'user_artists rows': 92834, 'tag assignments': 186479, 'tags': 11946,
             'user_friends rows': 25434}
TAGS_PER_ARTIST = 10

# The members of the archive: their columns, and their encoding.
_MEMBERS = {
  'artists.dat': (('id', 'name', 'url', 'pictureURL'), 'utf-8-sig'),
  'tags.dat': (('tagID', 'tagValue'), 'iso-8859-1'),
  'user_artists.dat': (('userID', 'artistID', 'weight'), 'utf-8-sig'),
  'user_friends.dat': (('userID', 'friendID'), 'utf-8-sig'),
  'user_taggedartists.dat': (('userID', 'artistID', 'tagID', 'day', 'month', 'year'), 'utf-8-sig'),
}
_LARGEST = 10 ** 15


@dataclasses.dataclass(frozen=True)
class _Table:
  """One member of the archive as text: the row number of its first record, and its columns by name."""
  member: str
  first: int
  columns: dict

  def numbers(self, column, lowest=0):
    """A column as int64 `[n]`; blanks around a number are no part of it."""
    values = [value.strip(' ') for value in self.columns[column]]
    bad = [k for k, v in enumerate(values)
           if not (v.isascii() and v.isdigit() and len(v) <= 16 and lowest <= int(v) <= _LARGEST)]
    if bad:
      raise DataError(self.where(bad[0], column) + f', allowed is a whole number from {lowest} to {_LARGEST}')
    return np.array(list(map(int, values)), np.int64)

  def where(self, k, column):
    """The place and the value of record `k`, for an error."""
    return f'{self.member}, row {self.first + k}, column {column}: {self.columns[column][k]!r}'

  def refuse(self, bad, column, allowed):
    """Raises a `DataError` for the first of the `bad` records, bool `[n]`."""
    if bad.any():
      raise DataError(f'{self.where(int(np.argmax(bad)), column)}, allowed is {allowed}')


def _parse(member, content):
  """The `_Table` in the bytes of a member; line ends LF or CRLF, with or without its header line."""
  header, encoding = _MEMBERS[member]
  try:
    text = content.decode(encoding)
  except UnicodeDecodeError as error:
    row = content.count(b'\n', 0, error.start) + 1
    raise DataError(f'{member}, row {row}: byte {content[error.start]:#x}, allowed is UTF-8') from error
  lines = text.replace('\r\n', '\n').rstrip('\r\n').split('\n')
  first = 2 if lines[0].split('\t') == list(header) else 1
  rows = [line.split('\t') for line in lines[first - 1:]]
  if not rows:
    raise DataError(f'{member}: no rows after the header')
  bad = [k for k, row in enumerate(rows) if len(row) != len(header)]
  if bad:
    raise DataError(f'{member}, row {first + bad[0]}: {len(rows[bad[0]])} columns in {rows[bad[0]]}, allowed are '
                    f'{len(header)} divided by tabs: {", ".join(header)}')
  return _Table(member, first, dict(zip(header, zip(*rows, strict=True), strict=True)))


def _unique_ids(table, column):
  ids = table.numbers(column)
  repeated = np.ones(len(ids), bool)
  repeated[np.unique(ids, return_index=True)[1]] = False
  table.refuse(repeated, column, 'each id once')
  return ids


def _top_tags(artist, tag_ids, known_tags, labels, num_artists):
  """The most frequent tags of each artist, most frequent first, ties by the tag's text.

  Args:
    artist: int `[assignments]`, an index.
    tag_ids: int64 `[assignments]`, each one of `known_tags`.
    known_tags: int64 `[tags]`.
    labels: str `[tags]`, the tags' texts.
    num_artists: how many artists there are.

  Returns:
    One tuple of at most `TAGS_PER_ARTIST` texts for each artist.
  """
  texts, rank = np.unique(labels, return_inverse=True)
  by = np.argsort(known_tags)
  tag = rank[by[np.searchsorted(known_tags, tag_ids, sorter=by)]]
  pairs, frequency = np.unique(artist * len(texts) + tag, return_counts=True)
  artist, tag = np.divmod(pairs, len(texts))
  order = np.lexsort((tag, -frequency, artist))
  texts = texts[tag[order]].tolist()
  ends = np.cumsum(np.bincount(artist, minlength=num_artists)).tolist()
  return tuple(tuple(texts[start:min(end, start + TAGS_PER_ARTIST)])
               for start, end in zip([0, *ends[:-1]], ends, strict=True))


def read(paths, scratch):
  """Last.fm as a `Dataset`: value is the listening count, a text is 'name: tag, tag, ...', phrases are the tags.

  Rows of a (user, artist) pair that occurs twice are summed. Tag assignments to artists that are not in artists.dat
  (the published archive has 1,538 of them) are dropped. Both are counted.

  Args:
    paths: {ARCHIVE: path}.
    scratch: an empty folder.

  Raises:
    DataError: for an archive or a row that cannot be used.
  """
  members = files.unpack(paths[ARCHIVE], _MEMBERS, scratch)
  tables = {member: _parse(member, path.read_bytes()) for member, path in members.items()}
  listens, friends = tables['user_artists.dat'], tables['user_friends.dat']
  artists = _unique_ids(tables['artists.dat'], 'id')
  user, artist, weight = listens.numbers('userID'), listens.numbers('artistID'), listens.numbers('weight', 1)
  users, by, rows = np.unique(user), np.argsort(artists), len(user)
  artists, names = artists[by], np.array([name.strip() for name in tables['artists.dat'].columns['name']])
  tables['artists.dat'].refuse(names == '', 'name', 'a name')
  listens.refuse(~np.isin(artist, artists), 'artistID', 'an id of artists.dat')
  for column in ('userID', 'friendID'):
    friends.refuse(~np.isin(friends.numbers(column), users), column, 'a userID of user_artists.dat')
  tags, tag_counts = _read_tags(tables, users, artists)
  titles = names[by]
  texts = [f'{name}: {", ".join(words)}' if words else name for name, words in zip(titles.tolist(), tags, strict=True)]
  user, artist, weight, _, merged = merge_duplicates(np.searchsorted(users, user), np.searchsorted(artists, artist),
                                                     weight)
  return Dataset(
    Interactions(user.astype(np.int32), artist.astype(np.int32), weight.astype(np.float32)),
    Catalogue(artists.astype(str), titles, np.array(texts), tags), users.astype(str),
    {'counts': {'users': len(users), 'artists': len(artists), 'user_artists rows': rows,
                'user_friends rows': len(friends.columns['userID']), 'merged user_artists rows': merged, **tag_counts}})


def _read_tags(tables, users, artists):
  """The most frequent tags of each of `artists` int64 `[artists]`, a tuple of tuples; and the counts of tags."""
  tagged, tag_ids = tables['user_taggedartists.dat'], _unique_ids(tables['tags.dat'], 'tagID')
  labels = np.array([label.strip() for label in tables['tags.dat'].columns['tagValue']])
  tables['tags.dat'].refuse(labels == '', 'tagValue', 'a text')
  tagged.refuse(~np.isin(tagged.numbers('userID'), users), 'userID', 'a userID of user_artists.dat')
  tag, artist = tagged.numbers('tagID'), tagged.numbers('artistID')
  tagged.refuse(~np.isin(tag, tag_ids), 'tagID', 'an id of tags.dat')
  known = np.isin(artist, artists)
  found = _top_tags(np.searchsorted(artists, artist[known]), tag[known], tag_ids, labels, len(artists))
  return found, {'tag assignments': len(tag), 'tags': len(tag_ids),
                 'dropped tag assignments to unknown artists': int(np.sum(~known))}


SOURCE = Source(
  name='lastfm',
  homepage='https://grouplens.org/datasets/hetrec-2011/',
  citation="""@inproceedings{Cantador:RecSys2011,
  author = {Cantador, Iv{\\'a}n and Brusilovsky, Peter and Kuflik, Tsvi},
  title = {2nd Workshop on Information Heterogeneity and Fusion in Recommender Systems (HetRec 2011)},
  booktitle = {Proceedings of the 5th ACM Conference on Recommender Systems},
  year = {2011},
}""",
  licence='Non-commercial use; the rights in the data are those of Last.fm (https://www.last.fm)',
  archives=(Archive(ARCHIVE, f'https://files.grouplens.org/datasets/hetrec2011/{ARCHIVE}'),),
  verb='listened to',
  read=read,
  published=PUBLISHED)
