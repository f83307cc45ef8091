"""The game's estimates against worlds small enough to enumerate: what the critic should say, and G's gradient.

A profile of n items is the set of the n highest of logits / T + Gumbel noise, so its chance is the sum over the orders
of its items of the chances of drawing them one after the other (Plackett-Luce). With it the gradient of any expectation
over profiles is known, and both estimators of it can be judged: straight-through, which the game uses, and the score
function (REINFORCE) with a baseline, which is the reference here.
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
from ganrec_jax.models.profiles import ProfileVae, draw_profiles
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


@functools.partial(jax.jit, static_argnums=0)
def _straight_through(worth, gumbel):
  rows = len(gumbel)
  return jax.grad(lambda logits: worth(draw_profiles(jnp.tile(logits, (rows, 1)), gumbel, jnp.full(rows, float(TAKEN)),
                                                     TEMPERATURE)).mean())(jnp.asarray(LOGITS, jnp.float32))


@functools.partial(jax.jit, static_argnums=0)
def _score_function(worth, gumbel):
  """(worth - baseline) grad log P(order) of each row `[rows, items]`; the baseline is the mean of the other rows."""
  logits = jnp.asarray(LOGITS, jnp.float32)
  order = jnp.argsort(-(logits / TEMPERATURE + gumbel), axis=1)[:, :TAKEN]
  value = worth(jax.nn.one_hot(order, len(logits)).sum(1))
  baseline = (value.sum() - value) / (len(value) - 1)
  slopes = jax.vmap(jax.grad(lambda logits, one: _log_order(logits / TEMPERATURE, one)), (None, 0))(logits, order)
  return (value - baseline)[:, None] * slopes


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


def test_the_score_function_is_unbiased(gumbel):
  rows = np.asarray(_score_function(_critic_loss, gumbel))
  error = rows.std(0) / np.sqrt(len(rows))
  np.testing.assert_array_less(np.abs(rows.mean(0) - _finite_differences(_critic_loss)), 4 * error)
  assert error.max() < .003  # else the bound would say nothing


@pytest.mark.parametrize(('worth', 'cosine', 'error'), [(_linear, .94, 1.30), (_critic_loss, .77, .89)])
def test_straight_through_is_biased_and_leads_the_right_way(gumbel, worth, cosine, error):
  """How biased, as measured: the cosine to the true gradient, and the error relative to its length.

  Even for a linear critic: n softmax overstates how often an item comes that is in most profiles anyway. Two of five
  items are far more of the world than a real profile is of its catalogue.
  """
  due, found = _finite_differences(worth), np.asarray(_straight_through(worth, gumbel))
  length = np.linalg.norm(due)
  assert due @ found / length / np.linalg.norm(found) == pytest.approx(cosine, abs=.02)
  assert np.linalg.norm(found - due) / length == pytest.approx(error, abs=.05)


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
