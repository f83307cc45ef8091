"""SIGTERM and Ctrl-C end a run at the next safe place instead of in the middle of it; a second one ends it at once."""

import contextlib
import os
import signal
import threading

from ganrec_jax.training import hosts


class Interrupted(Exception):
  """The run was asked to stop and has saved what it had; `signum` is the signal that asked."""

  def __init__(self, signum):
    super().__init__(f'stopped by {signal.Signals(signum).name}')
    self.signum = signum


_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_asked = []


def _ask(signum, frame):
  del frame
  _asked.append(signum)


def _listen(pipe):
  """Hears of signals through `pipe`, also while a chunk of steps runs and Python's handlers wait for its end."""
  heard = 0
  while signum := os.read(pipe, 1):
    if signum[0] not in _SIGNALS:
      continue
    heard += 1
    if heard > 1:
      # What is on disk is whole at any moment; nothing has to be tidied up.
      os._exit(128 + signum[0])
    os.write(2, b'\nstopping where it can go on from; asked once more, it stops at once\n')
  os.close(pipe)


@contextlib.contextmanager
def graceful():
  """Within it, the first SIGTERM or SIGINT only asks, and the second one ends the process at once."""
  _asked.clear()
  read, write = os.pipe()
  os.set_blocking(write, False)
  threading.Thread(target=_listen, args=(read,), daemon=True).start()
  old, wakeup = {each: signal.signal(each, _ask) for each in _SIGNALS}, signal.set_wakeup_fd(write)
  try:
    yield
  finally:
    signal.set_wakeup_fd(wakeup)
    for each, handler in old.items():
      signal.signal(each, handler)
    os.close(write)


def check(save=None):
  """Raises `Interrupted` where a stop was asked for, of any of the processes, after calling `save`."""
  signum = hosts.largest(_asked[0] if _asked else 0)
  if signum:
    if save is not None:
      save()
    raise Interrupted(signum)
