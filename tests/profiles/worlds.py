"""Planted logs: users choose within their group, texts tell an item's group, and the last items are cold."""

import jax.numpy as jnp
import numpy as np

from ganrec_jax.data.ragged import Ragged, group
from ganrec_jax.data.types import PARTS, Catalogue, Dataset, Interactions, Split
from ganrec_jax.stages.prepare import Prepared

ITEMS, GROUPS, COLD = 60, 3, 12


def ragged(rows):
  """The `Ragged` of lists of items."""
  values = np.array([item for row in rows for item in row], np.int32)
  return Ragged(np.cumsum([0, *map(len, rows)]), values, np.ones(len(values), np.float32))


def uniform(random, users, items, share):
  """Profiles that hold each item with the probability `share`."""
  return group(*np.nonzero(random.random((users, items)) < share), users)


def grouped(random, users, warm=ITEMS - COLD, items=10):
  """Profiles of `items` warm items of the user's group; item j is of group j % 3."""
  return ragged([random.permutation(np.arange(user % GROUPS, warm, GROUPS))[:items] for user in range(users)])


def prepared(random, users=90):
  """A `Prepared` of grouped users: 10 of their items train, 2 validate, 2 test, and so do the cold ones."""
  pairs, parts = [], []
  for user in range(users):
    own = random.permutation(np.arange(user % GROUPS, ITEMS - COLD, GROUPS))[:14]
    fresh = np.arange(ITEMS - COLD + user % GROUPS, ITEMS, GROUPS)
    pairs += [(user, item) for item in (*own, *fresh)]
    parts += ['train'] * 10 + ['valid'] * 2 + ['test'] * 2 + ['cold_valid', 'cold_test'] * (len(fresh) // 2)
  user, item = np.array(pairs, np.int32).T.copy()
  ids = np.arange(ITEMS).astype(str)
  log = Interactions(user, item, np.ones(len(user), np.float32))
  dataset = Dataset(log, Catalogue(ids, ids, ids, ((),) * ITEMS), np.arange(users).astype(str), {})
  part = np.array([PARTS.index(name) for name in parts], np.int8)
  return Prepared(dataset, Split(part, np.ones(len(part), bool)), None)


def kernel():
  """A content kernel in which items of a group are alike."""
  same = np.arange(ITEMS)[:, None] % GROUPS == np.arange(ITEMS) % GROUPS
  return jnp.asarray(np.where(same, .6, .1) + .4 * np.eye(ITEMS), jnp.float32)
