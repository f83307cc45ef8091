"""What stages leave for one another: arrays in one file with the hash of all that made them."""

import hashlib
import json
import os
import zipfile

import numpy as np
from absl import logging

from ganrec_jax.errors import UserError
from ganrec_jax.training import hosts


def digest(*parts):
  """The SHA-256 of the JSON form of `parts`, as hex."""
  return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()


def write_atomically(path, write):
  """Calls `write(file)` on a binary file that takes its name only when it is whole.

  Raises:
    UserError: where the disk is full or the folder cannot be written; nothing is left behind.
  """
  temporary = f'{path}.tmp'
  try:
    os.makedirs(os.path.dirname(path) or '.', exist_ok=True)
    with open(temporary, 'wb') as file:
      write(file)
      file.flush()
      os.fsync(file.fileno())
    os.replace(temporary, path)
  except OSError as error:
    raise UserError(f'{path}: cannot be written ({error.strerror or error}); nothing was left half-written') from error
  finally:
    if os.path.exists(temporary):
      os.remove(temporary)


def write_json(path, value):
  """Writes `value` as indented JSON, whole or not at all."""
  write_atomically(path, lambda file: file.write((json.dumps(value, indent=1, sort_keys=True) + '\n').encode()))


def read_json(path):
  """The value that `write_json` wrote, or None where there is no readable file."""
  try:
    with open(path, encoding='utf-8') as file:
      return json.load(file)
  except (OSError, ValueError):
    return None


def cached(path, key, compute):
  """The arrays at `path` where they were made by the same `key`, else `compute()`, which is then written there.

  Args:
    path: an .npz file.
    key: the hash of all that the arrays depend on.
    compute: `() -> dict` of name to NumPy array.

  Returns:
    (arrays, whether they were there already). A damaged file is named in a warning and made again. Of several
    processes all have what the first one has.
  """
  found = hosts.agreed(_read(path, key))
  if found is not None:
    return found, True
  arrays = hosts.agreed(compute())
  write_atomically(path, lambda file: np.savez(file, key=np.asarray(key), **arrays))
  return arrays, False


def _read(path, key):
  """The arrays at `path`, or None where they are not there, damaged, or made by another `key`."""
  if not os.path.exists(path):
    return None
  try:
    # NumPy leaves a file open that it has opened itself and finds empty.
    with open(path, 'rb') as opened, np.load(opened, allow_pickle=False) as file:
      if str(file['key']) == key:
        return {name: file[name] for name in file.files if name != 'key'}
  except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
    logging.warning('%s: damaged (%s); it is made again', path, error)
  return None


def save_lists(path, user_ids, item_ids, users, items, scores):
  """Writes recommendation lists as an npz of `users`, `items` and `scores`, whole or not at all.

  Args:
    path: the file, `recommendations/ROW.TASK.npz`; its folder is made where needed.
    user_ids: str `[users]`, all ids of the dataset.
    item_ids: str `[items]`, likewise.
    users: int `[n]`, whose lists these are.
    items: int `[n, k]`, best first, -1 where there are fewer: '' in the file.
    scores: float `[n, k]`.

  Raises:
    UserError: where it cannot be written.
  """
  names = np.where(items >= 0, np.asarray(item_ids)[items], '')
  write_atomically(path, lambda file: np.savez_compressed(file, users=np.asarray(user_ids)[users], items=names,
                                                          scores=scores.astype(np.float32)))
