"""Facts about data, against counts by hand and brute force."""

import dataclasses
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ganrec_jax.data import splits
from ganrec_jax.data.types import PARTS, Catalogue, Dataset, Interactions, Split
from ganrec_jax.errors import DataError
from ganrec_jax.evaluation.leaks import LeakError
from ganrec_jax.evaluation.tasks import make_tasks
from ganrec_jax.report import doubts, facts, page, plots, sections
from ganrec_jax.stages.prepare import Prepared

from . import worlds


def test_activity_of_a_few_counts_by_hand():
  found = facts.activity(np.array([1, 4, 2, 2, 11]))
  assert (found.number, found.least, found.median, found.mean, found.most) == (5, 1, 2, 4, 11)
  assert found.classes == ((1, 1, .2, 1 / 20), (2, 2, .4, 4 / 20), (3, 4, .2, 4 / 20), (10, 19, .2, 11 / 20))
  assert found.top == {.01: 11 / 20, .1: 11 / 20, .5: 15 / 20}
  assert found.curve == ((1, 2, 3, 5), (11, 4, 2, 1))


@settings(deadline=None)
@given(st.lists(st.integers(1, 3_000_000), min_size=1, max_size=60))
def test_classes_hold_everybody_and_every_interaction(counts):
  found = facts.activity(np.array(counts))
  assert sum(share for *_, share, _ in found.classes) == pytest.approx(1)
  assert sum(share for *_, share in found.classes) == pytest.approx(1)
  for least, most, share, part in found.classes:
    inside = [count for count in counts if least <= count and (most is None or count <= most)]
    assert share == pytest.approx(len(inside) / len(counts)) and part == pytest.approx(sum(inside) / sum(counts))
  for share, part in found.top.items():
    assert part == pytest.approx(sum(sorted(counts)[-max(1, round(share * len(counts))):]) / sum(counts))


def test_a_curve_has_few_points_and_ends_at_both_ends():
  ranks, counts = facts.activity(np.arange(1, 50_001)).curve
  assert len(ranks) <= 400 and (ranks[0], ranks[-1], counts[0], counts[-1]) == (1, 50_000, 50_000, 1)


@pytest.mark.parametrize(('counts', 'heavy'), [
  ([5] * 99 + [2000], 1), ([5] * 99 + [99], 0), ([20] * 99 + [200], 0), ([20] * 99 + [201], 1), ([500], 0)])
def test_the_heavy_are_a_hundred_and_ten_times_the_rest(counts, heavy):
  assert facts.activity(np.array(counts)).heavy == (heavy, pytest.approx(counts[-1] / sum(counts) if heavy else 0))


def test_times_are_counted_in_bins():
  found = facts.times(np.array([0, 631152000, 1000000000, 1000000000, 2000000000]), worlds.TODAY)
  assert (found.first, found.last, found.distinct, found.future, found.early) == (0, 2000000000, 4, 1, 1)
  assert sum(found.counts) == 5 and len(found.edges) == len(found.counts) + 1
  assert facts.times(np.full(3, 7), worlds.TODAY).counts == facts.times(np.full(3, 10**18), worlds.TODAY).counts == (3,)


@pytest.mark.parametrize(('value', 'stars', 'low'), [
  ([1, 2, 3, 4, 5, 5], True, 2 / 6), ([.5, 1, 4.5, 5], True, .5), ([2, 4, 6, 8, 10], False, 0), ([1, 2, 7], False, 0),
  ([1, 2.25, 5], False, 0), ([1, 5], False, 0)])
def test_ratings_are_known_by_their_steps(value, stars, low):
  found = facts.values(np.array(value, np.float32))
  assert (found.stars, found.low) == (stars, pytest.approx(low))
  assert found.edges == tuple(sorted(set(value))) and sum(found.counts) == len(value)


@settings(deadline=None)
@given(st.lists(st.integers(1, 10**6), min_size=30, max_size=80, unique=True), st.sampled_from([1., .01]))
def test_many_values_are_counted_in_bins_that_hold_all(whole, scale):
  found = facts.values((np.array(whole) * scale).astype(np.float32))
  assert sum(found.counts) == len(whole) and len(found.edges) == len(found.counts) + 1
  assert (np.diff(found.edges) > 0).all()


@pytest.mark.parametrize(('ids', 'count'), [
  (['007', '12', '9'], 1), (['007', '012', '120'], 0), (['7', '12', '120'], 0), (['a01', '012', 'b1'], 0),
  (['0', '10'], 0), (['01', '1', 'x'], 1)])
def test_leading_zeros_are_doubtful_beside_other_lengths(ids, count):
  data = worlds.log_of([3] * len(ids), 3)
  found = facts._mixed(dataclasses.replace(data, user_ids=np.array(ids)))
  assert found == ({'user': (count, ids[0])} if count else {})


def test_sample_rows_are_rows_of_the_log():
  prepared = worlds.small()
  data, rows = prepared.dataset, facts.sample_rows(prepared, 0)
  log = data.interactions
  assert len(rows) == 10 and rows == facts.sample_rows(prepared, 0) != facts.sample_rows(prepared, 1)
  for row in rows:
    user, item = np.flatnonzero(data.user_ids == row.user)[0], np.flatnonzero(data.catalogue.ids == row.item)[0]
    k = np.flatnonzero((log.user == user) & (log.item == item))[0]
    assert (row.value, row.time, row.part) == (log.value[k], log.time[k], PARTS[prepared.split.part[k]])
    assert (row.title, row.text) == (data.catalogue.titles[item], data.catalogue.texts[item])


def test_tasks_are_those_of_the_evaluation():
  prepared, config = worlds.small(), worlds.config()
  found = worlds.look(prepared, config).tasks
  made = make_tasks(prepared.dataset, prepared.split, config.seed)
  assert {task: users for task, (_, users) in found.items()} == {name: len(task.users) for name, task in made.items()}


def test_the_leak_check_counts_training_pairs_and_fails_for_a_cold_item():
  prepared = worlds.small()
  assert facts.check_leaks(prepared) == (prepared.split.part == PARTS.index('train')).sum()
  part = prepared.split.part.copy()
  item = prepared.dataset.interactions.item[np.flatnonzero(part == PARTS.index('train'))[0]]
  part[np.flatnonzero((prepared.dataset.interactions.item == item) & (part == PARTS.index('train')))[-1]] = (
    PARTS.index('cold_test'))
  with pytest.raises(LeakError, match=str(prepared.dataset.catalogue.ids[item])):
    facts.check_leaks(dataclasses.replace(prepared, split=Split(part, prepared.split.in_all)))


def test_a_split_without_training_is_refused():
  prepared = worlds.small()
  part = np.where(prepared.split.part == PARTS.index('train'), PARTS.index('valid'), prepared.split.part)
  with pytest.raises(DataError, match='no row of the part train'):
    worlds.look(dataclasses.replace(prepared, split=Split(part.astype(np.int8), prepared.split.in_all)))


def _seconds(work):
  """Of this process, the better of two: others may keep the machine busy, and the first time loads what it needs."""
  found = []
  for _ in range(2):
    start = time.process_time()
    work()
    found.append(time.process_time() - start)
  return min(found)


def test_a_million_interactions_take_as_long_as_a_few_sorts_of_them():
  rng = np.random.default_rng(0)
  code = np.unique(rng.integers(0, 50_000, 1_050_000) * 10_000 + (10_000 * rng.random(1_050_000) ** 1.5).astype(int))
  user, item = (column.astype(np.int32) for column in np.divmod(code, 10_000))
  log = Interactions(user, item, rng.integers(1, 6, len(user)).astype(np.float32), rng.integers(1e9, 1.5e9, len(user)))
  ids = np.array([f'i{k}' for k in range(10_000)])
  catalogue = Catalogue(ids, ids, np.array([f'words about the thing {k}' for k in range(10_000)]), ((),) * 10_000)
  data = Dataset(log, catalogue, np.arange(50_000).astype(str), {'name': 'large', 'simulated': True})
  split = splits.make_split(log, 50_000, 10_000, kind='random', cold_items=.2, cold_users=0., seed=0)
  prepared = Prepared(data, split, None)
  assert len(log) > 990_000
  config, shuffled = worlds.config(), rng.permutation(code)

  def look():
    found = worlds.look(prepared, config)
    page.render(sections.make(found), doubts.find(found, config), plots.draw(found), ())

  def sort():
    for _ in range(3):
      np.argsort(shuffled)
      np.lexsort((log.time, log.item))
  # A loop over a million rows in Python would be ten times as slow.
  assert _seconds(look) < 3 * _seconds(sort)
