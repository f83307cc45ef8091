"""Policies that are tuned on simulated users: lists leave out what is known, copies mislead, worlds are summed up."""

import numpy as np

from experiments import simulated_users
from ganrec_jax.data.ragged import take
from tests.profiles import planted
from tests.stages import worlds


def test_lists_hold_nothing_known_and_gamma_takes_popularity_out():
  members = planted.profiles()
  fitted = simulated_users.policies(members, planted.ITEMS)
  known = fitted.lists((10., 0.), members)
  damped = fitted.lists((10., 30.), members)
  counts = np.bincount(members.values, minlength=planted.ITEMS)
  for user in range(0, 300, 37):
    assert not set(known[user]) & set(members.row(user)) and len(set(known[user])) == simulated_users.CUT
  assert counts[damped].mean() < counts[known].mean() - 1


def test_copies_of_known_users_mislead_and_others_do_not():
  members, others = planted.profiles(80), planted.profiles(400, 1)
  fitted = simulated_users.policies(members, planted.ITEMS)
  seen, unseen = (simulated_users.found(fitted, profiles, 0) for profiles in (members, others))
  plain = [place for place, (_, gamma) in enumerate(simulated_users.POLICIES) if gamma == 0]
  # The least regularisation remembers the copies; people who are new want more of it.
  assert simulated_users.POLICIES[plain[seen[plain].argmax()]][0] < simulated_users.POLICIES[
    plain[unseen[plain].argmax()]][0]
  assert seen.max() > unseen.max()


def test_the_true_worth_is_a_probability_and_the_same_whoever_asks():
  prepared = simulated_users.prepare.prepare(worlds.config())
  some = simulated_users.people(prepared, 0)
  fitted = simulated_users.policies(some.members, some.columns)
  value = simulated_users.true_worth(fitted, prepared, some.everybody)
  assert value.shape == (len(simulated_users.POLICIES),) and 0 < value.min() < value.max() < 1
  lists = fitted.lists(simulated_users.POLICIES[5], take(some.everybody, np.arange(3)))
  np.testing.assert_array_equal(lists, fitted.lists(simulated_users.POLICIES[5], some.everybody)[:3])


def test_worlds_are_summed_up_by_source():
  truth = np.linspace(.1, .3, len(simulated_users.POLICIES))
  found = {source: truth if source != 'bootstrap' else truth[::-1] for source in simulated_users.SOURCES}
  out = simulated_users.summary([found | {'truth': truth}] * 2)
  assert out['critic']['worth'] == [1., 1.] and out['bootstrap']['correlation'] == [-1., -1.]
  np.testing.assert_allclose(out['bootstrap']['worth'], 1 / 3)
  told = simulated_users.table({'sources': out})
  assert '| bootstrap | -1.00 [-1.00, -1.00] | 33.3 [33.3, 33.3] | 100 [100, 100] |' in told
