"""What each design is supposed to do: worst changes raise losses, directions find divergence, judges are fooled."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from experiments.court import apr, case, domains, irgan, latents, vat
from experiments.peers.cold import Mlp


def _rows(seed=0, batch=64):
  random = np.random.default_rng(seed)
  return {name: jnp.asarray(random.normal(size=(batch, 5)), jnp.float32) for name in ('user', 'real', 'other')}


def test_the_worst_change_has_its_length_and_raises_the_loss_more_than_a_random_one():
  rows, sizes = _rows(), {'user': .2, 'real': .1, 'other': .3}
  worst, random = apr.perturbation(rows, sizes), apr.along(_rows(1), sizes)
  for found in (worst, random):
    for name, size in sizes.items():
      np.testing.assert_allclose(jnp.linalg.norm(found[name], axis=1), size, rtol=1e-5)
  losses = [apr.ranking_loss({name: rows[name] + change[name] for name in rows}) for change in (worst, random)]
  assert (losses[0] > apr.ranking_loss(rows)).all() and (losses[0] >= losses[1] - 1e-6).all()


def _chunks(step, state, sample, data, steps):
  run = jax.jit(lambda state, key: step(state, sample(key, data))[0])
  for number in range(steps):
    state = run(state, jax.random.fold_in(jax.random.key(9), number))
  return state


def test_training_against_the_worst_change_makes_the_ranking_less_sensitive(monkeypatch):
  monkeypatch.setattr(apr, '_RATE', .02)
  monkeypatch.setattr(apr, '_DECAY', 0.)
  random = np.random.default_rng(0)
  user, item = np.nonzero(random.random((30, 20)) < .2)
  params = {'users': jnp.asarray(random.normal(size=(30, 4)), jnp.float32),
            'items': jnp.asarray(random.normal(size=(20, 4)), jnp.float32)}
  data = {'user': jnp.asarray(user), 'item': jnp.asarray(item), 'items': jnp.zeros(20), 'width': jnp.zeros(4)}
  damage = {}
  for kind in ('none', 'adversarial'):
    state = case.Player(params, optax.adam(.02).init(params))
    found = _chunks(apr.make_step(kind), state, apr.sample, data, 60).params
    rows = {'user': found['users'][user], 'real': found['items'][item],
            'other': found['items'][random.integers(0, 20, len(item))]}
    size = {name: .3 * float(jnp.sqrt(jnp.square(x).sum(1).mean())) for name, x in rows.items()}
    change = apr.perturbation(rows, size)
    damage[kind] = float(apr.ranking_loss({name: rows[name] + change[name] for name in rows}).mean())
  assert damage['adversarial'] < damage['none']


def test_the_virtual_direction_finds_more_divergence_than_a_random_one():
  model, key = Mlp((16,), 3), jax.random.key(0)
  texts, noise = jax.random.normal(key, (40, 8)), jax.random.normal(jax.random.key(1), (40, 8))
  params = model.init(key, texts)
  way = vat.direction(lambda x: model.apply(params, x), texts, noise)
  np.testing.assert_allclose(jnp.linalg.norm(way, axis=1), 1, rtol=1e-5)
  found, due = (vat.divergence(lambda x: model.apply(params, x), texts, .1 * one) for one in (way, vat.unit(noise)))
  assert found.mean() > 1.5 * due.mean() and (found > due).mean() > .8


def test_virtual_training_smooths_what_it_looks_at():
  random = np.random.default_rng(0)
  texts = jnp.asarray(random.normal(size=(200, 8)), jnp.float32)
  data = {'x': jnp.asarray(random.normal(size=(150, 3)), jnp.float32), 'texts': texts, 'warm': jnp.arange(150)}
  model, found = Mlp(vat._HIDDEN, 3), {}
  params = model.init(jax.random.key(0), texts)
  for kind in ('none', 'adversarial'):
    state = case.Player(params, optax.adam(1e-3).init(params))
    trained = _chunks(vat.make_step(3, kind), state, vat.sample, data, 80).params
    def apply(x, trained=trained):
      return model.apply(trained, x)
    way = vat.direction(apply, texts, jax.random.normal(jax.random.key(2), texts.shape))
    # Relative to how far the outputs lie apart: a network of constants is smooth as well.
    found[kind] = float(vat.divergence(apply, texts, .3 * way).mean() / apply(texts).var(0).sum())
  assert found['adversarial'] < .8 * found['none']


def _probe(features, warm):
  """The accuracy of a linear probe by ridge regression on one half of the features, judged on the other."""
  x = features - features.mean(0)
  x = np.concatenate([x / x.std(0).max(), np.ones((len(x), 1))], 1)
  half = x[::2]
  weights = np.linalg.solve(half.T @ half + .1 * len(half) * np.eye(x.shape[1]), half.T @ (2. * warm[::2] - 1))
  return ((x[1::2] @ weights > 0) == warm[1::2]).mean()


def test_aligned_features_tell_less_of_warm_and_cold():
  random = np.random.default_rng(0)
  warm = random.random(1200) < .5
  texts = random.normal(size=(1200, 6)).astype(np.float32)
  texts[:, 0] += np.where(warm, 2, -2)  # where they come from, which says nothing of the targets
  targets = texts[:, 1:3] + .1 * random.normal(size=(1200, 2)).astype(np.float32)
  data = {'x': jnp.asarray(targets[warm]), 'texts': jnp.asarray(texts), 'warm': jnp.asarray(np.flatnonzero(warm)),
          'cold': jnp.asarray(np.flatnonzero(~warm))}
  features, head, _ = domains.networks(2)
  accuracy, error = {}, {}
  for weight in (0., 1.):
    players = _chunks(domains.make_step(2, weight), domains.init(data['texts'], 2, jax.random.key(0)), domains.sample,
                      data, 600).players
    found = features.apply(players['features'], data['texts'])
    accuracy[weight] = _probe(np.asarray(found), warm)
    error[weight] = float(jnp.square(head.apply(players['head'], found) - targets).mean())
  assert accuracy[0.] > .9 and accuracy[1.] < .7
  assert error[1.] < .2 * targets.var()  # what is asked for is still there


def test_picks_follow_the_chances_and_nothing_else_is_picked():
  chances = jnp.asarray([[0., .5, 0., .5], [.1, .2, .3, .4]])
  found = np.asarray(irgan.picks(chances, jax.random.uniform(jax.random.key(0), (2, 4000))))
  shares = np.stack([np.bincount(row, minlength=4) for row in found]) / 4000
  np.testing.assert_allclose(shares, chances, atol=.03)
  assert not shares[0, [0, 2]].any()


def test_the_policy_gradient_is_that_of_the_expected_reward():
  logits, reward = jnp.asarray([.3, -.2, .5]), jnp.asarray([.1, .9, -.4])

  def surrogate(logits, items):
    return irgan.policy_loss(jax.nn.log_softmax(logits)[items][None], reward[items][None])[0]
  # Every item as often as its chance says: the mean over picks is the expectation.
  slopes = jnp.stack([jax.grad(surrogate)(logits, jnp.asarray([item])) for item in range(3)])
  due = jax.grad(lambda logits: -(jax.nn.softmax(logits) * reward).sum())(logits)
  np.testing.assert_allclose(jax.nn.softmax(logits) @ slopes, due, atol=1e-6)


@pytest.mark.parametrize('adversarial', [False, True])
def test_rewards_and_likelihood_both_raise_what_users_have(adversarial):
  random = np.random.default_rng(0)
  items = jnp.asarray(random.normal(size=(12, 6)), jnp.float32)
  policy = {'users': jnp.zeros((4, 6)), 'items': items}
  judge = {'users': jnp.zeros((4, 6)), 'items': items, 'bias': jnp.zeros(12)}
  state = irgan.State(policy, judge, optax.adam(1e-3).init(policy), optax.adam(1e-3).init(judge))
  data = {'users': jnp.arange(4), 'offsets': jnp.asarray([0, 2, 4, 6, 8]), 'values': jnp.asarray([0, 1, 2, 3] * 2)}
  step = irgan.make_step(jnp.arange(12) < 10, adversarial)
  found = _chunks(step, state, irgan.sample, data, 300).policy
  chances = jax.nn.softmax(jnp.where(jnp.arange(12) < 10, found['users'] @ found['items'].T, -jnp.inf))
  assert chances[jnp.arange(8) // 2, data['values']].mean() > .12 and not chances[:, 10:].any()


def test_the_divergence_of_codes_is_that_of_gaussians():
  mean, log_variance = jnp.asarray([[.5, -1.]]), jnp.asarray([[.3, -.7]])
  z = mean + jnp.exp(log_variance / 2) * jax.random.normal(jax.random.key(0), (200_000, 2))
  log_q = (-.5 * (z - mean) ** 2 / jnp.exp(log_variance) - .5 * log_variance).sum(1)
  assert latents.divergence(mean, log_variance)[0] == pytest.approx(float((log_q + .5 * (z ** 2).sum(1)).mean()),
                                                                   rel=.02)


def test_adversarial_codes_come_nearer_to_a_normal_distribution(monkeypatch):
  monkeypatch.setattr(latents, 'LATENT', 2)
  random = np.random.default_rng(0)
  data = {'x': jnp.asarray(random.normal(size=(400, 3)), jnp.float32),
          'text': jnp.asarray(random.normal(size=(400, 4)), jnp.float32)}
  state = latents.init(data['x'], data['text'], jax.random.key(0))
  encoder = latents.networks(3)[0]

  def codes(coder):
    return np.asarray(encoder.apply(coder['encoder'], jnp.concatenate([data['x'], data['text']], 1)))[:, :2]
  away = {steps: abs(codes(_chunks(latents.make_step(3, True), state, latents.sample, data, steps).coder).std(0) - 1)
          for steps in (0, 300)}
  assert away[300].max() < away[0].max() and away[300].max() < .5
