"""The prepared copy of a published data set, kept through TensorFlow Datasets; no TensorFlow is needed.

Import this module only where it is used: TensorFlow Datasets takes its time to import.
"""

import contextlib
import io
import shutil

import numpy as np
import tensorflow_datasets as tfds
from google.protobuf import json_format

from ganrec_jax.data.types import Catalogue, Dataset, Interactions
from ganrec_jax.errors import DataError

_CONFIGS = {'users': 'The items of each user, with values and, where there are, times',
            'items': 'Title, text and phrases of each item'}
_BATCH = 4096  # records
_DAMAGED = (RuntimeError, ValueError, KeyError, TypeError, OSError, json_format.ParseError)


class PublishedCopy(tfds.core.GeneratorBasedBuilder, skip_registration=True):
  """The TFDS builder: configurations `users` (a record for each user) and `items` (a record for each item).

  Records are in the order of the `Dataset`; `items` of a user are places in the configuration `items`, from 0.

  Args:
    source: a `Source`; the builder has its name and version.
    dataset: the `Dataset` to be prepared, its log sorted by user; needed only where the copy is not prepared yet.
    **kwargs: of `tfds.core.DatasetBuilder`.
  """
  BUILDER_CONFIGS = [tfds.core.BuilderConfig(name=name, description=words) for name, words in _CONFIGS.items()]

  def __init__(self, source, dataset=None, **kwargs):
    self.name, self.VERSION = source.name, tfds.core.Version(source.version)
    self._source, self._dataset = source, dataset
    super().__init__(**kwargs)

  def _info(self):
    text = tfds.features.Text()
    features = {
      'users': {'user_id': text, 'items': _column(np.int32), 'values': _column(np.float32),
                'times': _column(np.int64)},
      'items': {'item_id': text, 'title': text, 'text': text, 'phrases': tfds.features.Sequence(text),
                'vector': _column(np.float32)},
    }[self.builder_config.name]
    return tfds.core.DatasetInfo(
      builder=self, description=self.builder_config.description, features=tfds.features.FeaturesDict(features),
      homepage=self._source.homepage, citation=self._source.citation, license=self._source.licence,
      disable_shuffling=True, metadata=tfds.core.MetadataDict())

  def _split_generators(self, dl_manager):
    data = self._dataset
    self.info.metadata.update(info=data.info, sha256=data.sha256(), interactions=len(data.interactions),
                              timed=data.interactions.time is not None,
                              dim=None if data.catalogue.vectors is None else data.catalogue.vectors.shape[1])
    return {'train': self._generate_examples(data)}

  def _generate_examples(self, dataset):
    return _users(dataset) if self.builder_config.name == 'users' else _items(dataset.catalogue)


def _column(dtype):
  return tfds.features.Tensor(shape=(None,), dtype=dtype)


def _users(dataset):
  """The records of the users with their keys."""
  log, nothing = dataset.interactions, np.zeros(0, np.int64)
  ends = np.searchsorted(log.user, np.arange(dataset.users + 1)).tolist()
  for user, (start, end) in enumerate(zip(ends[:-1], ends[1:], strict=True)):
    yield user, {'user_id': str(dataset.user_ids[user]), 'items': log.item[start:end], 'values': log.value[start:end],
                 'times': nothing if log.time is None else log.time[start:end]}


def _items(catalogue):
  """The records of the items with their keys."""
  nothing = np.zeros(0, np.float32)
  for item, phrases in enumerate(catalogue.phrases):
    yield item, {'item_id': str(catalogue.ids[item]), 'title': str(catalogue.titles[item]),
                 'text': str(catalogue.texts[item]), 'phrases': list(phrases),
                 'vector': nothing if catalogue.vectors is None else catalogue.vectors[item]}


def _folder(source, data_dir, config):
  return data_dir / source.name / config / source.version


def write(source, data_dir, dataset):
  """Prepares both configurations anew.

  Raises:
    DataError: where `data_dir` cannot be written to.
  """
  log = dataset.interactions
  if (np.diff(log.user) < 0).any():
    dataset = Dataset(log.take(np.argsort(log.user, kind='stable')), dataset.catalogue, dataset.user_ids, dataset.info)
  tfds.disable_progress_bar()
  try:
    for config in _CONFIGS:
      # Before the builder is made, which would go on with what is there.
      shutil.rmtree(_folder(source, data_dir, config), ignore_errors=True)
      builder = PublishedCopy(source, dataset, config=config, data_dir=str(data_dir))
      with contextlib.redirect_stdout(io.StringIO()):  # TFDS prints what the logs and results say anyway.
        builder.download_and_prepare(file_format='array_record')
  except OSError as error:
    raise DataError(f'{data_dir / source.name}: the prepared copy cannot be written ({error})') from error


def read(source, data_dir, digests):
  """The `Dataset` of the prepared copy, or None where there is none or it was made from another archive.

  Args:
    source: a `Source`.
    data_dir: where prepared copies are kept.
    digests: {archive name: SHA-256} of the archives that are there.

  Raises:
    DataError: where the copy is damaged.
  """
  if not all((_folder(source, data_dir, config) / 'dataset_info.json').is_file() for config in _CONFIGS):
    return None
  try:
    builders = [PublishedCopy(source, config=config, data_dir=str(data_dir)) for config in _CONFIGS]
    metadata, other = (builder.info.metadata for builder in builders)
    recorded, _ = (found['info']['archive_sha256'] for found in (metadata, other))
    if metadata != other or not digests.items() <= recorded.items():
      return None
    users, items = (builder.as_data_source(split='train') for builder in builders)
    user_ids, log = _read_users(users, metadata['interactions'], metadata['timed'])
    dataset = Dataset(log, _read_items(items, metadata['dim']), user_ids, dict(metadata['info']))
    if dataset.sha256() != metadata['sha256']:
      raise ValueError('its SHA-256 is another one than when it was made')
  except (*_DAMAGED, DataError) as error:
    raise DataError(f'{data_dir / source.name}: the prepared copy is damaged ({" ".join(str(error).split())}); delete '
                    'this folder and start again') from error
  return dataset


def _batches(records):
  """All records, read some at a time."""
  for start in range(0, len(records), _BATCH):
    yield from records.__getitems__(range(start, min(start + _BATCH, len(records))))


def _read_users(records, rows, timed):
  """The user ids str `[users]` and the `Interactions` of `rows` rows."""
  user, item = np.empty(rows, np.int32), np.empty(rows, np.int32)
  value, time = np.empty(rows, np.float32), np.empty(rows, np.int64) if timed else None
  ids, end = [], 0
  for place, record in enumerate(_batches(records)):
    start, end = end, end + len(record['items'])
    user[start:end], item[start:end], value[start:end] = place, record['items'], record['values']
    if timed:
      time[start:end] = record['times']
    ids.append(record['user_id'].decode())
  return np.array(ids), Interactions(user, item, value, time)


def _read_items(records, dim):
  """The `Catalogue`, with vectors of width `dim` unless that is None."""
  ids, titles, texts, phrases = [], [], [], []
  vectors = None if dim is None else np.empty((len(records), dim), np.float32)
  for place, record in enumerate(_batches(records)):
    for column, name in ((ids, 'item_id'), (titles, 'title'), (texts, 'text')):
      column.append(record[name].decode())
    phrases.append(tuple(phrase.decode() for phrase in record['phrases']))
    if dim is not None:
      vectors[place] = record['vector']
  return Catalogue(np.array(ids), np.array(titles), np.array(texts), tuple(phrases), vectors)
