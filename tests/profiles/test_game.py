"""The profile GAN: the same on any number of devices, likelihood fits, the critic is obeyed, draws keep their form."""

import dataclasses
import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ganrec_jax.errors import ConfigError
from ganrec_jax.models.kernels import with_unit_diagonal
from ganrec_jax.profiles import game, generator, likelihood
from ganrec_jax.profiles.config import ESTIMATORS, ProfileConfig
from ganrec_jax.training import loop
from ganrec_jax.training.devices import make_chunk

from . import planted

SMALL = ProfileConfig(latent=6, hidden=24, vae_steps=300, vae_chunk=100, vae_batch=64, vae_rate=.005, components=8,
                      batch=13, steps=12, chunk=4, warm_up=2)
# Penalties take long to compile.
PLAIN = dataclasses.replace(SMALL, penalty='none', steps=4)


def _around(devices=1):
  return loop.Surroundings('profiles', tuple(jax.devices()[:devices]))


@pytest.fixture(scope='module')
def fitted():
  profiles, held_out = planted.profiles(), planted.profiles(60, seed=1)
  params, summary = likelihood.train(profiles, held_out, planted.ITEMS, SMALL, jax.random.key(0), _around())
  prior = likelihood.fit_prior(params, profiles, planted.ITEMS, SMALL, jax.random.key(1))
  return profiles, params, prior, summary


def _vectors():
  return jnp.asarray(np.random.default_rng(0).standard_normal((planted.ITEMS, 5)), jnp.float32)


def test_the_likelihood_beats_popularity_on_held_out_profiles(fitted):
  profiles, _, _, summary = fitted
  share = np.bincount(profiles.values, minlength=planted.ITEMS) + .5
  held_out = planted.profiles(60, seed=1)
  popular = -np.log(share / share.sum())[held_out.values].mean()
  assert -summary['best'] < popular - .3


def test_generated_profiles_have_real_lengths_and_one_taste(fitted):
  profiles, params, prior, _ = fitted
  made = generator.make(params, prior, np.arange(planted.ITEMS), planted.ITEMS, None)
  drawn = generator.draw(made, .5, jax.random.key(3), 2000)
  owner = np.repeat(np.arange(2000), drawn.lengths)
  assert len(drawn) == 2000 and len(set(zip(owner.tolist(), drawn.values.tolist(), strict=True))) == len(owner)
  np.testing.assert_allclose(drawn.lengths.mean(), profiles.lengths.mean(), rtol=.05)
  assert set(drawn.lengths) <= set(range(profiles.lengths.min(), profiles.lengths.max() + 1))
  main = [np.bincount(row // planted.EACH).max() / len(row) for row in map(drawn.row, range(500))]
  assert np.mean(main) > .85


def test_a_stream_goes_on_in_the_same_bits(fitted):
  _, params, prior, _ = fitted
  made = generator.make(params, prior, np.arange(planted.ITEMS), planted.ITEMS, None)
  whole = list(generator.stream(made, .7, jax.random.key(3), 2500))
  later = list(generator.stream(made, .7, jax.random.key(3), 2500, first=2))
  assert [len(part) for part in whole] == [1024, 1024, 452] and len(later) == 1
  np.testing.assert_array_equal(whole[2].values, later[0].values)
  assert (whole[0].values[:50] != whole[1].values[:50]).any()


def test_profiles_can_be_asked_for(fitted):
  _, params, prior, _ = fitted
  made = generator.make(params, prior, np.arange(planted.ITEMS), planted.ITEMS, None)
  wanted = np.arange(planted.ITEMS) // planted.EACH == 2
  plain, asked = (generator.draw(made, .5, jax.random.key(3), 1500, light) for light in (None, wanted.astype(float)))
  assert wanted[plain.values].mean() < .4 and wanted[asked.values].mean() > .9


@pytest.mark.slow
def test_estimators_see_the_same_profiles_and_move_the_decoder_each_in_its_way(fitted):
  profiles, params, prior, _ = fitted
  decoder, encoder = game.parted(params)
  found = {}
  for name in ESTIMATORS:
    config = dataclasses.replace(PLAIN, estimator=name, warm_up=0)
    state = game.init_state(decoder, _vectors(), config, jax.random.key(1))
    sample = game.make_sample(config, planted.ITEMS, int(profiles.lengths.max()), prior)
    batch = jax.jit(sample)(jax.random.key(2), likelihood.flat(profiles))
    found[name] = jax.jit(game.make_step(config, planted.ITEMS, encoder, _vectors()))(state, batch)
  first, *others = found.values()
  for state, metrics in others:
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-5), state.critic, first[0].critic)
    np.testing.assert_allclose(metrics['g_adversarial'], first[1]['g_adversarial'], rtol=.2)
  moves = [np.asarray(state.decoder['logits']['kernel'] - decoder['logits']['kernel']) for state, _ in found.values()]
  for one, other in itertools.combinations(moves, 2):
    assert np.abs(one).max() > 0 and np.abs(one - other).max() > .1 * np.abs(one).max()


@pytest.mark.slow
@pytest.mark.parametrize(('devices', 'estimator'), [
  (2, 'straight_through'), (2, 'score_function'), pytest.param(8, 'straight_through', marks=pytest.mark.slow)])
def test_devices_agree_on_steps(fitted, devices, estimator):
  profiles, params, prior, _ = fitted
  decoder, encoder = game.parted(params)
  config = dataclasses.replace(SMALL, estimator=estimator)
  state = game.init_state(decoder, _vectors(), config, jax.random.key(1))
  step = game.make_step(config, planted.ITEMS, encoder, _vectors())
  sample = game.make_sample(config, planted.ITEMS, int(profiles.lengths.max()), prior)
  found = []
  for many in (1, devices):
    chunk = make_chunk(step, sample, jax.devices()[:many])
    out = chunk(jax.tree.map(jnp.copy, state), likelihood.flat(profiles), jax.random.key(2), 0, 4)
    found.append(jax.device_get(out))
  jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-3, atol=1e-4), *(out[1] for out in found))


@pytest.mark.slow
def test_the_decoder_stands_still_while_the_critic_warms_up(fitted):
  profiles, params, prior, _ = fitted
  still, moved = (game.train(params, prior, profiles, _vectors(), dataclasses.replace(PLAIN, warm_up=steps),
                             jax.random.key(0), _around())[0] for steps in (4, 3))
  jax.tree.map(np.testing.assert_array_equal, still, params)
  assert (np.asarray(moved['params']['logits']['kernel']) != params['params']['logits']['kernel']).any()
  np.testing.assert_array_equal(moved['params']['inner']['kernel'], params['params']['inner']['kernel'])


def test_new_items_come_by_their_texts_and_push_out_none(fitted):
  profiles, params, prior, _ = fitted
  # Item 48 reads like taste 0, item 49 like taste 3; without a kernel neither occurs.
  warm, total = np.arange(planted.ITEMS), planted.ITEMS + 2
  taste = np.append(np.repeat(np.arange(4), planted.EACH), [0, 3])
  kernel = with_unit_diagonal(jnp.where(taste[:, None] == taste, .9, .05))
  with_text, without = (generator.make(params, prior, warm, total, one) for one in (kernel, None))
  drawn, plain = (generator.draw(one, .5, jax.random.key(5), 2000) for one in (with_text, without))
  assert plain.values.max() < planted.ITEMS
  owner = np.repeat(np.arange(2000), drawn.lengths)
  np.testing.assert_array_equal(drawn.values[drawn.values < planted.ITEMS], plain.values)
  for item, due in ((48, 0), (49, 3)):
    users = owner[drawn.values == item]
    assert len(users) > 20
    beside = np.concatenate([plain.row(user) for user in users]) // planted.EACH
    assert (beside == due).mean() > .8


@pytest.mark.parametrize('spread', [0., 1.5])
def test_new_items_are_as_frequent_as_known_ones_however_little_texts_tell(fitted, spread):
  _, params, prior, _ = fitted
  # Half as many new items as known ones, a third of all; texts tell the taste, but not how popular an item is.
  warm, total = np.arange(planted.ITEMS), planted.ITEMS + planted.ITEMS // 2
  taste = np.append(np.repeat(np.arange(4), planted.EACH), np.repeat(np.arange(4), planted.EACH // 2))
  kernel = with_unit_diagonal(jnp.where(taste[:, None] == taste, .9, .05))
  last = params['params']['logits']
  bias = last['bias'] + spread * jax.random.normal(jax.random.key(0), last['bias'].shape)
  made = generator.make({'params': params['params'] | {'logits': last | {'bias': bias}}}, prior, warm, total, kernel)
  drawn = generator.draw(made, 1., jax.random.key(5), 2000)
  assert .26 < (drawn.values >= planted.ITEMS).mean() < .4


def test_the_frequency_of_predicted_items_is_that_of_their_softmax():
  rng = np.random.default_rng(0)
  states, learned, predicted = (rng.normal(size=size).astype(np.float32) for size in ((5, 3), (4, 4), (4, 4)))
  due = np.mean([np.exp(predicted[:, :3] @ state + predicted[:, 3]).sum()
                 / np.exp(learned[:, :3] @ state + learned[:, 3]).sum() for state in states])
  np.testing.assert_allclose(generator._frequency(states, learned, predicted), due, rtol=1e-5)


@pytest.mark.parametrize(('field', 'value'), [
  ('latent', 0), ('dropout', 1.), ('loss', 'magic'), ('penalty', 'magic'), ('estimator', 'magic'), ('temperature', 0.),
  ('steps', -1), ('adversarial_share', 1.), ('g_rate', 0.)])
def test_a_value_out_of_range_is_named(field, value):
  with pytest.raises(ConfigError, match=field):
    dataclasses.replace(SMALL, **{field: value})
