"""The game's estimates against worlds small enough to enumerate: what the critic should say, and G's gradient.

A profile of n items is the set of the n highest of logits / T + Gumbel noise, so its chance is the sum over the orders
of its items of the chances of drawing them one after the other (Plackett-Luce). With it the gradient of any expectation
over profiles is known, and the estimators of it can be judged: straight-through, which the game uses by default, its
relaxation at the noise that was drawn (Gumbel-softmax), and the score function with a baseline.
"""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy import stats

from ganrec_jax.adversarial.losses import LOSSES
from ganrec_jax.models import mixture
from ganrec_jax.models.profiles import ProfileVae, draw_profiles, draw_relaxed, log_chance, score_function
from ganrec_jax.profiles import game, likelihood
from ganrec_jax.profiles.config import ProfileConfig
from ganrec_jax.training.devices import make_chunk

from .worlds import ragged

TEMPERATURE, TAKEN = .8, 2
LOGITS = np.array([.6, -.4, 1.1, 0., -1.])
ROWS = 40_000


def _log_order(logits, order):
  """log P of drawing the items `order [..., n]` one after the other from softmax(logits) without replacement."""
  out, left = 0., jnp.broadcast_to(logits, (*order.shape[:-1], len(logits)))
  for place in range(order.shape[-1]):
    item = order[..., place, None]
    out += jnp.take_along_axis(left, item, -1)[..., 0] - jax.nn.logsumexp(left, -1)
    left = jnp.where(jnp.arange(len(logits)) == item, -jnp.inf, left)
  return out


def _sets(items, taken):
  """All profiles `[sets, items]` of `taken` items and, for each, the orders of its items `[sets, taken!, taken]`."""
  chosen = list(itertools.combinations(range(items), taken))
  rows = np.zeros((len(chosen), items))
  for row, some in zip(rows, chosen, strict=True):
    row[list(some)] = 1
  return rows, np.array([list(itertools.permutations(some)) for some in chosen])


@functools.partial(jax.jit, static_argnums=1)
def _expected(logits, worth):
  """E worth(profile) over all profiles, exactly."""
  profiles, orders = _sets(len(logits), TAKEN)
  return (jnp.exp(_log_order(logits / TEMPERATURE, jnp.asarray(orders))).sum(1) * worth(jnp.asarray(profiles))).sum()


def _critic_loss(x):
  """L_G of a critic that likes items 0 and 1 together and item 2 alone: nothing that single items tell."""
  return jax.nn.softplus(-(3 * x[:, 0] * x[:, 1] - 2 * x[:, 2] * x[:, 3] + x[:, 2] * (1 - x[:, 0]) - .5 * x[:, 4]))


def _linear(x):
  """A critic to which every item is worth something, whatever is beside it."""
  return x @ jnp.asarray([1., 2., -1., .5, 0.], x.dtype)


def _finite_differences(worth, step=1e-2):
  return np.array([float(_expected(jnp.asarray(LOGITS + step * unit), worth)
                         - _expected(jnp.asarray(LOGITS - step * unit), worth)) / (2 * step)
                   for unit in np.eye(len(LOGITS))])


@functools.partial(jax.jit, static_argnums=(0, 1))
def _through_the_draw(draw, worth, gumbel):
  rows = len(gumbel)
  return jax.grad(lambda logits: worth(draw(jnp.tile(logits, (rows, 1)), gumbel, jnp.full(rows, float(TAKEN)),
                                            TEMPERATURE)).mean())(jnp.asarray(LOGITS, jnp.float32))


@functools.partial(jax.jit, static_argnums=0)
def _by_the_score_function(worth, gumbel):
  """The estimate of each row `[rows, items]` from its four draws."""
  noise, rows = gumbel.reshape(-1, 4, len(LOGITS)), len(gumbel) // 4
  return jax.grad(lambda logits: score_function(logits, noise, jnp.full(rows, float(TAKEN)), TEMPERATURE, worth).sum())(
    jnp.tile(jnp.asarray(LOGITS, jnp.float32), (rows, 1)))


@pytest.fixture(scope='module')
def gumbel():
  return jax.random.gumbel(jax.random.key(0), (ROWS, len(LOGITS)))


def test_draws_have_the_chances_of_the_enumeration(gumbel):
  profiles, orders = _sets(len(LOGITS), TAKEN)
  chances = np.exp(_log_order(jnp.asarray(LOGITS / TEMPERATURE), jnp.asarray(orders))).sum(1)
  np.testing.assert_allclose(chances.sum(), 1, rtol=1e-5)
  drawn = np.asarray(draw_profiles(jnp.tile(jnp.asarray(LOGITS), (ROWS, 1)), gumbel, jnp.full(ROWS, float(TAKEN)),
                                   TEMPERATURE))
  found = [(np.abs(drawn - row).max(1) < .5).mean() for row in profiles]
  np.testing.assert_allclose(found, chances, atol=5 * np.sqrt(.25 / ROWS))


def test_the_chance_of_an_order_is_that_of_its_draws_one_by_one():
  noise = jax.random.gumbel(jax.random.key(1), (50, len(LOGITS)))
  logits, number = jnp.asarray(np.random.default_rng(0).normal(size=noise.shape)), np.arange(50) % 5 + 1
  found = log_chance(logits, noise, jnp.asarray(number), TEMPERATURE)
  scores = np.asarray(logits / TEMPERATURE + noise)
  due = [_log_order(row / TEMPERATURE, jnp.argsort(-one)[:many]) for row, one, many in
         zip(logits, scores, number, strict=True)]
  np.testing.assert_allclose(found, due, rtol=1e-4, atol=1e-5)


def test_the_score_function_is_unbiased(gumbel):
  rows = np.asarray(_by_the_score_function(_critic_loss, gumbel))
  error = rows.std(0) / np.sqrt(len(rows))
  np.testing.assert_array_less(np.abs(rows.mean(0) - _finite_differences(_critic_loss)), 4 * error)
  assert error.max() < .0035  # else the bound would say nothing


def test_the_score_functions_value_is_the_mean_worth_of_its_draws(gumbel):
  noise = gumbel[:40].reshape(10, 4, -1)
  logits, number = jnp.tile(jnp.asarray(LOGITS), (10, 1)), jnp.full(10, float(TAKEN))
  found = score_function(logits, noise, number, TEMPERATURE, _critic_loss)
  due = np.mean([_critic_loss(draw_profiles(logits, noise[:, draw], number, TEMPERATURE)) for draw in range(4)], 0)
  np.testing.assert_allclose(found, due, rtol=1e-5)


@pytest.mark.parametrize(('draw', 'worth', 'cosine', 'error'), [
  (draw_profiles, _linear, .94, 1.30), (draw_profiles, _critic_loss, .77, .89),
  (draw_relaxed, _linear, 1., .07), (draw_relaxed, _critic_loss, .80, .68)])
def test_gradients_through_the_draw_are_biased_and_lead_the_right_way(gumbel, draw, worth, cosine, error):
  """How biased, as measured: the cosine to the true gradient, and the error relative to its length.

  Straight-through even for a linear critic: n softmax overstates how often an item comes that is in most profiles
  anyway. Two of five items are far more of the world than a real profile is of its catalogue. The relaxation knows who
  is beside whom at this noise.
  """
  due, found = _finite_differences(worth), np.asarray(_through_the_draw(draw, worth, gumbel))
  length = np.linalg.norm(due)
  assert due @ found / length / np.linalg.norm(found) == pytest.approx(cosine, abs=.02)
  assert np.linalg.norm(found - due) / length == pytest.approx(error, abs=.05)


def test_relaxed_profiles_are_the_same_draws_and_all_logits_together_move_nothing(gumbel):
  logits, number = jnp.tile(jnp.asarray(LOGITS, jnp.float32), (200, 1)), jnp.full(200, float(TAKEN))
  hard, relaxed = (draw(logits, gumbel[:200], number, TEMPERATURE) for draw in (draw_profiles, draw_relaxed))
  np.testing.assert_allclose(hard, relaxed, atol=1e-5)
  slopes = jax.grad(lambda logits: _critic_loss(draw_relaxed(logits, gumbel[:200], number, TEMPERATURE)).sum())(logits)
  np.testing.assert_allclose(slopes.sum(1), 0, atol=1e-5)


# A world of five items: real profiles of one to three of them, and a decoder of random weights.
WORLD = ProfileConfig(latent=2, hidden=8, loss='cross_entropy', penalty='none', penalty_weight=0., thinning=0.,
                      batch=128, warm_up=10**6, d_rate=.01)
REAL = [[0, 1], [0, 1], [0, 1], [2], [2, 3], [2, 3, 4], [4], [0, 2, 4], [1, 3], [3]]


@pytest.mark.slow
def test_the_critic_of_the_game_learns_the_ratio_of_the_chances():
  """With cross-entropy the best D is p / (p + q) for each profile (Goodfellow et al. 2014, proposition 1)."""
  real, items = ragged(REAL), 5
  params = ProfileVae(items, WORLD.latent, WORLD.hidden).init(jax.random.key(0), jnp.zeros((1, items)),
                                                              jnp.zeros((1, WORLD.latent)))
  lengths = jnp.quantile(jnp.asarray(real.lengths, jnp.float32), jnp.linspace(0, 1, 256))
  normal = mixture.Mixture(jnp.zeros(1), jnp.zeros((1, 3)), jnp.ones((1, 3)))
  prior = likelihood.Prior(normal, jnp.zeros(2), 2 * jnp.eye(2),
                           jnp.asarray(np.quantile(np.random.default_rng(0).normal(size=10**5), np.linspace(0, 1, 256)),
                                       jnp.float32), lengths)
  sample = game.make_sample(WORLD, items, 3, prior)
  vectors, (decoder, encoder) = jnp.eye(items), game.parted(params)
  state = game.init_state(decoder, vectors, WORLD, jax.random.key(1))
  chunk = make_chunk(game.make_step(WORLD, items, encoder, vectors), sample, jax.devices()[:1])
  state, _ = chunk(jax.tree.map(jnp.copy, state), likelihood.flat(real), jax.random.key(2), 0, 500)

  kinds = np.array(list(itertools.product((0., 1.), repeat=items)))

  def chances(rows):
    return np.bincount((np.asarray(rows) @ 2 ** np.arange(items)[::-1]).astype(int), minlength=2**items) / len(rows)
  z, number = likelihood.draw_latents(prior, jax.random.key(3), 50_000)
  logits = ProfileVae(items, WORLD.latent, WORLD.hidden).apply(params, z, method='decode')
  q = chances(np.round(draw_profiles(logits, jax.random.gumbel(jax.random.key(4), logits.shape), number,
                                     WORLD.temperature)))
  p = chances([[item in row for item in range(items)] for row in REAL])
  said = jax.nn.sigmoid(game.ProfileCritic().apply(state.critic, jnp.asarray(kinds, jnp.float32), vectors))
  there = p + q > 0
  error = np.abs(said - p / np.where(there, p + q, 1))
  assert ((p + q) * error).sum() / 2 < .05
  assert ((p + q) * np.abs(.5 - p / np.where(there, p + q, 1))).sum() / 2 > .3  # what a critic that guesses is off by


def test_a_critic_of_numbers_learns_the_ratio_of_two_normal_densities():
  """p = N(1, 1), q = N(-.5, .7^2): D approaches p / (p + q), and its loss 2 log 2 - 2 JSD(p, q)."""
  def init(key, sizes=(1, 32, 32, 1)):
    keys = jax.random.split(key, len(sizes))
    return [(jax.random.normal(k, pair) / pair[0]**.5, jnp.zeros(pair[1]))
            for k, pair in zip(keys, itertools.pairwise(sizes), strict=False)]

  def logit(params, x):
    state = x[:, None]
    for weights, bias in params[:-1]:
      state = jnp.tanh(state @ weights + bias)
    return (state @ params[-1][0] + params[-1][1])[:, 0]

  steps, rows = 1500, 512
  optimizer = optax.adam(optax.cosine_decay_schedule(.01, steps))

  def step(carry, key):
    params, opt = carry
    real, fake = jax.random.normal(key, (2, rows))
    loss, grads = jax.value_and_grad(lambda params: LOSSES['cross_entropy'].d_loss(
      logit(params, 1 + real), logit(params, .7 * fake - .5), jnp.ones(rows)))(params)
    updates, opt = optimizer.update(grads, opt)
    return (optax.apply_updates(params, updates), opt), loss
  params = init(jax.random.key(0))
  (params, _), losses = jax.jit(lambda carry, keys: jax.lax.scan(step, carry, keys))(
    (params, optimizer.init(params)), jax.random.split(jax.random.key(1), steps))
  x = np.linspace(-4, 6, 2001)
  p, q = stats.norm.pdf(x, 1, 1), stats.norm.pdf(x, -.5, .7)
  best, said = p / (p + q), np.asarray(jax.nn.sigmoid(logit(params, jnp.asarray(x, jnp.float32))))
  assert (np.abs(said - best) * (p + q)).sum() / (p + q).sum() < .01
  middle = (p + q) / 2
  divergence = (p * np.log(p / middle) + q * np.log(q / middle)).sum() / 2 * (x[1] - x[0])
  np.testing.assert_allclose(losses[-300:].mean(), 2 * np.log(2) - 2 * divergence, atol=.01)
