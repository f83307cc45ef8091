"""The measure of the server: percentiles of what it counts, and a short run against a real server."""

import json
import os
import pathlib
import subprocess
import sys

import pytest

from ganrec_jax import artifacts
from ganrec_jax.data import split_files
from ganrec_jax.stages.prepare import prepare

from ..serving import runs
from ..stages import worlds

ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_a_short_load_is_answered_without_errors(tmp_path):
  pytest.importorskip('aiohttp', reason='needs aiohttp, of the extra benchmark')
  workdir, prepared = runs.finished_in(tmp_path), prepare(worlds.config())
  split_files.write_split(str(workdir / 'split.csv.gz'), prepared.dataset, prepared.split)
  results = artifacts.read_json(str(workdir / 'results.json'))
  artifacts.write_json(str(workdir / 'results.json'), results | {'dataset': {'name': 'a', 'users': 1, 'items': 1}})
  done = subprocess.run(
    [sys.executable, str(ROOT / 'experiments' / 'load.py'), f'--workdir={workdir}', f'--out={tmp_path}', '--seconds=.5',
     '--rate=20', '--clients=4'], capture_output=True, text=True, timeout=300, env=os.environ)
  assert done.returncode == 0, done.stderr
  found = json.loads((tmp_path / 'load.json').read_text())
  assert len(found['records']) == 8 and all(one['errors'] == 0 and one['answers'] for one in found['records'])
  # Of an open loop there are as many answers as were due, and half of them take no longer than p50.
  assert [one['answers'] for one in found['records'][:5]] == [10] * 5
  assert all(0 < one['p50_ms'] <= one['p99_ms'] for one in found['records'])
  assert done.stdout.count('\n| ') == len(found['records']) + 1


@pytest.mark.slow
def test_a_random_model_is_served_like_a_run(tmp_path):
  pytest.importorskip('aiohttp', reason='needs aiohttp, of the extra benchmark')
  done = subprocess.run(
    [sys.executable, str(ROOT / 'experiments' / 'load.py'), '--items=3000', f'--out={tmp_path}', '--seconds=.5',
     '--rate=10', '--clients=2'], capture_output=True, text=True, timeout=300, env=os.environ)
  assert done.returncode == 0, done.stderr
  found = json.loads((tmp_path / 'load.3000.json').read_text())
  assert len(found['records']) == 7 and all(one['errors'] == 0 and one['answers'] for one in found['records'])
  assert found['dataset'] == {'name': 'random', 'users': 1000, 'items': 3000}
