"""A finished run as its report reads it: what it left in its work directory, and the data once more."""

import dataclasses
import functools
import glob
import os
import zipfile

import numpy as np
from ml_collections import ConfigDict

from ganrec_jax import artifacts
from ganrec_jax.adversarial import expand
from ganrec_jax.errors import UserError
from ganrec_jax.stages.prepare import Prepared, prepare
from ganrec_jax.training import logs

METRIC = 'ndcg@20'
BASE = 'no_augmentation'


@dataclasses.dataclass(frozen=True)
class Run:
  """A finished run.

  Attributes:
    path: its work directory.
    results: what is in results.json.
    command: the flags that it was started with, '' where it was started from Python.
    prepared: the data and the split.
    metrics: stage -> its records in the order of the steps.
    restarts: stage -> the steps at which it went on after an interruption.
    generated: `expand.Generated` of all augmented rows, ordered by row.
    vectors: float32 `[items, dim]`, what the encoder makes of the items' texts; None without an encoder.
    factors: float32 `[items, d]`, the items' collaborative vectors.
  """
  path: str
  results: dict
  command: str
  prepared: Prepared
  metrics: dict
  restarts: dict
  generated: expand.Generated
  vectors: np.ndarray | None
  factors: np.ndarray

  @functools.cached_property
  def figures(self):
    """(row, task, metric) -> its record in results.json."""
    return {(one['row'], one['task'], one['metric']): one for one in self.results['rows']}

  @functools.cached_property
  def differences(self):
    """(row, task) -> the difference to the row without generated data, as in results.json."""
    return {(one['row'], one['task']): one for one in self.results.get('differences', ())}

  @property
  def rows(self):
    """The rows of the results, in the order of the table."""
    return tuple(dict.fromkeys(one['row'] for one in self.results['rows']))

  @property
  def tasks(self):
    """The tasks of the results, in their order."""
    return tuple(dict.fromkeys(one['task'] for one in self.results['rows'] if one['row'] == BASE))

  @property
  def augmented(self):
    """The rows with generated data, the GAN last."""
    return tuple(row for row in self.rows if row in self.results['generated'])

  def lists(self, row, task, k):
    """The first `k` of the exported lists: users int `[n]` and items int `[n, k]`, -1 where there are fewer."""
    found = read_lists(self.path, row, task)
    data = self.prepared.dataset
    return places(found['users'], data.user_ids), places(found['items'][:, :k], data.catalogue.ids)


def places(words, ids):
  """The index of each of `words [...]` in the unique `ids [n]`, -1 where it is none of them."""
  order = np.argsort(ids)
  found = order[np.minimum(np.searchsorted(ids, words, sorter=order), len(ids) - 1)]
  return np.where(ids[found] == words, found, -1)


def finished(path):
  """(results.json, config.json) of a finished run.

  Raises:
    UserError: where the work directory holds no finished run, or one that was begun anew with another config.
  """
  results, config = (artifacts.read_json(os.path.join(path, name)) for name in ('results.json', 'config.json'))
  if results is None or config is None:
    raise UserError(f'{path}: holds no finished run (no readable results.json and config.json); make one by python -m '
                    'ganrec_jax.main')
  if config['sha256'] != results['config_sha256']:
    raise UserError(f'{path}: results.json is of another config than config.json, a run was begun there and not '
                    'finished; finish it by the same python -m ganrec_jax.main')
  return results, config


def read(path, prepared=None, generated=None):
  """The `Run` in a work directory.

  Args:
    path: the work directory.
    prepared: its data, where they are at hand; else they are read and split again.
    generated: its generated interactions, likewise.

  Raises:
    UserError: where there is no finished run, a file is damaged, or the data are no longer those of the run.
  """
  results, config = finished(path)
  if prepared is None:
    if config['config']['data']['source'] == 'given':
      raise UserError(f'{path}: its data were given from Python and are not kept; its report is made by pipeline.run')
    prepared = prepare(ConfigDict(config['config']))
    if (prepared.dataset.sha256(), prepared.split.sha256()) != (results['data_sha256'], results['split_sha256']):
      raise UserError(f'{path}: the data or the split that its config names are no longer those of the run; run it '
                      'again by python -m ganrec_jax.main with another --workdir')
  data = prepared.dataset
  if generated is None:
    generated = expand.read(os.path.join(path, 'generated.csv.gz'), data.user_ids, data.catalogue.ids)
  metrics, restarts = {}, {}
  for record in logs.read(os.path.join(path, 'metrics.jsonl')):
    metrics.setdefault(record['stage'], []).append(record)
  for record in logs.read(os.path.join(path, 'restarts.jsonl')):
    restarts.setdefault(record['stage'], []).append(record['step'])
  # What the encoder left is stale where the run had none.
  encoder = config['config']['encoder']['kind'] != 'none'
  vectors = _array(os.path.join(path, 'artifacts', 'encode.npz'), 'vectors') if encoder else data.catalogue.vectors
  base = os.path.join(path, 'artifacts', f'base.{results["base"]["regime"]}.npz')
  return Run(path, results, config.get('command', ''), prepared, metrics, restarts, generated, vectors,
             _array(base, 'factors.items'))


def read_lists(path, row, task):
  """The exported lists of a row and task: `users [n]` and `items [n, 100]` as ids, `scores [n, 100]`.

  Raises:
    UserError: where the file is missing or damaged.
  """
  path = os.path.join(path, 'recommendations', f'{row}.{task}.npz')
  return {name: _array(path, name) for name in ('users', 'items')}


def listed(path):
  """The (row, task) pairs of which a run left lists, sorted."""
  names = (os.path.basename(name).removesuffix('.npz').rpartition('.')
           for name in glob.glob(os.path.join(glob.escape(path), 'recommendations', '*.npz')))
  return sorted((row, task) for row, _, task in names)


def _array(path, name):
  """One array of an .npz file; the others are not read."""
  try:
    with open(path, 'rb') as opened, np.load(opened, allow_pickle=False) as file:
      return file[name]
  except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
    raise UserError(f'{path}: cannot be read ({error}); the same python -m ganrec_jax.main makes it again') from error
