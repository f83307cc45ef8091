"""A dataset kept on disk is the same bits, is made anew only for another state, and is never half there."""

import os

import numpy as np
import pytest

from ganrec_jax.data import columns, tables
from ganrec_jax.data.types import Catalogue, Dataset, Interactions
from ganrec_jax.errors import DataError


def _dataset(timed=True, vectors=True):
  log = Interactions(np.array([0, 0, 1], np.int32), np.array([0, 1, 1], np.int32), np.array([1., 2.5, 3.], np.float32),
                     np.array([5, 6, 7]) if timed else None)
  catalogue = Catalogue(np.array(['007', 'ü']), np.array(['A', '']), np.array(['', 'text']), (('x', 'y'), ()),
                        np.array([[1., 2.], [0., 0.]], np.float32) if vectors else None)
  return Dataset(log, catalogue, np.array(['u', 'v']), {'name': 'tiny', 'rows': {'read': 3}})


@pytest.mark.parametrize(('timed', 'vectors'), [(True, True), (False, False)])
def test_what_is_kept_is_the_same(tmp_path, timed, vectors):
  made = _dataset(timed, vectors)
  found = columns.cached(str(tmp_path / 'kept'), [1], lambda _: made)
  assert found.sha256() == made.sha256() and found.info == made.info
  assert isinstance(found.interactions.user, np.memmap)
  assert (found.interactions.time is None) is not timed and (found.catalogue.vectors is None) is not vectors


def test_only_another_state_is_read_anew(tmp_path):
  reads = []
  for state in ([1], [1], [2], [2], [1]):
    columns.cached(str(tmp_path / 'kept'), state, lambda _: reads.append(1) or _dataset())
  assert len(reads) == 3


def test_what_is_damaged_is_made_again(tmp_path):
  columns.cached(str(tmp_path / 'kept'), [1], lambda _: _dataset())
  (tmp_path / 'kept' / 'user.npy').write_bytes(b'')
  assert columns.cached(str(tmp_path / 'kept'), [1], lambda _: _dataset()).sha256() == _dataset().sha256()


def test_a_failure_leaves_nothing(tmp_path):
  def fail(folder):
    np.save(os.path.join(folder, 'user.npy'), np.zeros(3))
    raise DataError('bad row')
  with pytest.raises(DataError, match='bad row'):
    columns.cached(str(tmp_path / 'kept'), [1], fail)
  assert not list(tmp_path.iterdir())
  (tmp_path / 'file').write_text('')
  with pytest.raises(DataError, match='data_dir'):
    columns.cached(str(tmp_path / 'file' / 'kept'), [1], lambda _: _dataset())


def test_a_log_is_read_once_until_it_changes(tmp_path, monkeypatch):
  (tmp_path / 'log.csv').write_text('user,item\nu,i\nu,j\nu,i\n')
  config, load, reads = tables.TablesConfig(str(tmp_path / 'log.csv')), tables.load, []
  monkeypatch.setattr(tables, 'load', lambda *arguments: reads.append(1) or load(*arguments))
  first, again = (tables.kept(config, str(tmp_path)) for _ in range(2))
  assert len(reads) == 1 and first.sha256() == again.sha256() == load(config).sha256() and first.info == again.info
  with open(tmp_path / 'log.csv', 'a') as file:
    file.write('v,i\n')
  assert tables.kept(config, str(tmp_path)).users == 2 and len(reads) == 2
  assert len(list((tmp_path / 'columns').iterdir())) == 1
