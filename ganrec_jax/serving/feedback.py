"""What users did with recommendations, appended to a log that `ganrec_jax.data.tables` reads as it is."""

import csv
import fcntl
import io
import os
import threading
import time

NAME = 'feedback.csv'
_HEADER = ('user_id', 'item_id', 'event', 'timestamp')


class FeedbackLog:
  """The file `feedback.csv` of a work directory; several threads and processes may append to it.

  An event is on the disk when `append` returns. A line that was cut off by a crash, and so was never acknowledged, is
  taken out by the next event.
  """

  def __init__(self, workdir):
    self.path, self._lock = os.path.join(workdir, NAME), threading.Lock()

  def append(self, user, item, event):
    """Adds an event, with the time in seconds since 1970."""
    with self._lock, open(self.path, 'ab+') as file:
      fcntl.flock(file, fcntl.LOCK_EX)  # until the file is closed
      if not _mended(file):
        file.write(_line(_HEADER))
      file.write(_line((user, item, event, int(time.time()))))
      file.flush()
      os.fsync(file.fileno())


def _mended(file):
  """Cuts off a last line without an end; returns how many bytes are left."""
  size = kept = file.seek(0, os.SEEK_END)
  if size:
    file.seek(max(0, size - 4096))  # no line is longer
    end = file.read()
    kept = size - len(end) + end.rfind(b'\n') + 1
    if kept < size:
      file.truncate(kept)
  return kept


def _line(values):
  text = io.StringIO()
  csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator='\n').writerow(values)
  return text.getvalue().encode()
