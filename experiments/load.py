"""How fast the server answers: latency at a fixed rate of requests, and how many a second at saturation.

    python experiments/load.py --workdir=DIR [--rate=50] [--seconds=20] [--clients=64]

Starts `python -m ganrec_jax.serve` on the finished run in DIR, asks, prints a table, and stops it. At a fixed rate
(open loop) a request is sent when it is due, whether or not the ones before are answered, and its latency counts from
when it was due: a server that falls behind cannot hide it. At saturation (closed loop) each client sends its next
request when it has the answer to the last. The client runs on the same cores as the server.
"""

import asyncio
import contextlib
import csv
import gzip
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time

import aiohttp
import numpy as np
from absl import app, flags

_WORKDIR = flags.DEFINE_string('workdir', None, 'The work directory of a finished run.', required=True)
_RATE = flags.DEFINE_float('rate', 50., 'Requests a second of the open loop.')
_SECONDS = flags.DEFINE_float('seconds', 20., 'How long each measurement takes.')
_CLIENTS = flags.DEFINE_integer('clients', 64, 'Clients of the closed loop.')
_SEED = flags.DEFINE_integer('seed', 0, 'Of the questions.')


def questions(workdir, rng):
  """What is asked, by name: functions of nothing that draw a path and a body."""
  histories = {}
  with gzip.open(os.path.join(workdir, 'split.csv.gz'), 'rt') as file:
    for row in csv.DictReader(file):
      if row['part'] == 'train':
        histories.setdefault(row['user_id'], []).append(row['item_id'])
  users = sorted(histories)

  def draw(make):
    return lambda: make(users[rng.integers(len(users))])

  return {
    'known user': draw(lambda user: ('/recommend', {'user': user})),
    'known user, explained': draw(lambda user: ('/recommend', {'user': user, 'explain': True})),
    'new user by history': draw(lambda user: ('/recommend', {'history': histories[user]})),
    'similar items': draw(lambda user: ('/similar', {'item': histories[user][0]})),
    'text of a new item': draw(lambda user: ('/audience', {'text': f'like {histories[user][0]}: rock, 1980s'})),
  }


@contextlib.contextmanager
def served(workdir):
  """Starts the server; gives its address and the seconds from the start to the first answer."""
  start = time.perf_counter()
  with tempfile.NamedTemporaryFile('r+') as log, subprocess.Popen(
      [sys.executable, '-m', 'ganrec_jax.serve', f'--workdir={workdir}', '--port=0'], stderr=log) as server:
    try:
      url = None
      while url is None:
        if server.poll() is not None:
          raise SystemExit(f'the server did not start:\n{pathlib.Path(log.name).read_text()}')
        time.sleep(.02)
        lines = pathlib.Path(log.name).read_text().splitlines()
        url = next((json.loads(line)['url'].rstrip('/') for line in lines if '"url"' in line), None)
      asyncio.run(_first(url))
      yield url, time.perf_counter() - start
    finally:
      server.send_signal(signal.SIGTERM)
      server.wait()


async def _first(url):
  async with aiohttp.ClientSession(url) as session:
    while True:
      with contextlib.suppress(aiohttp.ClientConnectionError):
        async with session.get('/health') as answer:
          return answer.status


async def _ask(session, question, due, out):
  path, body = question
  try:
    async with session.post(path, json=body) as answer:
      await answer.read()
      out.append((time.perf_counter() - due, answer.status == 200))
  except aiohttp.ClientError:
    out.append((time.perf_counter() - due, False))


async def open_loop(url, draw, rate, seconds):
  """[(seconds from when it was due, whether it was answered)] of requests at a fixed rate."""
  out, tasks = [], []
  async with aiohttp.ClientSession(url, connector=aiohttp.TCPConnector(limit=0)) as session:
    start = time.perf_counter()
    for number in range(int(rate * seconds)):
      due = start + number / rate
      await asyncio.sleep(max(0, due - time.perf_counter()))
      tasks.append(asyncio.create_task(_ask(session, draw(), due, out)))
    await asyncio.gather(*tasks)
  return out, seconds


async def closed_loop(url, draw, clients, seconds):
  """The same of as many requests as `clients` get answered."""
  out, end = [], time.perf_counter() + seconds

  async def client(session):
    while time.perf_counter() < end:
      await _ask(session, draw(), time.perf_counter(), out)

  async with aiohttp.ClientSession(url, connector=aiohttp.TCPConnector(limit=0)) as session:
    start = time.perf_counter()
    await asyncio.gather(*(client(session) for _ in range(clients)))
    return out, time.perf_counter() - start


def row(name, how, out, seconds):
  """A line of the table."""
  times = 1e3 * np.array([took for took, _ in out])
  p50, p99 = np.percentile(times, [50, 99])
  errors = sum(not right for _, right in out)
  return f'| {name} | {how} | {p50:.1f} | {p99:.1f} | {len(out) / seconds:.0f} | {errors} |'


def main(_):
  asked = questions(_WORKDIR.value, np.random.default_rng(_SEED.value))
  with served(_WORKDIR.value) as (url, seconds):
    print(f'start to first answer: {seconds:.1f} s; {os.cpu_count()} cores, load before {os.getloadavg()[0]:.1f}\n')
    print('| question | requests | p50, ms | p99, ms | answers/s | errors |')
    print('|---|---|---|---|---|---|')
    for name, draw in asked.items():
      asyncio.run(open_loop(url, draw, _RATE.value, 2.))  # connections and caches are warm in a running server
      print(row(name, f'{_RATE.value:g} a second', *asyncio.run(open_loop(url, draw, _RATE.value, _SECONDS.value))),
            flush=True)
    for name in list(asked)[:3]:
      print(row(name, f'{_CLIENTS.value} clients', *asyncio.run(closed_loop(url, asked[name], _CLIENTS.value,
                                                                            _SECONDS.value))), flush=True)


if __name__ == '__main__':
  app.run(main)
