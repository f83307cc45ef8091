import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ganrec_jax.data.ragged import group, pad
from ganrec_jax.errors import ConfigError, DataError
from ganrec_jax.models import als, cease, closed_form

USERS, ITEMS, WARM = 14, 10, np.arange(8)
KNOBS = closed_form.Knobs(power=.5, warm_blend=.8, cold_blend=.3, activity=.4, popularity=.2, cold_popularity=.6)
CONFIG = closed_form.ClosedFormConfig(als.AlsConfig(dim=3, sweeps=4), item_reg=2., kernel_weight=4., knobs=KNOBS)


def _world(users=USERS, items=ITEMS, warm=WARM, seed=0):
  rng = np.random.default_rng(seed)
  there = np.zeros((users, items), bool)
  there[:, warm] = rng.random((users, len(warm))) < .45
  there[0] = False
  vectors = rng.normal(size=(items, 2))
  kernel = np.exp(-((vectors[:, None] - vectors) ** 2).sum(-1)).astype(np.float32)
  return group(*np.nonzero(there), users), there, kernel


def _expected(histories, there, kernel, knobs, key):
  """The scores by the formula of `closed_form.score`, user by user in float64, for weights of 1."""
  fitted = als.fit(histories, ITEMS, WARM, jnp.asarray(kernel), CONFIG.factors, key)
  block = cease.fit(histories, len(WARM), jnp.asarray(kernel[:8, :8]), 2., 4.)
  ridge = np.linalg.solve(kernel[:8, :8] + np.eye(8), kernel[:8, 8:])
  e = np.concatenate([np.asarray(block.weights, np.float64), ridge], 1)
  rms = np.sqrt(np.append(block.square, np.repeat(np.mean(block.square), 2)))
  e = there[:, :8] @ e / rms**knobs.power
  s = np.asarray(fitted.users, np.float64) @ np.asarray(fitted.items, np.float64).T
  logs = np.log1p(there[:, :8].sum(0))
  popular = np.append(logs - logs.mean(), (logs - logs.mean()) @ ridge)
  warm, lengths = np.arange(ITEMS) < 8, there.sum(1)
  rows = []
  for user, n in enumerate(np.maximum(lengths, 1) / lengths[lengths > 0].mean()):
    sd_s, sd_e = (x[user, :8].std() if lengths[user] else 1. for x in (s, e))
    rows.append(s[user] / sd_s + n**knobs.activity * np.where(warm, knobs.warm_blend, knobs.cold_blend) * e[user] / sd_e
                + n**-.5 * np.where(warm, knobs.popularity, knobs.cold_popularity) * popular)
  return np.array(rows)


def test_scores_are_the_three_parts_on_one_scale():
  histories, there, kernel = _world()
  key = jax.random.key(1)
  params = closed_form.fit(histories, ITEMS, WARM, kernel, CONFIG, key)
  users = np.arange(USERS)
  due = _expected(histories, there, kernel, KNOBS, key)
  np.testing.assert_allclose(closed_form.score(params, users), due, atol=2e-3)
  other = closed_form.Knobs(power=0., warm_blend=.1, cold_blend=.9, activity=-.2, popularity=0., cold_popularity=.1)
  np.testing.assert_allclose(closed_form.score(params.turned(other), users),
                             _expected(histories, there, kernel, other, key), atol=2e-3)


def test_without_a_history_popularity_ranks():
  histories, there, kernel = _world()
  params = closed_form.fit(histories, ITEMS, WARM, kernel, CONFIG, jax.random.key(1))
  found = np.asarray(closed_form.score(params, np.array([0])))[0, :8]
  np.testing.assert_array_equal(np.argsort(-found, kind='stable'), np.argsort(-there[:, :8].sum(0), kind='stable'))


def test_without_text_the_item_item_model_is_ease_and_cold_items_have_no_score():
  histories, there, _ = _world(seed=6)
  params = closed_form.fit(histories, ITEMS, WARM, None, CONFIG, jax.random.key(0))
  np.testing.assert_allclose(params.item_item[:8, :8], cease.fit(histories, 8, None, 2.).weights, atol=1e-6)
  np.testing.assert_array_equal(closed_form.score(params, np.arange(USERS))[:, 8:], np.zeros((USERS, 2)))


def test_strong_interactions_weigh_more():
  histories, there, kernel = _world(seed=5)
  weights = np.where(histories.values == 2, 3., .5).astype(np.float32)
  strong = dataclasses.replace(histories, weights=weights)
  params = closed_form.fit(strong, ITEMS, WARM, kernel, CONFIG, jax.random.key(0))
  rows = np.where(np.arange(8) == 2, 3., .5) * there[:, :8]
  gram = rows.T @ rows + 4 * kernel[:8, :8] + 2 * np.eye(8)
  inverse = np.linalg.inv(gram)
  np.testing.assert_allclose(params.item_item[:8, :8], -inverse / np.diag(inverse) * (1 - np.eye(8)), atol=1e-4)


def test_generated_interactions_train_but_are_no_history():
  histories, there, kernel = _world(seed=4)
  # User 0 has no history of his own; items 8 and 9 are cold.
  generated = group(np.arange(USERS), (np.arange(USERS) * 3) % ITEMS, USERS, np.full(USERS, .5))
  params = closed_form.fit(histories, ITEMS, WARM, kernel, CONFIG, jax.random.key(0), generated)
  plain = closed_form.fit(histories, ITEMS, WARM, kernel, CONFIG, jax.random.key(0))
  for name in ('items', 'weights', 'popular'):
    np.testing.assert_array_equal(getattr(params, name), getattr(plain, name))
  rows = there[:, :8].astype(np.float64)
  for user in range(USERS):
    item = user * 3 % ITEMS
    if item < 8:
      rows[user, item] += .5
  counts = np.ones(USERS)
  rows[0], counts[0] = rows[0] / .5, .5  # half a user who has item 0
  inverse = np.linalg.inv(rows.T @ (counts[:, None] * rows) + 4 * kernel[:8, :8] + 2 * np.eye(8))
  np.testing.assert_allclose(params.item_item[:8, :8], -inverse / np.diag(inverse) * (1 - np.eye(8)), atol=1e-4)
  np.testing.assert_array_equal(params.item_item[:, 8:], plain.item_item[:, 8:])


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
  others = np.asarray(found)[[user for user in range(USERS) if user not in (3, 5)]]
  np.testing.assert_array_equal(others, np.tile(others[:1], (len(others), 1)))  # nothing but popularity
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


def test_listed_histories_are_scored_like_padded_ones_and_what_they_add_is_the_score():
  histories, _, kernel = _world()
  params = closed_form.fit(histories, ITEMS, WARM, kernel, CONFIG, jax.random.key(1))
  users = np.array([3, 1, 5])
  padded = pad(histories, users, ITEMS, 0)
  there = padded[1] > 0
  weights = np.where(there, np.random.default_rng(0).uniform(.5, 2, there.shape), 0).astype(np.float32)
  total, room = int(there.sum()), 40
  items, flat, owner = (np.pad(one[there], (0, room - total)) for one in (
    padded[0], weights, np.repeat(np.arange(3), ITEMS).reshape(3, ITEMS)))
  factors = als.fold_in(params.factors, padded[0], weights)
  for knobs in (KNOBS, dataclasses.replace(KNOBS, popularity=0., cold_popularity=0.)):
    turned = params.turned(knobs)
    scores, deviations = closed_form.score_listed(turned, factors, items, flat, owner, total)
    np.testing.assert_allclose(scores, closed_form.score_history(turned, padded[0], weights), atol=1e-4)
  for row in range(3):
    known = there[row]
    parts = closed_form.contributions(turned, deviations[row], padded[0][row, known], weights[row, known],
                                      np.arange(ITEMS))
    assert parts.shape == (ITEMS, known.sum())
    np.testing.assert_allclose(parts.sum(1), scores[row], atol=1e-3)


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
    dataclasses.replace(KNOBS, warm_blend=-1.)
  with pytest.raises(ConfigError, match='activity is 3'):
    dataclasses.replace(KNOBS, activity=3.)
  with pytest.raises(ConfigError, match='item_reg is 0'):
    dataclasses.replace(CONFIG, item_reg=0.)


def test_the_config_is_made_of_all_its_fields_by_name():
  flat = {'dim': 3, 'sweeps': 4, 'item_reg': 2., 'kernel_weight': 4.} | dataclasses.asdict(KNOBS)
  assert closed_form.flat_config(**flat) == CONFIG
  with pytest.raises(TypeError):
    closed_form.flat_config(dims=3)
