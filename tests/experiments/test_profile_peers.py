"""Generators of profiles from elsewhere: the bound is one, sets keep to what goes together, exchanges pay."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.bench import learned
from experiments.peers import profiles
from ganrec_jax.models.cease import cooccurrences
from ganrec_jax.profiles import controls
from ganrec_jax.profiles.config import ProfileConfig
from tests.profiles import planted

CONFIG = ProfileConfig(hidden=64, vae_steps=300, vae_batch=64, vae_chunk=100, vae_rate=.005, dropout=0.)


# The second has more items than it reads as tokens.
@pytest.mark.parametrize('model', [profiles.Remainder(4, 8), profiles.Tokens(4, 8, dim=8, most=2)])
def test_the_bound_is_the_mean_over_orders_of_the_log_probability(model):
  items = (0, 2, 3)
  params = model.init(jax.random.key(0), jnp.zeros((1, 4)), jnp.ones(1))
  x = jnp.zeros((1, 4)).at[0, jnp.asarray(items)].set(1)

  def log_p(order):
    known, total = jnp.zeros((1, 4)), 0.
    for item in order:
      logits = jnp.where(known > 0, -jnp.inf, model.apply(params, known, jnp.full(1, 3.)))
      total, known = total + jax.nn.log_softmax(logits)[0, item], known.at[0, item].set(1)
    return float(total)

  due = np.mean([log_p(order) for order in itertools.permutations(items)])
  many = 20000
  share, order = jax.random.split(jax.random.key(1))
  found = profiles.bound(params, model, jnp.tile(x, (many, 1)), jax.random.uniform(share, (many,)),
                         jax.random.uniform(order, (many, 4)))
  np.testing.assert_allclose(-found.mean(), due, rtol=.01)


@pytest.mark.parametrize('network', [profiles.Remainder, profiles.Tokens])
def test_diffusion_learns_what_goes_together(network):
  members, held_out, model = planted.profiles(), planted.profiles(100, 1), network(planted.ITEMS, CONFIG.hidden)
  factors = jax.random.normal(jax.random.key(1), (planted.ITEMS, 64))
  params, _ = profiles.autoregressive(model, members, held_out, factors, CONFIG, jax.random.key(0),
                                      learned.around('test'))
  drawn = profiles.draw_autoregressive(model, params, members, .8, 600, 0)
  assert set(drawn.lengths) <= set(members.lengths)
  pure = np.mean([len(np.unique(drawn.row(user) // planted.EACH)) == 1 for user in range(600)])
  pairs = [np.isin([taste * planted.EACH, taste * planted.EACH + 1], drawn.row(user)).sum()
           for user in range(600) for taste in range(planted.TASTES)]
  assert pure > .8 and pairs.count(1) < .6 * pairs.count(2)


def test_exchanges_bring_cooccurrences_nearer_and_keep_lengths():
  members, start = planted.profiles(), controls.marginals(planted.profiles(), planted.ITEMS, 640, 0)
  matched = profiles.match_gram(start, members, planted.ITEMS, 2, 0)

  def error(rows):
    gram = [np.asarray(cooccurrences(one, planted.ITEMS, np.ones(len(one), np.float32))) / len(one)
            for one in (rows, members)]
    return np.square(gram[0] - gram[1]).sum()

  np.testing.assert_array_equal(matched.lengths, start.lengths)
  assert error(matched) < .1 * error(start)
  again = profiles.match_gram(matched, members, planted.ITEMS, 1, 1)
  assert error(again) <= error(matched) * 1.01


def test_an_exchange_is_the_best_one_and_is_left_where_it_does_not_pay():
  rng = np.random.default_rng(0)
  x = jnp.asarray([[1., 1., 0., 0., 0.]])
  target = np.zeros((5, 5), np.float32)
  target[np.ix_([0, 3], [0, 3])] = 40
  noise = rng.random((5, 5)).astype(np.float32)
  error = jnp.asarray(x.T @ x - target + (noise + noise.T) / 2)
  assert profiles._exchange(x, error)[0].tolist() == [1, 0, 0, 1, 0]
  # Already as it should be: nothing is exchanged.
  assert profiles._exchange(x, jnp.zeros((5, 5)))[0].tolist() == [1, 1, 0, 0, 0]


def test_those_held_out_are_a_tenth_and_nobody_is_on_both_sides():
  class Prepared:
    histories, warm, dataset = planted.profiles(200), np.arange(planted.ITEMS), type('', (), {'items': planted.ITEMS})
  some = learned.people(Prepared, 3)
  assert len(some.held_out) == 20 and len(some.members) == 180 and some.columns == planted.ITEMS
  rows = sorted(tuple(one.row(user)) for one in (some.members, some.held_out) for user in range(len(one)))
  assert rows == sorted(tuple(Prepared.histories.row(user)) for user in range(200))
