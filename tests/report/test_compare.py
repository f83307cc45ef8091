"""Runs side by side: figures as in results.json, differences as by hand, and in words what cannot be compared."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ganrec_jax import artifacts
from ganrec_jax.data import split_files
from ganrec_jax.errors import DataError, UserError
from ganrec_jax.evaluation.significance import paired_bootstrap
from ganrec_jax.evaluation.tasks import make_tasks
from ganrec_jax.report import compare
from tests.evaluation.worlds import random_world
from tests.test_main import ROOT, environment

from . import runs
from .test_page import TAGS, Reader

MORE = {'nav', 'a', 'section', 'h3'}


@pytest.fixture(scope='module')
def pair(tmp_path_factory):
  folder = tmp_path_factory.mktemp('pair')
  return [str(runs.make(folder / name, seed=seed)) for name, seed in (('first', 0), ('second', 1))]


def results_of(path):
  with open(f'{path}/results.json', encoding='utf-8') as file:
    return json.load(file)


def with_results(path, tmp_path, **changed):
  copy = shutil.copytree(path, tmp_path / 'copy')
  artifacts.write_json(str(copy / 'results.json'), results_of(path) | changed)
  return str(copy)


def test_values_of_users_are_those_of_the_runs(pair):
  values = compare.per_user(pair, ['a', 'b'])
  for name, path in zip('ab', pair, strict=True):
    figures = {(one['row'], one['task']): one for one in results_of(path)['rows'] if one['metric'] == 'ndcg@20'}
    assert set(figures) == set(values)
    for key, one in figures.items():
      assert np.mean(values[key][name]) == pytest.approx(one['value'], abs=1e-12)
      assert len(values[key][name]) == one['users']


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 2**16))
def test_tasks_come_from_the_split_file_alone(tmp_path_factory, seed):
  dataset, split = random_world(seed)
  path = tmp_path_factory.mktemp('split')
  split_files.write_split(path / 'split.csv.gz', dataset, split)
  read, tasks = compare.tasks_of(str(path))
  due = make_tasks(dataset, split, 0)

  def named(data, task):
    return {str(data.user_ids[user]): sorted(data.catalogue.ids[task.targets.row(k)].tolist())
            for k, user in enumerate(task.users)}
  assert {name: named(read, task) for name, task in tasks.items()} == {
    name: named(dataset, task) for name, task in due.items()}


def test_differences_are_those_of_the_paired_bootstrap(pair):
  values = compare.per_user(pair, ['a', 'b'])
  found = compare.differ(values, ['a', 'b'], 500)
  for row, task in (('gan', 'warm'), ('no_augmentation', 'cold')):
    mine, base = values[row, task]['b'], values[row, task]['a']
    mean, low, high, _ = paired_bootstrap(mine, base, 0, 500)
    due = [100 * x / base.mean() for x in (mean, low, high)]
    assert [found[row, task, 'b'][name] for name in ('percent', 'low', 'high')] == pytest.approx(due)


def test_a_run_does_not_differ_from_its_copy_and_a_worse_one_does(pair, tmp_path):
  copy = shutil.copytree(pair[0], tmp_path / 'copy')
  assert set(compare.write([pair[0], str(copy)], str(tmp_path)).splitlines()[:-1]) == {
    f'{task}: nothing differs beyond chance' for task in ('warm', 'cold', 'all', 'tail', 'sparse')}
  path = copy / 'recommendations' / 'gan.warm.npz'
  with np.load(path) as file:
    lists = dict(file)
  np.savez(path, **lists | {'items': np.full_like(lists['items'], '')})
  told = compare.write([pair[0], str(copy)], str(tmp_path)).splitlines()
  assert told[0] == 'warm: copy, gan -100.0%' and all('nothing differs' in line for line in told[1:-1])


def test_the_page_is_whole_and_tells_figures_and_configs(pair, tmp_path):
  assert compare.write(pair, str(tmp_path)).endswith('compare.html: the same with intervals and plots')
  text = (tmp_path / 'compare.html').read_text()
  reader = Reader(text)
  assert not reader.open and reader.tags <= TAGS | MORE and len(text) < 5_000_000
  shown = ' '.join(reader.words)
  for words in ('first and second side by side', 'SIMULATED DATA', 'Nothing: the configs are the same', 'gan',
                'no_augmentation', 'warm: known items', 'users whom all lists answer'):
    assert words in shown, words


def test_three_runs_and_rows_that_only_some_have(pair, tmp_path):
  third = shutil.copytree(pair[1], tmp_path / 'third')
  for path in (third / 'recommendations').glob('generator_only.*'):
    path.rename(path.with_name(path.name.replace('generator_only', '<b>mine')))
  compare.write([*pair, str(third)], str(tmp_path))
  reader = Reader((tmp_path / 'compare.html').read_text())
  shown = ' '.join(reader.words)
  assert 'first and second and third' in shown and '<b>mine' in shown and reader.tags <= TAGS | MORE


def test_configs_that_differ_are_told_field_by_field(pair, tmp_path):
  config = results_of(pair[0])['config']
  config['base']['dim'] = 3
  other = with_results(pair[0], tmp_path, config=config)
  compare.write([pair[0], other], str(tmp_path))
  words = Reader((tmp_path / 'compare.html').read_text()).words
  at = words.index('base.dim')
  assert words[at:at + 3] == ['base.dim', '16', '3']


@pytest.mark.parametrize(('changed', 'words'), [
  ({'data_sha256': 'f' * 64}, 'the data of the two are not the same'),
  ({'split_sha256': 'f' * 64}, 'the split of the two are not the same'),
  ({'config_sha256': 'f' * 64}, 'begun there and not finished')])
def test_what_cannot_be_compared_is_refused_in_words(pair, tmp_path, changed, words):
  with pytest.raises(UserError, match=words):
    compare.write([pair[0], with_results(pair[1], tmp_path, **changed)], str(tmp_path))
  assert not (tmp_path / 'compare.html').exists()


def test_files_that_are_missing_or_damaged_are_named(pair, tmp_path):
  with pytest.raises(UserError, match='given more than once'):
    compare.write([pair[0], f'{pair[0]}/.'], str(tmp_path))
  with pytest.raises(UserError, match='nowhere: holds no finished run'):
    compare.write([pair[0], str(tmp_path / 'nowhere')], str(tmp_path))
  copy = shutil.copytree(pair[1], tmp_path / 'copy')
  (copy / 'recommendations' / 'gan.warm.npz').write_bytes(b'PK')
  with pytest.raises(UserError, match='gan.warm.npz: cannot be read'):
    compare.write([pair[0], str(copy)], str(tmp_path))
  (copy / 'split.csv.gz').unlink()
  with pytest.raises(DataError, match='split.csv.gz: cannot be read'):
    compare.write([str(copy), pair[0]], str(tmp_path))


def command(*arguments):
  return subprocess.run([sys.executable, '-m', 'ganrec_jax.report', *arguments], cwd=ROOT, capture_output=True,
                        text=True, env=environment(), timeout=300)


@pytest.mark.parametrize(('arguments', 'words'), [
  ([], '--workdir=DIR is missing'), (['--workdir=a', '--out=b'], '--out goes with two'), (['--wrkdir=a'], 'wrkdir'),
  (['--workdir=nowhere', '--workdir=neither'], 'nowhere: holds no finished run')])
def test_a_mistake_is_one_line_and_exit_code_2(arguments, words):
  done = command(*arguments)
  assert done.returncode == 2 and 'Traceback' not in done.stderr
  last = done.stderr.strip().splitlines()[-1]
  assert last.startswith('error: ') and words in last


def test_the_command_writes_one_page_or_a_comparison(pair, tmp_path):
  done = command(f'--workdir={pair[0]}')
  assert done.returncode == 0 and done.stdout.strip().endswith('index.html: complete'), done.stderr
  done = command(*(f'--workdir={path}' for path in pair), f'--out={tmp_path}')
  assert done.returncode == 0 and (tmp_path / 'compare.html').exists(), done.stderr
