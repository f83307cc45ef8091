"""Checkpoints that are written beside the training: damage is walked back, a full disk is said, a good one stays."""

import gc
import os
import resource
import shutil
import time
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ganrec_jax.errors import UserError
from ganrec_jax.training import checkpoints
from ganrec_jax.training.checkpoints import Checkpoints

# Where Orbax fails, it leaves coroutines of a closed event loop to the garbage collector.
pytestmark = pytest.mark.filterwarnings('ignore::pytest.PytestUnraisableExceptionWarning')


@pytest.fixture(autouse=True)
def collected():
  """Their warnings come within the test that they belong to."""
  yield
  gc.collect()


def state(value):
  """Numbers that cannot be compressed."""
  return {'x': np.random.default_rng(value).standard_normal(1 << 16).astype(np.float32), 'y': {'z': np.int32(value)}}


@pytest.fixture
def folder(tmp_path):
  """A folder with the checkpoints 2 and 3 of 1, 2, 3."""
  saves = Checkpoints(str(tmp_path))
  for step in (1, 2, 3):
    saves.save(step, state(step))
  saves.close()
  assert steps(tmp_path) == [2, 3]
  return tmp_path


def steps(folder):
  assert all(path.name.isdigit() for path in folder.iterdir())
  return sorted(int(path.name) for path in folder.iterdir())


def newest(folder):
  """The number of the checkpoint that is restored, None where there is none; its arrays are looked at."""
  saves = Checkpoints(str(folder))
  found = saves.restore(state(0))
  saves.close()
  if found is not None:
    jax.tree.map(np.testing.assert_array_equal, found[1], state(found[0]))
  return found and found[0]


def _truncate(checkpoint):
  for path in checkpoint.rglob('*'):
    if path.is_file():
      path.write_bytes(path.read_bytes()[:10])


def _remove_a_file(checkpoint):
  max((path for path in checkpoint.rglob('*') if path.is_file()), key=lambda path: path.stat().st_size).unlink()


def _remove_arrays(checkpoint):
  shutil.rmtree(checkpoint / 'progress')


def _empty(checkpoint):
  shutil.rmtree(checkpoint)
  checkpoint.mkdir()


def _flip(checkpoint):
  path = max((path for path in checkpoint.rglob('*') if path.is_file()), key=lambda path: path.stat().st_size)
  data = bytearray(path.read_bytes())
  for place in range(0, len(data), 64):
    data[place] ^= 255
  path.write_bytes(bytes(data))


@pytest.mark.parametrize('damage', [_truncate, _remove_a_file, _remove_arrays, _empty, _flip])
def test_a_damaged_checkpoint_is_walked_back(folder, damage, caplog):
  damage(folder / '3')
  assert newest(folder) == 2
  assert 'checkpoint 3 is damaged' in caplog.text
  damage(folder / '2')
  assert newest(folder) is None and 'checkpoint 2 is damaged' in caplog.text


def test_what_a_kill_in_a_save_leaves_is_cleaned_up(folder):
  shutil.copytree(folder / '3', folder / '5.orbax-checkpoint-tmp')
  saves = Checkpoints(str(folder))
  assert saves.restore(state(0))[0] == 3
  saves.save(4, state(4))
  saves.close()
  assert newest(folder) == 4 and steps(folder) == [3, 4]


def test_a_saved_state_may_be_given_away_at_once(tmp_path):
  given = jax.jit(lambda x: x * 0, donate_argnums=0)
  saves, x = Checkpoints(str(tmp_path)), jnp.arange(1 << 20)
  saves.save(1, {'x': x})
  x = given(x)
  found = saves.restore({'x': x})
  saves.close()
  np.testing.assert_array_equal(found[1]['x'], np.arange(1 << 20))


def test_a_step_is_saved_once_and_never_over_a_later_one(folder):
  saves = Checkpoints(str(folder))
  for step in (2, 3):
    saves.save(step, state(9))
  saves.close()
  assert newest(folder) == 3


def test_a_full_disk_is_named_before_anything_is_written(folder, monkeypatch):
  saves = Checkpoints(str(folder))
  monkeypatch.delattr(os, 'posix_fallocate', raising=False)  # absent on macOS
  monkeypatch.setattr(shutil, 'disk_usage', lambda path: types.SimpleNamespace(free=1 << 16))
  with pytest.raises(UserError, match=r'checkpoint 4 cannot be written \(No space left'):
    saves.save(4, state(4))
  saves.close()
  assert newest(folder) == 3 and steps(folder) == [2, 3]


@pytest.mark.parametrize('how', ['at the next save', 'at a look', 'at the end'])
def test_a_disk_that_fills_up_during_a_save_is_said(how, folder, monkeypatch):
  saves = Checkpoints(str(folder))
  monkeypatch.setattr(checkpoints, '_reserve', lambda *_: None)
  before = resource.getrlimit(resource.RLIMIT_FSIZE)
  resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 14, before[1]))
  try:
    with pytest.raises(UserError, match=r'checkpoint 4 cannot be written \(.*the last good one is kept'):
      saves.save(4, state(4))
      if how == 'at the next save':
        saves.save(5, state(5))
      for _ in range(1000 if how == 'at a look' else 0):
        saves.check()
        time.sleep(.02)
      saves.close()
  finally:
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
  if how != 'at the end':
    saves.close()
  # What Orbax's threads still write after the failure goes at the next start.
  assert newest(folder) == 3 and {'2', '3'} == {path.name for path in folder.iterdir() if path.name.isdigit()}


def test_a_folder_that_went_away_is_said(folder):
  saves = Checkpoints(str(folder))
  shutil.rmtree(folder)
  with pytest.raises(UserError, match='checkpoint 4 cannot be written'):
    saves.save(4, state(4))
  saves.close()


def test_a_place_that_cannot_be_written_is_said(tmp_path):
  (tmp_path / 'file').write_text('')
  with pytest.raises(UserError, match='checkpoints cannot be written here'):
    Checkpoints(str(tmp_path / 'file' / 'below'))
