"""Last.fm listening counts and artist tags (HetRec 2011), prepared once through TensorFlow Datasets.

Import this module only where the source is used: TensorFlow Datasets takes its time to import. It needs no TensorFlow.
The archives in circulation differ in line ends, header lines and blanks around numbers, so that no checksum fits them
all: the published counts are checked instead, and the SHA-256 of the archive that was read is recorded.
"""

import contextlib
import dataclasses
import hashlib
import http.client
import io
import lzma
import shutil
import struct
import threading
import urllib.request
import zipfile
import zlib
from pathlib import Path, PurePosixPath

import numpy as np
import tensorflow_datasets as tfds
from google.protobuf import json_format

from ganrec_jax.data.clean import merge_duplicates
from ganrec_jax.data.types import Catalogue, Dataset, Interactions
from ganrec_jax.errors import DataError

ARCHIVE = 'hetrec2011-lastfm-2k.zip'
URL = f'https://files.grouplens.org/datasets/hetrec2011/{ARCHIVE}'
HOMEPAGE = 'https://grouplens.org/datasets/hetrec-2011/'
LICENCE = 'Non-commercial use; the rights in the data are those of Last.fm (https://www.last.fm)'
CITATION = """@inproceedings{Cantador:RecSys2011,
  author = {Cantador, Iv{\\'a}n and Brusilovsky, Peter and Kuflik, Tsvi},
  title = {2nd Workshop on Information Heterogeneity and Fusion in Recommender Systems (HetRec 2011)},
  booktitle = {Proceedings of the 5th ACM Conference on Recommender Systems},
  year = {2011},
}"""
PUBLISHED = {'users': 1892, 'artists': 17632, 'user_artists rows': 92834, 'tag assignments': 186479, 'tags': 11946,
             'user_friends rows': 25434}
TAGS_PER_ARTIST = 10
CONNECT_SECONDS = 5

# The members of the archive: their columns, and their encoding.
_MEMBERS = {
  'artists.dat': (('id', 'name', 'url', 'pictureURL'), 'utf-8-sig'),
  'tags.dat': (('tagID', 'tagValue'), 'iso-8859-1'),
  'user_artists.dat': (('userID', 'artistID', 'weight'), 'utf-8-sig'),
  'user_friends.dat': (('userID', 'friendID'), 'utf-8-sig'),
  'user_taggedartists.dat': (('userID', 'artistID', 'tagID', 'day', 'month', 'year'), 'utf-8-sig'),
}
_LARGEST = 10 ** 15
# What the standard library raises for damaged archives, encrypted ones and unknown kinds of compression included.
_DAMAGED_ARCHIVE = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, EOFError, OSError, ValueError,
                    RuntimeError)
_DAMAGED_COPY = (RuntimeError, ValueError, KeyError, json_format.ParseError)


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


def _read_members(path):
  """The `_Table` of each member of the archive."""
  contents = {}
  try:
    with zipfile.ZipFile(path) as archive:
      names = {PurePosixPath(name).name: name for name in archive.namelist()}
      for member in _MEMBERS:
        if member not in names:
          raise DataError(f'{path}: no {member} among its members {sorted(names)}; get it anew from {URL}')
        contents[member] = archive.read(names[member])
  except _DAMAGED_ARCHIVE as error:
    raise DataError(f'{path}: damaged or truncated archive ({error!r}); get it anew from {URL}') from error
  return {member: _parse(member, content) for member, content in contents.items()}


@dataclasses.dataclass(frozen=True)
class Tables:
  """What the archive holds, checked.

  Attributes:
    users: int64 `[users]`, ids in ascending order.
    offsets: int64 `[users + 1]`: user u has the rows `offsets[u]` to `offsets[u + 1]` of the next two.
    listened: int64 `[n]`, artist ids.
    listens: int64 `[n]`, how often.
    artists: int64 `[artists]`, ids in ascending order.
    names: one string an artist.
    tags: one tuple an artist, its most frequent tags.
    counts: the published counts as found; what was merged and dropped.
  """
  users: np.ndarray
  offsets: np.ndarray
  listened: np.ndarray
  listens: np.ndarray
  artists: np.ndarray
  names: tuple
  tags: tuple
  counts: dict


def _verify_counts(counts):
  wrong = [f'{counts[key]} {key} where {due} are published' for key, due in PUBLISHED.items() if counts[key] != due]
  if wrong:
    raise DataError(f'{ARCHIVE} has {"; ".join(wrong)}; get it anew from {URL}')


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


def read_archive(path, verify_counts=True):
  """The `Tables` of the archive at `path`.

  Rows of a (user, artist) pair that occurs twice are summed. Tag assignments to artists that are not in artists.dat
  (the published archive has 1,538 of them) are dropped. Both are counted.

  Raises:
    DataError: for an archive or a row that cannot be used, or counts other than the published ones.
  """
  tables = _read_members(path)
  listens, tagged, friends = (tables[f'user_{name}.dat'] for name in ('artists', 'taggedartists', 'friends'))
  artists, tags = _unique_ids(tables['artists.dat'], 'id'), _unique_ids(tables['tags.dat'], 'tagID')
  user, artist, weight = listens.numbers('userID'), listens.numbers('artistID'), listens.numbers('weight', 1)
  users = np.unique(user)
  counts = {'users': len(users), 'artists': len(artists), 'user_artists rows': len(user),
            'tag assignments': len(tagged.columns['tagID']), 'tags': len(tags),
            'user_friends rows': len(friends.columns['userID'])}
  if verify_counts:
    _verify_counts(counts)
  names, labels = (np.array([v.strip() for v in tables[m].columns[c]])
                   for m, c in (('artists.dat', 'name'), ('tags.dat', 'tagValue')))
  tables['artists.dat'].refuse(names == '', 'name', 'a name')
  tables['tags.dat'].refuse(labels == '', 'tagValue', 'a text')
  listens.refuse(~np.isin(artist, artists), 'artistID', 'an id of artists.dat')
  for table, column in ((tagged, 'userID'), (friends, 'userID'), (friends, 'friendID')):
    table.refuse(~np.isin(table.numbers(column), users), column, 'a userID of user_artists.dat')
  tag, tagged_artist = tagged.numbers('tagID'), tagged.numbers('artistID')
  tagged.refuse(~np.isin(tag, tags), 'tagID', 'an id of tags.dat')
  user, artist, weight, _, merged = merge_duplicates(user, artist, weight)
  by, known, artists = np.argsort(artists), np.isin(tagged_artist, artists), np.sort(artists)
  return Tables(
    users, np.searchsorted(user, [*users, _LARGEST + 1]), artist, weight, artists, tuple(names[by].tolist()),
    _top_tags(np.searchsorted(artists, tagged_artist[known]), tag[known], tags, labels, len(artists)),
    {**counts, 'merged user_artists rows': merged, 'dropped tag assignments to unknown artists': int(np.sum(~known))})


class Hetrec2011Lastfm(tfds.core.GeneratorBasedBuilder):
  """The TFDS builder: configurations `listens` (a record for each user) and `artists` (a record for each artist).

  Args:
    tables: what to prepare, with the SHA-256 of its archive; needed only where the copy is not prepared yet.
    archive_sha256: as hex.
    **kwargs: of `tfds.core.DatasetBuilder`.
  """
  VERSION = tfds.core.Version('1.0.0')
  BUILDER_CONFIGS = [
    tfds.core.BuilderConfig(name='listens', description='Artists and listening counts of each user'),
    tfds.core.BuilderConfig(name='artists', description='Name and most frequent tags of each artist'),
  ]

  def __init__(self, *, tables=None, archive_sha256=None, **kwargs):
    self._tables, self._archive_sha256 = tables, archive_sha256
    super().__init__(**kwargs)

  def _info(self):
    number = tfds.features.Scalar(np.int64)
    features = {
      'listens': {'user_id': number, 'artist_ids': tfds.features.Sequence(number),
                  'counts': tfds.features.Sequence(number)},
      'artists': {'artist_id': number, 'name': tfds.features.Text(),
                  'tags': tfds.features.Sequence(tfds.features.Text())},
    }[self.builder_config.name]
    return tfds.core.DatasetInfo(
      builder=self, description=__doc__, features=tfds.features.FeaturesDict(features), homepage=HOMEPAGE,
      citation=CITATION, license=LICENCE, metadata=tfds.core.MetadataDict())

  def _split_generators(self, dl_manager):
    self.info.metadata.update(archive_sha256=self._archive_sha256, counts=self._tables.counts)
    return {'train': self._generate_examples(self._tables)}

  def _generate_examples(self, tables):
    if self.builder_config.name == 'artists':
      for artist, name, tags in zip(tables.artists.tolist(), tables.names, tables.tags, strict=True):
        yield artist, {'artist_id': artist, 'name': name, 'tags': list(tags)}
    else:
      for k, user in enumerate(tables.users.tolist()):
        rows = slice(tables.offsets[k], tables.offsets[k + 1])
        yield user, {'user_id': user, 'artist_ids': tables.listened[rows], 'counts': tables.listens[rows]}


def _unreachable(url, seconds):
  """Why `url` does not answer within `seconds`, or None where it does; a thread, since name look-ups know no limit."""
  answer = ['no answer']

  def ask():
    try:
      with urllib.request.urlopen(urllib.request.Request(url, method='HEAD'), timeout=seconds):
        answer[0] = None
    except (OSError, http.client.HTTPException) as error:
      answer[0] = str(error)

  thread = threading.Thread(target=ask, daemon=True)
  thread.start()
  thread.join(seconds)
  return answer[0]


def _find_archive(manual_dir, data_dir):
  """The path of the archive in `manual_dir` or in the manual folder below `data_dir`, or None."""
  folders = (manual_dir, data_dir / 'downloads' / 'manual')
  return next((folder / ARCHIVE for folder in folders if folder is not None and (folder / ARCHIVE).is_file()), None)


def _read_downloaded(manual_dir, data_dir, verify_counts):
  """Downloads the archive: its `Tables` and its SHA-256. A file that cannot be used is not kept."""
  reason = _unreachable(URL, CONNECT_SECONDS)
  if reason is not None:
    places = ' or '.join(str(p) for p in (manual_dir, data_dir / 'downloads' / 'manual') if p is not None)
    raise DataError(f'{ARCHIVE} is not in {places}, and {URL} cannot be reached ({reason}). Get it there, on another '
                    'machine if need be, and pass the folder it lies in as --config.data.manual_dir=FOLDER')
  manager = tfds.download.DownloadManager(download_dir=data_dir / 'downloads', dataset_name='hetrec2011_lastfm')
  try:
    archive = Path(manager.download(URL))
  except (OSError, tfds.download.DownloadError) as error:
    raise DataError(f'{URL}: the download broke off ({error}); start again, or get it by other means '
                    'and pass the folder it lies in as --config.data.manual_dir=FOLDER') from error
  try:
    return read_archive(archive, verify_counts), _sha256(archive)
  except DataError:
    for file in (archive, archive.with_name(f'{archive.name}.INFO')):
      file.unlink()
    raise


def _sha256(path):
  try:
    return hashlib.sha256(path.read_bytes()).hexdigest()
  except OSError as error:
    raise DataError(f'{path}: cannot be read ({error.strerror})') from error


@contextlib.contextmanager
def _readable_copy(data_dir):
  """Turns what TFDS raises for a damaged prepared copy into a `DataError`."""
  try:
    yield
  except _DAMAGED_COPY as error:
    raise DataError(f'{data_dir / Hetrec2011Lastfm.name}: the prepared copy is damaged ({error}); delete this folder '
                    'and start again') from error


def _prepared(data_dir, sha256):
  """The two builders where both are prepared from the same archive (the one with `sha256`, if given), else None."""
  builders = [Hetrec2011Lastfm(config=name, data_dir=str(data_dir)) for name in ('listens', 'artists')]
  if not all(builder.is_prepared() for builder in builders):
    return None
  recorded = {builder.info.metadata['archive_sha256'] for builder in builders}
  return builders if len(recorded) == 1 and sha256 in (None, *recorded) else None


def _prepare(data_dir, tables, sha256):
  """Prepares both configurations anew."""
  tfds.disable_progress_bar()
  builders = []
  for name in ('listens', 'artists'):
    outdated = Hetrec2011Lastfm(config=name, data_dir=str(data_dir)).data_dir
    shutil.rmtree(outdated, ignore_errors=True)
    builder = Hetrec2011Lastfm(config=name, data_dir=str(data_dir), tables=tables, archive_sha256=sha256)
    with contextlib.redirect_stdout(io.StringIO()):  # TFDS prints what the logs and results say anyway.
      builder.download_and_prepare(file_format='array_record')
    builders.append(builder)
  return builders


def _records(builder):
  source = builder.as_data_source(split='train')
  return source.__getitems__(range(len(source)))


def _dataset(builders):
  """The `Dataset` that the prepared copies hold, users and artists in the order of their ids."""
  listens, artists = (_records(builder) for builder in builders)
  listens.sort(key=lambda record: record['user_id'])
  artists.sort(key=lambda record: record['artist_id'])
  ids = np.array([record['artist_id'] for record in artists])
  names = [record['name'].decode() for record in artists]
  phrases = tuple(tuple(tag.decode() for tag in record['tags']) for record in artists)
  texts = [f'{name}: {", ".join(tags)}' if tags else name for name, tags in zip(names, phrases, strict=True)]
  user = np.repeat(np.arange(len(listens)), [len(record['artist_ids']) for record in listens])
  item = np.searchsorted(ids, np.concatenate([record['artist_ids'] for record in listens]))
  value = np.concatenate([record['counts'] for record in listens])
  metadata = builders[0].info.metadata
  return Dataset(
    Interactions(user.astype(np.int32), item.astype(np.int32), value.astype(np.float32)),
    Catalogue(ids.astype(str), np.array(names), np.array(texts), phrases),
    np.array([record['user_id'] for record in listens]).astype(str),
    {'name': 'lastfm', 'simulated': False, 'citation': CITATION, 'homepage': HOMEPAGE, 'licence': LICENCE,
     'archive': ARCHIVE, 'archive_sha256': metadata['archive_sha256'], 'counts': dict(metadata['counts'])})


def load(manual_dir, data_dir, verify_counts=True):
  """Last.fm as a `Dataset` before any filter: value is the listening count, a text is 'name: tag, tag, ...'.

  The archive is read and checked whole before the prepared copy below `data_dir` is written; the copy is used where
  there is no archive, and made anew where the archive is another one (by SHA-256) than it was made from.

  Args:
    manual_dir: the folder the archive lies in, or None.
    data_dir: where downloads and prepared copies are kept.
    verify_counts: whether counts other than the published ones are refused.

  Raises:
    DataError: where there is neither archive nor copy nor network, or something in them cannot be used.
  """
  manual_dir, data_dir = (None if p is None else Path(p).expanduser() for p in (manual_dir, data_dir))
  archive = _find_archive(manual_dir, data_dir)
  sha256 = None if archive is None else _sha256(archive)
  with _readable_copy(data_dir):
    builders = _prepared(data_dir, sha256)
  if builders is None:
    tables, sha256 = _read_downloaded(manual_dir, data_dir, verify_counts) if archive is None else (
      read_archive(archive, verify_counts), sha256)
    builders = _prepare(data_dir, tables, sha256)
  with _readable_copy(data_dir):
    if verify_counts:
      _verify_counts(builders[0].info.metadata['counts'])
    return _dataset(builders)
