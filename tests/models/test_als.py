import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ganrec_jax.data.ragged import Ragged, group, pad
from ganrec_jax.errors import ConfigError, DataError
from ganrec_jax.models import als

USERS, ITEMS, WARM = 13, 11, np.array([0, 1, 2, 4, 5, 6, 8, 9, 10])
CONFIG = als.AlsConfig(dim=3, sweeps=5)


def _world(seed=0):
  """Histories over warm items (one user has none, one item nobody), with weights, and a kernel over all items."""
  rng = np.random.default_rng(seed)
  there = rng.random((USERS, ITEMS)) < .4
  there[:, np.setdiff1d(np.arange(ITEMS), WARM)] = False
  there[4], there[:, 8] = False, False
  user, item = np.nonzero(there)
  weights = rng.choice([1, .1], size=len(user)).astype(np.float32)
  rows = rng.normal(size=(ITEMS, 2))
  return group(user, item, USERS, weights), np.exp(-((rows[:, None] - rows) ** 2).sum(-1)).astype(np.float32)


def _dense(histories):
  out = np.zeros((len(histories), ITEMS))
  np.add.at(out, (np.repeat(np.arange(len(histories)), histories.lengths), histories.values), histories.weights)
  return out


def _solve(weights, others, config, reg, base, kappa, prior):
  """The normal equations of one side, row by row, in float64."""
  out = np.zeros((len(weights), config.dim))
  for row, weight in enumerate(weights):
    system = config.unobserved * others.T @ others + (others.T * weight) @ others
    system += (reg * weight.sum() + base + kappa) * np.eye(config.dim)
    out[row] = np.linalg.solve(system, others.T @ weight + kappa * prior[row])
  return out


def _reference(histories, kernel, config, key, generated=None):
  real = _dense(histories)[:, WARM]
  more = np.zeros((USERS, ITEMS)) if generated is None else _dense(generated)
  weights = real + more[:, WARM]
  items = .1 / np.sqrt(config.dim) * np.asarray(jax.random.normal(key, (len(WARM), config.dim)), np.float64)
  user_base, item_base = (config.reg * config.unobserved * n for n in (len(WARM), USERS))
  nothing = np.zeros((max(USERS, ITEMS), config.dim))
  warm_kernel = kernel[np.ix_(WARM, WARM)].astype(np.float64)
  for sweep in range(config.sweeps):
    users = _solve(weights, items, config, config.reg, user_base, 0, nothing)
    if config.kappa and sweep >= 3:
      prior = np.zeros_like(items)
      for j in range(len(WARM)):
        rest = np.delete(np.arange(len(WARM)), j)
        system = warm_kernel[np.ix_(rest, rest)] + config.ridge * np.eye(len(rest))
        prior[j] = warm_kernel[j, rest] @ np.linalg.solve(system, items[rest])
      items = _solve(weights.T, users, config, .3 * config.reg, .3 * item_base, config.kappa, prior)
    else:
      items = _solve(weights.T, users, config, config.reg, item_base, 0, nothing)
  users = _solve(real, items, config, config.reg, user_base, 0, nothing)
  everything = np.zeros((ITEMS, config.dim))
  everything[WARM] = items
  if config.kappa:
    cold = np.setdiff1d(np.arange(ITEMS), WARM)
    everything[cold] = kernel[np.ix_(cold, WARM)] @ np.linalg.solve(
      warm_kernel + config.ridge * np.eye(len(WARM)), items)
  for j in np.setdiff1d(np.flatnonzero(more.sum(0)), WARM):
    # Unobserved pairs of a new item say nothing, so the Gram matrix of all users is left out.
    system = (users.T * more[:, j]) @ users + (config.kappa + config.reg * more[:, j].sum()) * np.eye(config.dim)
    everything[j] = np.linalg.solve(system, users.T @ more[:, j] + config.kappa * everything[j])
  return users, everything


@pytest.mark.parametrize('kappa', [0., 3.])
def test_fit_agrees_with_the_normal_equations_in_double_precision(kappa):
  histories, kernel = _world()
  config, key = dataclasses.replace(CONFIG, kappa=kappa), jax.random.key(3)
  params = als.fit(histories, ITEMS, WARM, jnp.asarray(kernel), config, key)
  users, items = _reference(histories, kernel, config, key)
  np.testing.assert_allclose(params.users, users, atol=2e-4)
  np.testing.assert_allclose(params.items, items, atol=2e-4)
  assert np.abs(items).max() > .1
  if not kappa:
    plain = als.fit(histories, ITEMS, WARM, None, config, key)
    np.testing.assert_array_equal(plain.items, params.items)

@pytest.mark.parametrize('kappa', [0., 3.])
def test_a_row_that_stands_for_two_users_is_two_users_and_one_that_stands_for_none_is_nobody(kappa):
  histories, kernel = _world(4)
  rng = np.random.default_rng(6)
  drawn = rng.random((5, ITEMS)) < .4
  assert drawn[:, 3].any()

  def fitted(rows, counts):
    offsets = np.append(histories.offsets, np.full(len(rows), histories.offsets[-1]))
    real = dataclasses.replace(histories, offsets=offsets)
    user, item = np.nonzero(rows)
    generated = group(USERS + user, item, USERS + len(rows), np.ones(len(user)))
    counts = np.concatenate([np.ones(USERS), counts]).astype(np.float32)
    return als.fit(real, ITEMS, WARM, jnp.asarray(kernel), dataclasses.replace(CONFIG, kappa=kappa),
                   jax.random.key(3), generated, counts)

  twice, once = fitted(np.concatenate([drawn, drawn]), np.ones(10)), fitted(drawn, np.full(5, 2.))
  np.testing.assert_allclose(once.items, twice.items, atol=1e-4)
  plain = als.fit(histories, ITEMS, WARM, jnp.asarray(kernel), dataclasses.replace(CONFIG, kappa=kappa),
                  jax.random.key(3))
  assert np.abs(np.asarray(once.items) - plain.items)[WARM].max() > .01
  none = fitted(drawn, np.full(5, 1e-7))
  # Without a prior a new item has nothing but what was generated.
  some = slice(None) if kappa else WARM
  np.testing.assert_allclose(none.items[some], plain.items[some], atol=1e-4)
  np.testing.assert_allclose(none.users[:USERS], plain.users, atol=1e-4)


@pytest.mark.parametrize('kappa', [0., 3.])
def test_generated_interactions_train_items_and_leave_users_to_what_they_did(kappa):
  histories, kernel = _world(4)
  rng = np.random.default_rng(5)
  there = (_dense(histories) == 0) & (rng.random((USERS, ITEMS)) < .2)
  assert there[:, 3].any() and there[:, WARM].any()
  generated = group(*np.nonzero(there), USERS, np.full(there.sum(), .3))
  config, key = dataclasses.replace(CONFIG, kappa=kappa), jax.random.key(3)
  params = als.fit(histories, ITEMS, WARM, jnp.asarray(kernel), config, key, generated)
  users, items = _reference(histories, kernel, config, key, generated)
  np.testing.assert_allclose(params.users, users, atol=2e-4)
  np.testing.assert_allclose(params.items, items, atol=2e-4)
  plain = als.fit(histories, ITEMS, WARM, jnp.asarray(kernel), config, key)
  assert np.abs(np.asarray(plain.items) - items).max() > .01
  faint = dataclasses.replace(generated, weights=np.full_like(generated.weights, 1e-6))
  if kappa:  # without a prior, a new item has nothing but its generated interactions
    again = als.fit(histories, ITEMS, WARM, jnp.asarray(kernel), config, key, faint)
    np.testing.assert_allclose(again.items, plain.items, atol=1e-4)


def test_batches_do_not_change_the_result(monkeypatch):
  histories, kernel = _world(1)
  whole = als.fit(histories, ITEMS, WARM, jnp.asarray(kernel), CONFIG, jax.random.key(0))
  monkeypatch.setattr(als, '_ENTRIES_A_BATCH', 40)
  cut = als.fit(histories, ITEMS, WARM, jnp.asarray(kernel), CONFIG, jax.random.key(0))
  np.testing.assert_allclose(cut.users, whole.users, atol=1e-5)
  np.testing.assert_allclose(cut.items, whole.items, atol=1e-5)


def test_weight_two_is_listing_an_item_twice():
  histories, kernel = _world(2)
  heavy = dataclasses.replace(histories, weights=2 * np.ones_like(histories.weights))
  owner = np.repeat(np.arange(USERS), histories.lengths)
  twice = group(np.repeat(owner, 2), np.repeat(histories.values, 2), USERS)
  first, second = (als.fit(h, ITEMS, WARM, jnp.asarray(kernel), CONFIG, jax.random.key(0)) for h in (heavy, twice))
  np.testing.assert_allclose(first.users, second.users, atol=1e-5)
  np.testing.assert_allclose(first.items, second.items, atol=1e-5)


def test_folding_in_a_training_history_gives_the_training_factor():
  histories, kernel = _world(3)
  params = als.fit(histories, ITEMS, WARM, jnp.asarray(kernel), CONFIG, jax.random.key(0))
  items, weights = pad(histories, np.arange(USERS), 12, 0)
  np.testing.assert_allclose(als.fold_in(params, items, weights), params.users, atol=1e-5)
  np.testing.assert_array_equal(params.users[4], np.zeros(CONFIG.dim))


def test_a_cold_item_in_a_history_is_refused():
  histories = Ragged(np.array([0, 1, 3]), np.array([0, 1, 3], np.int32), np.ones(3, np.float32))
  with pytest.raises(DataError, match='user 1: item 3 of the history is cold'):
    als.fit(histories, ITEMS, WARM, None, CONFIG, jax.random.key(0))
  with pytest.raises(DataError, match='no warm item'):
    als.fit(histories, ITEMS, WARM[:0], None, CONFIG, jax.random.key(0))


@pytest.mark.parametrize(('name', 'value'), [('dim', 0), ('reg', -1.), ('unobserved', 0.), ('kappa', float('nan'))])
def test_hyper_parameters_out_of_range_are_refused(name, value):
  with pytest.raises(ConfigError, match=f'{name} is {value}'):
    als.AlsConfig(**{name: value})


def test_reasons_are_the_nearest_of_the_history_by_angle():
  factors = np.array([[1, 0], [9, 1], [0, 1], [-1, 0], [.1, .1]], np.float32)
  assert als.reasons(factors, np.array([0, 2]), np.array([4, 3, 1])).tolist() == [[1, 4], [4, 1]]
  assert als.reasons(factors, np.array([0]), np.array([2])).tolist() == [[2]]
