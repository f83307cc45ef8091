"""Real and generated users together: rows stand for as many users as they weigh, and differences are told apart."""

import types

import numpy as np

from experiments import augmentation
from ganrec_jax.data.ragged import Ragged, group


def _log(users, seed):
  rng = np.random.default_rng(seed)
  return group(*np.nonzero(rng.random((users, 9)) < .4), users)


def _one(histories):
  return types.SimpleNamespace(prepared=types.SimpleNamespace(histories=histories), warm=np.ones(9, bool))


def test_logs_are_put_behind_one_another():
  a, b = _log(5, 0), _log(3, 1)
  both = augmentation.together(a, b)
  assert len(both) == 8
  for user in range(8):
    np.testing.assert_array_equal(both.row(user), a.row(user) if user < 5 else b.row(user - 5))


def test_a_generated_user_of_weight_two_is_two_users():
  real, extra = _log(40, 0), _log(10, 1)
  _, heavy = augmentation.linear(_one(real), 0., extra, 2., 5.)
  _, twice = augmentation.linear(_one(real), 0., augmentation.together(extra, extra), 1., 5.)
  _, alone = augmentation.linear(_one(real), 0., None, 0., 5.)
  np.testing.assert_allclose(heavy.model, twice.model, atol=1e-5)
  assert np.abs(np.asarray(heavy.model) - alone.model).max() > .01
  np.testing.assert_array_equal(heavy.items, alone.items)


def test_differences_name_who_is_better_than_whom():
  rng, users = np.random.default_rng(0), np.arange(60).astype(str)
  base, found = rng.random(60), {}
  for recommender, tasks in augmentation.TASKS.items():
    for source in (None, *augmentation.SOURCES):
      gain = .1 * (source == 'critic' and recommender == 'EASE')
      found[recommender, source] = [{name: value for task in tasks for name, value in (
        (task, base + gain), (f'{task}.users', users))}]
  told = {(one['recommender'], one['source'], one['to'], one['task']): one for one in augmentation.differences(found)}
  assert told['EASE', 'critic', 'real', 'warm']['p_holm'] < .05
  assert told['EASE', 'critic', 'no critic', 'warm']['percent'] > 5
  assert told['EASE', 'no critic', 'real', 'warm']['mean'] == 0 and told['ours', 'critic', 'real', 'cold']['p'] == 1


def test_a_ragged_of_nobody_changes_nothing():
  real = _log(6, 0)
  nobody = Ragged(np.zeros(1, np.int64), np.zeros(0, np.int32), np.zeros(0, np.float32))
  np.testing.assert_array_equal(augmentation.together(real, nobody).offsets, real.offsets)
