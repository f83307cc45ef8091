"""A planted world of profiles: four tastes of twelve items each, two of them always together."""

import numpy as np

from ganrec_jax.data.ragged import group

TASTES, EACH = 4, 12
ITEMS = TASTES * EACH


def profiles(users=300, seed=0):
  """`Ragged` over users; items 0 and 1 of each taste come together or not at all."""
  rng = np.random.default_rng(seed)
  rows = []
  for user in range(users):
    taste = EACH * (user % TASTES)
    chosen = set((taste + rng.permutation(EACH - 2)[:rng.integers(3, 7)] + 2).tolist())
    if rng.random() < .5:
      chosen |= {taste, taste + 1}
    rows.append(sorted(chosen))
  return group(np.repeat(np.arange(users), [len(row) for row in rows]), np.concatenate(rows), users)
