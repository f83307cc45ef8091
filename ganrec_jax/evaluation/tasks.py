"""The evaluation tasks of a split: who is asked, which items compete, which are right and which are ruled out."""

import dataclasses

import numpy as np

from ganrec_jax.data.ragged import Ragged, group
from ganrec_jax.data.types import PARTS, Dataset, Split
from ganrec_jax.errors import DataError

# What is known of a cold user in the tasks cold_user_1 and so on: his latest interactions.
HISTORIES = (1, 3, 5, 10)
NAMES = ('warm', 'cold', 'all', 'tail', 'sparse', 'cold_user', *(f'cold_user_{known}' for known in HISTORIES))

# Purposes of the random streams.
_TIES, _HISTORY = 0x71e5, 0x71e6


@dataclasses.dataclass(frozen=True)
class Task:
  """A full-ranking task over `n` users and `c` candidates.

  Attributes:
    name: one of `NAMES`.
    users: int32 `[n]`, ascending: the users with at least one target.
    candidates: int32 `[c]`, the items that compete, in a fixed random order; ties are broken by this order.
    targets: `n` rows of item indices, what the user really chose.
    seen: `n` rows of item indices, what is not to be recommended to the user.
    histories: what is known of cold users, a `Ragged` over all users of the dataset, latest last, with weight 0 for
      what the task keeps from the model; None where the users are those of the training.
  """
  name: str
  users: np.ndarray
  candidates: np.ndarray
  targets: Ragged
  seen: Ragged
  histories: Ragged | None = None


def train_counts(dataset: Dataset, split: Split):
  """The number of training interactions of each user int64 `[users]` and of each item int64 `[items]`."""
  log, rows = dataset.interactions, split.rows('train')
  return (np.bincount(log.user[rows], minlength=dataset.users), np.bincount(log.item[rows], minlength=dataset.items))


def item_masks(dataset: Dataset, split: Split):
  """Which items are what in a split, as bool `[items]` each.

  An item is cold where any row holds it out as cold. The head are the round(0.2 x warm) warm items with most
  training interactions, ties by item id as a string; the tail are the other warm items.

  Returns:
    a dict with `warm`, `head`, `tail`, `cold_valid`, `cold_test`.
  """
  def mask(rows):
    there = np.zeros(dataset.items, bool)
    there[dataset.interactions.item[rows]] = True
    return there

  cold_valid, cold_test = mask(split.rows('cold_valid')), mask(split.rows('cold_test'))
  warm = mask(split.part != PARTS.index('unused')) & ~cold_valid & ~cold_test
  items, popularity = np.flatnonzero(warm), train_counts(dataset, split)[1]
  best = np.lexsort((dataset.catalogue.ids[items], -popularity[items]))[:round(.2 * len(items))]
  head = np.zeros(dataset.items, bool)
  head[items[best]] = True
  return {'warm': warm, 'head': head, 'tail': warm & ~head, 'cold_valid': cold_valid, 'cold_test': cold_test}


def sparse_users(dataset: Dataset, split: Split):
  """bool `[users]`: at most as many training interactions as the lower quartile of the users who have any."""
  counts = train_counts(dataset, split)[0]
  return counts <= np.percentile(counts[counts > 0], 25) if counts.any() else np.zeros(dataset.users, bool)


def _make_task(name, dataset, target_rows, seen_rows, candidates, histories=None):
  """A task of the log's `target_rows` and `seen_rows`; None where nothing is to be found."""
  if not len(target_rows):
    return None
  log = dataset.interactions
  is_candidate = np.zeros(dataset.items, bool)
  is_candidate[candidates] = True
  stray = target_rows[~is_candidate[log.item[target_rows]]]
  if len(stray):
    row = stray[0]
    raise DataError(f'split, row {row}: the pair of user {str(dataset.user_ids[log.user[row]])!r} and item '
                    f'{str(dataset.catalogue.ids[log.item[row]])!r} is a target of the task {name}, but the item is no '
                    'candidate there; an item held out as cold may have no other held-out rows')
  users = np.unique(log.user[target_rows])
  seen_rows = seen_rows[np.isin(log.user[seen_rows], users)]

  def lists(rows):
    return group(np.searchsorted(users, log.user[rows]), log.item[rows], len(users))
  return Task(name, users.astype(np.int32), candidates, lists(target_rows), lists(seen_rows), histories)


def _histories(dataset, split, seed):
  """The histories of cold users, a `Ragged` over all users; by time, ties and logs without times by `seed`."""
  log, rows = dataset.interactions, split.rows('history')
  rows = np.random.default_rng(np.random.SeedSequence([seed, _HISTORY])).permutation(rows)
  return group(log.user[rows], log.item[rows], dataset.users, order=None if log.time is None else log.time[rows])


def _latest(histories, known):
  """The histories with weight 0 for all but the `known` latest entries of each row."""
  from_end = np.repeat(histories.offsets[1:], histories.lengths) - np.arange(len(histories.values))
  return dataclasses.replace(histories, weights=(from_end <= known).astype(np.float32))


def _cold_user_tasks(dataset, split, target_rows, candidates, seed):
  """The tasks cold_user and cold_user_1 to cold_user_10, None in place of those without targets."""
  histories, seen = _histories(dataset, split, seed), split.rows('history')
  yield _make_task('cold_user', dataset, target_rows, seen, candidates, histories)
  lengths = histories.lengths[dataset.interactions.user[target_rows]]
  for known in HISTORIES:
    yield _make_task(f'cold_user_{known}', dataset, target_rows[lengths >= known], seen, candidates,
                     _latest(histories, known))


def make_tasks(dataset: Dataset, split: Split, seed: int, held_out='test') -> dict[str, Task]:
  """The tasks warm, cold, all, tail, sparse, cold_user and cold_user_1 to _10 of a split; without targets none.

  In warm, all, tail and sparse, what a user has in training is ruled out, and for `held_out='test'` what he has in
  validation too; in cold nothing is; in cold_user his history is, and targets that are cold items do not count.

  In cold_user the model sees the whole history of a user. In cold_user_1, _3, _5 and _10 it sees the latest 1, 3, 5 and
  10 of it, of all users who have that many; targets and what is ruled out are those of cold_user, so that a user is
  asked the same there. What more history is worth is told by the users who are in all of them: see `strata`.

  Args:
    dataset: the data.
    split: its split.
    seed: of the random order of the candidates that breaks ties.
    held_out: 'test' or 'valid', whose rows are the targets.

  Raises:
    DataError: where the split is not of the dataset's length, or a target of the split is no candidate.
    ValueError: for another `held_out`.
  """
  if held_out not in ('test', 'valid'):
    raise ValueError(f"held_out is {held_out!r}, allowed are 'test' and 'valid'")
  log = dataset.interactions
  if len(split.part) != len(log):
    raise DataError(f'the split has {len(split.part)} rows, the log {len(log)}')
  masks = item_masks(dataset, split)
  order = np.random.default_rng(np.random.SeedSequence([seed, _TIES])).permutation(dataset.items).astype(np.int32)
  warm_items, cold_items = order[masks['warm'][order]], order[masks['cold_' + held_out][order]]
  all_items = order[(masks['warm'] | masks['cold_' + held_out])[order]]
  warm, cold, both = split.rows(held_out), split.rows('cold_' + held_out), split.rows(held_out, 'cold_' + held_out)
  seen = split.rows('train', 'valid') if held_out == 'test' else split.rows('train')
  user = split.rows('user_' + held_out)
  made = (
      _make_task('warm', dataset, warm, seen, warm_items),
      _make_task('cold', dataset, cold, warm[:0], cold_items),
      _make_task('all', dataset, both[split.in_all[both]], seen, all_items),
      _make_task('tail', dataset, warm[~masks['head'][log.item[warm]]], seen, warm_items),
      _make_task('sparse', dataset, warm[sparse_users(dataset, split)[log.user[warm]]], seen, warm_items),
      *_cold_user_tasks(dataset, split, user[masks['warm'][log.item[user]]], warm_items, seed))
  return {task.name: task for task in made if task is not None}
