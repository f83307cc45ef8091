"""The command: what it refuses, where it listens, and that a stop loses no request."""

import concurrent.futures
import json
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import time

import httpx
import pytest

from ganrec_jax.errors import UserError
from ganrec_jax.serving import server

from ..test_main import environment

ROOT = pathlib.Path(__file__).resolve().parents[2]


def command(*arguments, **options):
  return subprocess.Popen([sys.executable, '-m', 'ganrec_jax.serve', *arguments], cwd=ROOT, stderr=subprocess.PIPE,
                          text=True, env=environment() | options)


def test_others_are_served_with_a_key_only(monkeypatch):
  monkeypatch.delenv(server.KEY, raising=False)
  for host in ('127.0.0.1', '::1', 'localhost', '127.8.8.8'):
    assert server.key_for(host) is None
  for host in ('0.0.0.0', '::', '192.168.0.1', 'example.org', ''):
    with pytest.raises(UserError, match=server.KEY):
      server.key_for(host)
  monkeypatch.setenv(server.KEY, 'k')
  assert server.key_for('0.0.0.0') == server.key_for('127.0.0.1') == 'k'


def test_a_taken_port_and_an_unknown_host_are_named():
  with socket.create_server(('127.0.0.1', 0)) as taken, \
       pytest.raises(UserError, match='--port=.*Address already in use'):
    server.bound('127.0.0.1', taken.getsockname()[1])
  with pytest.raises(UserError, match='--host=no.such.host.invalid'):
    server.bound('no.such.host.invalid', 0)


@pytest.mark.parametrize(('arguments', 'words'), [
  ([], '--workdir'), (['--workdir=nowhere', '--port=70000'], '70000'),
  (['--workdir=nowhere', '--host=0.0.0.0', '--port=0'], server.KEY)])
def test_a_mistake_is_one_line_and_exit_code_2(arguments, words):
  with command(*arguments, **{server.KEY: ''}) as done:
    last = done.stderr.read().splitlines()[-1]
  assert done.returncode == 2 and last.startswith('error: ') and words in last


def test_a_directory_without_a_run_is_refused(tmp_path):
  with pytest.raises(UserError, match='no finished run'):
    server.run(str(tmp_path), '127.0.0.1', 0)


def test_a_stop_answers_what_has_begun_and_ends_well(finished_run, tmp_path):
  workdir = shutil.copytree(finished_run, tmp_path / 'work')
  with command(f'--workdir={workdir}', '--port=0') as running, \
       concurrent.futures.ThreadPoolExecutor(8) as threads:
    url = next(json.loads(line)['url'] for line in running.stderr if '"url"' in line)
    with httpx.Client(base_url=url, timeout=60) as client:
      assert client.get('/health').status_code == 200
      asked = [threads.submit(client.post, '/recommend', json={'texts': ['rock', 'jazz'] * 5}) for _ in range(6)]
      time.sleep(.05)
      running.send_signal(signal.SIGTERM)
      outcomes = []
      for one in asked:
        try:
          outcomes.append(one.result().status_code)
        except httpx.ConnectError:
          outcomes.append('came too late')
      rest = [json.loads(line) for line in running.stderr]
  assert running.returncode == 0 and rest[-1]['message'] == 'stopped'
  assert 200 in outcomes and set(outcomes) <= {200, 'came too late'}
