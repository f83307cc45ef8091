"""Answers questions to a finished run over HTTP, and a web page to try them.

    python -m ganrec_jax.serve --workdir=DIR [--port=8000] [--host=127.0.0.1]

Endpoints: POST /recommend, /similar, /audience, /feedback; GET /items?q=, /about, /health, /metrics, /openapi.json.
At another host than the machine itself requests must bring the key in the environment variable GANREC_API_KEY.
Feedback is appended to DIR/feedback.csv. When a newer run is finished in DIR, it takes over.
"""

from absl import flags

from ganrec_jax import terminal
from ganrec_jax.errors import UserError

_WORKDIR = flags.DEFINE_string('workdir', None, 'The work directory of a finished run.')
_HOST = flags.DEFINE_string('host', '127.0.0.1', 'Where to listen; anything but this machine needs GANREC_API_KEY.')
_PORT = flags.DEFINE_integer('port', 8000, 'The port; 0 takes a free one, which the first line of the log names.')


def _answer():
  if not _WORKDIR.value:
    raise UserError('--workdir=DIR is missing: the work directory of a finished run')
  if not 0 <= _PORT.value < 65536:
    raise UserError(f'--port is {_PORT.value}; allowed are 0 to 65535')
  from ganrec_jax.serving import server  # imports jax, after the flags are known to be right
  server.run(_WORKDIR.value, _HOST.value, _PORT.value)
  return 0


if __name__ == '__main__':
  terminal.run(_answer)
