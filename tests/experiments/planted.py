"""A small problem with planted groups: users choose within their group, and texts tell an item's group."""

import types

import numpy as np

from ganrec_jax.data.ragged import Ragged, group
from ganrec_jax.evaluation.tasks import Task

USERS, ITEMS, GROUPS = 120, 90, 3


def make(ordered=False, seed=0):
  """A stand-in for `experiments.peers.problem.Problem`; the last fifth of the items is cold.

  Item j is of group j % 3. Popularity falls with the item's number within all groups alike, so that it tells little.
  """
  random = np.random.default_rng(seed)
  warm = np.arange(ITEMS) < ITEMS * 4 // 5
  user_group, item_group = np.arange(USERS) % GROUPS, np.arange(ITEMS) % GROUPS
  train, valid, cold = [], [], []
  for user in range(USERS):
    own = random.permutation(np.flatnonzero(item_group == user_group[user]))
    known = own[warm[own]][:12]
    train += [(user, item) for item in known[:8]]
    valid += [(user, item) for item in known[8:]]
    cold += [(user, item) for item in own[~warm[own]]]

  def by_user(pairs):
    user, item = np.array(pairs).T
    return group(user, item, USERS)
  histories, users = by_user(train), np.arange(USERS, dtype=np.int32)
  nothing = Ragged(np.zeros(USERS + 1, np.int64), np.zeros(0, np.int32), np.zeros(0, np.float32))
  order = random.permutation(ITEMS).astype(np.int32)
  tasks = {'warm': Task('warm', users, order[warm[order]], by_user(valid), histories),
           'cold': Task('cold', users, order[~warm[order]], by_user(cold), nothing)}
  texts = (np.eye(8)[item_group] + .1 * random.normal(size=(ITEMS, 8))).astype(np.float32)
  return types.SimpleNamespace(
    name='planted', warm=warm, texts=texts, whitened=texts / np.linalg.norm(texts, axis=1, keepdims=True),
    terms=group(np.arange(ITEMS), item_group, ITEMS), num_terms=GROUPS + 1, tasks=lambda held_out: tasks,
    prepared=types.SimpleNamespace(histories=histories, warm=np.flatnonzero(warm), ordered=ordered))


def popularity(problem):
  """`Factors` that rank by the number of training interactions."""
  from experiments.peers.training import Factors
  counts = np.bincount(problem.prepared.histories.values, minlength=ITEMS).astype(np.float32)
  return Factors(np.ones((USERS, 1), np.float32), counts[:, None], np.zeros(ITEMS, np.float32))
