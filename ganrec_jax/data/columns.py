"""A `Dataset` as columns on disk: a log is read and encoded once, and then mapped into memory, whatever its size."""

import json
import os
import shutil

import numpy as np
from absl import logging

from ganrec_jax import artifacts
from ganrec_jax.data.types import Catalogue, Dataset, Interactions
from ganrec_jax.errors import DataError

_VERSION = 1  # raised where other code would read the same log otherwise
_LOG = ('user', 'item', 'value', 'time')


def cached(folder, state, read):
  """The `Dataset` that is kept in `folder`, read anew where it was made from another `state` or is damaged.

  Args:
    folder: where it is kept; written whole or not at all.
    state: what the dataset depends on, JSON values.
    read: `read(folder) -> Dataset`, which may leave log columns in the folder as user.npy, item.npy ...

  Raises:
    DataError: what `read` raises, or where the folder cannot be written.
  """
  key = artifacts.digest(_VERSION, state)
  if artifacts.read_json(os.path.join(folder, 'key.json')) == key:
    try:
      return _load(folder)
    except (OSError, ValueError, KeyError, EOFError) as error:
      logging.warning('%s: the kept columns are damaged (%s); they are made again', folder, error)
  unfinished = f'{folder}.unfinished'
  try:
    shutil.rmtree(unfinished, ignore_errors=True)
    os.makedirs(unfinished)
    dataset = read(unfinished)
    _save(unfinished, dataset)
    artifacts.write_json(os.path.join(unfinished, 'key.json'), key)
    shutil.rmtree(folder, ignore_errors=True)
    os.rename(unfinished, folder)
  except OSError as error:
    raise DataError(f'{folder}: cannot be written ({error.strerror or error}); another place is given by '
                    '--config.data.data_dir=FOLDER') from error
  finally:
    shutil.rmtree(unfinished, ignore_errors=True)
  return _load(folder)


def _save(folder, dataset):
  """Writes everything that `read` has not left there."""
  log, catalogue = dataset.interactions, dataset.catalogue
  arrays = {name: getattr(log, name) for name in _LOG} | {
    'user_ids': dataset.user_ids, 'item_ids': catalogue.ids, 'titles': catalogue.titles, 'texts': catalogue.texts,
    'phrases': np.array([phrase for phrases in catalogue.phrases for phrase in phrases], str),
    'phrase_counts': np.array([len(phrases) for phrases in catalogue.phrases]), 'vectors': catalogue.vectors}
  for name, array in arrays.items():
    path = os.path.join(folder, f'{name}.npy')
    if array is not None and not os.path.exists(path):
      np.save(path, array)
  with open(os.path.join(folder, 'info.json'), 'w', encoding='utf-8') as file:
    json.dump(dataset.info, file)


def _load(folder):
  def array(name, mode=None):
    path = os.path.join(folder, f'{name}.npy')
    return np.load(path, mmap_mode=mode, allow_pickle=False) if os.path.exists(path) else None

  log = Interactions(*(array(name, 'r') for name in _LOG))
  phrases, ends = array('phrases').tolist(), np.cumsum(array('phrase_counts')).tolist()
  catalogue = Catalogue(array('item_ids'), array('titles'), array('texts'), tuple(
    tuple(phrases[start:end]) for start, end in zip([0, *ends], ends, strict=False)), array('vectors'))
  with open(os.path.join(folder, 'info.json'), encoding='utf-8') as file:
    return Dataset(log, catalogue, array('user_ids'), json.load(file))
