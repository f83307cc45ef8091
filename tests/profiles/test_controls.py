"""The controls: copies are copies, popularity is kept, walks stay where things go together."""

import numpy as np
import pytest

from ganrec_jax.data.ragged import group
from ganrec_jax.profiles import controls

from . import planted


@pytest.mark.parametrize('draw', [controls.bootstrap, controls.marginals, controls.markov])
def test_profiles_are_sets_with_real_lengths(draw):
  members = planted.profiles()
  drawn = draw(members, planted.ITEMS, 700, 3)
  owner = np.repeat(np.arange(700), drawn.lengths)
  assert len(drawn) == 700 and len(set(zip(owner.tolist(), drawn.values.tolist(), strict=True))) == len(owner)
  assert set(drawn.lengths) <= set(members.lengths)
  np.testing.assert_allclose(drawn.lengths.mean(), members.lengths.mean(), rtol=.1)
  np.testing.assert_array_equal(drawn.values, draw(members, planted.ITEMS, 700, 3).values)
  assert drawn.values.tolist() != draw(members, planted.ITEMS, 700, 4).values.tolist()


def test_the_bootstrap_copies_and_marginals_keep_popularity_alone():
  members = planted.profiles()
  real = {tuple(members.row(user)) for user in range(len(members))}
  copies = controls.bootstrap(members, planted.ITEMS, 50, 0)
  assert all(tuple(copies.row(user)) in real for user in range(50))
  drawn = controls.marginals(members, planted.ITEMS, 4000, 0)
  counts = [np.bincount(one.values, minlength=planted.ITEMS) / len(one.values) for one in (members, drawn)]
  assert np.corrcoef(counts)[0, 1] > .9
  tastes = [len(np.unique(drawn.row(user) // planted.EACH)) for user in range(200)]
  assert np.mean(tastes) > 2


def test_walks_stay_among_what_goes_together():
  drawn = controls.markov(planted.profiles(), planted.ITEMS, 500, 0)
  assert all(len(np.unique(drawn.row(user) // planted.EACH)) == 1 for user in range(500))


def test_a_walk_that_is_stuck_goes_on_by_popularity():
  # Nothing ever went with item 2; its profiles of length 1 lend no second item, but others' lengths do.
  members = group(np.array([0, 0, 1]), np.array([0, 1, 2]), 2)
  drawn = controls.markov(members, 3, 300, 0)
  assert {tuple(drawn.row(user)) for user in range(300)} >= {(2,), (0, 1)}
  assert all(2 in row or row in ((0,), (1,), (0, 1)) for row in (tuple(drawn.row(u)) for u in range(300)))
