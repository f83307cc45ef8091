"""Real and generated users together: rows stand for as many users as they weigh, and differences are told apart."""

import types

import numpy as np

from experiments import augmentation
from ganrec_jax.data.ragged import Ragged, group
from ganrec_jax.models import cease


def _log(users, seed):
  rng = np.random.default_rng(seed)
  return group(*np.nonzero(rng.random((users, 9)) < .4), users)


def _one(histories):
  return types.SimpleNamespace(prepared=types.SimpleNamespace(histories=histories), warm=np.ones(9, bool))


def test_a_generated_user_of_weight_two_is_two_users():
  real, extra = _log(40, 0), _log(10, 1)
  one = _one(real)
  grams = augmentation.gram(one, real), augmentation.gram(one, extra)
  _, heavy = augmentation.linear(one, 0., *grams, 2., 5.)
  _, alone = augmentation.linear(one, 0., *grams, 0., 5.)
  offsets = np.concatenate([real.offsets, real.offsets[-1] + extra.offsets[1:],
                            real.offsets[-1] + extra.offsets[-1] + extra.offsets[1:]])
  twice = Ragged(offsets, np.concatenate([real.values, extra.values, extra.values]), np.ones(offsets[-1], np.float32))
  np.testing.assert_allclose(heavy.model, cease.fit(twice, 9, None, 5., 0.).weights, atol=1e-5)
  np.testing.assert_allclose(alone.model, cease.fit(real, 9, None, 5., 0.).weights, atol=1e-5)
  assert np.abs(np.asarray(heavy.model) - alone.model).max() > .01
  np.testing.assert_array_equal(heavy.items, alone.items)


def test_differences_name_who_is_better_than_whom():
  rng, users = np.random.default_rng(0), np.arange(60).astype(str)
  base, found = rng.random(60), {}
  for recommender, tasks in augmentation.TASKS.items():
    for source in filter(lambda source, to=recommender: augmentation.asked(to, source), (None, *augmentation.SOURCES)):
      gain = .1 * (source == 'critic' and recommender == 'EASE')
      found[recommender, source] = [{name: value for task in tasks for name, value in (
        (task, base + gain), (f'{task}.users', users))}]
  told = {(one['recommender'], one['source'], one['to'], one['task']): one for one in augmentation.differences(found)}
  assert told['EASE', 'critic', 'real', 'warm']['p_holm'] < .05
  assert told['EASE', 'critic', 'no critic', 'warm']['percent'] > 5
  assert told['EASE', 'no critic', 'real', 'warm']['mean'] == 0 and told['ours', 'critic', 'real', 'cold']['p'] == 1


def test_ours_and_cease_are_added_standardised_over_new_items(monkeypatch):
  rng = np.random.default_rng(0)
  mine, theirs = rng.normal(size=(2, 3, 9)).astype(np.float32)
  mine, new = 50 * mine + 7, np.int32([6, 7, 8])
  monkeypatch.setattr(augmentation.closed_form, 'score', lambda params, users: params[users])
  monkeypatch.setattr(augmentation, 'score_linear', lambda params, users: params[users])
  found = augmentation.score_blended.__wrapped__((mine, theirs, new, np.float32(.5)), np.arange(3))
  first, second = ((part - part[:, 6:].mean(1, keepdims=True)) / part[:, 6:].std(1, keepdims=True)
                   for part in (mine, theirs))
  np.testing.assert_allclose(found, first + .5 * second, atol=1e-4)


def test_each_source_has_what_its_recommenders_can_take():
  asked = {name: [source for source in (None, *augmentation.SOURCES) if augmentation.asked(name, source)]
           for name in augmentation.TASKS}
  assert asked['EASE'] == [None, 'bootstrap', 'no critic', 'critic'] and asked['CEASE'] == [None, *augmentation.SOURCES]
  assert asked['ours'] == asked['CEASE']
  assert asked[augmentation.BLENDED] == [None, 'no critic, new items', 'critic, new items']
