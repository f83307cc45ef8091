import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ganrec_jax.data.ragged import group, merge, pad
from ganrec_jax.errors import ConfigError, DataError
from ganrec_jax.models import als, cease, closed_form

USERS, ITEMS, WARM = 14, 10, np.arange(8)
CONFIG = closed_form.ClosedFormConfig(power=.5, dim=3, sweeps=4, item_reg=2., kernel_weight=4.)


def _world(users=USERS, items=ITEMS, warm=WARM, seed=0):
  rng = np.random.default_rng(seed)
  there = np.zeros((users, items), bool)
  there[:, warm] = rng.random((users, len(warm))) < .45
  there[0] = False
  vectors = rng.normal(size=(items, 2))
  kernel = np.exp(-((vectors[:, None] - vectors) ** 2).sum(-1)).astype(np.float32)
  return group(*np.nonzero(there), users), there, kernel


def test_scores_are_the_two_halves_on_one_scale():
  histories, there, kernel = _world()
  key, warm = jax.random.key(1), np.isin(np.arange(ITEMS), WARM)
  params = closed_form.fit(histories, ITEMS, WARM, kernel, CONFIG, key)
  fitted = als.fit(histories, ITEMS, WARM, jnp.asarray(kernel), als.AlsConfig(dim=3, sweeps=4), key)
  item_item = cease.fit(histories, ITEMS, jnp.asarray(kernel), 2., 4., .5)
  s = np.asarray(fitted.users, np.float64) @ np.asarray(fitted.items, np.float64).T
  e = there @ np.asarray(item_item.weights, np.float64)
  known = there.any(1)
  expected = s / s[known][:, warm].std() + np.where(warm, .8, .15) * e / e[known][:, warm].std()
  np.testing.assert_allclose(closed_form.score(params, np.arange(USERS)), expected, atol=2e-3)
  np.testing.assert_array_equal(closed_form.score(params, np.array([0])), np.zeros((1, ITEMS)))


def test_generated_interactions_train_but_are_no_history():
  histories, there, kernel = _world(seed=4)
  generated = group(np.arange(USERS), (np.arange(USERS) * 3) % ITEMS, USERS, np.full(USERS, .5))
  params = closed_form.fit(histories, ITEMS, WARM, kernel, CONFIG, jax.random.key(0), generated)
  plain = closed_form.fit(histories, ITEMS, WARM, kernel, CONFIG, jax.random.key(0))
  np.testing.assert_array_equal(params.items, plain.items)
  np.testing.assert_array_equal(params.weights, plain.weights)
  assert np.abs(params.item_item - plain.item_item).max() > 1e-3
  merged = merge(group(*np.nonzero(there), USERS), generated)
  shape = cease.fit(merged, ITEMS, jnp.asarray(kernel), 2., 4., .5).weights
  scale = (params.item_item / jnp.where(shape == 0, 1, shape))[shape != 0]
  assert scale.min() > 0 and len(np.unique(np.round(scale / scale.max(), 3))) <= 2  # warm and cold columns


@pytest.mark.parametrize('batch', [2, 1024])
def test_folded_users_are_known_by_their_new_histories_alone(monkeypatch, batch):
  monkeypatch.setattr(closed_form, '_USERS_A_BATCH', batch)
  histories, _, kernel = _world(seed=2)
  params = closed_form.fit(histories, ITEMS, WARM, kernel, CONFIG, jax.random.key(0))
  # User 3 has one entry of two that the model may know, user 5 has three, the others have none.
  new = group(np.array([3, 3, 5, 5, 5]), np.array([1, 4, 0, 9, 2]), USERS, np.array([0., 1., 1., 1., 1.]))
  found = closed_form.score(params.folded(new), np.arange(USERS))
  for user, items in ((3, [4]), (5, [0, 9, 2])):
    due = closed_form.score_history(params, jnp.asarray(items)[None], jnp.ones((1, len(items))))[0]
    np.testing.assert_allclose(found[user], due, atol=1e-4)
  assert not np.asarray(found)[[user for user in range(USERS) if user not in (3, 5)]].any()
  np.testing.assert_array_equal(params.folded(new).item_item, params.item_item)
  again = closed_form.score(params.folded(histories), np.arange(USERS))
  np.testing.assert_allclose(again, closed_form.score(params, np.arange(USERS)), atol=1e-4)


def test_a_new_user_with_a_known_history_is_scored_alike():
  histories, _, kernel = _world(seed=1)
  params = closed_form.fit(histories, ITEMS, WARM, kernel, CONFIG, jax.random.key(0))
  users = np.array([3, 0, 9])
  items, weights = pad(histories, users, 11, 0)
  expected = closed_form.score(params, users)
  np.testing.assert_allclose(closed_form.score_history(params, items, weights), expected, atol=1e-4)
  order = np.random.default_rng(0).permutation(11)
  shuffled = closed_form.score_history(params, items[:, order], weights[:, order])
  np.testing.assert_allclose(shuffled, expected, atol=1e-4)


def test_params_are_a_pytree_that_jit_takes():
  histories, _, kernel = _world(seed=2)
  params = closed_form.fit(histories, ITEMS, WARM, kernel, CONFIG, jax.random.key(0))
  again = jax.tree.unflatten(jax.tree.structure(params), [np.asarray(leaf) for leaf in jax.tree.leaves(params)])
  np.testing.assert_array_equal(closed_form.score(again, np.arange(3)), closed_form.score(params, np.arange(3)))
  items, weights = closed_form.history(params, np.arange(USERS))
  for user in range(USERS):
    assert set(items[user][weights[user] > 0].tolist()) == set(histories.row(user).tolist())


def test_cold_items_change_nothing_for_warm_factors():
  histories, _, kernel = _world(seed=3)
  other = kernel.copy()
  other[8:, 8:] = np.eye(2)
  other[8:, :8] = other[:8, 8:] = 0.
  first, second = (closed_form.fit(histories, ITEMS, WARM, k, CONFIG, jax.random.key(0)).factors
                   for k in (kernel, other))
  np.testing.assert_array_equal(first.users, second.users)
  np.testing.assert_array_equal(second.items[8:], np.zeros((2, 3)))
  assert np.abs(first.items[8:]).max() > 1e-3


@settings(deadline=None, max_examples=12)
@given(st.sampled_from([1, 4]), st.sampled_from([(1, 1), (5, 5), (5, 1)]), st.sampled_from(['none', 'same', 'eye']),
       st.booleans())
def test_degenerate_worlds_have_finite_scores(users, sizes, text, empty):
  items, warm = sizes
  histories, _, _ = _world(users, items, np.arange(warm))
  if empty:
    histories = group(np.zeros(0, int), np.zeros(0, int), users)
  kernel = {'none': None, 'same': np.ones((items, items), np.float32), 'eye': np.eye(items, dtype=np.float32)}[text]
  params = closed_form.fit(histories, items, np.arange(warm), kernel, CONFIG, jax.random.key(0))
  assert np.isfinite(closed_form.score(params, np.arange(users))).all()
  assert np.isfinite(closed_form.score_history(params, np.zeros((1, 2), np.int32), np.ones((1, 2), np.float32))).all()


def test_cold_items_in_histories_and_values_out_of_range_are_refused():
  histories, _, kernel = _world()
  with pytest.raises(DataError, match='is cold'):
    closed_form.fit(histories, ITEMS, WARM[:3], kernel, CONFIG, jax.random.key(0))
  with pytest.raises(ConfigError, match='warm_blend is -1'):
    dataclasses.replace(CONFIG, warm_blend=-1.)
  with pytest.raises(ConfigError, match='reg is 0'):
    closed_form.fit(histories, ITEMS, WARM, kernel, dataclasses.replace(CONFIG, item_reg=0.), jax.random.key(0))
