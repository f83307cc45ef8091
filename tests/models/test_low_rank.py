"""The low-rank closed form is the dense one where nothing is cut off, and never holds a matrix of items times items."""

import dataclasses
import functools
import math

import jax
import jax.extend as jex
import jax.numpy as jnp
import numpy as np
import pytest

from ganrec_jax.data.ragged import group
from ganrec_jax.errors import ConfigError
from ganrec_jax.models import als, cease, closed_form, low_rank, regression
from ganrec_jax.models.kernels import LowRankKernel, inverse_root

USERS, ITEMS = 61, 23
WARM = np.setdiff1d(np.arange(ITEMS), [2, 9, 10, 22])
COLD = np.setdiff1d(np.arange(ITEMS), WARM)
CONFIG = closed_form.ClosedFormConfig(
  als.AlsConfig(dim=3, sweeps=5), item_reg=2., kernel_weight=4.,
  knobs=closed_form.Knobs(power=.5, warm_blend=.8, cold_blend=.3, activity=.4, popularity=.2, cold_popularity=.6))
LOW = dataclasses.replace(CONFIG, dense_items=ITEMS - 1, rank=len(WARM))


def _world(seed=0):
  """Weighted histories, one of them empty, a kernel, and its features with all warm items as landmarks."""
  rng = np.random.default_rng(seed)
  there = np.zeros((USERS, ITEMS), bool)
  there[:, WARM] = rng.random((USERS, len(WARM))) < .3
  there[0] = False
  user, item = np.nonzero(there)
  vectors = rng.normal(size=(ITEMS, 3))
  kernel = np.exp(-((vectors[:, None] - vectors) ** 2).sum(-1) / 2).astype(np.float32)
  features = kernel[:, WARM] @ inverse_root(kernel[np.ix_(WARM, WARM)])
  return (group(user, item, USERS, rng.uniform(.5, 2, len(user)).astype(np.float32)), jnp.asarray(kernel),
          LowRankKernel(jnp.asarray(features)))


def _generated(seed=0):
  rng = np.random.default_rng(seed)
  return group(np.repeat(np.arange(USERS), 2), rng.integers(0, ITEMS, 2 * USERS), USERS,
               np.full(2 * USERS, .3, np.float32))


@pytest.mark.parametrize('texts', [False, True])
def test_listed_histories_are_scored_like_padded_ones(texts):
  histories, _, features = _world()
  item_item = closed_form.fit(histories, ITEMS, WARM, features if texts else None, LOW, jax.random.key(0)).item_item
  rng = np.random.default_rng(1)
  items, weights = rng.integers(0, ITEMS, (3, 5)), rng.uniform(.5, 2, (3, 5)).astype(np.float32)
  assert np.isin(items, COLD).any()
  weights[2, 1:] = 0
  there, room = weights > 0, 20
  owner = np.repeat(np.arange(3), 5).reshape(3, 5)
  listed = [jnp.pad(one[there], (0, room - there.sum())) for one in (items, weights, owner)]
  np.testing.assert_allclose(item_item.listed(*listed, np.int32(there.sum()), 3), item_item.scores(items, weights),
                             atol=1e-5)


@pytest.mark.parametrize('generated', [False, True])
def test_with_all_landmarks_and_all_eigenpairs_it_is_the_dense_model(generated):
  histories, kernel, features = _world()
  extra = _generated() if generated else None
  dense, low = (closed_form.fit(histories, ITEMS, WARM, k, config, jax.random.key(0), extra)
                for k, config in ((kernel, CONFIG), (features, LOW)))
  for name in ('square', 'popular', 'mean_length'):
    np.testing.assert_allclose(getattr(low, name), getattr(dense, name), rtol=5e-3, atol=1e-4, err_msg=name)
  np.testing.assert_allclose(low.factors.items, dense.factors.items, atol=2e-3)
  users = np.arange(USERS)
  np.testing.assert_allclose(closed_form.score(low, users), closed_form.score(dense, users), atol=1e-2)
  items, weights = jnp.array([[1, 4, 9], [3, 0, 0]]), jnp.array([[1., .5, 2.], [1., 0., 0.]])
  np.testing.assert_allclose(closed_form.score_history(low, items, weights),
                             closed_form.score_history(dense, items, weights), atol=1e-2)
  some = np.array([1, 4, 9])  # 9 is cold and adds nothing
  np.testing.assert_allclose(low.item_item.entries(some, np.arange(ITEMS)), dense.item_item[some], atol=2e-2)
  folded, due = (closed_form.score(p.folded(_generated(1)), users) for p in (low, dense))
  np.testing.assert_allclose(folded, due, atol=1e-2)
  other = closed_form.Knobs(power=0., warm_blend=2., cold_blend=.9, activity=-.2)
  np.testing.assert_allclose(*(closed_form.score(p.turned(other), users) for p in (low, dense)), atol=1e-2)


def test_without_texts_cold_items_have_no_score():
  histories, _, _ = _world(1)
  dense, low = (closed_form.fit(histories, ITEMS, WARM, None, config, jax.random.key(0)) for config in (CONFIG, LOW))
  found = closed_form.score(low, np.arange(USERS))
  np.testing.assert_allclose(found, closed_form.score(dense, np.arange(USERS)), atol=1e-2)
  np.testing.assert_array_equal(found[:, COLD], np.zeros((USERS, len(COLD))))


@pytest.mark.parametrize('rank', [1, 5, 19])
def test_woodbury_is_the_inverse(rank):
  rng = np.random.default_rng(rank)
  factor, diagonal = rng.normal(size=(19, rank)), rng.uniform(.1, 2, 19)
  turn = regression.whitener(jnp.asarray(factor, jnp.float32), jnp.asarray(diagonal, jnp.float32))
  w = factor / diagonal[:, None] @ np.asarray(turn, np.float64)
  np.testing.assert_allclose(np.diag(1 / diagonal) - w @ w.T, np.linalg.inv(factor @ factor.T + np.diag(diagonal)),
                             atol=1e-4)


def test_low_rank_regression_leaves_one_out_and_predicts():
  _, _, features = _world(2)
  features = LowRankKernel(features.features[:, :6])
  kernel = np.asarray(features.features, np.float64) @ np.asarray(features.features, np.float64).T
  kernel[np.diag_indices(ITEMS)] = 1
  system, targets = kernel[np.ix_(WARM, WARM)] + .3 * np.eye(len(WARM)), np.random.default_rng(0).normal(
    size=(len(WARM), 3))
  found = regression.fit(features, WARM, COLD, .3)
  np.testing.assert_allclose(found.predict(jnp.asarray(targets, jnp.float32)),
                             kernel[np.ix_(COLD, WARM)] @ np.linalg.solve(system, targets), atol=1e-4)
  due = np.zeros_like(targets)
  for j in range(len(WARM)):
    rest = np.delete(np.arange(len(WARM)), j)
    due[j] = kernel[np.ix_(WARM, WARM)][j, rest] @ np.linalg.solve(system[np.ix_(rest, rest)], targets[rest])
  np.testing.assert_allclose(found.leave_one_out(jnp.asarray(targets, jnp.float32)), due, atol=1e-4)
  right = np.random.default_rng(1).normal(size=(len(WARM), 2)).astype(np.float32)
  np.testing.assert_allclose(features.times(WARM, jnp.asarray(right)), kernel[:, WARM] @ right, atol=1e-4)


@pytest.mark.parametrize('rank', [4, 12, ITEMS])
def test_features_of_the_cooccurrences_take_the_top_and_leave_what_is_positive(rank):
  histories, _, _ = _world(3)
  counts = np.linspace(0, 2, USERS).astype(np.float32)
  gram = np.asarray(cease.cooccurrences(histories, ITEMS, counts), np.float64)
  found = np.asarray(low_rank.cooccurrence_features(histories, ITEMS, counts, rank, jax.random.key(0)), np.float64)
  values = np.linalg.eigvalsh(gram - found @ found.T)
  assert values.min() > -1e-3 * np.linalg.norm(gram, 2)
  least = np.sort(np.linalg.eigvalsh(gram))[::-1][rank:].sum()
  assert values.sum() <= 1.2 * least + 1e-3 * np.trace(gram)


def test_products_with_the_cooccurrences_do_not_depend_on_the_batch(monkeypatch):
  histories, _, _ = _world(4)
  counts, right = np.linspace(0, 2, USERS).astype(np.float32), np.random.default_rng(0).normal(size=(ITEMS, 3))
  due = np.asarray(cease.cooccurrences(histories, ITEMS, counts)) @ right
  for floats in (2**24, 50):
    monkeypatch.setattr(low_rank, '_FLOATS_A_BATCH', floats)
    np.testing.assert_allclose(low_rank.times_gram(histories, counts, jnp.asarray(right, jnp.float32)), due, rtol=1e-4,
                               atol=1e-3)


def _sizes(jaxpr):
  """The numbers of entries of all values of a jaxpr and of those within it."""
  for equation in jaxpr.eqns:
    yield from (math.prod(value.aval.shape) for value in equation.outvars)
    for inner in jex.core.jaxprs_in_params(equation.params):
      yield from _sizes(inner)


def test_no_program_holds_items_times_items_or_users_times_items():
  items, known, users, rank, batch, length = 10**6, 9 * 10**5, 10**6, 16, 4, 8
  float32, int32 = (functools.partial(jax.ShapeDtypeStruct, dtype=kind) for kind in (jnp.float32, jnp.int32))
  texts = regression.LowRankRegression(float32((known, rank)), float32((items - known, rank)), float32((known,)))
  model = low_rank.LowRankItemItem(float32((known, 2 * rank)), float32((known,)), float32((known,)), texts,
                                   int32((known,)), int32((items,)))
  knobs, flags = float32((6,)), jax.ShapeDtypeStruct((items,), bool)
  params = closed_form.ClosedFormParams(
    als.AlsParams(float32((users, rank)), float32((items, rank)), float32((rank, rank)), float32(()), float32(())),
    model, float32((items,)), float32((items,)), flags, float32(()), knobs, int32((users + 1,)), int32((10**7,)),
    float32((10**7,)), length, LOW)
  column, wide = float32((known,)), float32((known, 2 * rank))
  programs = {
    closed_form.score: (params, int32((batch,))),
    closed_form.score_history: (params, int32((batch, length)), float32((batch, length))),
    regression.LowRankRegression.leave_one_out: (texts, float32((known, 5))),
    regression.LowRankRegression.predict: (texts, float32((known, 5))),
    LowRankKernel.times: (LowRankKernel(float32((items, rank))), int32((known,)), float32((known, 5))),
    low_rank._add_products: (wide, wide, int32((batch, length)), float32((batch, length)), float32((batch,))),
    low_rank._square: (wide, wide, column, column, column, float32(()))}
  for function, given in programs.items():
    assert max(_sizes(jax.make_jaxpr(function)(*given).jaxpr)) <= max(2 * rank * items, 10**7), function


def test_a_kernel_that_does_not_go_with_the_limit_is_refused():
  histories, kernel, features = _world()
  for given, config in ((kernel, LOW), (features, CONFIG)):
    with pytest.raises(ConfigError, match=r'dense_items is \d+, and the kernel of 23 items is'):
      closed_form.fit(histories, ITEMS, WARM, given, config, jax.random.key(0))
  with pytest.raises(ConfigError, match='rank is 0'):
    dataclasses.replace(CONFIG, rank=0)
