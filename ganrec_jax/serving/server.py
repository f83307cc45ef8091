"""uvicorn around the application: where it listens, what it asks of connections, and how it ends."""

import ipaddress
import logging
import os
import signal
import socket

import uvicorn

from ganrec_jax import pipeline
from ganrec_jax.errors import UserError
from ganrec_jax.serving import app, guard, logs
from ganrec_jax.stages import finished

KEY = 'GANREC_API_KEY'
_LOCAL = frozenset(('localhost', '127.0.0.1', '::1'))
_LOG = logging.getLogger(__name__)


def key_for(host):
  """The API key for a server that listens at `host`: from the environment, or None where none is needed.

  Raises:
    UserError: where others can reach the host and there is no key.
  """
  key = os.environ.get(KEY) or None
  if key is None and not _is_loopback(host):
    raise UserError(f'--host={host} can be reached by others; set the environment variable {KEY} to the key that they '
                    'must bring')
  return key


def _is_loopback(host):
  if host == 'localhost':
    return True
  try:
    return ipaddress.ip_address(host).is_loopback
  except ValueError:
    return False


def bound(host, port):
  """A socket at an address, on which nothing listens yet.

  Raises:
    UserError: where there is no such address, or another program has it.
  """
  try:
    family, kind, number, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM,
                                                          flags=socket.AI_PASSIVE)[0]
    found = socket.socket(family, kind, number)
  except (OSError, UnicodeError) as error:
    raise UserError(f'--host={host}: {error}') from error
  try:
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    found.bind(address)
  except OSError as error:
    found.close()
    raise UserError(f'--host={host} --port={port}: {error.strerror}') from error
  return found


def around(served, limits):
  """A `uvicorn.Server` of an application, with the `limits` of connections."""
  return uvicorn.Server(uvicorn.Config(
    served, http=guard.protocol(limits), ws='none', log_config=None, log_level='warning', access_log=False,
    server_header=False, limit_concurrency=limits.connections, timeout_keep_alive=int(limits.head_seconds) + 1,
    timeout_graceful_shutdown=int(limits.seconds) + 1))


def run(workdir, host, port, limits=guard.Limits()):  # noqa: B008, frozen
  """Serves a work directory until a SIGTERM or SIGINT; requests that have begun are answered first.

  Raises:
    UserError: where it cannot be served.
  """
  key = key_for(host)
  with bound(host, port) as listener:
    logs.to_stderr()
    pipeline.use_compilation_cache(finished.config_of(workdir))
    server = around(app.create(workdir, limits, key, None if key else _LOCAL), limits)
    # uvicorn raises the signal that stopped it once more when all is done; a stop that was asked for is no error.
    for stop in (signal.SIGTERM, signal.SIGINT):
      signal.signal(stop, lambda *_: None)
    name = f'[{host}]' if ':' in host else host
    _LOG.info('serving', extra={'fields': {'url': f'http://{name}:{listener.getsockname()[1]}/', 'workdir': workdir}})
    server.run(sockets=[listener])
    _LOG.info('stopped')
