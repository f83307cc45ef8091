"""SIGTERM and Ctrl-C end a run at the next safe place instead of in the middle of it."""

import contextlib
import signal


class Interrupted(Exception):
  """The run was asked to stop and has saved what it had; `signum` is the signal that asked."""

  def __init__(self, signum):
    super().__init__(f'stopped by {signal.Signals(signum).name}')
    self.signum = signum


_asked = []


def _ask(signum, frame):
  del frame
  if _asked:  # asked twice: do not wait for the safe place
    raise KeyboardInterrupt
  _asked.append(signum)


@contextlib.contextmanager
def graceful():
  """Within it, the first SIGTERM or SIGINT only asks, and the second one interrupts at once."""
  _asked.clear()
  old = {s: signal.signal(s, _ask) for s in (signal.SIGTERM, signal.SIGINT)}
  try:
    yield
  finally:
    for s, handler in old.items():
      signal.signal(s, handler)


def check(save=None):
  """Raises `Interrupted` where a stop was asked for, after calling `save`."""
  if _asked:
    if save is not None:
      save()
    raise Interrupted(_asked[0])
