"""The judge of profiles: hidden items against counts, real profiles above shuffled ones."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from ganrec_jax.data.ragged import Ragged, group
from ganrec_jax.profiles.completion import completion, hide

from . import planted


@settings(deadline=None, max_examples=40)
@given(st.lists(st.integers(0, 9), min_size=1, max_size=12), st.integers(0, 99))
def test_hidden_and_shown_make_up_each_profile(lengths, seed):
  profiles = group(np.repeat(np.arange(len(lengths)), lengths), np.concatenate([np.arange(n) for n in lengths] or [[]]),
                   len(lengths))
  shown, hidden = hide(profiles, seed)
  for user, length in enumerate(lengths):
    assert sorted([*shown.row(user), *hidden.row(user)]) == list(range(length))
    assert hidden.lengths[user] == (max(1, round(.3 * length)) if length > 1 else 0)


def test_real_profiles_complete_held_out_ones_and_shuffled_ones_do_not():
  real, held_out = planted.profiles(), planted.profiles(60, seed=1)
  shuffled = Ragged(real.offsets, np.random.default_rng(0).permutation(real.values), real.weights)
  good, bad = (completion(one, held_out, planted.ITEMS, 50., 0) for one in (real, shuffled))
  assert len(good) == 60 and good.mean() > bad.mean() + .2


def test_items_that_no_profile_holds_are_left_out():
  few = group(np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1]), 2)
  held_out = group(np.array([0, 0, 1, 1]), np.array([0, 1, 5, 6]), 2)
  assert len(completion(few, held_out, 7, 1., 0)) == 1
