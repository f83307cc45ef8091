"""The command that exports splits: what it writes is read as the same split, and mistakes are one line."""

import hashlib
import subprocess
import sys

import pytest

from ganrec_jax import export_split
from ganrec_jax.data.split_files import read_split
from ganrec_jax.errors import ConfigError
from ganrec_jax.stages import prepare
from tests.stages import worlds
from tests.test_main import ROOT, TESTING, environment


def command(*arguments):
  return subprocess.run([sys.executable, '-m', 'ganrec_jax.export_split', *arguments], cwd=ROOT, capture_output=True,
                        text=True, env=environment(), timeout=300)


@pytest.mark.parametrize('form', ['csv', 'recbole'])
def test_draws_are_those_of_the_config_and_stay_the_same(tmp_path, form):
  config = worlds.config(split={'cold_users': .1})
  lines = list(export_split.export(config, str(tmp_path), 3, form))
  files = {path.relative_to(tmp_path): hashlib.sha256(path.read_bytes()).hexdigest()
           for path in tmp_path.rglob('*') if path.is_file()}
  names = ('sample-music', 'sample-music-1', 'sample-music-2')
  assert {path.parts[0] for path in files} == {n + '.csv.gz' * (form == 'csv') for n in names}
  assert len(set(files.values())) == len(files) - 2 * (form == 'recbole')  # the catalogue is the same in all draws
  assert list(export_split.export(config, str(tmp_path), 3, form)) == lines
  assert files == {path.relative_to(tmp_path): hashlib.sha256(path.read_bytes()).hexdigest()
                   for path in tmp_path.rglob('*') if path.is_file()}
  config.split.draw = 2
  prepared = prepare.prepare(config)
  assert prepared.split.sha256()[:16] in lines[2] and prepared.split.sha256()[:16] not in lines[1]
  assert all(f'{part} {len(prepared.split.rows(part))}' in lines[2] for part in ('train', 'cold_test', 'user_test'))


def test_what_is_exported_is_read_as_a_split(tmp_path):
  config = worlds.config(split={'cold_users': .1, 'draw': 1})
  list(export_split.export(config, str(tmp_path)))
  path = tmp_path / 'sample-music-1.csv.gz'
  due = prepare.prepare(config)
  read = read_split(path, due.dataset)[1]
  assert read.part.tolist() == due.split.part[due.split.part > 0].tolist()
  config.data.split_file, config.split.draw = str(path), 0
  list(export_split.export(config, str(tmp_path / 'again')))
  assert (tmp_path / 'again' / 'sample-music.csv.gz').read_bytes() == path.read_bytes()
  with pytest.raises(ConfigError, match='--draws is 2, but data.split_file is given; allowed is 1'):
    list(export_split.export(config, str(tmp_path), 2))


def test_the_command_says_what_it_wrote(tmp_path):
  done = command(TESTING, f'--out={tmp_path}', '--draws=2')
  assert done.returncode == 0, done.stderr
  assert [line.partition(':')[0] for line in done.stdout.splitlines()] == [
    str(tmp_path / 'sample-music.csv.gz'), str(tmp_path / 'sample-music-1.csv.gz')]
  assert 'cold_test' in done.stdout


@pytest.mark.parametrize(('arguments', 'words'), [
  ([TESTING], ['--out=DIR is missing']),
  ([TESTING, '--out=x', '--draws=0'], ['draws', '0']),
  ([TESTING, '--out=x', '--form=parquet'], ['form', 'csv|recbole']),
  (['--out=x'], ['--config=FILE']),
  ([TESTING, '--out=x', '--config.split.test_from=2025-01-01'], ['valid_from is empty']),
  ([TESTING, '--out=/proc/x'], ['/proc/x', 'cannot be written']),
])
def test_a_mistake_is_one_line_and_exit_code_2(arguments, words):
  done = command(*arguments)
  assert done.returncode == 2 and 'Traceback' not in done.stderr
  last = done.stderr.strip().splitlines()[-1]
  assert last.startswith('error: ') and all(word in last for word in words), last
