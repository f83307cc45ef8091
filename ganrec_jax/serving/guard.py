"""What stands before every request: its size, its time, who may ask, and a line in the log; errors are JSON."""

import asyncio
import dataclasses
import hmac
import json
import logging
import time

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_LOG = logging.getLogger(__name__)

_POLICY = (b"default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; "
           b"base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
_HEADERS = ((b'content-security-policy', _POLICY), (b'x-content-type-options', b'nosniff'),
            (b'referrer-policy', b'no-referrer'), (b'cross-origin-resource-policy', b'same-origin'),
            (b'cache-control', b'no-store'))


@dataclasses.dataclass(frozen=True)
class Limits:
  """What a request may take.

  Attributes:
    body: bytes.
    active: requests at a time; others are told to come back.
    waiting: questions that wait to be answered, and of these those with texts to be read.
    waiting_words: see `waiting`.
    seconds: for the answer.
    body_seconds: for the body to arrive.
    head_seconds: for the head of a request to arrive, and how long a connection may be idle.
    head: bytes of the head.
    connections: that are open at a time.
  """
  body: int = 1_000_000
  active: int = 512
  waiting: int = 512
  waiting_words: int = 128
  seconds: float = 10.
  body_seconds: float = 10.
  head_seconds: float = 10.
  head: int = 65536
  connections: int = 2048


class Refused(Exception):
  """A request that is not answered: a status and why."""

  def __init__(self, status, words):
    super().__init__(words)
    self.status = status


class Guard:
  """ASGI middleware.

  Attributes:
    app: the application behind it.
    limits: `Limits`.
    metrics: `Metrics`.
    paths: the paths that there are, for the labels of metrics.
    free: the paths that need no key.
    key: the API key, or None.
    hosts: the names by which the server may be called, or None for all. Without it any page on the web could ask a
      server on the reader's own machine, by a name that is made to point there.
  """

  def __init__(self, app, limits, metrics, paths, free, key=None, hosts=None):
    self.app, self.limits, self.metrics, self.paths, self.free = app, limits, metrics, paths, free
    self.key, self.hosts, self.active = key, hosts, 0

  async def __call__(self, scope, receive, send):
    if scope['type'] != 'http':
      await self.app(scope, receive, send)
      return
    start, status = time.perf_counter(), None

    async def answer(message):
      nonlocal status
      if message['type'] == 'http.response.start':
        status = message['status']
        message = message | {'headers': [*message['headers'], *_HEADERS]}
      await send(message)

    try:
      await self._guarded(scope, receive, answer)
    except Refused as error:
      await _refuse(answer, error.status, str(error))
    except TimeoutError:
      if status is None:
        await _refuse(answer, 503, f'no answer within {self.limits.seconds:g} seconds; try again later')
    except Exception:  # whatever it is, the client is told no more than that
      _LOG.exception('a request failed')
      if status is None:
        await _refuse(answer, 500, 'something went wrong here; it is in the log of the server')
    finally:
      seconds, path = time.perf_counter() - start, scope['path']
      self.metrics.request(path if path in self.paths else 'other', status, seconds)
      _LOG.info('request', extra={'fields': {
        'method': scope['method'], 'path': path[:200], 'status': status, 'ms': round(1e3 * seconds, 2),
        'client': (scope['client'] or ('',))[0]}})

  async def _guarded(self, scope, receive, send):
    headers = dict(scope['headers'])
    self._check(scope, headers)
    receive = _once(await self._body(headers, receive)) if scope['method'] == 'POST' else receive
    if self.active >= self.limits.active:
      raise Refused(503, f'{self.active} requests are being answered already; try again later')
    self.active += 1
    self.metrics.active.set(self.active)
    try:
      async with asyncio.timeout(self.limits.seconds):
        await self.app(scope, receive, send)
    finally:
      self.active -= 1
      self.metrics.active.set(self.active)

  def _check(self, scope, headers):
    host = headers.get(b'host', b'').decode('latin-1')
    if self.hosts is not None and _name(host) not in self.hosts:
      raise Refused(421, f'the host {host[:100]!r} is not served here; allowed are {", ".join(sorted(self.hosts))}')
    if self.key is not None and scope['path'] not in self.free:
      kind, _, given = headers.get(b'authorization', b'').partition(b' ')
      given = given if kind.lower() == b'bearer' else headers.get(b'x-api-key', b'')
      if not hmac.compare_digest(given.strip(), self.key.encode()):
        raise Refused(401, 'an API key is due, as Authorization: Bearer KEY or X-API-Key: KEY')
    kind = headers.get(b'content-type', b'').partition(b';')[0].strip().lower()
    if scope['method'] == 'POST' and kind != b'application/json':
      raise Refused(415, f'the content type is {kind.decode("latin-1")[:100]!r}; allowed is application/json')

  async def _body(self, headers, receive):
    """The whole body, read before the request takes anybody's place."""
    length = headers.get(b'content-length', b'')
    too_large = Refused(413, f'the body is too large; allowed are {self.limits.body} bytes')
    if length.isdigit() and (len(length) > 15 or int(length) > self.limits.body):
      raise too_large
    parts, size = [], 0
    try:
      async with asyncio.timeout(self.limits.body_seconds):
        more = True
        while more:
          message = await receive()
          if message['type'] == 'http.disconnect':
            raise Refused(400, 'the connection was closed before the end of the body')
          parts.append(message.get('body', b''))
          size, more = size + len(parts[-1]), message.get('more_body', False)
          if size > self.limits.body:
            raise too_large
    except TimeoutError:
      raise Refused(408, f'the body did not arrive within {self.limits.body_seconds:g} seconds') from None
    return b''.join(parts)


def _name(host):
  """The name in a Host header, without the port."""
  return host[1:].partition(']')[0] if host.startswith('[') else host.partition(':')[0]


def _once(body):
  """An ASGI receive that gives a body that is there already."""
  left = [{'type': 'http.request', 'body': body, 'more_body': False}]

  async def receive():
    return left.pop() if left else {'type': 'http.disconnect'}
  return receive


async def _refuse(send, status, words):
  body = json.dumps({'error': words}).encode()
  headers = [(b'content-type', b'application/json'), (b'content-length', str(len(body)).encode())]
  headers += [(b'retry-after', b'1')] if status == 503 else []
  # Whatever else the client is about to send belongs to a request that is over.
  headers += [(b'connection', b'close')] if status in (400, 408, 413) else []
  headers += [(b'www-authenticate', b'Bearer')] if status == 401 else []
  await send({'type': 'http.response.start', 'status': status, 'headers': headers})
  await send({'type': 'http.response.body', 'body': body})


def protocol(limits):
  """uvicorn's protocol for connections that must not keep the server waiting for the head of a request."""

  class Impatient(HttpToolsProtocol):
    """Closes a connection whose next request does not come, or does not end its head, in time and size."""
    deadline, size = None, 0

    def connection_made(self, transport):
      super().connection_made(transport)
      self._await_head()

    def connection_lost(self, exc):
      self._head_is_there()
      super().connection_lost(exc)

    def data_received(self, data):
      if self.deadline is None and (self.cycle is None or self.cycle.response_complete):
        self._await_head()
      if self.deadline is not None:
        self.size += len(data)
      super().data_received(data)
      if self.deadline is not None and self.size > limits.head:
        self.transport.close()

    def on_headers_complete(self):
      self._head_is_there()
      super().on_headers_complete()

    def _await_head(self):
      self.deadline, self.size = self.loop.call_later(limits.head_seconds, self.transport.close), 0

    def _head_is_there(self):
      if self.deadline is not None:
        self.deadline.cancel()
        self.deadline = None

  return Impatient
