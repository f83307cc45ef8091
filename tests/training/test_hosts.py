"""Several processes on one machine: the same answer as one, one mind, one writer, and no waiting for the dead."""

import contextlib
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest

from ganrec_jax.errors import UserError
from ganrec_jax.training import hosts

HERE = pathlib.Path(__file__)
ROOT = HERE.resolve().parents[2]


def free_port():
  with socket.socket() as found:
    found.bind(('127.0.0.1', 0))
    return found.getsockname()[1]


@contextlib.contextmanager
def started(workdir, number, devices=1, steps=60, seconds=0., fault=''):
  """A list of running processes, each with simulated devices; what is left of them at the end is killed."""
  where = [f'127.0.0.1:{free_port()}', str(number)] if number > 1 else []
  found = os.environ | {'XLA_FLAGS': f'--xla_force_host_platform_device_count={devices}', 'PYTHONPATH': str(ROOT),
                        'HOST': fault}
  running = [subprocess.Popen(
    [sys.executable, str(HERE.parent / 'host.py'), str(workdir), str(steps), str(seconds), *where,
     *([str(process)] if where else [])], env=found, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    for process in range(number)]
  try:
    yield running
  finally:
    for one in running:
      one.kill()
      one.communicate()


def ended(running, seconds=300):
  """(exit codes, what was said on standard error) of processes that are waited for."""
  said = [one.communicate(timeout=seconds)[1] for one in running]
  return [one.returncode for one in running], said


def fitted(workdir, number, **options):
  with started(workdir, number, **options) as running:
    codes, said = ended(running)
  assert codes == [0] * number, said
  return json.loads((workdir / 'found.json').read_text())


def wait_for_a_checkpoint(workdir, running):
  deadline = time.monotonic() + 200
  while not [p for p in (workdir / 'checkpoints').glob('*') if p.name.isdigit()]:
    assert time.monotonic() < deadline and running[0].poll() is None
    time.sleep(.05)


@pytest.fixture(scope='module')
def alone(tmp_path_factory):
  return fitted(tmp_path_factory.mktemp('alone'), 1)


@pytest.mark.parametrize(('number', 'devices'), [(2, 2), pytest.param(4, 1, marks=pytest.mark.slow)])
def test_processes_agree_with_one_and_the_first_one_decides(alone, tmp_path, number, devices):
  found = fitted(tmp_path, number, devices=devices)
  np.testing.assert_allclose(found['w'], alone['w'], rtol=1e-5, atol=1e-6)
  # Each judges differently by its own number; all have kept what the first one took for the best.
  np.testing.assert_allclose(found['best'], alone['best'], rtol=1e-4)
  assert (found['steps'], found['devices']) == (60, number * devices)
  # An artifact is the first one's, in all of them.
  assert found['pids'][0] == found['pids'][1]
  assert sorted(p.name for p in tmp_path.iterdir()) == sorted((
    'checkpoints', 'costs.jsonl', 'found.json', 'made.npz', 'metrics.jsonl', 'tensorboard'))


@pytest.mark.slow
def test_one_goes_on_as_two_and_two_as_one(alone, tmp_path):
  for legs in ((1, 2), (2, 1)):
    workdir = tmp_path / str(legs[0])
    fitted(workdir, legs[0], steps=20)
    found = fitted(workdir, legs[1])
    np.testing.assert_allclose(found['w'], alone['w'], rtol=1e-5, atol=1e-6)
    assert json.loads((workdir / 'restarts.jsonl').read_text()) == {'stage': 'fit', 'step': 20}


@pytest.mark.slow
@pytest.mark.parametrize('dead', [0, 1])
def test_a_killed_process_ends_the_others_and_all_go_on(alone, tmp_path, dead):
  with started(tmp_path, 2, seconds=.5) as running:
    wait_for_a_checkpoint(tmp_path, running)
    running[dead].kill()
    start = time.monotonic()
    _, said = running[1 - dead].communicate(timeout=120)
    # A closed connection is noticed at the next step, a coordinator that is gone at once.
    assert time.monotonic() - start < 100
  code, words = running[1 - dead].returncode, f'process {1 - dead} of 2 cannot go on'
  if dead:
    assert code == 1 and words in said and 'goes on from the last checkpoint' in said
  else:  # it is a race whether the process or JAX hears of it first
    assert code in (1, -signal.SIGABRT) and (words in said or 'another task died' in said)
  np.testing.assert_allclose(fitted(tmp_path, 2)['w'], alone['w'], rtol=1e-5, atol=1e-6)
  assert json.loads((tmp_path / 'restarts.jsonl').read_text())['step'] > 0


def test_one_that_is_asked_to_stop_stops_all(tmp_path):
  with started(tmp_path, 2, seconds=.5) as running:
    wait_for_a_checkpoint(tmp_path, running)
    running[1].send_signal(signal.SIGTERM)
    codes, said = ended(running)
  assert codes == [128 + signal.SIGTERM] * 2, said


@pytest.mark.slow
@pytest.mark.parametrize(('fault', 'codes', 'words'), [
  ('differ', [2, 2], ['process 1 has another data than process 0'] * 2),
  ('fail', [1, 2], ['process 0 of 2 cannot go on', 'a file is missing here'])])
def test_a_fault_of_one_ends_all_with_a_word(tmp_path, fault, codes, words):
  with started(tmp_path, 2, fault=fault) as running:
    found, said = ended(running)
  assert found == codes, said
  assert all(word in text for word, text in zip(words, said, strict=True)), said
  assert not (tmp_path / 'found.json').exists()


@pytest.mark.parametrize(('given', 'words'), [
  ((None, 2, None), '--processes goes with --coordinator'), (('auto', None, 1), '--process goes with --coordinator'),
  (('here:1', None, None), '--processes is None and --process is None'), (('here:1', 2, 2), '--process is 2'),
  (('here:1', 2, -1), '--process is -1'), (('here', 2, 1), "--coordinator is 'here'"),
  (('here:', 2, 1), "--coordinator is 'here:'"), (('auto', None, None), 'did not come together')])
def test_flags_that_do_not_fit_are_refused(given, words):
  with pytest.raises(UserError, match=words):
    hosts.run(lambda workdir: 0, 'nowhere', *given)


def test_alone_all_is_as_it_is(tmp_path):
  value = {'x': object()}
  assert hosts.agreed(value) is value and hosts.largest(7) == 7 and hosts.first()
  hosts.check_alike(data='ab')
  assert hosts.in_turn(max, 3, 5) == 5
  assert hosts.run(lambda workdir: (workdir == tmp_path) + 3, tmp_path) == 4
