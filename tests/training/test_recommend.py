"""Training of the recommenders: losses against brute force, samples, devices and a planted world."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ganrec_jax.data.ragged import Ragged, group
from ganrec_jax.errors import DataError
from ganrec_jax.models import recommenders
from ganrec_jax.models.recommenders import KINDS, RecommenderConfig
from ganrec_jax.training import recommend
from ganrec_jax.training.devices import AXIS, share
from ganrec_jax.training.loop import Surroundings

SMALL = RecommenderConfig(dim=8, layers=1, heads=2, hidden=16, max_history=8, batch=13, temperature=1., negatives=4)
WARM = np.arange(10) < 8


def _histories():
  rng = np.random.default_rng(3)
  rows = [rng.permutation(8)[:length] for length in (5, 3, 0, 8, 1, 4, 6)]
  users = np.repeat(np.arange(7), [len(row) for row in rows])
  values = np.concatenate(rows)
  return group(users, values, 7, rng.choice([1., .1], len(values)))


def _texts():
  return np.random.default_rng(4).standard_normal((10, 3)).astype(np.float32)


def _problem(config):
  data = jax.tree.map(jnp.asarray, recommend.prepare(_histories(), _texts(), WARM, config))
  params = recommenders.init(jax.random.key(0), config, 10, 3)
  batch = recommend.make_sample(config, min(config.negatives, 8))(jax.random.key(1), data)
  return data, params, batch


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10**6))
def test_full_softmax_is_the_brute_force_sum(seed):
  rng = np.random.default_rng(seed)
  state, vectors, bias = rng.standard_normal((2, 3, 4)), rng.standard_normal((10, 4)), rng.standard_normal(10)
  targets = np.stack([[rng.permutation(8)[:2] for _ in range(3)] for _ in range(2)])
  weights = rng.choice([0., .1, 1.], (2, 3, 2))
  due = np.zeros(2)
  for b in range(2):
    for p in range(3):
      scores = state[b, p] @ vectors.T / .7 + bias
      for t in range(2):
        due[b] -= weights[b, p, t] * np.log(np.exp(scores[targets[b, p, t]]) / np.exp(scores[WARM]).sum())
  got = recommend.softmax_loss(*map(jnp.float32, (state,)), jnp.asarray(targets), jnp.float32(weights),
                               jnp.float32(vectors), jnp.float32(bias), jnp.arange(8), None, .7)
  np.testing.assert_allclose(got, due, rtol=1e-4, atol=1e-5)
  every = recommend.softmax_loss(jnp.float32(state), jnp.asarray(targets), jnp.float32(weights), jnp.float32(vectors),
                                 jnp.float32(bias), jnp.asarray(rng.permutation(8)), jnp.zeros(8), .7)
  np.testing.assert_allclose(every, due, rtol=1e-4, atol=1e-5)


def _softmax_gradient(items, state, vectors, bias):
  """Value and gradient of a full softmax as a compiled program of two steps."""
  def loss(state, vectors, bias):
    targets = jnp.arange(12).reshape(4, 3, 1)
    return recommend.softmax_loss(state, targets, jnp.ones((4, 3, 1)), vectors, bias, jnp.arange(items), None, .7).sum()
  return jax.jit(jax.value_and_grad(loss, (0, 1, 2))).lower(state, vectors, bias).compile()


@pytest.mark.parametrize('logits', [1, 12 * 7, 12 * 13, 12 * 99])
def test_full_softmax_in_blocks_is_that_in_one(logits, monkeypatch):
  rng = np.random.default_rng(logits)
  given = [jnp.float32(rng.standard_normal(shape)) for shape in ((4, 3, 5), (100, 5), (100,))]
  given[2] = given[2].at[:50].add(90.)  # exponentials that overflow unless their largest is taken out
  due = _softmax_gradient(100, *given)(*given)
  monkeypatch.setattr(recommend, '_LOGITS', logits)
  jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-5),
               _softmax_gradient(100, *given)(*given), due)


def test_full_softmax_takes_no_more_memory_for_more_items(monkeypatch):
  monkeypatch.setattr(recommend, '_LOGITS', 12 * 1000)

  def room(items):
    given = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in ((4, 3, 2), (items, 2), (items,))]
    return _softmax_gradient(items, *given).memory_analysis().temp_size_in_bytes
  # Beyond the items' own vectors, biases and gradients, a few times 4 (2 + 1) bytes each; logits are 12 times 4.
  assert (room(32000) - room(8000)) / 24000 < 48


def test_sampled_normaliser_is_unbiased():
  rng = np.random.default_rng(0)
  state, vectors = jnp.float32(rng.standard_normal((1, 1, 4))), jnp.float32(rng.standard_normal((8, 4)))
  chance = jnp.asarray(recommend.inclusion(np.arange(8) ** 2, 4, 1.))
  arguments = jnp.asarray([[[6, 1]]]), jnp.asarray([[[1., 0.]]]), vectors, jnp.zeros(8)

  @jax.jit
  @jax.vmap
  def normaliser(key):
    chosen = recommend.draw(key, chance, 4)
    loss = recommend.softmax_loss(state, *arguments, chosen, jnp.log(chance[chosen]), 1.)
    return jnp.exp(loss[0] + state[0, 0] @ vectors[6])
  drawn = np.asarray(normaliser(jax.random.split(jax.random.key(0), 20000)))
  due = float(jnp.exp(vectors @ state[0, 0]).sum())
  assert abs(drawn.mean() - due) < 4 * drawn.std() / np.sqrt(len(drawn))
  assert drawn.std() > .01 * due


@pytest.mark.parametrize('kind', KINDS)
def test_sampled_loss_with_all_negatives_is_the_full_one(kind):
  full = dataclasses.replace(SMALL, kind=kind)
  sampled = dataclasses.replace(full, loss='sampled', negatives=50)
  data, params, batch = _problem(sampled)
  np.testing.assert_array_equal(np.sort(batch['negatives'][0]), np.arange(8))
  a, b = (jax.jit(jax.value_and_grad(lambda p, c=c: recommend.make_loss(c, data)(p, batch)[0]))(params)
          for c in (full, sampled))
  jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-5), a, b)


@settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(0, 1000), min_size=1, max_size=30), st.integers(1, 40), st.sampled_from([0., .5, 1.]))
def test_inclusion_chances_sum_to_the_number_and_keep_the_proportions(counts, negatives, power):
  chance = recommend.inclusion(counts, negatives, power)
  assert chance.sum() == pytest.approx(min(negatives, len(counts)), rel=1e-5)
  assert (chance > 0).all() and (chance <= 1).all()
  ratio = chance / (1. + np.asarray(counts)) ** power
  open_ = chance < 1 - 1e-6
  assert np.allclose(ratio[open_], ratio[open_].max(initial=0), rtol=1e-4)
  assert (ratio[~open_] <= ratio[open_].min(initial=np.inf) * (1 + 1e-4)).all()


def test_drawn_items_differ_and_come_with_their_chances():
  chance = jnp.asarray(recommend.inclusion([0, 0, 1, 2, 5, 10, 100], 3, .5))
  drawn = np.asarray(jax.jit(jax.vmap(lambda key: recommend.draw(key, chance, 3)))(
    jax.random.split(jax.random.key(1), 20000)))
  assert (np.diff(np.sort(drawn, 1), axis=1) > 0).all()
  np.testing.assert_allclose(np.bincount(drawn.ravel(), minlength=7) / 20000, chance, atol=.015)


def test_newest_keeps_the_last_or_the_heaviest_and_drops_weight_zero():
  histories = Ragged(np.asarray([0, 4, 4, 6]), np.asarray([1, 2, 3, 4, 5, 6], np.int32),
                     np.asarray([1, .1, 1, .1, 0, 1], np.float32))
  ordered, heavy = (recommend.newest(histories, 2, flag) for flag in (True, False))
  assert [ordered.row(r).tolist() for r in range(3)] == [[3, 4], [], [6]]
  assert [sorted(heavy.row(r).tolist()) for r in range(3)] == [[1, 3], [], [6]]
  np.testing.assert_allclose(ordered.weights, [1, .1, 1])


def test_bag_sample_splits_each_history_and_sequences_are_shuffled():
  data, _, batch = _problem(SMALL)
  inputs, targets = np.asarray(batch['inputs']), np.asarray(batch['targets'])
  assert not ((inputs > 0) & (targets > 0)).any() and (inputs > 0).any() and (targets > 0).any()
  assert targets.sum() == pytest.approx(SMALL.batch, rel=1e-5)
  config = dataclasses.replace(SMALL, kind='gru', batch=64)
  batch = recommend.make_sample(config, 4)(jax.random.key(2), data)
  items, weights = np.asarray(batch['items']), np.asarray(batch['inputs'])
  assert (np.diff((weights > 0).astype(int), axis=1) <= 0).all()
  known = [set(np.asarray(data['items'])[u][np.asarray(data['weights'])[u] > 0].tolist()) for u in range(7)]
  rows = [tuple(row[w > 0]) for row, w in zip(items, weights, strict=True)]
  assert all(set(row) in known for row in rows) and len(set(rows)) > 20
  places, targets = np.asarray(batch['places']), np.asarray(batch['targets'])
  lengths = (weights > 0).sum(1)
  assert places.shape == (64, 16) and (places < lengths[:, None]).all()
  assert all(set(row) == set(range(n)) for row, n in zip(places, lengths, strict=True) if n < 4)
  due = np.take_along_axis(weights, places, 1) * lengths[:, None]
  np.testing.assert_allclose(targets, due * 64 / due.sum(), rtol=1e-5)
  kept = recommend.make_sample(dataclasses.replace(config, ordered=True), 4)(jax.random.key(2), data)
  assert len({tuple(row) for row in np.asarray(kept['items'])}) <= 6


@pytest.mark.parametrize('kind', ['gru', 'transformer'])
def test_sequences_are_told_at_their_places_by_what_came_before(kind):
  config = dataclasses.replace(SMALL, kind=kind, places=3)
  data, params, batch = _problem(config)
  found = recommend.make_loss(config, data)(params, batch)[0]
  vectors = recommenders.item_vectors(params, data['texts'], data['has_id'], batch['id_mask'][0])
  bias = params['bias'] * (data['has_id'] & batch['id_mask'][0])
  due = 0.
  for row, (items, weights) in enumerate(zip(batch['items'], batch['inputs'], strict=True)):
    for place, weight in zip(batch['places'][row], batch['targets'][row], strict=True):
      before = (jnp.arange(len(items)) < place) * weights
      state = recommenders.represent(params, config, items[None], before[None], vectors)[0]
      due -= weight * jax.nn.log_softmax(state @ vectors[:8].T + bias[:8])[items[place]]
  np.testing.assert_allclose(found, due / SMALL.batch, rtol=1e-4)


def test_users_without_history_are_never_drawn():
  assert 2 not in np.asarray(_problem(SMALL)[0]['users'])


@pytest.mark.parametrize('devices', [2, 8])
@pytest.mark.parametrize(('kind', 'loss'), [('mlp', 'full'), ('gru', 'sampled'), ('transformer', 'full')])
def test_gradients_do_not_depend_on_the_number_of_devices(kind, loss, devices):
  data, params, batch = _problem(dataclasses.replace(SMALL, kind=kind, loss=loss))
  gradient = jax.grad(lambda p, b: recommend.make_loss(dataclasses.replace(SMALL, kind=kind, loss=loss), data)(p, b)[0])
  one = jax.jit(gradient)(params, batch)
  many = jax.pmap(lambda p, b, _: jax.lax.pmean(gradient(p, share(b, devices)), AXIS), axis_name=AXIS,
                  in_axes=(None, None, 0), out_axes=None, devices=jax.devices()[:devices])(params, batch,
                                                                                           jnp.arange(devices))
  jax.tree.map(functools.partial(np.testing.assert_allclose, atol=1e-5), jax.device_get(one), jax.device_get(many))


@pytest.mark.parametrize(('change', 'message'), [
  (lambda h, t: (h, t[:9]), 'have 9 rows where 10'),
  (lambda h, t: (h, np.where(np.arange(10)[:, None] == 4, np.nan, t)), 'row 4: not finite'),
  (lambda h, t: (dataclasses.replace(h, weights=-h.weights), t), 'entry 0: weight -'),
  (lambda h, t: (dataclasses.replace(h, weights=0 * h.weights), t), 'no interaction of weight above 0'),
  (lambda h, t: (dataclasses.replace(h, values=np.where(np.arange(len(h.values)) == 6, 9, h.values)), t),
   'user 1: item 9 is not warm')])
def test_bad_input_is_named(change, message):
  with pytest.raises(DataError, match=message):
    recommend.prepare(*change(_histories(), _texts()), WARM, SMALL)


def _planted():
  """Two tastes of 12 items each, told by the text; item 11 and 23 are cold, the text of item 0 is missing."""
  rng = np.random.default_rng(0)
  taste = np.repeat([0, 1], 12)
  texts = (np.eye(2)[taste] + .05 * rng.standard_normal((24, 2))).astype(np.float32)
  texts[0] = 0
  rows = [rng.permutation(11)[:6] + 12 * (user % 2) for user in range(60)]
  return group(np.repeat(np.arange(60), 6), np.concatenate(rows), 60), texts, taste, np.arange(24) % 12 != 11


@pytest.mark.slow
@pytest.mark.parametrize(('kind', 'loss'), [('mlp', 'full'), ('gru', 'sampled'), ('transformer', 'full')])
def test_each_kind_learns_a_planted_world(kind, loss):
  histories, texts, taste, warm = _planted()
  config = RecommenderConfig(kind=kind, loss=loss, dim=8, heads=2, hidden=16, batch=32, steps=120, chunk=60, patience=0,
                             learning_rate=.02, temperature=1., id_dropout=.3, negatives=12)
  looks = []

  def evaluate(model):
    scores = np.asarray(recommenders.score(model, jnp.arange(60)))
    looks.append((scores.argsort(1)[:, -12:] // 12 == (np.arange(60) % 2)[:, None]).mean())
    return looks[-1], {}
  around = Surroundings('planted', (jax.devices()[0],))
  model, summary = recommend.fit(histories, texts, warm, config, jax.random.key(0), around, evaluate)
  assert summary['best'] == pytest.approx(max(looks)) and max(looks) > .95  # cold and text-free items included
  scores = np.asarray(recommenders.score_history(model, jnp.asarray([[0, 3], [15, 14]]), jnp.ones((2, 2))))
  assert scores[0, 11] > scores[0, 23] and scores[1, 23] > scores[1, 11]
  assert scores[0, 0] > scores[0, taste == 1].max()


def test_items_without_any_text_work_by_their_ids():
  histories, _, _, warm = _planted()
  config = RecommenderConfig(dim=8, hidden=16, batch=32, steps=60, chunk=60, learning_rate=.02, temperature=1.)
  model, _ = recommend.fit(histories, None, warm, config, jax.random.key(0), Surroundings('x', (jax.devices()[0],)))
  scores = np.asarray(recommenders.score(model, jnp.arange(2)))
  assert scores[0, :11].min() > scores[0, 12:23].max() and (scores[:, ~warm] == 0).all()
