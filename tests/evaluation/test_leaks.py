import numpy as np
import pytest

from ganrec_jax.data.types import PARTS
from ganrec_jax.errors import DataError
from ganrec_jax.evaluation.leaks import HELD_OUT, LeakError, check, check_generated, cold_masks

from .worlds import random_world


def train_pairs(dataset, split):
  rows = split.rows('train')
  return dataset.interactions.user[rows], dataset.interactions.item[rows]


def test_training_pairs_pass():
  dataset, split = random_world(0)
  cold_users, cold_items = cold_masks(dataset, split)
  check(dataset, split, {'recommender': train_pairs(dataset, split), 'nothing': (np.zeros(0, int), np.zeros(0, int))},
        {'whitening': np.flatnonzero(~cold_items)}, {'user vectors': np.flatnonzero(~cold_users)})


@pytest.mark.parametrize('part', [p for p in PARTS if p != 'train'])
def test_one_row_of_any_other_part_fails_and_is_named(part):
  dataset, split = random_world(0)
  users, items = train_pairs(dataset, split)
  row = split.rows(part)[-1]
  user, item = dataset.interactions.user[row], dataset.interactions.item[row]
  fitted = np.append(users, user), np.append(items, item)
  with pytest.raises(LeakError, match=f"leak in prior, row {len(users)}: user '{dataset.user_ids[user]}', item "
                                      f"'{dataset.catalogue.ids[item]}' is a pair of the part {part} \\(1 such"):
    check(dataset, split, {'recommender': (users, items), 'prior': fitted})


def test_cold_users_and_items_fail_in_pairs_that_are_nowhere_in_the_log():
  dataset, split = random_world(0)
  log, (cold_users, cold_items) = dataset.interactions, cold_masks(dataset, split)
  known = set(zip(log.user.tolist(), log.item.tolist(), strict=True))
  for users, items, what in ((~cold_users, cold_items, 'a cold item'), (cold_users, ~cold_items, 'a cold user')):
    pair = next((u, i) for u in np.flatnonzero(users) for i in np.flatnonzero(items) if (u, i) not in known)
    with pytest.raises(LeakError, match=f'is a pair of {what}'):
      check(dataset, split, {'x': (np.array([pair[0]]), np.array([pair[1]]))})


def test_cold_items_in_texts_and_cold_users_in_vectors_fail():
  dataset, split = random_world(0)
  cold_users, cold_items = cold_masks(dataset, split)
  item, user = np.flatnonzero(cold_items)[0], np.flatnonzero(cold_users)[0]
  with pytest.raises(LeakError, match=f"whitening, row 0: item '{dataset.catalogue.ids[item]}' is a cold item"):
    check(dataset, split, {}, {'whitening': np.array([item])})
  with pytest.raises(LeakError, match=f"vectors, row 0: user '{dataset.user_ids[user]}' is a cold user"):
    check(dataset, split, {}, fitted_users={'vectors': np.array([user])})


@pytest.mark.parametrize('users, items, message', [
    ([0, 23], [0, 0], 'row 1, column user: index 23, allowed are 0 to 22'),
    ([0, 1], [0, -1], 'row 1, column item: index -1'),
    ([0, 1], [0], '2 users and 1 items'),
    ([.5], [0], 'float64')])
def test_unknown_indices_are_refused(users, items, message):
  dataset, split = random_world(0)
  for call in (lambda: check(dataset, split, {'x': (users, items)}),
               lambda: check_generated(dataset, split, users, items)):
    with pytest.raises(DataError, match=message):
      call()


def brute_force(dataset, split, pairs, cold):
  """The counts of one kind of items, by loops."""
  log, parts = dataset.interactions, [PARTS[p] for p in split.part]
  rows = list(zip(log.user.tolist(), log.item.tolist(), parts, strict=True))
  train = {(u, i) for u, i, p in rows if p == 'train'}
  held = {(u, i) for u, i, p in rows if p in HELD_OUT and cold[i]}
  held_warm = {(u, i) for u, i, p in rows if p in HELD_OUT and not cold[i]}
  result = {}
  for kind, wanted, chosen in (('warm', held_warm, ~cold), ('cold', held, cold)):
    new = {(u, i) for u, i in pairs if (u, i) not in train and chosen[i]}
    users = {u for u, _ in new}
    result[kind] = {
        'new_pairs': len(new), 'held_out_pairs': len(wanted), 'coincidences': len(new & wanted),
        'expected_popularity': sum((v, i) in wanted for _, i in new for v in users) / max(1, len(users)),
        'expected_uniform': sum((u, j) in wanted for u, _ in new for j in np.flatnonzero(chosen)) / max(
            1, chosen.sum())}
  return result


@pytest.mark.parametrize('seed', range(4))
def test_coincidences_and_their_expectations_equal_their_definition(seed):
  dataset, split = random_world(seed, 40, 50)
  rng = np.random.default_rng(seed)
  cold_users, cold_items = cold_masks(dataset, split)
  users, items = rng.choice(np.flatnonzero(~cold_users), 150), rng.integers(0, 50, 150)
  report = check_generated(dataset, split, users, items)
  due = brute_force(dataset, split, set(zip(users.tolist(), items.tolist(), strict=True)), cold_items)
  for kind in ('warm', 'cold'):
    assert report[kind] == pytest.approx(due[kind])
  assert report['pairs'] == 150 and report['training_pairs'] > 0
  new = report['warm']['new_pairs'] + report['cold']['new_pairs']
  assert report['distinct_pairs'] == report['training_pairs'] + new


def test_random_pairs_coincide_as_often_as_expected():
  """By the pairs' own marginals and by an even draw, which agree for random pairs."""
  dataset, split = random_world(0, 60, 80)
  cold_users, _ = cold_masks(dataset, split)
  rng = np.random.default_rng(0)
  found = check_generated(dataset, split, rng.choice(np.flatnonzero(~cold_users), 2500), rng.integers(0, 80, 2500))
  for kind in ('warm', 'cold'):
    spread = np.sqrt(found[kind]['expected_uniform'])
    assert abs(found[kind]['coincidences'] - found[kind]['expected_popularity']) < 3 * spread


@pytest.mark.parametrize('parts', [('test',), ('cold_test',), ('cold_valid', 'cold_test')])
def test_a_generator_that_repeats_what_is_held_out_fails(parts):
  """Also where it repeats training as well, and hides cold pairs among many warm ones."""
  dataset, split = random_world(0, 60, 80, .2)
  rows = np.concatenate([split.rows('train'), split.rows(*parts)])
  with pytest.raises(LeakError, match=f'leak in gan: .* {"cold" if "cold_test" in parts else "warm"} items repeat'):
    check_generated(dataset, split, dataset.interactions.user[rows], dataset.interactions.item[rows], 'gan')


def test_a_generator_that_is_right_now_and_then_passes():
  dataset, split = random_world(0, 60, 80, .2)
  rng = np.random.default_rng(0)
  rows = split.rows('test', 'cold_test')[::2]
  cold_users, _ = cold_masks(dataset, split)
  users = np.concatenate([dataset.interactions.user[rows], rng.choice(np.flatnonzero(~cold_users), 8 * len(rows))])
  items = np.concatenate([dataset.interactions.item[rows], rng.integers(0, 80, 8 * len(rows))])
  found = check_generated(dataset, split, users, items)
  assert found['warm']['coincidences'] > 1.5 * found['warm']['expected_popularity']


def test_cold_users_are_never_generated_for():
  dataset, split = random_world(0)
  user = np.flatnonzero(cold_masks(dataset, split)[0])[0]
  with pytest.raises(LeakError, match=f"user '{dataset.user_ids[user]}', item .* cold user"):
    check_generated(dataset, split, np.array([0, user]), np.array([9, 9]))
