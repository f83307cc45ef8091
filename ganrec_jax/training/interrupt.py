"""SIGTERM and Ctrl-C end a run at the next safe place instead of in the middle of it."""

import contextlib
import os
import signal


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
  # The second one does not wait for Python to be at a line: it kills, and what is on disk is whole at any moment.
  for each in _SIGNALS:
    signal.signal(each, signal.SIG_DFL)
  # Python's own streams may be in the middle of a line.
  os.write(2, b'\nstopping where it can go on from; asked once more, it stops at once\n')


@contextlib.contextmanager
def graceful():
  """Within it, the first SIGTERM or SIGINT only asks, and the second one ends the process at once."""
  _asked.clear()
  old = {each: signal.signal(each, _ask) for each in _SIGNALS}
  try:
    yield
  finally:
    for each, handler in old.items():
      signal.signal(each, handler)


def check(save=None):
  """Raises `Interrupted` where a stop was asked for, after calling `save`."""
  if _asked:
    if save is not None:
      save()
    raise Interrupted(_asked[0])
