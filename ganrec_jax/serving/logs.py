"""Logs as JSON, a line each, for whoever collects them."""

import datetime
import json
import logging


class JsonLines(logging.Formatter):
  """Any record as one JSON line; `extra={'fields': {...}}` adds fields to it."""

  def format(self, record):
    line = {'time': datetime.datetime.fromtimestamp(record.created, datetime.UTC).isoformat(timespec='milliseconds'),
            'level': record.levelname.lower(), 'message': record.getMessage(), **getattr(record, 'fields', {})}
    if record.exc_info:
      line['exception'] = self.formatException(record.exc_info)
    return json.dumps(line)


def to_stderr():
  """Sends the records of all loggers, absl's among them, to stderr as JSON lines."""
  handler = logging.StreamHandler()
  handler.setFormatter(JsonLines())
  root = logging.getLogger()
  root.handlers[:] = [handler]
  root.setLevel(logging.INFO)
  logging.getLogger('jax').setLevel(logging.WARNING)
