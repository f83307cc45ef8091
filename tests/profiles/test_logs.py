"""Logs of generated users: killed at any moment they end in the same bytes, a full disk is said, memory stays flat."""

import json
import os
import resource
import subprocess
import sys

import numpy as np
import pytest

from ganrec_jax.data.types import Catalogue
from ganrec_jax.errors import UserError
from ganrec_jax.profiles import generator, logs, times

from ..stages.worlds import ROOT
from . import planted

BATCHES = 7


def _parts(monkeypatch, seed=0):
  """Batches of 64 users, of which every other one is followed by a note of how far the log is."""
  monkeypatch.setattr(generator, 'BATCH', 64)
  monkeypatch.setattr(logs, '_SAVED', 2)
  return [planted.profiles(64 if batch < BATCHES - 1 else 20, 100 * seed + batch) for batch in range(BATCHES)]


def _catalogue():
  ids = np.array([f'item,{k}' if k % 7 == 0 else f'item{k}' for k in range(planted.ITEMS)])
  return Catalogue(ids, ids, ids, ((),) * planted.ITEMS)


def _times():
  share = np.linspace(0, 1, 256)
  return times.Times(1e9 + 1e6 * share, 1e5 * share, 2e9, np.arange(planted.ITEMS, dtype=float))


def _write(path, parts, identity='ab12cd34'):
  for _ in logs.write_interactions(str(path), iter(parts), 64 * (BATCHES - 1) + 20, _catalogue(), _times(), 'synthetic',
                                   identity):
    pass
  return path.read_bytes()


class Killed(BaseException):
  """What nobody catches, as nobody catches SIGKILL."""


def _die(monkeypatch, at):
  """Makes the call number `at` of those that change the disk the last one, before or after it is done."""
  calls = iter(range(10**6))
  for real in (os.fsync, os.replace, os.remove):
    def call(*args, real=real):
      if next(calls) == at:
        raise Killed
      real(*args)
      if next(calls) == at:
        raise Killed
    monkeypatch.setattr(os, real.__name__, call)


def test_killed_at_every_change_of_the_disk_it_ends_in_the_same_bytes(tmp_path, monkeypatch):
  parts, kills = _parts(monkeypatch), 0
  whole = _write(tmp_path / 'whole.csv', parts)
  assert whole.count(b'\n') == 1 + sum(len(part.values) for part in parts)
  for at in range(100):
    path = tmp_path / f'{at}.csv'
    with monkeypatch.context() as patch:
      _die(patch, at)
      try:
        _write(path, parts)
      except Killed:
        kills += 1
    assert _write(path, parts) == whole
    assert sorted(file.name for file in tmp_path.glob(f'{at}.csv*')) == [path.name]
    if kills <= at:
      break
  assert kills > 15


def test_what_another_log_has_left_is_not_gone_on_with(tmp_path, monkeypatch):
  parts, others = _parts(monkeypatch), _parts(monkeypatch, 1)
  whole, path = _write(tmp_path / 'whole.csv', parts), tmp_path / 'log.csv'
  for some, identity, at in ((parts, 'ab12cd34', 5), (others, 'ffffffff', 1)):
    with monkeypatch.context() as patch, pytest.raises(Killed):
      _die(patch, at)
      _write(path, some, identity)
  # The second one was killed before its first note; the first one's must not be believed of its bytes.
  assert _write(path, parts) == whole


def test_a_full_disk_is_said_and_the_same_command_goes_on(tmp_path, monkeypatch):
  parts, path = _parts(monkeypatch), tmp_path / 'log.csv'
  whole = _write(tmp_path / 'whole.csv', parts)
  soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
  resource.setrlimit(resource.RLIMIT_FSIZE, (len(whole) // 2, hard))
  try:
    with pytest.raises(UserError, match=r'log.csv: cannot be written \(File too large\); what was done is in .*log'):
      _write(path, parts)
  finally:
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
  assert not path.exists() and 0 < json.loads((tmp_path / 'log.csv.part.json').read_text())['batches'] < BATCHES
  assert _write(path, parts) == whole


def test_a_log_without_room_or_folder_is_refused(tmp_path):
  real = planted.profiles()
  logs.check_room(str(tmp_path / 'new' / 'deep' / 'log.csv'), 100, real, _catalogue(), None, 'synthetic')
  assert not (tmp_path / 'new').exists()
  with pytest.raises(UserError, match='ask for fewer --users'):
    logs.check_room(str(tmp_path / 'log.csv'), 10**13, real, _catalogue(), None, 'synthetic')
  (tmp_path / 'file').touch()
  with pytest.raises(UserError, match='file is a file'):
    logs.check_room(str(tmp_path / 'file' / 'log.csv'), 5, real, _catalogue(), None, 'synthetic')


PEAKS = """
import resource, sys
import jax, jax.numpy as jnp, numpy as np
from ganrec_jax.data.types import Catalogue
from ganrec_jax.models.mixture import Mixture
from ganrec_jax.profiles import generator, likelihood, logs

ITEMS, LATENT, HIDDEN = 300, 8, 16
draw = lambda *shape: jnp.asarray(np.random.default_rng(0).normal(size=shape), jnp.float32)
share = jnp.linspace(0, 1, 256)
normal = Mixture(jnp.zeros(1), jnp.zeros((1, LATENT + 1)), jnp.ones((1, LATENT + 1)))
prior = likelihood.Prior(normal, jnp.zeros(LATENT), jnp.eye(LATENT), 6 * share - 3, 5 + 30 * share)
made = generator.Generator(draw(LATENT, HIDDEN), draw(HIDDEN), draw(HIDDEN, ITEMS), draw(ITEMS),
                           jnp.ones(ITEMS, bool), prior)
ids = np.array([f'an item with a long name, number {k}' for k in range(ITEMS)])
catalogue = Catalogue(ids, ids, ids, ((),) * ITEMS)
for number in map(int, sys.argv[2:]):
  drawn = generator.stream(made, .7, jax.random.key(0), number)
  for _ in logs.write_interactions(sys.argv[1], drawn, number, catalogue, None, 'synthetic', f'{number}'):
    pass
  print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""


def test_memory_does_not_grow_with_the_users(tmp_path):
  done = subprocess.run([sys.executable, '-c', PEAKS, str(tmp_path / 'log.csv'), '10000', '60000'], check=True,
                        text=True, capture_output=True, timeout=500, env=os.environ | {'PYTHONPATH': str(ROOT)})
  few, many = map(int, done.stdout.split())
  size = (tmp_path / 'log.csv').stat().st_size
  assert size > 50e6 and many - few < size / 5
