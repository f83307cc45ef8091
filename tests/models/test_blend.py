"""The blend of two models and its calibration against dense NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ganrec_jax.data.ragged import group
from ganrec_jax.models import blend, recommenders
from ganrec_jax.models.recommenders import Recommender, RecommenderConfig

USERS, ITEMS = 70, 12
WARM = np.arange(ITEMS) < 8


def _table_score(params, users):
  return params[users]


def _worlds(seed):
  rng = np.random.default_rng(seed)
  base = 3 + 2 * rng.standard_normal((USERS, ITEMS))
  net = -40 + .1 * rng.standard_normal((USERS, ITEMS))
  return base.astype(np.float32), net.astype(np.float32)


def _make(base, net):
  return blend.make(_table_score, jnp.asarray(base), _table_score, jnp.asarray(net), np.arange(USERS), WARM)


def test_deviations_are_those_of_the_warm_scores():
  base, net = _worlds(0)
  params = _make(base, net)
  # 1e-5: the scores are float32 with a mean 400 times their deviation.
  np.testing.assert_allclose(params.scale, [1 / base[:, WARM].std(), 1 / net[:, WARM].astype(np.float64).std()],
                             rtol=1e-5)
  assert blend.deviation(_table_score, jnp.ones((USERS, ITEMS)), np.arange(USERS), WARM) == 1.
  assert blend.deviation(_table_score, jnp.ones((USERS, ITEMS)), np.arange(0), WARM) == 1.


def test_scores_that_are_not_finite_are_refused():
  base, net = _worlds(0)
  net[66, 2] = np.nan
  with pytest.raises(FloatingPointError, match='64 to 69'):
    _make(base, net)


def test_score_is_the_formula_with_its_own_weight_for_cold_items():
  base, net = _worlds(1)
  params = _make(base, net).replace(weight=jnp.asarray([.5, 2.]))
  users = jnp.asarray([3, 0, 69])
  due = base[users] / base[:, WARM].std() + np.where(WARM, .5, 2.) * net[users] / net[:, WARM].astype(np.float64).std()
  np.testing.assert_allclose(blend.score(params, users), due, rtol=1e-5)
  calibrated = blend.Calibrated(params, jnp.float32(.8), jnp.float32(-1.), jnp.asarray(WARM), blend.score)
  np.testing.assert_allclose(blend.score_calibrated(calibrated, users), np.where(WARM, due, .8 * due - 1), rtol=1e-5)


def test_never_rules_cold_items_out_and_leaves_warm_ones():
  params = blend.Calibrated(_make(*_worlds(1)), *map(jnp.float32, blend.NEVER), jnp.asarray(WARM), blend.score)
  scores = np.asarray(blend.score_calibrated(params, jnp.arange(USERS)))
  assert (scores[:, ~WARM] == -np.inf).all() and np.isfinite(scores[:, WARM]).all()


def test_tuning_takes_the_best_weight_of_each_task_and_the_smaller_of_equal_ones():
  params = _make(*_worlds(2))
  best = {'warm': .5, 'cold': 0.}
  seen = []

  def ndcg(score_fn, candidate, task):
    assert score_fn is blend.score
    seen.append(task)
    return -abs(float(candidate.weight[['warm', 'cold'].index(task)]) - best[task])
  tuned, tried = blend.tune(params, ndcg)
  np.testing.assert_array_equal(tuned.weight, np.float32([.5, 0.]))
  assert tried['warm'][.5] == 0 and set(tried) == {'warm', 'cold'} and len(seen) == 2 * len(blend.WEIGHTS)
  tuned, _ = blend.tune(params, lambda *_: .3)
  np.testing.assert_array_equal(tuned.weight, [0., 0.])
  tuned, _ = blend.tune(params, lambda _, __, task: float('nan') if task == 'cold' else .3)
  np.testing.assert_array_equal(tuned.weight, [0., 0.])


def _ndcg(scores, targets, k):
  values = []
  for row, wanted in zip(scores, targets, strict=True):
    best = [j for j in np.argsort(-row, kind='stable')[:k] if row[j] > -np.inf]
    found = sum(1 / np.log2(rank + 2) for rank, j in enumerate(best) if wanted[j])
    values.append(found / sum(1 / np.log2(rank + 2) for rank in range(min(k, int(wanted.sum())))))
  return np.mean(values)


def _lists(scores, targets, kind, k):
  kept = np.where(kind, scores, -np.inf)
  order = np.argsort(-kept, axis=1, kind='stable')[:, :k]
  best = np.take_along_axis(kept, order, 1)
  return best, np.take_along_axis(targets, order, 1) & (best > -np.inf)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10**6), st.integers(1, 6))
def test_calibration_finds_the_best_of_the_grid_by_dense_scores(seed, k):
  rng = np.random.default_rng(seed)
  scores = rng.standard_normal((15, ITEMS)) + np.where(WARM, 0, rng.normal())
  targets = rng.random((15, ITEMS)) < .25
  targets[:, rng.integers(ITEMS)] = True
  factors, offsets = (.5, 1., 2.), (-2., 0., 1.5)
  grid = [(0., -np.inf)] + [(f, o) for f in factors for o in offsets]
  values = [_ndcg(np.where(WARM, scores, f * scores + o), targets, k) for f, o in grid]
  point, value, tried = blend.calibrate(_lists(scores, targets, WARM, k), _lists(scores, targets, ~WARM, k),
                                        targets.sum(1), k, factors, offsets, errors=0.)
  assert value == tried['best_value'] == pytest.approx(max(values)) and tried['never_value'] == pytest.approx(values[0])
  assert values[grid.index(point)] == values[grid.index(tried['best'])] == pytest.approx(max(values))
  assert tried['as_it_is_value'] == pytest.approx(_ndcg(scores, targets, k))


def test_scores_stay_as_they_are_unless_a_gain_exceeds_its_error():
  rng = np.random.default_rng(0)
  scores = rng.standard_normal((400, ITEMS))
  luck = rng.random((400, ITEMS)) < .2
  luck[np.arange(400), rng.integers(0, ITEMS, 400)] = True
  cold = luck & ~WARM
  cold[:, -1] = True

  def chosen(targets, errors):
    lists = _lists(scores, targets, WARM, 5), _lists(scores, targets, ~WARM, 5)
    return *blend.calibrate(*lists, targets.sum(1), 5, errors=errors), lists

  point, _, tried, lists = chosen(luck, 3.)
  assert point == blend.AS_IT_IS and tried['best_value'] > tried['as_it_is_value']
  gain = (blend.merged_ndcg(*lists, luck.sum(1), tried['best'], 5) - blend.merged_ndcg(
    *lists, luck.sum(1), blend.AS_IT_IS, 5))
  limit = gain.mean() / gain.std() * 20
  assert 0 < limit < 3 and chosen(luck, .99 * limit)[0] != blend.AS_IT_IS
  point, value, tried, _ = chosen(cold, 3.)
  assert point != blend.AS_IT_IS and value > 1.5 * tried['as_it_is_value']


def test_calibration_without_cold_targets_is_never():
  rng = np.random.default_rng(0)
  scores, targets = rng.standard_normal((20, ITEMS)), (rng.random((20, ITEMS)) < .5) & WARM
  targets[:, 0] = True
  point, value, tried = blend.calibrate(_lists(scores, targets, WARM, 5), _lists(scores, targets, ~WARM, 5),
                                        targets.sum(1), 5)
  assert point == blend.NEVER and value == tried['never_value']


def test_a_blend_passes_through_jit_as_an_argument():
  params = _make(*_worlds(3))
  leaves, tree = jax.tree.flatten(params)
  again = jax.tree.unflatten(tree, leaves)
  np.testing.assert_array_equal(blend.score(again, jnp.arange(4)), blend.score(params, jnp.arange(4)))


def test_folded_users_are_folded_in_both_models():
  rng, config = np.random.default_rng(0), RecommenderConfig(dim=4, hidden=6)
  models = []
  for seed in range(2):
    params = recommenders.init(jax.random.key(seed), config, ITEMS, 3)
    vectors = jnp.asarray(rng.standard_normal((ITEMS, 4)), jnp.float32)
    models.append(Recommender(params, vectors, jnp.zeros(ITEMS), jnp.zeros((3, 2), int), jnp.zeros((3, 2)), config))
  params = blend.make(recommenders.score, models[0], recommenders.score, models[1], np.arange(3), WARM)
  params = params.replace(weight=jnp.asarray([.5, 2.]))
  new = group(np.array([0, 2, 2]), np.array([5, 6, 1]), 3)
  found = blend.score(params.folded(new), jnp.arange(3))
  history = jnp.asarray([[5, 0], [0, 0], [6, 1]]), jnp.asarray([[1., 0.], [0., 0.], [1., 1.]])
  due = blend.combine(params, *(recommenders.score_history(model, *history) for model in models))
  np.testing.assert_allclose(found, due, atol=1e-5)
