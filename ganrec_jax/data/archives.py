"""The archives of published data sets: found in a folder, or downloaded; their checksums."""

import contextlib
import dataclasses
import hashlib
import http.client
import threading
import urllib.request
from pathlib import Path

from absl import logging

from ganrec_jax.errors import DataError

CONNECT_SECONDS = 5
_CHUNK = 2**20


@dataclasses.dataclass(frozen=True)
class Archive:
  """A file that a data set is published as.

  Attributes:
    name: its file name.
    url: where it can be downloaded, or '' where a person has to get it (a form, a licence to agree to).
    sha256: as hex, where every copy in circulation has the same bits and they are known; else ''.
  """
  name: str
  url: str = ''
  sha256: str = ''


def sha256(path):
  """The SHA-256 of a file, as hex."""
  digest = hashlib.sha256()
  try:
    with open(path, 'rb') as file:
      while chunk := file.read(_CHUNK):
        digest.update(chunk)
  except OSError as error:
    raise DataError(f'{path}: cannot be read ({error.strerror})') from error
  return digest.hexdigest()


def find(archives, folders):
  """{name: path} of those archives that lie in one of the folders, the first that has it."""
  paths = {archive.name: next((folder / archive.name for folder in folders if (folder / archive.name).is_file()), None)
           for archive in archives}
  return {name: path for name, path in paths.items() if path is not None}


@contextlib.contextmanager
def complete(source, found, folders, data_dir):
  """Downloads what is not `found`; gives {name: path} of all archives. Downloads that cannot be used are not kept.

  Args:
    source: a `Source`.
    found: {name: path} of archives that are there.
    folders: where they were looked for.
    data_dir: below which downloads are kept.

  Raises:
    DataError: where an archive is missing and cannot be downloaded.
  """
  missing, places = [a for a in source.archives if a.name not in found], ' or '.join(map(str, folders))
  by_hand = [archive.name for archive in missing if not archive.url]
  if by_hand:
    raise DataError(f'{", ".join(by_hand)}: not in {places}, and to be got by hand from {source.homepage} . Pass the '
                    'folder it lies in as --config.data.manual_dir=FOLDER')
  for archive in source.archives:
    if archive.name in found and archive.sha256 and sha256(found[archive.name]) != archive.sha256:
      logging.warning('%s: not the file that was published (by its SHA-256)', found[archive.name])
  downloaded = {archive.name: _download(source, archive, places, data_dir) for archive in missing}
  try:
    yield found | downloaded
  except DataError:
    for path in downloaded.values():
      _remove(path)
    raise


def _download(source, archive, places, data_dir):
  """The path of an archive that was downloaded."""
  import tensorflow_datasets as tfds  # takes seconds
  reason = _unreachable(archive.url, CONNECT_SECONDS)
  if reason is not None:
    raise DataError(f'{archive.name} is not in {places}, and {archive.url} cannot be reached ({reason}). Get it there, '
                    'on another machine if need be, and pass the folder it lies in as --config.data.manual_dir=FOLDER')
  manager = tfds.download.DownloadManager(download_dir=data_dir / 'downloads', dataset_name=source.name)
  try:
    path = Path(manager.download(archive.url))
  except (OSError, tfds.download.DownloadError, tfds.download.download_manager.NonMatchingChecksumError) as error:
    words = ' '.join(str(error).split())
    raise DataError(f'{archive.url}: the download broke off ({words}); start again, or get it by other means '
                    'and pass the folder it lies in as --config.data.manual_dir=FOLDER') from error
  if archive.sha256 and sha256(path) != archive.sha256:
    _remove(path)
    raise DataError(f'{archive.url}: not the file that was published (by its SHA-256); start again, or get it by other '
                    'means and pass the folder it lies in as --config.data.manual_dir=FOLDER')
  return path


def _remove(path):
  """Deletes a downloaded file, and what TFDS keeps beside it."""
  for file in (path, path.with_name(f'{path.name}.INFO')):
    file.unlink(missing_ok=True)


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
