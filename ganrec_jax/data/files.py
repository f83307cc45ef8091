"""Files of tables: which there are, of what kind, whether they change while read; archives, unpacked safely."""

import contextlib
import dataclasses
import glob
import lzma
import os
import struct
import tarfile
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from ganrec_jax.errors import DataError

KINDS = ('.csv', '.tsv', '.parquet', '.jsonl')
_COMPRESSED = ('.csv', '.tsv', '.jsonl')
SUFFIXES = KINDS + tuple(f'{kind}.gz' for kind in _COMPRESSED)
# An archive that unpacks to more than so many times its size, and to more than the least, is taken for a bomb.
_RATIO, _LEAST = 200, 2**30
_CHUNK = 2**20
# What the standard library raises for damaged archives, encrypted ones and unknown kinds of compression included.
_DAMAGED = (zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, struct.error, EOFError, OSError,
            ValueError, RuntimeError)


@dataclasses.dataclass(frozen=True)
class Files:
  """Files of one kind, as they were when they were found.

  Attributes:
    path: what was asked for.
    names: their paths, in order.
    kind: one of `KINDS`.
    state: size in bytes and time of change in ns of each.
  """
  path: str
  names: tuple[str, ...]
  kind: str
  state: tuple[tuple[int, int], ...]

  def verify(self):
    """Raises a `DataError` where a file is another one than when it was found."""
    for name, before in zip(self.names, self.state, strict=True):
      if state(name) != before:
        raise DataError(f'{name}: has changed while it was read; start again when nobody writes to it')


def state(name):
  """Size in bytes and time of change in ns of a file.

  Raises:
    DataError: where there is none.
  """
  try:
    found = os.stat(name)
  except OSError as error:
    raise DataError(f'{name}: cannot be read ({error.strerror})') from error
  return found.st_size, found.st_mtime_ns


def find(path):
  """The `Files` that `path` (a file, a folder or a glob) names.

  Raises:
    DataError: where there are none, one is empty or cannot be read, or they are of no or of several kinds.
  """
  if os.path.isdir(path):
    names = sorted(name for name in glob.glob(os.path.join(glob.escape(path), '*')) if name.endswith(SUFFIXES))
  else:
    names = [path] if os.path.lexists(path) else sorted(glob.glob(path))
  if not names:
    raise DataError(f'{path}: no such file, no folder with tables, and no glob that matches')
  kinds = {next((suffix.removesuffix('.gz') for suffix in SUFFIXES if name.endswith(suffix)), '') for name in names}
  if len(kinds) > 1 or '' in kinds:
    raise DataError(f'{path}: {", ".join(names[:4])}: tables of one kind are due, allowed are {", ".join(SUFFIXES)}')
  states = tuple(state(name) for name in names)
  for name, (size, _) in zip(names, states, strict=True):
    if not os.path.isfile(name):
      raise DataError(f'{name}: is no file')
    if not size:
      raise DataError(f'{name}: is empty; a header and rows are due')
    if not os.access(name, os.R_OK):
      raise DataError(f'{name}: cannot be read (permission denied)')
  return Files(path, tuple(names), kinds.pop(), states)


def unpack(archive, members, folder):
  """Writes the named members of a .zip, .tar.gz or .tgz into `folder`, each under its own name without folders.

  Nothing is written outside `folder`, whatever an archive calls its members; links are not followed.

  Args:
    archive: a path.
    members: file names without folders.
    folder: where to; must exist.

  Returns:
    {member: path}.

  Raises:
    DataError: for an archive that is damaged, lacks a member, holds it as a link, or unpacks to implausibly much.
  """
  archive, found = Path(archive), {}
  try:
    limit = max(_LEAST, _RATIO * archive.stat().st_size)
    with _opened(archive) as (names, open_member):
      for member in members:
        inside = [name for name in names if PurePosixPath(name).name == member]
        if not inside:
          raise DataError(f'{archive}: no {member} among its members {sorted(names)[:20]}')
        found[member] = Path(folder, member)
        with open_member(inside[0]) as source, open(found[member], 'wb') as target:
          limit -= _copy(source, target, limit, f'{archive}: {member}')
  except _DAMAGED as error:
    raise DataError(f'{archive}: damaged, truncated or encrypted archive ({error!r}); get it anew') from error
  return found


@contextlib.contextmanager
def _opened(path):
  """The member names of an archive, and a function that opens one of them."""
  if path.suffix == '.zip':
    with zipfile.ZipFile(path) as archive:
      yield archive.namelist(), lambda name: _zip_member(archive, path, name)
  else:
    with tarfile.open(path) as archive:
      yield archive.getnames(), lambda name: _tar_member(archive, path, name)


def _zip_member(archive, path, name):
  if archive.getinfo(name).external_attr >> 28 == 0xA:  # the type bits of a symbolic link
    raise DataError(f'{path}: its member {name} is a link; allowed are files')
  return archive.open(name)


def _tar_member(archive, path, name):
  if not archive.getmember(name).isfile():
    raise DataError(f'{path}: its member {name} is a link or a folder; allowed are files')
  return archive.extractfile(name)


def _copy(source, target, limit, name):
  """Copies a stream; returns its length in bytes, or refuses more than `limit`."""
  length = 0
  while chunk := source.read(_CHUNK):
    length += len(chunk)
    if length > limit:
      raise DataError(f'{name}: unpacks to more than {limit:,} bytes, {_RATIO} times what its archive holds; '
                      'unpack it by hand if that is right')
    target.write(chunk)
  return length
