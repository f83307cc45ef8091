"""Strata against their definition, user by user."""

import json

import numpy as np
import pytest

from ganrec_jax.evaluation import ranking, strata
from ganrec_jax.evaluation.tasks import make_tasks, train_counts

from .worlds import random_world, reference_metrics


@pytest.fixture(scope='module')
def world():
  dataset, split = random_world(3, 90, 60, .3)
  users, items = train_counts(dataset, split)
  tasks, scores = make_tasks(dataset, split, 0), np.random.default_rng(0).random((90, 60), np.float32)
  lists = {name: ranking.top_k(lambda params, users: params[users], scores, task)[0] for name, task in tasks.items()}
  found = {name: strata.by_stratum(task, lists[name], ranking.metrics_per_user(lists[name], task.targets), users, items)
           for name, task in tasks.items()}
  return tasks, lists, found, users, items


def _due(task, lists, kept):
  """The metrics of the users who have targets that are `kept(user, item)`."""
  rows = []
  for row, user in enumerate(task.users):
    targets = {int(i) for i in task.targets.row(row) if kept(user, i)}
    if targets:
      rows.append(reference_metrics([i for i in lists[row].tolist() if i >= 0], targets, 20))
  return np.array(rows)


@pytest.mark.parametrize('name', ['warm', 'all'])
def test_strata_of_users_and_items_equal_their_definition(world, name):
  tasks, lists, found, users, items = world
  bounds = {'user 0': (0, 0), 'user 1-5': (1, 5), 'user 6-10': (6, 10), 'user 11-20': (11, 20), 'user 21-50': (21, 50),
            'user 51+': (51, np.inf), 'item 0': (0, 0), 'item 1-10': (1, 10), 'item 11-100': (11, 100),
            'item 101-1000': (101, 1000), 'item 1001+': (1001, np.inf)}
  due = {stratum: _due(tasks[name], lists[name], lambda u, i, low=low, high=high, stratum=stratum: low <= (
    users[u] if stratum.startswith('user') else items[i]) <= high) for stratum, (low, high) in bounds.items()}
  due = {stratum: rows for stratum, rows in due.items() if len(rows)}
  assert set(found[name]) == set(due) and ('item 0' in due) == (name == 'all') and len(due) > 3
  for stratum, rows in due.items():
    np.testing.assert_allclose(np.stack([found[name][stratum][m] for m in strata.METRICS], axis=1), rows, atol=1e-12)
  assert sum(len(v['mrr@20']) for s, v in found[name].items() if s.startswith('user')) == len(tasks[name].users)


def test_strata_of_cold_users_are_by_the_whole_history():
  dataset, split = random_world(0, 60, 90, .3)
  counts = train_counts(dataset, split)
  sizes = {}
  for name, task in make_tasks(dataset, split, 0).items():
    lists = np.tile(task.candidates[:20], (len(task.users), 1))
    found = strata.by_stratum(task, lists, ranking.metrics_per_user(lists, task.targets), *counts)
    assert bool(found) == (name in ('warm', 'all') or name.startswith('cold_user'))
    sizes[name] = {stratum: len(values['ndcg@20']) for stratum, values in found.items()}
  for known in (1, 3, 5):
    assert sizes[f'cold_user_{known}'] == {s: n for s, n in sizes['cold_user'].items()
                                           if int(s.split()[1].rstrip('+').split('-')[0]) >= known}
  assert sum(sizes['cold_user'].values()) == 3


def test_records_hold_the_means_and_intervals_of_every_row(world):
  _, _, found, _, _ = world
  made = strata.records({'one': found, 'two': {'warm': found['warm']}}, resamples=200)
  json.dumps(made, allow_nan=False)
  at = {(r['row'], r['task'], r['stratum'], r['metric']): r for r in made}
  assert len(at) == len(made) == 3 * (2 * len(found['warm']) + sum(map(len, found.values())) - len(found['warm']))
  for (row, task, stratum, metric), record in at.items():
    values = found[task][stratum][metric]
    assert record['value'] == pytest.approx(values.mean()) and record['users'] == len(values)
    assert record['low'] <= record['value'] <= record['high']
    if row == 'two':
      assert record | {'row': 'one'} == at['one', task, stratum, metric]
