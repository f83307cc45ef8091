"""Artifacts are made once for a key, made again after damage, and never left half-written."""

import numpy as np
import pytest

from ganrec_jax import artifacts
from ganrec_jax.errors import UserError


def test_arrays_are_made_once_for_a_key_and_again_after_damage(tmp_path, caplog):
  path, calls = tmp_path / 'vectors.npz', []

  def compute():
    calls.append(1)
    return {'x': np.full((2, 3), len(calls), np.float32)}

  assert artifacts.cached(path, 'a', compute)[1] is False
  arrays, there = artifacts.cached(path, 'a', compute)
  assert there and (arrays['x'] == 1).all()
  assert (artifacts.cached(path, 'b', compute)[0]['x'] == 2).all()
  whole = path.read_bytes()
  for damage in (b'', b'nonsense', whole[:-40], whole[:120] + b'\xff' * 8 + whole[128:]):
    path.write_bytes(damage)
    caplog.clear()
    before = len(calls)
    arrays, there = artifacts.cached(path, 'b', compute)
    assert not there and len(calls) == before + 1 and (arrays['x'] == len(calls)).all()
    assert 'vectors.npz' in caplog.text and 'damaged' in caplog.text
  assert [p.name for p in tmp_path.iterdir()] == ['vectors.npz']


def test_a_write_that_fails_names_the_file_and_leaves_the_old_one(tmp_path):
  path = tmp_path / 'old'
  path.write_bytes(b'old')

  def full(file):
    file.write(b'ne')
    raise OSError(28, 'No space left on device')

  with pytest.raises(UserError, match='old: cannot be written .No space left on device.'):
    artifacts.write_atomically(path, full)
  assert [p.name for p in tmp_path.iterdir()] == ['old'] and path.read_bytes() == b'old'
  (tmp_path / 'file').write_bytes(b'')
  with pytest.raises(UserError, match='cannot be written'):
    artifacts.write_atomically(tmp_path / 'file' / 'below', full)
