"""Asked once, a process goes on to the next safe place; asked twice, it ends at once, whatever it is doing."""

import signal
import subprocess
import sys

import pytest

from ganrec_jax.training import interrupt

# A computation that does not let Python's own handlers run, like a chunk of steps.
_BUSY = """
import ctypes, sys
from ganrec_jax.training import interrupt
with interrupt.graceful():
  print('begun', flush=True)
  libc, buffer = ctypes.CDLL(None), ctypes.create_string_buffer(1 << 28)
  for _ in range({times}):
    libc.memset(buffer, 1, 1 << 28)
  try:
    interrupt.check(lambda: print('saved', flush=True))
  except interrupt.Interrupted as stop:
    sys.exit(128 + stop.signum)
"""


def busy(times):
  return subprocess.Popen([sys.executable, '-c', _BUSY.format(times=times)], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize('signum', [signal.SIGINT, signal.SIGTERM])
def test_asked_once_it_saves_and_stops(signum):
  with busy(5) as process:
    assert process.stdout.readline() == 'begun\n'
    process.send_signal(signum)
    out, err = process.communicate(timeout=60)
  assert process.returncode == 128 + signum and out == 'saved\n'
  assert err == '\nstopping where it can go on from; asked once more, it stops at once\n'


def test_asked_twice_it_stops_at_once():
  with busy(10**6) as process:
    assert process.stdout.readline() == 'begun\n'
    process.send_signal(signal.SIGINT)
    assert process.stderr.readline() == '\n' and 'asked once more' in process.stderr.readline()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
  assert process.returncode == 128 + signal.SIGINT and out == err == ''


def test_afterwards_signals_are_what_they_were():
  before = signal.getsignal(signal.SIGINT)
  for _ in range(3):
    with interrupt.graceful():
      assert signal.getsignal(signal.SIGINT) is interrupt._ask
  assert signal.getsignal(signal.SIGINT) is before and signal.set_wakeup_fd(-1) == -1
