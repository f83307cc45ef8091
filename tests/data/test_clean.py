import collections

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ganrec_jax.data.clean import at_least, k_core, merge_duplicates, restrict, subsample_users
from ganrec_jax.data.types import Catalogue, Dataset, Interactions
from ganrec_jax.errors import DataError

PAIRS = st.sets(st.tuples(st.integers(0, 7), st.integers(0, 7)), min_size=1, max_size=40)


def _dataset(pairs, times=None):
  user, item = np.array(list(pairs), np.int32).T
  ids = np.array([f'i{k}' for k in range(9)])
  log = Interactions(user, item, np.arange(1, len(user) + 1, dtype=np.float32), times)
  return Dataset(log, Catalogue(ids, np.char.add(ids, ' title'), np.char.add(ids, ' text'),
                                tuple((f'tag of {i}',) for i in ids)),
                 np.array([f'u{k}' for k in range(9)]), {'name': 'tiny'})


def _named(dataset):
  log = dataset.interactions
  return set(zip(dataset.user_ids[log.user].tolist(), dataset.catalogue.ids[log.item].tolist(), log.value.tolist(),
                 strict=True))


def _is_dense(dataset):
  log = dataset.interactions
  return len(np.unique(log.user)) == dataset.users and len(np.unique(log.item)) == dataset.items


@settings(deadline=None, max_examples=60)
@given(PAIRS, st.integers(1, 3), st.integers(1, 3))
def test_k_core_is_what_repeated_dropping_leaves(pairs, min_user, min_item):
  dataset, left = _dataset(pairs), set(pairs)
  while True:
    users, items = collections.Counter(u for u, _ in left), collections.Counter(i for _, i in left)
    kept = {(u, i) for u, i in left if users[u] >= min_user and items[i] >= min_item}
    if kept == left:
      break
    left = kept
  if not left:
    with pytest.raises(DataError, match=rf'no interaction is left of {len(pairs)} .* {min_user} or more'):
      k_core(dataset, min_user, min_item)
    return
  core = k_core(dataset, min_user, min_item)
  assert {(u, i) for u, i, _ in _named(core)} == {(f'u{u}', f'i{i}') for u, i in left}
  assert _named(core) <= _named(dataset) and _is_dense(core)
  assert core.info['dropped']['k_core'] == {'users': 9 - core.users, 'items': 9 - core.items,
                                            'interactions': len(pairs) - len(left)}
  again = k_core(core, min_user, min_item)
  assert again.sha256() == core.sha256() and again.info == core.info


def test_at_least_keeps_what_is_high_enough_and_counts():
  dataset = _dataset([(3, 5), (1, 2), (3, 2)])
  kept = at_least(dataset, 2.)
  assert _named(kept) == {('u1', 'i2', 2.), ('u3', 'i2', 3.)} and _is_dense(kept)
  assert kept.info['dropped']['least_value']['interactions'] == 1
  with pytest.raises(DataError, match='least_value leaves no interaction of the 3'):
    at_least(dataset, 4.)


def test_restrict_keeps_the_columns_of_an_item_together_and_counts():
  dataset = _dataset([(3, 5), (1, 2), (3, 2)], times=np.array([7, 8, 9]))
  part = restrict(dataset, [0, 2], 'why')
  assert part.user_ids.tolist() == ['u3'] and part.catalogue.ids.tolist() == ['i2', 'i5']
  assert part.catalogue.titles.tolist() == ['i2 title', 'i5 title']
  assert part.catalogue.texts.tolist() == ['i2 text', 'i5 text']
  assert part.catalogue.phrases == (('tag of i2',), ('tag of i5',))
  assert part.interactions.item.tolist() == [1, 0] and part.interactions.time.tolist() == [7, 9]
  assert part.info['dropped'] == {'why': {'users': 8, 'items': 7, 'interactions': 1}}
  assert restrict(part, [0], 'why').info['dropped'] == {'why': {'users': 8, 'items': 8, 'interactions': 2}}
  assert 'dropped' not in dataset.info
  with pytest.raises(DataError, match='why leaves no interaction of the 3'):
    restrict(dataset, np.zeros(3, bool), 'why')


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(1, 9), st.integers(0, 99)), max_size=30),
       st.booleans())
def test_merge_duplicates_sums_values_and_keeps_the_latest_time(rows, timed):
  values, times = collections.Counter(), {}
  for user, item, value, time in rows:
    values[user, item] += value
    times[user, item] = max(time, times.get((user, item), 0))
  columns = np.array(rows, np.int64).reshape(-1, 4).T
  user, item, value, time, merged = merge_duplicates(*columns[:3], columns[3] if timed else None)
  assert list(zip(user.tolist(), item.tolist(), strict=True)) == sorted(values)
  assert value.tolist() == [values[pair] for pair in sorted(values)] and merged == len(rows) - len(values)
  assert time is None if not timed else time.tolist() == [times[pair] for pair in sorted(values)]


@settings(deadline=None, max_examples=30)
@given(st.sampled_from([.01, .3, .5, 1]), st.integers(0, 2 ** 40))
def test_subsample_users_keeps_whole_users(fraction, seed):
  dataset = _dataset([(u, i) for u in range(9) for i in range(1 + u % 3)])
  part = subsample_users(dataset, fraction, seed)
  assert part.users == max(1, round(9 * fraction)) and _is_dense(part)
  assert _named(part) == {row for row in _named(dataset) if row[0] in part.user_ids}
  assert subsample_users(dataset, fraction, seed).sha256() == part.sha256()


def test_subsample_users_depends_on_the_seed_and_refuses_shares():
  dataset = _dataset([(u, i) for u in range(9) for i in range(3)])
  assert len({tuple(subsample_users(dataset, .5, seed).user_ids) for seed in range(5)}) > 1
  for fraction in (0, -1, 1.1, float('nan')):
    with pytest.raises(DataError, match='allowed is more than 0 and at most 1'):
      subsample_users(dataset, fraction, 0)
