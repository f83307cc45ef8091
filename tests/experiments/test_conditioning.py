"""Texts and pairs inside generator and critic: what the further modules compute, and what the table is made of."""

import dataclasses
import itertools
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import conditioning
from experiments.bench import learned
from experiments.peers.profiles import PairCritic
from ganrec_jax.data.ragged import group
from ganrec_jax.profiles import game
from ganrec_jax.profiles.config import ProfileConfig
from tests.profiles import worlds


def test_a_critic_of_pairs_reads_the_products_of_two_of_a_profiles_items():
  vectors = np.float32([[1, 0], [0, 1], [.6, .8], [-1, 0]])
  x = np.float32([[1, 1, 1, 0], [1, 0, 0, 1], [0, 1, 0, 0]])
  critic = PairCritic(own=1, hidden=5)
  params = critic.init(jax.random.key(0), x, vectors)
  # All but the pairs of given vectors is hidden from the first layer.
  first = params['params']['Dense_0']
  first['kernel'] = np.zeros_like(first['kernel'])
  first['kernel'][3:5, 0] = [1, 10]
  first['bias'] = np.float32([100, 0, 0, 0, 0])
  _, state = critic.apply(params, x, vectors, capture_intermediates=True)
  read = np.asarray(state['intermediates']['Dense_0']['__call__'][0])[:, 0] - 100
  due = [np.mean([2 * vectors[a] * vectors[b] for a, b in itertools.permutations(np.flatnonzero(row), 2)], 0)
         @ [1, 10] if row.sum() > 1 else 0 for row in x]
  np.testing.assert_allclose(read, due, atol=1e-4)


@pytest.fixture(scope='module')
def one():
  prepared = worlds.prepared(np.random.default_rng(0))
  items = prepared.dataset.items
  warm = np.zeros(items, bool)
  warm[prepared.warm] = True
  kernel = np.exp(-np.abs(np.arange(items)[:, None] - np.arange(items)) / 4).astype(np.float32)
  return types.SimpleNamespace(prepared=prepared, warm=warm, kernel=lambda: kernel,
                               whitened=np.random.default_rng(1).normal(size=(items, 5)).astype(np.float32))


_SMALL = ProfileConfig(latent=4, hidden=8, components=2, vae_steps=10, vae_chunk=10, steps=4, warm_up=1)


@pytest.fixture(scope='module')
def fitted(one):
  some, texts = learned.people(one.prepared, 0), jnp.asarray(one.whitened[one.prepared.warm])
  return {reads: learned.learn(some, _SMALL, 0, texts if reads else None) for reads in (False, True)}


def test_each_run_trains_the_players_that_it_says(monkeypatch, one, fitted):
  monkeypatch.setattr(conditioning, 'ProfileConfig', lambda: _SMALL)
  trained, seen = game.train, {}

  def watched(params, prior, members, vectors, config, key, around, critic):
    seen.update(dim=vectors.shape[1], critic=critic, share=config.adversarial_share, key=key)
    # One is played, with a critic of pairs that reads texts.
    return trained(params, prior, members, vectors, config, key, around, PairCritic()) if played else (params, {})
  monkeypatch.setattr(game, 'train', watched)
  users, keys = len(learned.people(one.prepared, 0).everybody), set()
  for name, run in conditioning.RUNS.items():
    played, start = name == 'both read texts', fitted['generator' in run.texts]
    drawn = conditioning.generated(one, run, start, 0)
    assert len(drawn) == 3 * users and not one.warm[drawn.values].all()
    keys.add(str(jax.random.key_data(seen.pop('key'))))
    assert seen == {'dim': start.factors.shape[1] + 5 * ('critic' in run.texts), 'critic': run.critic,
                    'share': run.share}, name
    assert run.share == (0 if name == 'no critic' else ProfileConfig.adversarial_share)
  assert len(keys) == 2


def test_new_items_are_ranked_by_who_takes_them_in_the_profiles(monkeypatch, one):
  # Each user's next items are given away with those that he has; that many copies stand for as many users.
  histories, users = one.prepared.histories, len(one.prepared.histories)
  new = np.flatnonzero(~one.warm)
  assert len(new) > 1
  target = {user: int(new[int(histories.values[histories.offsets[user]]) % len(new)]) for user in range(users)
            if histories.lengths[user]}
  owner = np.repeat(np.arange(users), histories.lengths)
  rows = np.concatenate([owner, list(target)]), np.concatenate([histories.values, list(target.values())])
  told, blind = group(*rows, users), group(owner, histories.values, users)

  class Judge:
    def __init__(self, tasks):
      pass

    def __call__(self, score, params, task):
      assert task == 'cold'
      scores = np.asarray(score(params, jnp.asarray(list(target))))[:, new]
      return np.mean(new[scores.argmax(1)] == list(target.values()))
  monkeypatch.setattr(conditioning.recommend, 'Judge', Judge)
  case = types.SimpleNamespace(**vars(one), tasks=lambda part: {})
  monkeypatch.setattr(conditioning, 'REG', 1.)
  assert conditioning.new(case, told, None, users) > conditioning.new(case, blind, None, users) + .3


def test_records_are_shares_of_what_real_users_give():
  seeds = [{'ease': .1, 'ials': .2, 'new': .3, 'share': .25, 'auc': .6, 'seconds': 5.},
           {'ease': .2, 'ials': .2, 'new': .15, 'share': .5, 'auc': .5, 'seconds': 7.}]
  other = [dict(one, ease=one['ease'] + .02) for one in seeds]
  found = conditioning.cells({'plain': seeds, 'critic of pairs': other}, {'ease': .2, 'ials': .4, 'new': .6})
  assert found[0]['ease'] == [.5, 1] and found[0]['new'] == [.5, .25] and found[0]['auc'] == [.6, .5]
  lines = conditioning.table({'cells': found}).splitlines()
  assert lines[2] == '| plain | 50.0, 100.0 | 50.0, 50.0 | 50.0, 25.0 | 25.0, 50.0 | 0.600, 0.500 | 6 |'
  assert lines[3].startswith('| critic of pairs | +10.0, +10.0 | +0.0, +0.0 |')
  assert dataclasses.replace(conditioning.RUNS['plain'], noise=1) == conditioning.RUNS['plain, other noise']
