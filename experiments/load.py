"""How fast the server answers: latency at a fixed rate of requests, and how many a second at saturation.

    python experiments/load.py --workdir=DIR [--rate=50] [--seconds=20] [--clients=64]
    python experiments/load.py --items=1000000 --rate=10

Starts `python -m ganrec_jax.serve` on the finished run in DIR, or on a random model of so many items (`million.py`),
asks, prints a table, and stops it; `load.json` or `load.ITEMS.json` is left beside this file, or in the folder --out.
At a fixed rate (open loop) a request is sent when it is due, whether or not the ones before are answered, and its
latency counts from when it was due: a server that falls behind cannot hide it. At saturation (closed loop) each
client sends its next request when it has the answer to the last. The client runs on the same cores as the server.
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

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))  # a script sees only its own folder

from experiments import million
from ganrec_jax import artifacts, pipeline

_HERE = pathlib.Path(__file__).resolve().parent
_WORKDIR = flags.DEFINE_string('workdir', None, 'The work directory of a finished run.')
_ITEMS = flags.DEFINE_integer('items', 0, 'Of a random model that is served instead of a run.')
_RATE = flags.DEFINE_float('rate', 50., 'Requests a second of the open loop.')
_SECONDS = flags.DEFINE_float('seconds', 20., 'How long each measurement takes.')
_CLIENTS = flags.DEFINE_integer('clients', 64, 'Clients of the closed loop.')
_OUT = flags.DEFINE_string('out', str(_HERE), 'Folder of the results.')
_SEED = flags.DEFINE_integer('seed', 0, 'Of the questions.')


def histories_of(workdir):
  """The ids of each user's training history in a finished run, user id -> item ids."""
  histories = {}
  with gzip.open(os.path.join(workdir, 'split.csv.gz'), 'rt') as file:
    for row in csv.DictReader(file):
      if row['part'] == 'train':
        histories.setdefault(row['user_id'], []).append(row['item_id'])
  return histories


def questions(histories, rng, words):
  """What is asked, by name, `words` among it or not: functions of nothing that draw a path and a body."""
  users = sorted(histories)

  def draw(make):
    return lambda: make(users[rng.integers(len(users))])

  asked = {
    'known user': draw(lambda user: ('/recommend', {'user': user})),
    'known user, explained': draw(lambda user: ('/recommend', {'user': user, 'explain': True})),
    'new user by history': draw(lambda user: ('/recommend', {'history': histories[user]})),
    'similar items': draw(lambda user: ('/similar', {'item': histories[user][0]}))}
  read = draw(lambda user: ('/audience', {'text': f'like {histories[user][0]}: rock, 1980s'}))
  return asked | ({'text of a new item': read} if words else {})


@contextlib.contextmanager
def served(*command):
  """Starts the server by Python's arguments; gives its address, its process, and the seconds to the first answer."""
  start = time.perf_counter()
  with tempfile.NamedTemporaryFile('r+') as log, subprocess.Popen([sys.executable, *command], stderr=log) as server:
    try:
      url = None
      while url is None:
        if server.poll() is not None:
          raise SystemExit(f'the server did not start:\n{pathlib.Path(log.name).read_text()}')
        time.sleep(.02)
        lines = pathlib.Path(log.name).read_text().splitlines()
        url = next((json.loads(line)['url'].rstrip('/') for line in lines if '"url"' in line), None)
      asyncio.run(_first(url))
      yield url, server.pid, time.perf_counter() - start
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


def record(name, how, out, seconds):
  """What is kept of one measurement, as a dict for JSON."""
  p50, p99 = np.percentile([1e3 * took for took, _ in out], [50, 99])
  return {'question': name, 'requests': how, 'p50_ms': float(p50), 'p99_ms': float(p99),
          'answers_per_second': len(out) / seconds, 'errors': sum(not right for _, right in out), 'answers': len(out)}


def line(found):
  """A record as a line of the table."""
  return (f'| {found["question"]} | {found["requests"]} | {found["p50_ms"]:.1f} | {found["p99_ms"]:.1f} | '
          f'{found["answers_per_second"]:.0f} | {found["errors"]} |')


def resident(pid):
  """The memory of a process in MiB, None where the system does not tell."""
  try:
    return int(pathlib.Path(f'/proc/{pid}/statm').read_text().split()[1]) * os.sysconf('SC_PAGE_SIZE') / 2**20
  except OSError:
    return None


def measured(url, asked):
  """Yields the records: each question at the fixed rate, and the first three at saturation."""
  for name, draw in asked.items():
    asyncio.run(open_loop(url, draw, _RATE.value, 2.))  # connections and caches are warm in a running server
    yield record(name, f'{_RATE.value:g} a second', *asyncio.run(open_loop(url, draw, _RATE.value, _SECONDS.value)))
  for name in list(asked)[:3]:
    yield record(name, f'{_CLIENTS.value} clients', *asyncio.run(closed_loop(url, asked[name], _CLIENTS.value,
                                                                             _SECONDS.value)))


def main(_):
  workdir, items = _WORKDIR.value, _ITEMS.value
  if (workdir is None) == (items == 0):
    raise app.UsageError('one of --workdir=DIR and --items=NUMBER is needed')
  if items:
    histories, command = million.histories(items), (str(_HERE / 'million.py'), str(items))
    about = {'name': 'random', 'users': million.USERS, 'items': items}
  else:
    histories, command = histories_of(workdir), ('-m', 'ganrec_jax.serve', f'--workdir={workdir}', '--port=0')
    about = artifacts.read_json(os.path.join(workdir, 'results.json'))['dataset']
  asked, load, found = questions(histories, np.random.default_rng(_SEED.value), not items), os.getloadavg()[0], []
  with served(*command) as (url, pid, seconds):
    before = resident(pid)
    print(f'start to first answer: {seconds:.1f} s; {os.cpu_count()} cores, load before {load:.1f}\n')
    print('| question | requests | p50, ms | p99, ms | answers/s | errors |\n|---|---|---|---|---|---|')
    for one in measured(url, asked):
      found.append(one)
      print(line(one), flush=True)
    after = resident(pid)
  artifacts.write_json(os.path.join(_OUT.value, f'load.{items}.json' if items else 'load.json'), {
    'records': found, 'start_seconds': seconds, 'memory_mib': {'before': before, 'after': after}, 'load_before': load,
    'cores': os.cpu_count(), 'seconds': _SECONDS.value, 'seed': _SEED.value, 'git_revision': pipeline.revision(),
    'dataset': {name: about[name] for name in ('name', 'users', 'items')}})


if __name__ == '__main__':
  app.run(main)
