"""The command as a person types it: every mistake is one line and exit code 2, every run leaves its artifacts."""

import csv
import gzip
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]
TESTING = '--config=configs/music.py:testing'


def environment():
  # One device, as on a laptop; the simulated devices of the other tests are not wanted here.
  return {name: value for name, value in os.environ.items() if name != 'XLA_FLAGS'} | {'PYTHONPATH': str(ROOT)}


def command(*arguments, cwd=ROOT):
  return subprocess.run([sys.executable, '-m', 'ganrec_jax.main', *arguments], cwd=cwd, capture_output=True, text=True,
                        env=environment(), timeout=600)


@pytest.fixture(scope='module')
def finished(tmp_path_factory):
  workdir = tmp_path_factory.mktemp('run') / 'work'
  done = command(TESTING, f'--workdir={workdir}')
  assert done.returncode == 0, done.stderr
  return workdir, done


def ask(*arguments):
  return subprocess.run([sys.executable, '-m', 'ganrec_jax.recommend', *arguments], cwd=ROOT, capture_output=True,
                        text=True, env=environment(), timeout=300)


def results(workdir):
  found = json.loads((workdir / 'results.json').read_text())
  return {name: value for name, value in found.items() if name not in ('wall_seconds', 'stages', 'costs')}


@pytest.mark.parametrize(('arguments', 'words'), [
  ([], ['--config=FILE']),
  (['--config=configs/musik.py'], ['configs/musik.py', 'is no file']),
  (['--config=configs/music.py:lastfn'], ['lastfn', 'did you mean lastfm']),
  (['--config=configs/tables.py:interaction=log.csv'], ['interaction', 'did you mean interactions']),
  (['--config=configs/tables.py'], ['data.tables.interactions is empty', 'interactions=log.csv']),
  (['--config=configs/tables.py:interactions=nowhere.csv'], ['nowhere.csv', 'no such file']),
  (['--config=configs/music.py', '--config.base.dimm=3'], ['dimm', 'Did you mean "dim"']),
  (['--config=configs/music.py', '--config.base.dim=wide'], ['config.base.dim', 'wide']),
  (['--config=configs/music.py', '--wrkdir=x'], ['wrkdir', 'workdir']),
  (['--config=configs/music.py', 'workdir'], ["'workdir' is no flag"]),
  ([TESTING, '--config.data.source=tape'], ['data.source', 'tape', 'tables', 'lastfm', 'sample', 'given']),
  ([TESTING, '--config.data.source=given'], ['a dataset is not given']),
  ([TESTING, '--config.world.users=3'], ['users=3', 'from 20']),
  ([TESTING, '--config.data.user_share=2.0'], ['data.user_share', '2.0', 'up to 1']),
  ([TESTING, '--config.split.kind=odd'], ['odd', 'random']),
  ([TESTING, '--config.base.warm_blend=-1.0'], ['warm_blend', '-1.0', 'from 0 on']),
  ([TESTING, '--config.devices=99'], ['devices is 99', 'allowed']),
  ([TESTING, '--config.data.min_user=1000'], ['1000']),
  ([TESTING, '--config.data.split_file=nowhere.csv'], ['nowhere.csv']),
])
def test_a_mistake_is_one_line_and_exit_code_2(arguments, words, tmp_path):
  done = command(*arguments, f'--workdir={tmp_path}')
  assert done.returncode == 2, done.stderr
  assert 'Traceback' not in done.stderr
  last = done.stderr.strip().splitlines()[-1]
  assert last.startswith('error: ')
  assert all(word in last for word in words), last
  assert not (tmp_path / 'results.json').exists()


def test_validate_tells_what_the_data_are_like_and_trains_nothing(tmp_path):
  done = command(TESTING, '--validate', f'--workdir={tmp_path}')
  assert done.returncode == 0, done.stderr
  assert [str(path.relative_to(tmp_path)) for path in tmp_path.rglob('*') if path.is_file()] == ['report/data.html']
  for words in ('SIMULATED', 'rows as they will be read', 'leak check           ok, ', 'none held out', 'estimate'):
    assert words in done.stdout
  assert 'encode ...' not in done.stderr


@pytest.mark.parametrize(('arguments', 'words'), [
  (['--config.data.min_user=1000'], ['1000']), (['--config.devices=99'], ['devices is 99']),
  (['--config.base.warm_blend=-1.0'], ['warm_blend']), (['--config.data.split_file=leak.csv'], ['leak in'])])
def test_validate_refuses_what_a_run_would_refuse(arguments, words, tmp_path):
  # An item of training is held out as cold too.
  pairs = ['u0026,a0023', 'u0119,a0023']
  (tmp_path / 'leak.csv').write_text('user_id,item_id,part,in_all\n' + ''.join(
    f'{pair},{part},0\n' for pair, part in zip(pairs, ('train', 'cold_test'), strict=True)))
  done = command(TESTING, '--validate', f'--workdir={tmp_path / "work"}', *arguments, cwd=tmp_path)
  assert done.returncode == 2 and 'Traceback' not in done.stderr
  last = done.stderr.strip().splitlines()[-1]
  assert last.startswith('error: ') and all(word in last for word in words), last
  assert not (tmp_path / 'work').exists()


def test_a_missing_archive_says_where_it_was_looked_for(tmp_path):
  done = command('--config=configs/music.py:lastfm', f'--config.data.manual_dir={tmp_path / "no"}',
                 f'--config.data.data_dir={tmp_path}', f'--workdir={tmp_path / "work"}')
  assert done.returncode == 2
  assert 'Traceback' not in done.stderr and 'hetrec2011-lastfm-2k.zip' in done.stderr.splitlines()[-1]


def test_a_run_leaves_its_artifacts_and_says_that_data_are_simulated(finished):
  workdir, done = finished
  found = results(workdir)
  assert found['simulated'] is True and 'SIMULATED DATA' in done.stdout
  assert {row['row'] for row in found['rows']} == {
    'popularity', 'never_cold', 'no_augmentation', 'random_pairs', 'gan', 'oracle'}
  assert json.loads((workdir / 'config.json').read_text())['sha256'] == found['config_sha256']
  with gzip.open(workdir / 'split.csv.gz', 'rt') as file:
    parts = {line['part'] for line in csv.DictReader(file)}
  assert parts == {'train', 'valid', 'test', 'cold_valid', 'cold_test'}
  value = {(row['row'], row['task']): row['value'] for row in found['rows'] if row['metric'] == 'ndcg@20'}
  assert value['popularity', 'warm'] < value['no_augmentation', 'warm'] < value['oracle', 'warm']
  assert 'is recommended' in done.stdout
  stages = {json.loads(line)['stage'] for line in (workdir / 'metrics.jsonl').read_text().splitlines()}
  assert stages == {'mlm', 'adapt', 'gan'}
  costs = json.loads((workdir / 'results.json').read_text())['costs']
  assert set(costs) == stages and all(one['examples'] > 0 for one in costs.values())
  assert stages | {'outcome'} == {p.name for p in (workdir / 'tensorboard').iterdir()}
  assert all(list((workdir / 'checkpoints' / stage).glob('*/*')) for stage in stages)


def test_a_run_ends_with_its_report(finished):
  workdir, done = finished
  text = (workdir / 'report' / 'index.html').read_text()
  assert f'{workdir}/report/index.html: the same and more as a page' in done.stdout
  found = results(workdir)
  assert f'<dd>python -m ganrec_jax.main {TESTING}</dd>' in text and found['data_sha256'] in text
  assert len(found['generated']['gan']['realness']['real']) == 21
  assert set(found['versions']) >= {'jax', 'python'} and {row['row'] for row in found['differences']} >= {'gan'}
  for words in ('SIMULATED DATA', 'How it learned', 'to held-out real ones', 'Three users'):
    assert words in text


def test_generated_interactions_are_written_with_their_provenance(finished):
  workdir, _ = finished
  found, choices = results(workdir)['generated'], results(workdir)['choices']
  with gzip.open(workdir / 'generated.csv.gz', 'rt') as file:
    lines = list(csv.DictReader(file))
  with gzip.open(workdir / 'split.csv.gz', 'rt') as file:
    train = {(line['user_id'], line['item_id']) for line in csv.DictReader(file) if line['part'] == 'train'}
  for source in ('gan', 'random_pairs'):
    mine = [line for line in lines if line['source'] == source]
    assert len(mine) == found[source]['counts']['kept'] > 0
    assert {float(line['weight']) for line in mine} == {float(np.float32(choices[source]['weight']))}
    assert not train & {(line['user_id'], line['item_id']) for line in mine}
  assert found['gan']['status'] in ('converged', 'collapsed')


def test_a_finished_run_is_not_repeated(finished):
  workdir, done = finished
  def written():
    return {path: path.stat().st_mtime_ns for path in workdir.rglob('*')
            if path.is_file() and path.name != 'config.json'}
  before = written()
  again = command(TESTING, f'--workdir={workdir}')
  assert again.returncode == 0 and 'nothing has changed' in again.stderr
  assert again.stdout == done.stdout
  assert written() == before


def test_an_unfinished_run_trains_nothing_anew(finished, tmp_path):
  workdir = shutil.copytree(finished[0], tmp_path / 'work')
  for name in ('artifacts/done.json', 'results.json', 'table.txt'):
    (workdir / name).unlink()
  again = command(TESTING, f'--workdir={workdir}')
  assert again.returncode == 0
  for stage in ('encoder', 'base', 'gan'):
    assert f'{stage}: taken from the work directory' in again.stderr
  assert results(workdir) == results(finished[0])
  lists = 'recommendations/gan.warm.npz'
  assert (workdir / lists).read_bytes() == (finished[0] / lists).read_bytes()


def test_a_damaged_artifact_is_named_and_made_again(finished, tmp_path):
  workdir = shutil.copytree(finished[0], tmp_path / 'work')
  path = workdir / 'artifacts/base.dense.npz'
  path.write_bytes(path.read_bytes()[:-100])
  (workdir / 'artifacts/done.json').unlink()
  done = command(TESTING, f'--workdir={workdir}')
  assert done.returncode == 0 and 'base.dense.npz: damaged' in done.stderr
  assert results(workdir) == results(finished[0])


def test_a_changed_config_fits_again(finished, tmp_path):
  workdir = shutil.copytree(finished[0], tmp_path / 'work')
  done = command(TESTING, f'--workdir={workdir}', '--config.base.kappa=1.0')
  assert done.returncode == 0 and 'encoder: taken from the work directory' in done.stderr
  assert 'base: taken' not in done.stderr and 'gan: taken' not in done.stderr
  assert results(workdir)['config_sha256'] != results(finished[0])['config_sha256']


def test_a_work_directory_of_another_version_is_refused(finished, tmp_path):
  workdir = shutil.copytree(finished[0], tmp_path / 'work')
  (workdir / 'artifacts/version.json').write_text('0\n')
  done = command(TESTING, f'--workdir={workdir}')
  assert done.returncode == 2 and 'version 0' in done.stderr


@pytest.mark.parametrize(('blocks', 'words'), [(4, 'split.csv.gz: cannot be written'),
                                               (40, 'checkpoint 40 cannot be written')])
def test_a_full_disk_is_one_line_and_leaves_nothing_half_written(tmp_path, blocks, words):
  # A limit on the size of files, in KiB, is a disk that is full at that file.
  done = subprocess.run(
    ['bash', '-c', f'ulimit -f {blocks}; exec "$0" -m ganrec_jax.main {TESTING} --workdir="$1"', sys.executable,
     tmp_path], cwd=ROOT, capture_output=True, text=True, env=environment(), timeout=300)
  assert done.returncode == 2 and 'Traceback' not in done.stderr
  assert words in done.stderr.splitlines()[-1]
  assert not [p for p in tmp_path.rglob('*') if 'tmp' in p.name or p.suffix in ('.gz', '.npz')
              and p.name != 'split.csv.gz' or p.name == 'results.json']


def test_a_config_is_found_beside_the_package(tmp_path):
  done = command(TESTING, '--config.data.source=tape', cwd=tmp_path)
  assert done.returncode == 2 and 'data.source' in done.stderr


def test_a_known_user_is_answered_from_his_history(finished):
  workdir, _ = finished
  with np.load(workdir / 'recommendations/no_augmentation.warm.npz') as lists:
    user = str(lists['users'][0])
  with gzip.open(workdir / 'split.csv.gz', 'rt') as file:
    trained = {line['item_id'] for line in csv.DictReader(file) if (line['user_id'], line['part']) == (user, 'train')}
  done = ask(f'--workdir={workdir}', f'--user={user}', '--k=7')
  assert done.returncode == 0, done.stderr
  lines = [line for line in done.stdout.splitlines() if 'because of' in line]
  assert len(lines) == 7 and 'SIMULATED DATA' in done.stdout
  assert not any(f'({item})' in line for item in trained for line in lines)


def test_a_new_user_and_a_new_item_are_answered(finished):
  workdir, _ = finished
  new_user = ask(f'--workdir={workdir}', '--history=a0001;a0002', '--k=3')
  assert new_user.returncode == 0 and new_user.stdout.count('because of') == 3
  with np.load(workdir / 'recommendations/oracle.cold.npz') as lists:
    assert len(lists['users']) > 3
  new_item = ask(f'--workdir={workdir}', '--item_text=a quiet folk album', '--k=3')
  assert new_item.returncode == 0 and new_item.stdout.count('. user ') == 3


@pytest.mark.parametrize(('question', 'words'), [
  (['--user=u99999'], ["unknown user 'u99999'", 'nearest ids are']),
  (['--history=a0001;b0002'], ["unknown item 'b0002'", 'a0002']),
  (['--history=;'], ['history is empty']),
  (['--item_text= '], ['--item_text is empty']),
  (['--item_text=zzqqxx'], ['zzqqxx', 'none of its words']),
  ([], ['give one of']),
  (['--user=u0001', '--k=0'], ['--k is 0']),
  (['--user=u0001', '--kk=0'], ['kk']),
  (['--user=u0001', '--adventure=-1'], ['--adventure is -1']),
])
def test_a_question_that_cannot_be_answered_is_one_line(finished, question, words):
  done = ask(f'--workdir={finished[0]}', *question)
  assert done.returncode == 2 and 'Traceback' not in done.stderr
  assert all(word in done.stderr.splitlines()[-1] for word in words), done.stderr


def test_a_question_to_no_run_is_refused(tmp_path):
  done = ask(f'--workdir={tmp_path}', '--user=u0001')
  assert done.returncode == 2 and 'no finished run' in done.stderr


@pytest.mark.slow
def test_a_profile_is_of_every_trained_stage_and_changes_no_result(finished, tmp_path):
  done = command(TESTING, f'--workdir={tmp_path}', '--profile')
  assert done.returncode == 0, done.stderr
  assert {path.name for path in (tmp_path / 'profile').iterdir()} == {'mlm', 'adapt', 'gan'}
  assert len(list(tmp_path.glob('profile/*/plugins/profile/*/*.trace.json.gz'))) == 3
  assert done.stderr.count('a trace of ') == 3 and results(tmp_path) == results(finished[0])
  assert 'no new trace' in command(TESTING, f'--workdir={tmp_path}', '--profile').stderr


@pytest.mark.slow
def test_a_killed_run_ends_like_an_uninterrupted_one(finished, tmp_path):
  moments = np.random.default_rng(0).uniform(1., 18., 5)
  for moment in moments:
    running = subprocess.Popen([sys.executable, '-m', 'ganrec_jax.main', TESTING, f'--workdir={tmp_path}'], cwd=ROOT,
                               env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(moment)
    running.send_signal(signal.SIGKILL)
    running.wait()
  assert command(TESTING, f'--workdir={tmp_path}').returncode == 0
  assert results(tmp_path) == results(finished[0])
  for path in (finished[0] / 'recommendations').iterdir():
    assert path.read_bytes() == (tmp_path / 'recommendations' / path.name).read_bytes()


def test_sigterm_says_how_to_go_on(tmp_path):
  with subprocess.Popen([sys.executable, '-m', 'ganrec_jax.main', TESTING, f'--workdir={tmp_path}'], cwd=ROOT,
                        env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as running:
    seen = ''
    for line in running.stderr:
      seen += line
      if 'prepare ...' in line:
        running.send_signal(signal.SIGTERM)
        break
    seen += running.stderr.read()
  assert running.returncode == 128 + signal.SIGTERM
  assert 'the same command goes on' in seen and 'Traceback' not in seen
