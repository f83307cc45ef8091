"""The recommenders' scores: item vectors, causality, padding, weights and sizes."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ganrec_jax.data.ragged import group
from ganrec_jax.errors import ConfigError
from ganrec_jax.models import recommenders
from ganrec_jax.models.recommenders import KINDS, Recommender, RecommenderConfig

ITEMS, TEXT = 9, 5
SMALL = RecommenderConfig(dim=8, temperature=.1, layers=2, heads=2, hidden=12, max_history=6)
CONFIGS = {kind: dataclasses.replace(SMALL, kind=kind) for kind in KINDS}
HAS_ID = np.arange(ITEMS) < 7


@pytest.fixture(scope='module')
def models():
  rng = np.random.default_rng(0)
  texts = rng.standard_normal((ITEMS, TEXT)).astype(np.float32)
  texts[2] = 0
  made = {}
  for kind, config in CONFIGS.items():
    params = recommenders.init(jax.random.key(1), config, ITEMS, TEXT)
    params['bias'] = jnp.arange(ITEMS) / 10
    vectors = recommenders.item_vectors(params, jnp.asarray(texts), jnp.asarray(HAS_ID), jnp.asarray(HAS_ID))
    made[kind] = Recommender(params, vectors, params['bias'] * HAS_ID, jnp.asarray([[1, 2, 3], [4, 0, 0], [0, 0, 0]]),
                             jnp.asarray([[1., 1., .5], [1., 0, 0], [0, 0, 0]]), config)
  return made, texts


@pytest.mark.parametrize(('field', 'value'), [
  ('kind', 'lstm'), ('loss', 'bpr'), ('dtype', 'float16'), ('dim', 0), ('layers', 1.5), ('batch', True), ('steps', -1),
  ('patience', -1), ('id_dropout', 1.1), ('input_share', float('nan')), ('negative_power', -1), ('temperature', 0),
  ('learning_rate', float('inf')), ('weight_decay', -.1), ('max_history', 0), ('negatives', 0)])
def test_config_names_the_field_and_value_it_refuses(field, value):
  with pytest.raises(ConfigError, match=f'{field} is .*{value}.*allowed'):
    RecommenderConfig(**{field: value})


def test_heads_must_divide_dim_of_the_transformer_only():
  RecommenderConfig(kind='gru', dim=7, heads=2)
  with pytest.raises(ConfigError, match='dim is 7 with heads 2'):
    RecommenderConfig(kind='transformer', dim=7, heads=2)


def _size(tree):
  return sum(x.size for x in jax.tree.leaves(tree))


# By hand for dim 8, hidden 12, 2 layers: the MLP 2 (8 x 12 + 12 + 12 x 8 + 8); the GRU, with a start token 8 and an
# input norm 16, 2 (3 (8 x 8 + 8) + 3 x 8 x 8 + 8) and an output of 72; the Transformer, with the same start, norm and
# output, positions 7 x 8, a norm 16 and 2 blocks of norms 32, QKV 8 x 24 + 24, its output 72 and the feed-forward net
# 8 x 12 + 12 + 12 x 8 + 8.
@pytest.mark.parametrize(('kind', 'count'), [
  ('mlp', 424), ('gru', 8 + 16 + 2 * (216 + 192 + 8) + 72),
  ('transformer', 8 + 16 + 56 + 2 * (32 + 216 + 72 + 212) + 16 + 72)])
def test_parameter_counts(kind, count):
  params = recommenders.init(jax.random.key(0), CONFIGS[kind], ITEMS, TEXT)
  assert _size(params['net']) == count
  assert _size(params) == count + ITEMS * 8 + ITEMS + TEXT * 8


def test_every_kind_has_a_count_asserted():
  counted = {args[0] for args in test_parameter_counts.pytestmark[0].args[1]}
  assert counted == set(KINDS)


def test_item_vectors_use_the_id_the_text_or_both(models):
  made, texts = models
  params = made['mlp'].params
  mask = np.ones(ITEMS, bool)
  mask[0] = False
  vectors = np.asarray(recommenders.item_vectors(params, jnp.asarray(texts), jnp.asarray(HAS_ID), jnp.asarray(mask)))
  by_text = texts @ np.asarray(params['text'])
  np.testing.assert_allclose(vectors[[0, 7, 8]], by_text[[0, 7, 8]], rtol=1e-5)  # dropped, cold, cold
  np.testing.assert_allclose(vectors[2], params['id'][2], rtol=1e-6)  # no text
  np.testing.assert_allclose(vectors[1], params['id'][1] + by_text[1], rtol=1e-5)


@pytest.mark.parametrize('kind', KINDS)
def test_cold_items_are_scored_by_text_alone(models, kind):
  made, texts = models
  model = made[kind]
  changed = model.params | {'id': model.params['id'].at[7:].add(5.), 'bias': model.params['bias'].at[7:].add(5.)}
  vectors = recommenders.item_vectors(changed, jnp.asarray(texts), jnp.asarray(HAS_ID), jnp.asarray(HAS_ID))
  again = model.replace(params=changed, vectors=vectors, bias=changed['bias'] * HAS_ID)
  np.testing.assert_array_equal(recommenders.score(model, jnp.arange(3)), recommenders.score(again, jnp.arange(3)))


def test_items_are_scored_alone_as_with_all_others(models):
  model, users, items = models[0]['mlp'], jnp.arange(3), jnp.asarray([8, 0, 3])
  model = model.replace(config=dataclasses.replace(model.config, temperature=.3))
  some = recommenders.products(recommenders.user_states(model, users), recommenders.item_columns(model, items))
  np.testing.assert_allclose(some, recommenders.score(model, users)[:, items], rtol=1e-5, atol=1e-6)
  state = recommenders.represent(model.params, model.config, model.items[users], model.weights[users], model.vectors)
  np.testing.assert_allclose(some, (state @ model.vectors.T / .3 + model.bias)[:, items], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize('kind', KINDS)
def test_users_without_history_get_finite_scores(models, kind):
  model = models[0][kind]
  scores = recommenders.score(model, jnp.asarray([2, 2]))
  assert scores.shape == (2, ITEMS) and scores.dtype == jnp.float32 and jnp.isfinite(scores).all()
  if kind == 'mlp':  # an empty bag passes through layers whose biases begin at 0: popularity alone is left
    np.testing.assert_allclose(scores[0], model.bias, atol=1e-6)


@pytest.mark.parametrize('kind', KINDS)
def test_score_is_state_times_vector_over_temperature_plus_bias(models, kind):
  model = models[0][kind]
  state = recommenders.represent(model.params, model.config, model.items, model.weights, model.vectors)
  due = np.asarray(state) @ np.asarray(model.vectors).T / model.config.temperature + np.asarray(model.bias)
  np.testing.assert_allclose(recommenders.score(model, jnp.arange(3)), due, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize('kind', KINDS)
@settings(deadline=None, max_examples=10)
@given(length=st.integers(0, 6), seed=st.integers(0, 10**6))
def test_entries_of_weight_zero_are_as_if_absent(models, kind, length, seed):
  rng = np.random.default_rng(seed)
  items = rng.permutation(7)[:length]
  weights = rng.choice([1., .5, .1], length)
  places = np.sort(rng.permutation(10)[:length])
  wide, wide_weights = rng.integers(0, ITEMS, 10), np.zeros(10)
  wide[places], wide_weights[places] = items, weights
  tight, tight_weights = np.zeros(6, int), np.zeros(6)
  tight[:length], tight_weights[:length] = items, weights
  model = models[0][kind]
  np.testing.assert_allclose(
    recommenders.score_history(model, jnp.asarray(wide)[None], jnp.asarray(wide_weights, jnp.float32)[None]),
    recommenders.score_history(model, jnp.asarray(tight)[None], jnp.asarray(tight_weights, jnp.float32)[None]),
    rtol=1e-4, atol=1e-4)


def test_compact_keeps_the_last_entries_in_order():
  items, weights = recommenders.compact(jnp.asarray([[5, 1, 2, 3, 4], [5, 6, 7, 8, 9]]),
                                        jnp.asarray([[1., 0, .5, 1, 1], [0, 0, 1, 0, -1.]]), 3)
  np.testing.assert_array_equal(items[0], [2, 3, 4])
  np.testing.assert_allclose(weights, [[.5, 1, 1], [1, 0, 0]])
  assert items[1, 0] == 7


@pytest.mark.parametrize('kind', KINDS)
def test_only_the_newest_max_history_entries_count(models, kind):
  model = models[0][kind]
  items, ones = jnp.asarray([[6, 5, 0, 1, 2, 3, 4, 5]]), jnp.ones((1, 8))
  np.testing.assert_allclose(recommenders.score_history(model, items, ones),
                             recommenders.score_history(model, items[:, 2:], ones[:, 2:]), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize('kind', ['gru', 'transformer'])
def test_states_know_only_what_came_before(models, kind):
  model = models[0][kind]
  items, ones = jnp.asarray([[1, 2, 3, 4]]), jnp.ones((1, 4))
  state = recommenders.states(model.params, model.config, items, ones, model.vectors)
  other = recommenders.states(model.params, model.config, items.at[0, 2].set(6), ones, model.vectors)
  np.testing.assert_allclose(state[:, :3], other[:, :3], atol=1e-6)
  assert (jnp.abs(state - other)[:, 3:].max(-1) > 1e-3).all()
  for k in range(5):  # training's states are scoring's
    alone = recommenders.represent(model.params, model.config, items, ones * (jnp.arange(4) < k), model.vectors)
    np.testing.assert_allclose(alone, state[:, k], atol=1e-5)


@pytest.mark.parametrize('kind', ['gru', 'transformer'])
def test_order_counts_for_sequences(models, kind):
  model = models[0][kind]
  ones = jnp.ones((1, 3))
  forth, back = (recommenders.score_history(model, jnp.asarray([x]), ones) for x in ([1, 2, 3], [3, 2, 1]))
  assert jnp.abs(forth - back).max() > 1e-3


def test_the_bag_is_the_weighted_sum_over_its_norm(models):
  model = models[0]['mlp']
  linear = model.params | {'net': jax.tree.map(jnp.zeros_like, model.params['net'])}
  vectors = np.asarray(model.vectors)
  state = recommenders.represent(linear, model.config, jnp.asarray([[3, 1, 0]]), jnp.asarray([[1., .1, 0]]),
                                 model.vectors)
  np.testing.assert_allclose(state[0], (vectors[3] + .1 * vectors[1]) / np.hypot(1, .1), rtol=1e-5)


@pytest.mark.parametrize('kind', KINDS)
def test_bfloat16_stays_near_float32(models, kind):
  model = models[0][kind]
  half = model.replace(config=dataclasses.replace(model.config, dtype='bfloat16'))
  full, low = (recommenders.score(m, jnp.arange(3)) for m in (model, half))
  assert low.dtype == jnp.float32
  np.testing.assert_allclose(low, full, atol=.05 * float(jnp.abs(full).max()))


@pytest.mark.parametrize('kind', KINDS)
def test_folded_users_are_known_by_their_new_histories_alone(models, kind):
  model = models[0][kind]
  new = group(np.array([0, 2, 2, 2]), np.array([5, 6, 1, 3]), 3, np.array([1., 0., 1., 1.]))
  found = recommenders.score(model.folded(new), jnp.arange(3))
  for user, items in ((0, [5]), (1, []), (2, [1, 3])):
    padded = jnp.asarray([items + [0] * (3 - len(items))]), jnp.asarray([[1.] * len(items) + [0.] * (3 - len(items))])
    np.testing.assert_allclose(found[user], recommenders.score_history(model, *padded)[0], atol=1e-5)
