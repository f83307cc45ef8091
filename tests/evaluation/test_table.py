import csv
import gzip
import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

from ganrec_jax import artifacts
from ganrec_jax.data.types import PARTS, Catalogue, Dataset, Interactions, Split
from ganrec_jax.errors import UserError
from ganrec_jax.evaluation import table
from ganrec_jax.evaluation.ranking import metrics_per_user, top_k
from ganrec_jax.evaluation.significance import bootstrap_mean, paired_bootstrap
from ganrec_jax.evaluation.tasks import make_tasks, train_counts

from .worlds import random_world

SHARED = pathlib.Path(__file__).parents[3] / 'shared'
TASKS = ('warm', 'cold', 'all', 'tail', 'sparse', 'cold_user')


def some_results(users=200):
  rng = np.random.default_rng(0)
  base = rng.random(users)
  rows = {'no_augmentation': base, 'better': base + .1, 'same': base + .001 * rng.normal(size=users)}
  return {row: {task: {'ndcg@20': values} for task in TASKS} for row, values in rows.items()}


def test_table_is_narrow_aligned_and_says_what_is_simulated():
  results = some_results()
  del results['same']['cold']
  text = table.format_table(list(results), TASKS, results, simulated=True, resamples=500)
  lines = text.split('\n')
  assert lines[0] == 'SIMULATED DATA' and max(map(len, lines)) <= 120
  for header in (line for line in lines if line.startswith('ndcg@20')):
    at = lines.index(header)
    starts = [header.index(f'{task} (200') for task in TASKS if f'{task} (200' in header]
    for line in lines[at + 1:at + 4]:
      assert all(line[s - 1] == ' ' and line[s:s + 1].strip() for s in starts)
  assert all(line.count('*') == line.count('[') == 3 for line in lines if line.startswith('better'))
  assert all('*' not in line for line in lines if line.startswith(('same', 'no_aug')))
  assert [line.split()[5] for line in lines if line.startswith('same')][0] == '-'
  assert 'SIMULATED' not in table.format_table(list(results), TASKS, results, resamples=50)


def test_cell_holds_the_paired_bootstrap_in_per_cent_of_the_baseline():
  results = some_results()
  a, b = results['better']['warm']['ndcg@20'] ** 2, results['no_augmentation']['warm']['ndcg@20']
  text = table.format_table(['no_augmentation', 'x'], ['warm'],
                            {'no_augmentation': {'warm': {'ndcg@20': b}}, 'x': {'warm': {'ndcg@20': a}}}, seed=5)
  mean, low, high, _ = paired_bootstrap(a, b, 5)
  due = f'{a.mean():.4f} {100 * mean / b.mean():+6.1f}% [{100 * low / b.mean():+.1f}, {100 * high / b.mean():+.1f}]*'
  assert due in text


def test_holm_takes_marks_away():
  """One difference at p = .03 is marked alone, and not among ten of which the others are nothing."""
  rng = np.random.default_rng(1)
  noise = rng.normal(size=400)
  noise = (noise - noise.mean()) / noise.std()
  base = np.ones(400)
  slight = {'ndcg@20': base + noise + 2.17 / 20}
  results = {'no_augmentation': {'warm': {'ndcg@20': base}}, 'slight': {'warm': slight}}
  assert ']*' in table.format_table(list(results), ['warm'], results)
  results |= {f'nothing_{i}': {'warm': {'ndcg@20': base + rng.permutation(noise)}} for i in range(9)}
  assert ']*' not in table.format_table(list(results), ['warm'], results)


def test_a_baseline_of_zero_has_no_per_cent():
  results = {'no_augmentation': {'cold': {'ndcg@20': np.zeros(9)}}, 'x': {'cold': {'ndcg@20': np.ones(9)}}}
  assert 'n/a*' in table.format_table(list(results), ['cold'], results, resamples=500)


def test_rows_of_other_users_are_refused():
  results = {'no_augmentation': {'cold': {'ndcg@20': np.zeros(9)}}, 'x': {'cold': {'ndcg@20': np.ones(8)}}}
  with pytest.raises(ValueError, match='row x, task cold: 8 users where the baseline has 9'):
    table.format_table(list(results), ['cold'], results)


def test_records_hold_means_intervals_and_users():
  values = np.array([.1, .4, np.nan, .9])
  by_metric = {'ndcg@20': np.array([0., .5, 1., 0.]), 'diversity@20': values, 'gini@20': .3, 'novelty@20':
               np.full(4, np.nan), 'coverage@20': float('nan')}
  found = {r['metric']: r for r in table.records({'gan': {'warm': by_metric}}, 3, 200)}
  json.dumps(list(found.values()), allow_nan=False)
  for metric, due in (('ndcg@20', by_metric['ndcg@20']), ('diversity@20', values[[0, 1, 3]])):
    low, high = bootstrap_mean(due, 3, 200)
    assert found[metric] == {'row': 'gan', 'task': 'warm', 'metric': metric, 'value': pytest.approx(due.mean()),
                             'low': pytest.approx(low), 'high': pytest.approx(high), 'users': len(due)}
  nothing = {'row': 'gan', 'task': 'warm', 'low': None, 'high': None, 'users': 0}
  assert found['gini@20'] == nothing | {'metric': 'gini@20', 'value': .3}
  assert found['novelty@20'] == nothing | {'metric': 'novelty@20', 'value': None}
  assert found['coverage@20'] == nothing | {'metric': 'coverage@20', 'value': None}


def test_lists_are_written_whole_or_not_at_all(tmp_path, monkeypatch):
  path = tmp_path / 'recommendations' / 'gan.warm.npz'
  users, items, scores = np.array([2, 0]), np.array([[1, 0], [2, -1]]), np.array([[2., 1.], [3., -np.inf]])
  artifacts.save_lists(path, np.array(['a', 'b', 'c']), np.array(['x', 'yy', 'zzz']), users, items, scores)
  with np.load(path, allow_pickle=False) as file:
    assert file['users'].tolist() == ['c', 'a']
    assert file['items'].tolist() == [['yy', 'x'], ['zzz', '']]
    assert file['scores'].dtype == np.float32 and file['scores'].tolist() == scores.tolist()
  before = path.read_bytes()

  def full(*_, **__):
    raise OSError(28, 'No space left on device')
  monkeypatch.setattr(np, 'savez_compressed', full)
  with pytest.raises(UserError, match='gan.warm.npz: cannot be written .No space'):
    artifacts.save_lists(path, np.array(['a', 'b', 'c']), np.array(['x', 'yy', 'zzz']), users, items, scores)
  assert path.read_bytes() == before and os.listdir(path.parent) == [path.name]


def read_split(path):
  """A dataset and a split that consist of a split file alone."""
  with gzip.open(path, 'rt', newline='') as file:
    rows = list(csv.DictReader(file))
  user_ids, users = np.unique([r['user_id'] for r in rows], return_inverse=True)
  item_ids, items = np.unique([r['item_id'] for r in rows], return_inverse=True)
  log = Interactions(users.astype(np.int32), items.astype(np.int32), np.ones(len(rows), np.float32))
  split = Split(np.array([PARTS.index(r['part']) for r in rows], np.int8), np.array([r['in_all'] == '1' for r in rows]))
  return Dataset(log, Catalogue(item_ids, item_ids, item_ids, ((),) * len(item_ids)), user_ids, {}), split


def write_split(path, dataset, split):
  with gzip.open(path, 'wt', newline='') as file:
    writer = csv.writer(file)
    writer.writerow(['user_id', 'item_id', 'part', 'in_all'])
    for row in np.flatnonzero(split.part != PARTS.index('unused')):
      writer.writerow([dataset.user_ids[dataset.interactions.user[row]],
                       dataset.catalogue.ids[dataset.interactions.item[row]], PARTS[split.part[row]],
                       int(split.in_all[row])])


@pytest.mark.parametrize('source', ['random', 'lastfm', 'movielens-1'])
def test_an_independent_scorer_finds_the_same_figures(tmp_path, source):
  tool, file = SHARED / 'tools' / 'rescore.py', SHARED / 'data' / 'splits' / f'{source}.csv.gz'
  if not tool.exists() or (source != 'random' and not file.exists()):
    pytest.skip(f'{tool} or {file} is not there')
  dataset, split = random_world(0, 60, 90, .3) if source == 'random' else read_split(file)
  write_split(tmp_path / 'split.csv.gz', dataset, split)
  rng = np.random.default_rng(0)
  scores = rng.random((1 + dataset.users, dataset.items), np.float32) + train_counts(dataset, split)[1] // 9
  results = {'popularity': {}}
  for name, task in make_tasks(dataset, split, 0).items():
    lists, values = top_k(lambda params, users: params[users], scores, task)
    results['popularity'][name] = metrics_per_user(lists, task.targets)
    artifacts.save_lists(tmp_path / 'recommendations' / f'popularity.{name}.npz', dataset.user_ids,
                         dataset.catalogue.ids, task.users, lists, values)
  (tmp_path / 'results.json').write_text(json.dumps({'rows': table.records(results, resamples=50)}))
  # With warnings ignored, since it leaves its files open.
  told = subprocess.run([sys.executable, '-W', 'ignore', tool, tmp_path, '--tol', '1e-12'], capture_output=True,
                        text=True, check=False)
  assert (told.returncode, told.stdout.strip()) == (0, 'ok, 5 lists'), told.stderr


def test_differences_are_those_of_the_table_and_fit_into_json():
  results = some_results()
  del results['same']['cold']
  results['no_augmentation']['tail'] = {'ndcg@20': np.zeros(200)}
  found = table.differences(list(results), TASKS, results, resamples=2000)
  assert ('same', 'cold') not in found and not [row for row, _ in found if row == 'no_augmentation']
  told = {(one['row'], one['task']): one for one in table.difference_records(found)}
  json.dumps(list(told.values()), allow_nan=False)
  assert told['better', 'tail']['percent'] is None and told['better', 'tail']['marked'] is True
  one = told['better', 'warm']
  assert (one['percent'], one['low'], one['high'], one['marked']) == found['better', 'warm']
  plain = table.format_table(list(results), TASKS, results, resamples=2000)
  assert table.format_table(list(results), TASKS, results, found=found) == plain
