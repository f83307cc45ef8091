import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ganrec_jax.data.types import PARTS, Split
from ganrec_jax.errors import DataError
from ganrec_jax.evaluation.tasks import HISTORIES, NAMES, item_masks, make_tasks

from .worlds import make_dataset, random_world, reference_tasks


def as_sets(task, lists):
  return {int(u): set(lists.row(r).tolist()) for r, u in enumerate(task.users) if len(lists.row(r))}


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 1000), st.integers(4, 30), st.integers(9, 40), st.floats(.02, .6),
       st.sampled_from(['test', 'valid']))
def test_tasks_equal_their_definition(seed, users, items, density, held_out):
  dataset, split = random_world(seed, users, items, density)
  tasks, due = make_tasks(dataset, split, 0, held_out), reference_tasks(dataset, split, held_out)
  assert set(tasks) == {name for name in NAMES if due[name][1]}
  for name, task in tasks.items():
    candidates, targets, seen = due[name]
    assert task.name == name
    assert sorted(task.candidates.tolist()) == sorted(candidates)
    assert as_sets(task, task.targets) == targets
    assert as_sets(task, task.seen) == {u: items for u, items in seen.items() if u in targets}
    assert task.users.tolist() == sorted(targets)
    assert task.users.dtype == task.candidates.dtype == np.int32
    assert len(task.targets) == len(task.seen) == len(task.users)


@pytest.mark.parametrize('timed', [True, False])
def test_a_cold_user_is_known_by_the_latest_of_his_history(timed):
  dataset, split = random_world(0, 30, 60, .6)
  log = dataset.interactions
  if timed:
    log = dataclasses.replace(log, time=np.random.default_rng(0).permutation(len(log)))
    dataset = dataclasses.replace(dataset, interactions=log)
  tasks, other = make_tasks(dataset, split, 0), make_tasks(dataset, split, 1)
  whole = tasks['cold_user'].histories
  assert len(whole) == 30 and (whole.weights == 1).all() and tasks['warm'].histories is None
  rows = split.rows('history')
  latest = {}
  for known in HISTORIES:
    shown = tasks[f'cold_user_{known}'].histories
    np.testing.assert_array_equal(shown.values, whole.values)
    for user in range(30):
      entries, weights = whole.row(user), shown.weights[shown.offsets[user]:shown.offsets[user + 1]]
      mine = rows[log.user[rows] == user]
      assert sorted(entries) == sorted(log.item[mine])
      seen = entries[weights == 1].tolist()
      assert len(seen) == min(known, len(mine)) and set(weights) <= {0, 1}
      assert set(latest.get(user, ())) <= set(seen)  # what is known with less history is known with more
      latest[user] = seen
      if timed:
        assert seen == log.item[mine[np.argsort(log.time[mine])]][-known:].tolist()
  same = np.array_equal(tasks['cold_user_1'].histories.values, other['cold_user_1'].histories.values)
  assert same == timed


def test_order_of_candidates_is_random_seeded_and_common():
  dataset, split = random_world(0)
  tasks, again, other = (make_tasks(dataset, split, seed) for seed in (0, 0, 1))
  assert tasks['warm'].candidates.tolist() == again['warm'].candidates.tolist()
  assert tasks['warm'].candidates.tolist() != other['warm'].candidates.tolist()
  assert tasks['warm'].candidates.tolist() != sorted(tasks['warm'].candidates)
  warm = set(tasks['warm'].candidates.tolist())
  assert [i for i in tasks['all'].candidates.tolist() if i in warm] == tasks['warm'].candidates.tolist()


def test_ties_at_the_edge_of_the_head_go_by_id_as_a_string():
  dataset = make_dataset([(0, i) for i in range(10)], 1, 10)
  split = Split(np.full(10, PARTS.index('train'), np.int8), np.zeros(10, bool))
  head = dataset.catalogue.ids[item_masks(dataset, split)['head']]
  assert sorted(head.tolist()) == sorted(dataset.catalogue.ids.tolist())[:2] == ['0', '1222']


def test_a_target_that_is_no_candidate_is_refused():
  dataset = make_dataset([(0, 0), (1, 0), (1, 1)], 2, 2)
  split = Split(np.array([PARTS.index(p) for p in ('cold_valid', 'test', 'train')], np.int8), np.zeros(3, bool))
  with pytest.raises(DataError, match=r"row 1: .*user 'u1' and item '0' .*task warm"):
    make_tasks(dataset, split, 0)


def test_wrong_arguments_are_refused():
  dataset, split = random_world(0)
  with pytest.raises(DataError, match='rows'):
    make_tasks(dataset, Split(split.part[1:], split.in_all[1:]), 0)
  with pytest.raises(ValueError, match='train'):
    make_tasks(dataset, split, 0, 'train')
