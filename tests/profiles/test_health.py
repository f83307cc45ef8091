"""Each failure is provoked and told by player, metric and steps, and a healthy run has none."""

import dataclasses
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ganrec_jax.data.ragged import take
from ganrec_jax.profiles import controls, game, generator, health, likelihood, privacy
from ganrec_jax.profiles.config import ProfileConfig
from ganrec_jax.training import loop

from . import planted, worlds

# Penalties take long to compile.
SMALL = ProfileConfig(latent=6, hidden=24, vae_steps=200, vae_chunk=100, vae_batch=64, vae_rate=.005, components=8,
                      batch=16, steps=8, chunk=4, warm_up=2, penalty='none')


def _around():
  return loop.Surroundings('profiles', tuple(jax.devices()[:1]))


def _faults(members, held_out, generated, **options):
  auc = privacy.membership(members, held_out, generated, planted.ITEMS, 0, resamples=1)['auc']
  copies = privacy.copies(members, held_out, generated, planted.ITEMS, 0)
  return health.faults(members, held_out, generated, auc, copies, planted.ITEMS, **options)


@pytest.fixture(scope='module')
def fitted():
  profiles = planted.profiles()
  params, _ = likelihood.train(profiles, planted.profiles(60, seed=1), planted.ITEMS, SMALL, jax.random.key(0),
                               _around())
  return profiles, params, likelihood.fit_prior(params, profiles, planted.ITEMS, SMALL, jax.random.key(1))


def _draw(params, prior, number=600):
  made = generator.make(params, prior, np.arange(planted.ITEMS), planted.ITEMS, None)
  return generator.draw(made, .8, jax.random.key(3), number)


def _play(fitted, **changes):
  vectors = jnp.asarray(np.random.default_rng(0).standard_normal((planted.ITEMS, 5)), jnp.float32)
  profiles, params, prior = fitted
  return game.train(params, prior, profiles, vectors, dataclasses.replace(SMALL, **changes), jax.random.key(0),
                    _around())


def test_a_healthy_run_has_no_faults(fitted):
  params, summary = _play(fitted)
  assert summary['steps'] == SMALL.steps
  # In a world of so few profiles unseen users are as near to seen ones as generated ones are.
  assert _faults(fitted[0], planted.profiles(60, seed=1), _draw(params, fitted[2])) == ()


def _one_mode(prior):
  of = prior.mixture
  return prior.replace(mixture=of.replace(mean=jnp.tile(of.mean[:1], (len(of.mean), 1)),
                                          variance=jnp.zeros_like(of.variance)))


def test_a_generator_of_one_mode_has_collapsed(fitted):
  profiles, params, prior = fitted
  held_out, drawn = planted.profiles(60, seed=1), _draw(params, _one_mode(prior))
  found = _faults(profiles, held_out, drawn)
  assert len(found) == 1 and found[0].startswith('the generator collapsed') and '(300 profiles)' in found[0]
  # Users who were asked to be of a kind may be alike.
  assert _faults(profiles, held_out, drawn, asked=True) == ()


@pytest.mark.slow
def test_a_collapse_stops_the_game_and_names_the_steps(fitted):
  profiles, params, prior = fitted
  with pytest.raises(loop.Diverged, match=r'the decoder collapsed: .*(distinct items|cosine).* \(steps 0 to 3\)'):
    _play((profiles, params, _one_mode(prior)))


@pytest.mark.parametrize(('changes', 'words'), [
  ({'g_rate': 30.}, r'the decoder diverged: g_\w+ is \S+ on average, at most \S+ is allowed \(steps 0 to 3\)'),
  pytest.param({'d_rate': 1e3}, r'the critic diverged: d_grad_norm is .*\(steps 0 to 3\)', marks=pytest.mark.slow)])
def test_a_huge_learning_rate_diverges_and_the_player_is_named(fitted, changes, words):
  with pytest.raises(loop.Diverged, match=words):
    _play(fitted, **changes)


def test_each_bound_of_the_steps_names_its_player():
  watch = health.watch(48, 6.)
  fine = {'d_grad_norm': 3., 'g_grad_norm': 2., 'g_nll': 20., 'items_real': 40., 'items_fake': 38., 'alike_real': .1,
          'alike_fake': .12}
  assert watch.chunk(fine) == ''
  for name, value, words in (
      ('d_grad_norm', 2e3, 'the critic diverged: d_grad_norm is 2000 on average, at most 1000'),
      ('g_grad_norm', 700., 'the decoder diverged: g_grad_norm is 700 on average, at most 600'),
      ('g_nll', 80., 'the decoder diverged: g_nll'), ('items_fake', 9., 'the decoder collapsed: .* 9 distinct items'),
      ('alike_fake', .4, 'the decoder collapsed: .* cosine of 0.400, two real ones 0.100')):
    assert re.match(words, watch.chunk(fine | {name: value}))
  assert watch.chunk(fine | {'g_nll': float('nan')})


def test_an_autoencoder_that_is_worse_than_a_guess_has_diverged(monkeypatch):
  monkeypatch.setattr(likelihood.loop, 'run', lambda *_, **__: ({}, {'best': -8., 'steps': 200}))
  with pytest.raises(loop.Diverged, match=r'the autoencoder diverged: .* cost 8 nats .* 3.871 \(steps 0 to 199'):
    likelihood.train(planted.profiles(), planted.profiles(60, seed=1), planted.ITEMS, SMALL, jax.random.key(0),
                     _around())


def test_copies_of_real_users_are_memorised():
  random = np.random.default_rng(0)
  members, held_out, other = (worlds.uniform(random, users, planted.ITEMS, .3) for users in (300, 100, 900))
  found = _faults(members, held_out, controls.bootstrap(members, planted.ITEMS, 900, 0))
  assert len(found) == 2 and 'AUC of membership inference is' in found[0] and 'near copies' in found[1]
  assert float(found[0].split(' is ')[1].split(',')[0]) > .8
  assert _faults(members, held_out, other) == ()


@pytest.mark.slow
def test_a_decoder_that_knows_few_users_by_heart_has_memorised():
  random = np.random.default_rng(0)
  members, held_out = (worlds.uniform(random, 40, planted.ITEMS, .3) for _ in range(2))
  config = dataclasses.replace(SMALL, latent=24, hidden=64, dropout=0., beta=0., vae_steps=400, vae_chunk=400,
                               components=40)
  params, _ = likelihood.train(members, members, planted.ITEMS, config, jax.random.key(0), _around())
  prior = likelihood.fit_prior(params, members, planted.ITEMS, config, jax.random.key(1))
  found = _faults(members, held_out, _draw(params, prior, 400))
  assert any('memorised' in fault for fault in found)


def test_the_spread_of_profiles_by_hand():
  found = health.spread(worlds.ragged([[0, 1], [1, 0], [2], []]), 5)
  # Cosines: one pair of equals, five pairs with nothing in common; counted both ways.
  assert found == pytest.approx({'items': 3., 'distinct': 3 / 4, 'alike': 2 / 12})
  profiles = planted.profiles(50)
  x = np.zeros((50, planted.ITEMS))
  x[np.repeat(np.arange(50), profiles.lengths), profiles.values] = 1
  cosines = x @ x.T / np.sqrt(x.sum(1)[:, None] * x.sum(1))
  due = (cosines.sum() - 50) / (50 * 49)
  assert health.spread(profiles, planted.ITEMS)['alike'] == pytest.approx(due)
  items, alike = game._spread(jnp.asarray(x), jnp.ones(50), 50, None)
  assert items == len(np.unique(take(profiles, np.arange(50)).values)) and alike == pytest.approx(due, rel=1e-4)
