"""What stands before every request: limits of size, time and number, the key, the host; on the wire and off it."""

import asyncio
import json
import socket
import time

import pytest

from ganrec_jax.serving import guard, metrics

from . import runs

LIMITS = guard.Limits(body=100, active=2, seconds=.3, body_seconds=.2, head_seconds=.4, head=2000)


async def app(scope, receive, send):
  """Answers with the body it was sent; waits, fails or breaks off where the path says so."""
  body = (await receive()).get('body', b'')
  if scope['path'] == '/slow':
    await asyncio.sleep(5)
  if scope['path'] == '/fail':
    raise RuntimeError('secret of /the/path')
  await send({'type': 'http.response.start', 'status': 200, 'headers': [(b'content-length', str(len(body)).encode())]})
  await send({'type': 'http.response.body', 'body': body})


def guarded(**options):
  return guard.Guard(app, LIMITS, metrics.Metrics(), {'/'}, {'/free'}, **options)


async def call(front, path='/', body=b'', headers=(), pieces=None, pause=0.):
  """(status, headers, JSON or bytes) of a request whose body comes in `pieces`."""
  sent, pieces = [], list(pieces or [body])

  async def receive():
    await asyncio.sleep(pause)
    piece = pieces.pop(0)
    return {'type': 'http.request', 'body': piece, 'more_body': bool(pieces)}

  async def send(message):
    sent.append(message)

  headers = {'content-type': 'application/json', 'host': 'localhost:8000', **dict(headers)}
  await front({'type': 'http', 'method': 'POST', 'path': path, 'client': ('127.0.0.1', 1),
               'headers': [(name.encode(), value.encode()) for name, value in headers.items()]}, receive, send)
  answer = b''.join(message.get('body', b'') for message in sent[1:])
  status, found = sent[0]['status'], {name.decode(): value.decode() for name, value in sent[0]['headers']}
  return status, found, json.loads(answer)['error'] if status >= 400 else answer


def test_a_body_arrives_as_it_was_sent():
  assert asyncio.run(call(guarded(), pieces=[b'one', b'', b' two']))[::2] == (200, b'one two')


@pytest.mark.parametrize(('options', 'request_', 'status', 'words'), [
  ({}, {'headers': {'content-length': '101'}}, 413, '100 bytes'),
  ({}, {'headers': {'content-length': '9' * 400}}, 413, '100 bytes'),
  ({}, {'pieces': [b'x' * 60] * 2}, 413, '100 bytes'),
  ({}, {'pieces': [b'x'] * 50, 'pause': .05}, 408, 'within 0.2 seconds'),
  ({}, {'path': '/slow'}, 503, 'within 0.3 seconds'),
  ({}, {'path': '/fail'}, 500, 'something went wrong'),
  ({}, {'headers': {'content-type': 'text/plain'}}, 415, "'text/plain'"),
  ({'key': 'k'}, {}, 401, 'API key'), ({'key': 'k'}, {'headers': {'authorization': 'Bearer K'}}, 401, 'API key'),
  ({'key': 'k'}, {'headers': {'authorization': 'Basic k'}}, 401, 'API key'),
  ({'key': 'k'}, {'headers': {'x-api-key': 'kk'}}, 401, 'API key'),
  ({'hosts': {'localhost'}}, {'headers': {'host': 'evil.example'}}, 421, 'evil.example'),
])
def test_what_is_not_allowed_is_refused_in_json(options, request_, status, words):
  found, headers, error = asyncio.run(call(guarded(**options), **request_))
  assert found == status and words in error and 'secret' not in error
  assert headers['content-type'] == 'application/json' and 'content-security-policy' in headers


@pytest.mark.parametrize(('options', 'request_'), [
  ({'key': 'k'}, {'headers': {'authorization': 'bearer k'}}), ({'key': 'k'}, {'headers': {'x-api-key': 'k'}}),
  ({'key': 'k'}, {'path': '/free'}), ({'hosts': {'::1'}}, {'headers': {'host': '[::1]:80'}}),
  ({'hosts': {'localhost'}}, {'headers': {'content-type': 'application/json; charset=utf-8'}})])
def test_what_is_allowed_passes(options, request_):
  assert asyncio.run(call(guarded(**options), **request_))[0] == 200


def test_more_than_can_be_answered_are_told_to_come_back():
  async def run():
    front = guarded()
    first = [asyncio.create_task(call(front, '/slow')) for _ in range(2)]
    await asyncio.sleep(.05)
    status, headers, _ = await call(front)
    assert (status, headers['retry-after']) == (503, '1')
    await asyncio.gather(*first)
    return (await call(front))[0]
  assert asyncio.run(run()) == 200


@pytest.fixture(scope='module')
def address():
  with runs.serving(guarded(), LIMITS) as url:
    yield '127.0.0.1', int(url.rpartition(':')[2])


def talk(address, *parts, pause=0.):
  """What comes back until the server closes the connection, and after how many seconds it does."""
  with socket.create_connection(address, timeout=10) as connection:
    start, found = time.monotonic(), b''
    try:
      for part in parts:
        connection.sendall(part)
        time.sleep(pause)
      while piece := connection.recv(4096):
        found += piece
    except (ConnectionResetError, BrokenPipeError):
      pass
    return found, time.monotonic() - start


WHOLE = b'POST / HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\nhi'


@pytest.mark.parametrize(('parts', 'pause'), [
  ([], 0.), ([b'POST / HT'], 0.), ([WHOLE[:1]] + [b'x'] * 30, .05), ([WHOLE, b'\r\n'], .05),
  ([WHOLE[:17]] + [b'a: ' + b'b' * 500 + b'\r\n'] * 20, 0.)])
def test_connections_that_keep_the_server_waiting_are_closed(address, parts, pause):
  _, seconds = talk(address, *parts, pause=pause)
  assert seconds < 5


def test_a_connection_serves_many_requests_and_what_is_no_http_is_refused(address):
  found, _ = talk(address, WHOLE, WHOLE, pause=.2)
  assert found.count(b'200 OK') == 2
  assert talk(address, b'\x16\x03\x01\x02\x00 no http\r\n\r\n')[0].startswith(b'HTTP/1.1 400')
