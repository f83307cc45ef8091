"""What Weights & Biases is told is read back from its offline files; without it nothing is imported."""

import json
import math
import os
import pathlib
import signal
import struct
import subprocess
import sys
import time

import pytest

from ganrec_jax import pipeline
from ganrec_jax.errors import UserError
from ganrec_jax.training import logs, tracking
from tests.stages import worlds

RECORDS = [{'row': 'gan', 'task': 'warm', 'metric': 'ndcg@20', 'value': .25, 'low': .2, 'high': .3, 'users': 9},
           {'row': 'gan', 'task': 'cold', 'metric': 'gini@20', 'value': None, 'low': None, 'high': None, 'users': 0}]


@pytest.fixture
def offline(monkeypatch):
  """Skips where the package is absent; whatever the environment says, nothing is sent."""
  pytest.importorskip('wandb', reason='needs wandb, which .ci/run installs: with what it needs it is 100 MB')
  monkeypatch.delenv('WANDB_MODE', raising=False)
  monkeypatch.delenv('WANDB_PROJECT', raising=False)


def read(path):
  """The records of an offline file, a leveldb log: blocks of 32 KiB, records as checksum, length and type in parts."""
  from wandb.proto import wandb_internal_pb2 as messages
  data, place, whole, found = path.read_bytes(), 7, b'', []
  while place + 7 <= len(data):
    if 32768 - place % 32768 < 7:
      place += 32768 - place % 32768
      continue
    length, kind = struct.unpack_from('<HB', data, place + 4)
    if place + 7 + length > len(data):  # a kill tore it
      break
    whole += data[place + 7:place + 7 + length]
    place += 7 + length
    if kind in (1, 4):  # whole, or the last part
      found.append(messages.Record.FromString(whole))
      whole = b''
  return found


def ended(path):
  """The records of a file whose run has ended; another process still writes them then."""
  for _ in range(300):
    found = read(path)
    if found and found[-1].WhichOneof('record_type') == 'exit':
      return found
    time.sleep(.1)
  raise TimeoutError(f'{path} has no end after half a minute')


def files(workdir):
  """The offline files of a work directory, the oldest first."""
  return sorted(pathlib.Path(workdir).glob('wandb/offline-run-*/run-*.wandb'))


def config_of(records):
  """The config that the run was begun with."""
  run = next(record.run for record in records if record.WhichOneof('record_type') == 'run')
  return {item.key: json.loads(item.value_json) for item in run.config.update}


def history(records):
  """The logged lines: a list of name -> value, without what the package adds."""
  return [{item.key or '/'.join(item.nested_key): json.loads(item.value_json) for item in record.history.item
           if not (item.key or item.nested_key[0]).startswith('_')}
          for record in records if record.WhichOneof('record_type') == 'history']


def on(**sections):
  return worlds.config(track={'wandb': True}, **sections)


def test_scalars_table_and_config_are_kept_offline(offline, tmp_path):
  config = on()
  with tracking.started(config, str(tmp_path), 'key') as run:
    metrics = logs.Metrics(str(tmp_path), lambda *line: tracking.log(run, *line))
    metrics.write('gan', 20, {'loss': 1.5, 'valid': -2})
    metrics.write('gan', 40, {'loss': 1.25, 'valid': math.inf})
    metrics.close()
    tracking.tell(run, RECORDS)
  path, = files(tmp_path)
  records = ended(path)
  assert config_of(records)['base'] == json.loads(json.dumps(config.base.to_dict()))
  first, second, table = history(records)
  assert first == {'gan/loss': 1.5, 'gan/valid': -2., 'step': 20}
  assert second['gan/loss'] == 1.25 and second['step'] == 40 and float(second['gan/valid']) == math.inf
  assert [line['loss'] for line in logs.read(str(tmp_path / 'metrics.jsonl'))] == [1.5, 1.25]
  kept = json.loads((path.parent / 'files' / table['results/path']).read_text())
  assert kept['columns'] == list(RECORDS[0]) and kept['data'] == [list(one.values()) for one in RECORDS]
  last = {item.key or '/'.join(item.nested_key): item.value_json for record in records
          for item in record.summary.update}
  assert json.loads(last['gan/warm/ndcg@20']) == .25


def test_the_same_run_keeps_its_id_and_another_one_has_its_own(offline, tmp_path):
  ids = []
  for key in ('one', 'one', 'two'):
    with tracking.started(on(), str(tmp_path), key) as run:
      ids.append(run.id)
  assert ids[0] == ids[1] != ids[2]


def test_a_missing_package_is_told_before_any_work(tmp_path, monkeypatch):
  monkeypatch.setitem(sys.modules, 'wandb', None)
  with pytest.raises(UserError, match=r'wandb is missing; pip install .ganrec_jax\[track\]'):
    pipeline.run(on(), str(tmp_path / 'work'))
  assert not (tmp_path / 'work').exists()


def test_a_folder_of_that_name_is_not_the_package(tmp_path, monkeypatch):
  monkeypatch.setattr(sys, 'path', [str(tmp_path)])
  monkeypatch.delitem(sys.modules, 'wandb', raising=False)
  (tmp_path / 'wandb').mkdir()
  with pytest.raises(UserError, match='wandb is missing'):
    tracking.check(on())


def test_without_the_flag_nothing_is_imported(tmp_path, monkeypatch):
  monkeypatch.setitem(sys.modules, 'wandb', None)
  tracking.check(worlds.config())
  with tracking.started(worlds.config(), str(tmp_path), 'key') as run:
    assert run is None
  assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_killed_run_goes_on_under_its_id(offline, tmp_path):
  command = [sys.executable, '-m', 'ganrec_jax.main', '--config=configs/music.py:testing', f'--workdir={tmp_path}',
             '--config.track.wandb=True']
  # WANDB_SERVICE is where another test's process serves its runs; it would hold the killed one.
  environment = {name: value for name, value in os.environ.items() if name not in ('XLA_FLAGS', 'WANDB_SERVICE')}
  with subprocess.Popen(command, cwd=worlds.ROOT, env=environment, stderr=subprocess.DEVNULL) as running:
    while running.poll() is None and not list(tmp_path.glob('checkpoints/mlm/*/[0-9]*')):
      time.sleep(.1)
    running.send_signal(signal.SIGKILL)
  assert running.returncode == -signal.SIGKILL
  assert subprocess.run(command, cwd=worlds.ROOT, env=environment, timeout=600).returncode == 0
  known = json.loads((tmp_path / 'artifacts' / 'wandb.json').read_text())['id']
  assert len(files(tmp_path)) == 2 and all(path.name == f'run-{known}.wandb' for path in files(tmp_path))
  killed, last = files(tmp_path)
  told = history(read(killed)) + history(ended(last))
  # Numbers without a fraction come back as int, equal all the same.
  scalars = {frozenset(line.items()) for line in told if 'results/path' not in line}
  assert scalars == {frozenset([(f'{line["stage"]}/{name}', value) for name, value in line.items()
                                if name not in ('stage', 'step')] + [('step', line['step'])])
                     for line in logs.read(str(tmp_path / 'metrics.jsonl'))}
  assert sum('results/path' in line for line in told) == 1
  # A finished run tells nothing anew.
  assert subprocess.run(command, cwd=worlds.ROOT, env=environment, timeout=600).returncode == 0
  assert len(files(tmp_path)) == 2
