"""What is known of the truth: log-probabilities by the formulas written out and by counting, and a true ceiling."""

import dataclasses

import numpy as np
import pytest

from ganrec_jax.data import sample
from ganrec_jax.data.worlds import DOMAINS

# A threshold of values in each domain that some fall below.
LEAST = {'music': 3., 'video': 3.5, 'ecommerce': 2., 'news': 2., 'games': 5.}


def _weights(world, user, period):
  """exp(affinity) `[items]` and exp(taste) `[items]`, written out for one person."""
  nature = world.temperament
  angle = np.pi / 2 * nature.drift * (period + .5) / nature.periods
  taste, exposure = np.zeros(world.config.items), np.zeros(world.config.items)
  for item in range(world.config.items):
    for m, share in enumerate(world.interest_weights[user]):
      at = np.cos(angle) * world.tastes[0, user, m] + np.sin(angle) * world.tastes[1, user, m]
      taste[item] += share * np.exp(nature.sharpness * np.sum(at * world.vectors[item]))
    age, life = period - world.release[item], world.life[item]
    if 0 <= age < life:
      ramp = min(1, (age + 1) / nature.ramp) if world.release[item] > 0 else 1
      exposure[item] = np.exp(world.exposure[item]) * ramp * np.exp(-3 * age / life)
  return taste * exposure, taste


def _solve(total, wanted):
  """The rate at which the rising function `total` is `wanted`."""
  low, high = 0, 1e9
  for _ in range(100):
    middle = (low + high) / 2
    low, high = (middle, high) if total(middle) < wanted else (low, middle)
  return low


@pytest.mark.parametrize('domain', DOMAINS)
def test_affinity_and_log_probability_match_the_formulas_written_out(world_of, domain):
  world, users = world_of(domain, 'small'), np.array([3, 77, 150])
  nature, least = world.temperament, LEAST[domain]
  since = nature.periods * .6
  start = sample.START + since * nature.period_seconds
  found, found_since = sample.log_probability(world, users), sample.log_probability(world, users, start, least)
  for row, user in enumerate(users):
    first, last = world.active[user]
    free, hidden, later = np.ones((3, 150))  # not taken; taken unseen before `since`; free since then
    hidden, seen_later = np.zeros((2, 150))
    for period in range(first, last):
      weights, taste = _weights(world, user, period)
      rate = _solve(lambda r, w=weights, f=free: np.sum(f * (1 - np.exp(-r * w))),
                    min(world.activity[user] / (last - first), .9 * np.sum(free[weights > 0])))
      high = nature.values.chance(np.log(taste) - np.log(taste).mean(), least)
      part = np.clip(period + 1 - since, 0, 1)
      middle = free * np.exp(-(1 - part) * rate * weights)
      end = free * np.exp(-rate * weights)
      hidden += (free - middle) * (1 - high)
      seen_later += (middle - end) * high
      free = end
      if period < since:
        untouched = middle
    untouched = untouched if first < since else np.ones(150)
    np.testing.assert_allclose(found[row], np.log(np.maximum(1 - free, 1e-30)), atol=2e-4)
    # Known is that it was not taken, or taken with too small a value.
    expected = seen_later / (untouched + hidden)
    np.testing.assert_allclose(np.exp(found_since[row].astype(float)), expected, rtol=1e-3, atol=1e-9)
    period = nature.periods // 3
    affinity = sample.affinity(world, users, sample.START + (period + .5) * nature.period_seconds)[row]
    np.testing.assert_allclose(np.exp(affinity), _weights(world, user, period)[0], rtol=1e-4)


@pytest.mark.parametrize('domain', DOMAINS)
@pytest.mark.parametrize('since', [None, .7])
@pytest.mark.parametrize('thresholded', [False, True])
def test_log_probability_is_calibrated(world_of, domain, since, thresholded):
  """In every class of probabilities as many pairs are in the log as the probabilities say, up to chance."""
  world = world_of(domain, 'default')
  nature, log, least = world.temperament, world.dataset.interactions, LEAST[domain] if thresholded else 0.
  time = None if since is None else sample.START + since * nature.periods * nature.period_seconds
  log = log.take(log.user < 500)
  expected = np.exp(sample.log_probability(world, np.arange(500), time, least).astype(float))
  if time is None and not thresholded:
    np.testing.assert_allclose(expected.sum(1), world.activity[:500], rtol=1e-4)
  known, seen = np.zeros((2, 500, 900), bool)
  after = log.time >= (time or 0)
  enough = log.value >= least
  known[log.user[enough & ~after], log.item[enough & ~after]] = True
  seen[log.user[enough & after], log.item[enough & after]] = True
  for low, high in ((0, .001), (.001, .01), (.01, .05), (.05, .15), (.15, .4), (.4, .8), (.8, 1.1)):
    among = (expected >= low) & (expected < high) & ~known
    surplus = seen[among].sum() - expected[among].sum()
    # Readers find few articles a day, so the mean rate of a day says a little more than the chances of it.
    slack = .04 * expected[among].sum() if domain == 'news' else 0
    assert abs(surplus) < 4 * np.sqrt((expected * (1 - expected))[among].sum()) + slack + 1e-9


def test_log_probability_since_counts_only_what_is_left(small):
  everyone = np.arange(200)
  end = sample.START + 12 * small.temperament.period_seconds
  whole = sample.log_probability(small, everyone)
  np.testing.assert_array_equal(sample.log_probability(small, everyone, sample.START), whole)
  assert (sample.log_probability(small, everyone, end) == np.float32(np.log(1e-30))).all()
  late, half = (sample.log_probability(small, everyone, end - part * small.temperament.period_seconds)
                for part in (1, .5))
  assert (late <= whole).all() and (half <= late).all()
  gone = small.active[:, 1] < 12
  assert (np.isclose(late, np.log(1e-30)).all(1) == gone).all()
  unsure = (late < np.log(.6)) & ~gone[:, None]
  hazards = [-np.log1p(-np.exp(scores[unsure].astype(float))) for scores in (late, half)]
  np.testing.assert_allclose(hazards[1], hazards[0] / 2, rtol=1e-4)


def test_affinity_knows_time_and_release(small):
  users = np.array([5, 9, 5])
  early, late = sample.affinity(small, users, sample.START), sample.affinity(small, users)
  assert early.dtype == np.float32 and early.shape == (3, 150)
  np.testing.assert_array_equal(np.isneginf(early), np.broadcast_to(small.release > 0, early.shape))
  assert np.isfinite(late).all()
  np.testing.assert_array_equal(late[0], late[2])
  np.testing.assert_array_equal(late[1], sample.affinity(small, np.array([9]))[0])
  last = sample.START + 12 * small.temperament.period_seconds - 1
  np.testing.assert_array_equal(late, sample.affinity(small, users, last))


def test_affinity_ends_with_death(world_of):
  world = world_of('news', 'small')
  for period in (0, 9, 23):
    found = sample.affinity(world, np.array([5]), sample.START + period * 86400)[0]
    alive = (world.release <= period) & (period < world.release + world.life)
    np.testing.assert_array_equal(np.isfinite(found), alive)
    assert 10 < alive.sum() < 50


def test_reactions_are_the_listeners_own(small):
  users, items = np.array([7, 3, 7]), np.array([[0, 1, 2], [5, 6, 7], [2, 1, 9]])
  found = sample.react(small, users, items, seed=4)
  assert found.dtype == bool and found.shape == (3, 3)
  np.testing.assert_array_equal(sample.react(small, users[1:2], items[1:2], seed=4), found[1:2])
  assert found[0, 1] == found[2, 1] and found[0, 2] == found[2, 0]
  everything = np.tile(np.arange(150), (200, 1))
  one, two = (sample.react(small, np.arange(200), everything, seed) for seed in (0, 1))
  assert (one != two).any()
  chance = sample.acceptance(small, np.arange(200), everything)
  assert one.mean() == pytest.approx(chance.mean(), abs=.01)
  surely = chance > .8
  assert surely.sum() > 100 and abs(one[surely].mean() - chance[surely].mean()) < 2 / np.sqrt(surely.sum())


@pytest.mark.parametrize('domain', DOMAINS)
def test_good_recommendations_are_accepted_more(world_of, domain):
  world, everyone = world_of(domain, 'default'), np.arange(1200)
  random = np.random.default_rng(0).integers(0, 900, (1200, 10))
  now = sample.START + (world.temperament.periods - 1) * world.temperament.period_seconds
  best = np.argsort(-sample.log_probability(world, everyone, now if domain == 'news' else None), 1)[:, :10]
  at_random, at_best = (sample.react(world, everyone, items, 0).mean() for items in (random, best))
  assert .001 < at_random < .15
  assert .25 < at_best < .9 and at_best > 5 * at_random


def test_stale_articles_are_accepted_less_and_dead_ones_never(world_of):
  world, users = world_of('news', 'small'), np.arange(200)
  accepted = sample.acceptance(world, users, np.tile(np.arange(150), (200, 1)))
  age = 23 - world.release
  assert (accepted[:, age >= world.life] == 0).all() and (accepted[:, age < world.life] > 0).all()
  immortal = dataclasses.replace(world, life=np.full(150, np.inf))
  timeless = sample.acceptance(immortal, users, np.tile(np.arange(150), (200, 1)))
  np.testing.assert_allclose(accepted[:, age == 0], timeless[:, age == 0])
  stale = (age > 0) & (age < world.life)
  odds = (accepted / (1 - accepted) / (timeless / (1 - timeless)))[:, stale]
  np.testing.assert_allclose(odds, np.tile(np.exp(-3 * age / world.life)[stale], (200, 1)))
