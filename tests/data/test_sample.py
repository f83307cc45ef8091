"""The sample world: the same bits, a hard but learnable log, and an oracle that is a true ceiling."""

import dataclasses
import hashlib
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ganrec_jax.data import sample, sample_words
from ganrec_jax.data.sample import WorldConfig, make_world
from ganrec_jax.errors import ConfigError

SMALL = WorldConfig(users=200, items=150, events=4000)
ARRAYS = ('attributes', 'content', 'vectors', 'exposure', 'release', 'tastes', 'interest_weights', 'active', 'activity')


@pytest.fixture(scope='module')
def world():
  return make_world(WorldConfig())


@pytest.fixture(scope='module')
def small():
  return make_world(SMALL)


def _sha256(world):
  digest = hashlib.sha256(world.dataset.sha256().encode())
  for name in ARRAYS:
    digest.update(getattr(world, name).tobytes())
  everyone = np.arange(world.config.users)
  digest.update(sample.affinity(world, everyone).tobytes())
  digest.update(sample.log_probability(world, everyone).tobytes())
  return digest.hexdigest()


def _matrix(rows, columns, shape):
  matrix = np.zeros(shape)
  matrix[rows, columns] = 1
  return matrix


def _ndcg(scores, candidates, targets, seen):
  """NDCG@20 with binary gains over users with a target; `scores`, `targets`, `seen` are `[users, items]`."""
  masked = np.where(seen[:, candidates] > 0, -np.inf, scores[:, candidates])
  relevant = targets[:, candidates] > 0
  users = relevant.any(1)
  noise = np.random.default_rng(0).random(masked.shape)
  best = np.lexsort((noise, -masked))[:, :20]
  discounts = 1 / np.log2(np.arange(2, 2 + best.shape[1]))
  gains = np.take_along_axis(relevant, best, 1) @ discounts
  ideal = np.cumsum(discounts)[np.minimum(relevant.sum(1), len(discounts)) - 1]
  return (gains / ideal)[users].mean()


def _ease(train, penalty=100.):
  precision = np.linalg.inv(train.T @ train + penalty * np.eye(train.shape[1]))
  weights = -precision / np.diag(precision)
  np.fill_diagonal(weights, 0)
  return train @ weights


def _bag_of_words(catalogue):
  """TF-IDF of words and whole phrases, `[items, words]`, with rows of length one (or zero)."""
  documents = [set(text.lower().replace(',', '').strip('.').split()) | {f'#{p}' for p in phrases}
               for text, phrases in zip(catalogue.texts.tolist(), catalogue.phrases, strict=True)]
  column = {word: i for i, word in enumerate(sorted(set().union(*documents)))}
  counts = np.zeros((len(documents), len(column)))
  for row, words in enumerate(documents):
    counts[row, [column[word] for word in words]] = 1
  counts *= np.log((1 + len(counts)) / (1 + counts.sum(0)))
  return counts / np.maximum(np.linalg.norm(counts, axis=1, keepdims=True), 1e-9)


def _ridge(train, features, warm, penalty=3.):
  kernel = features @ features.T
  return train[:, warm] @ np.linalg.solve(kernel[np.ix_(warm, warm)] + penalty * np.eye(len(warm)), kernel[warm])


def _split(world):
  """Cold items a fifth; of the other pairs a random tenth for test: (train, warm test, cold test, warm, cold items)."""
  log, shape = world.dataset.interactions, (world.dataset.users, world.dataset.items)
  rng = np.random.default_rng(5)
  is_cold = rng.permutation(shape[1]) < shape[1] // 5
  held = rng.random(len(log)) < .1
  parts = [log.take(rows) for rows in (~is_cold[log.item] & ~held, ~is_cold[log.item] & held, is_cold[log.item])]
  return *(_matrix(p.user, p.item, shape) for p in parts), np.flatnonzero(~is_cold), np.flatnonzero(is_cold)


def test_same_config_same_bits_whatever_the_threads(small):
  assert _sha256(make_world(SMALL)) == _sha256(small)
  assert _sha256(make_world(dataclasses.replace(SMALL, seed=1))) != _sha256(small)
  root = pathlib.Path(__file__).parents[2]
  code = ('from tests.data.test_sample import _sha256, make_world, SMALL; print(_sha256(make_world(SMALL)))')
  for threads in ('1', '7'):
    env = os.environ | {f'{name}_NUM_THREADS': threads for name in ('OMP', 'OPENBLAS', 'MKL')}
    out = subprocess.run([sys.executable, '-c', code], env=env, cwd=root, capture_output=True, text=True, check=True)
    assert out.stdout.strip() == _sha256(small)


@pytest.mark.parametrize('field, value, allowed', [
  ('users', 1, '20 to 100,000'), ('users', 0, '20'), ('users', 200.0, 'whole number'), ('users', True, 'whole'),
  ('items', 39, '40 to 20,000'), ('seed', -1, '0 to'), ('events', 999, '1,000 to 6,000'), ('events', 6001, '6,000'),
  ('content', 1.1, '0 to 1'), ('content', float('nan'), '0 to 1'), ('drift', -.1, '0 to 1'), ('drift', '1', 'number'),
  ('newcomers', .6, '0 to 0.5'), ('releases', .51, '0 to 0.5')])
def test_config_names_field_value_and_what_is_allowed(field, value, allowed):
  with pytest.raises(ConfigError) as error:
    dataclasses.replace(SMALL, **{field: value})
  assert f'{field}={value!r}' in str(error.value)
  assert allowed in str(error.value)


def test_a_small_catalogue_cannot_hold_too_many_events():
  with pytest.raises(ConfigError, match='events=30000, allowed is a whole number from 1,000 to 6,000'):
    WorldConfig(users=200, items=150)


@settings(deadline=None, max_examples=15)
@given(users=st.integers(20, 60), items=st.integers(40, 120), fill=st.floats(0, 1), content=st.floats(0, 1),
       drift=st.floats(0, 1), newcomers=st.floats(0, .5), releases=st.floats(0, .5), seed=st.integers(0, 2**32 - 1))
def test_every_allowed_config_makes_a_sound_world(users, items, fill, seed, **shares):
  events = round(5 * users + fill * (users * items // 5 - 5 * users))
  world = make_world(WorldConfig(users=users, items=items, events=events, seed=seed, **shares))
  log = world.dataset.interactions
  assert abs(len(log) - events) <= .1 * events
  np.testing.assert_array_equal(np.bincount(log.user, minlength=users), world.activity)
  assert world.activity.min() >= 2
  assert np.isfinite(world.vectors).all() and np.isfinite(world.tastes).all()
  assert np.isfinite(sample.affinity(world, np.arange(users))).all()
  scores = sample.log_probability(world, np.arange(users))
  assert np.isfinite(scores).all() and scores.max() <= 0
  np.testing.assert_allclose(np.exp(scores.astype(float)).sum(1), world.activity, rtol=1e-3)


def test_ids_types_and_info(world):
  dataset = world.dataset
  assert (dataset.users, dataset.items) == (1200, 900)
  assert abs(len(dataset.interactions) - 30_000) < 300
  assert dataset.catalogue.ids[0] == 'a0001' and dataset.user_ids[-1] == 'u1200'
  assert dataset.info['name'] == 'sample music' and dataset.info['simulated'] is True


def test_popularity_and_activity_are_power_laws(world):
  log = world.dataset.interactions
  for index, size, share in ((log.item, 900, .5), (log.user, 1200, .45)):
    counts = np.sort(np.bincount(index, minlength=size))[::-1]
    assert counts[:size // 5].sum() > share * len(log)
    # A Gini of zero is an even spread, and half is a triangle's.
    gini = 1 - 2 * (np.cumsum(counts[::-1]) / len(log)).mean() + 1 / size
    assert .4 < gini < .8
    ranks = np.arange(10, size // 4)
    slope = np.polyfit(np.log(ranks), np.log(counts[ranks]), 1)[0]
    assert -1.2 < slope < -.4


def test_newcomers_come_late_with_few_events(world):
  newcomer = world.activity < 5
  assert newcomer.sum() == 120
  assert world.activity[newcomer].min() == 2
  assert (world.active[newcomer, 0] >= sample.PERIODS - 2).all()
  log = world.dataset.interactions
  assert log.time[newcomer[log.user]].min() >= sample.START + (sample.PERIODS - 2) * sample.PERIOD_SECONDS


def test_nothing_is_heard_before_its_release_or_by_an_absent_listener(world):
  log = world.dataset.interactions
  period = (log.time - sample.START) // sample.PERIOD_SECONDS
  assert (period >= world.release[log.item]).all()
  assert (period >= world.active[log.user, 0]).all() and (period < world.active[log.user, 1]).all()
  assert (np.diff(log.time) >= 0).all()
  years = (log.time[-1] - log.time[0]) / (365.25 * 86400)
  assert 1.9 < years < 2.1


def test_late_releases_are_heard_by_few(world):
  heard = np.bincount(world.dataset.interactions.item, minlength=900)
  late = world.release >= sample.PERIODS - 2
  assert late.sum() > 20
  assert np.median(heard[late]) <= 5 and heard[late].mean() < .25 * heard[world.release == 0].mean()


def test_play_counts_are_whole_and_tell_fondness(world):
  log = world.dataset.interactions
  assert (log.value == np.round(log.value)).all() and log.value.min() == 1
  assert 2 < log.value.mean() < 10
  fond = sample.log_probability(world, np.arange(1200)) - world.exposure
  assert np.corrcoef(np.log(log.value), fond[log.user, log.item])[0, 1] > .1


def test_texts_are_readable_different_and_sometimes_missing(world):
  catalogue = world.dataset.catalogue
  words = np.array([len(text.split()) for text in catalogue.texts.tolist()])
  assert words.max() <= sample_words.WORDS[1]
  assert (words == 0).sum() == 36 and all(catalogue.phrases[i] == () for i in np.flatnonzero(words == 0))
  assert .85 < (words >= sample_words.WORDS[0]).mean() < .9
  assert len(np.unique(catalogue.titles)) == 900
  texts = catalogue.texts[words > 0]
  assert len(np.unique(texts)) == len(texts)
  bodies = [text.replace(title, '') for title, text in zip(catalogue.titles, catalogue.texts, strict=True)]
  assert len(set(bodies)) > 800
  assert not any('{' in text or ' a A' in text for text in texts)
  assert all(len(set(phrases)) == len(phrases) for phrases in catalogue.phrases)
  assert 3 < np.mean([len(phrases) for phrases in catalogue.phrases]) < 5


def test_a_few_texts_mislead(world):
  """Subgenres are the plainest attribute: most phrases tell the true one, a few another."""
  ways = {way: i for i, names in enumerate(sample_words.SUBGENRE_NAMES) for way in names}
  told = [(ways[p], world.attributes[item, 1]) for item, phrases in enumerate(world.dataset.catalogue.phrases)
          for p in phrases if p in ways]
  wrong = np.mean([said != true for said, true in told])
  assert len(told) > 600
  assert .03 < wrong < .12


def test_wordings_name_one_attribute_only():
  tables = (sample_words.GENRE_NAMES, sample_words.SUBGENRE_NAMES, sample_words.MOODS, sample_words.ERAS,
            sample_words.COUNTRIES, [(name,) for name in sample_words.INSTRUMENT_NAMES])
  ways = [way for table in tables for names in table for way in names]
  assert len(set(ways)) == len(ways)


@pytest.mark.parametrize('content', [.45, .65])
def test_content_explains_its_share_of_the_vectors(content):
  world = make_world(dataclasses.replace(SMALL, items=900, content=content))
  spread = ((world.vectors - world.vectors.mean(0)) ** 2).sum()
  explained = 1 - ((world.vectors - world.content) ** 2).sum() / spread
  assert abs(explained - content) < .05
  assert .3 < explained < .8


def test_texts_tell_less_than_the_attributes(world):
  """Ridge from texts to vectors on four fifths of the items, measured on the rest."""
  features = _bag_of_words(world.dataset.catalogue)
  fitted, rest = np.arange(720), np.arange(720, 900)
  mean = world.vectors[fitted].mean(0)
  guess = mean + _ridge((world.vectors - mean).T, features, fitted, 1.).T
  errors = ((world.vectors - guess)[rest] ** 2).sum() / ((world.vectors - mean)[rest] ** 2).sum()
  assert .15 < 1 - errors < .55


def test_tastes_drift(world):
  """What is heard late fits the later tastes better than what was heard early does."""
  everyone, log = np.arange(1200), world.dataset.interactions
  change = sample.taste(world, everyone, sample.PERIODS - 1) - sample.taste(world, everyone, 0)
  change = (change - change.mean(1, keepdims=True))[log.user, log.item]
  middle = sample.START + sample.PERIODS * sample.PERIOD_SECONDS / 2
  assert change[log.time > middle].mean() > change[log.time <= middle].mean() + .3
  still = make_world(dataclasses.replace(SMALL, drift=0))
  np.testing.assert_array_equal(sample.taste(still, np.arange(9), 0), sample.taste(still, np.arange(9), 11))


def _weights(world, user, period):
  """exp(affinity) `[items]`, written out for one listener."""
  angle = np.pi / 2 * world.config.drift * (period + .5) / 12
  weights = np.zeros(world.config.items)
  for item in np.flatnonzero(world.release <= period):
    ramp = min(1, (period - world.release[item] + 1) / 4) if world.release[item] else 1
    for m, share in enumerate(world.interest_weights[user]):
      taste = np.cos(angle) * world.tastes[0, user, m] + np.sin(angle) * world.tastes[1, user, m]
      weights[item] += share * np.exp(10 * np.sum(taste * world.vectors[item])) * np.exp(world.exposure[item]) * ramp
  return weights


def test_affinity_and_log_probability_match_the_formulas_written_out(small):
  users = np.array([3, 77, 150])
  found = sample.log_probability(small, users)
  for row, user in enumerate(users):
    first, last = small.active[user]
    hazard = np.zeros(150)
    for period in range(first, last):
      weights, low, high = _weights(small, user, period), 0, 1e9
      for _ in range(100):
        middle = (low + high) / 2
        taken = np.sum(np.exp(-hazard) * (1 - np.exp(-middle * weights)))
        low, high = (middle, high) if taken < small.activity[user] / (last - first) else (low, middle)
      hazard += low * weights
    np.testing.assert_allclose(found[row], np.log(np.maximum(-np.expm1(-hazard), 1e-30)), atol=1e-4)
    affinity = np.exp(sample.affinity(small, users, sample.START + 4.5 * sample.PERIOD_SECONDS)[row])
    np.testing.assert_allclose(affinity, _weights(small, user, 4), rtol=1e-4)


def test_log_probability_is_calibrated(world):
  """In every class of probabilities as many pairs are in the log as the probabilities say, up to chance."""
  expected = np.exp(sample.log_probability(world, np.arange(1200)).astype(float))
  np.testing.assert_allclose(expected.sum(1), world.activity, rtol=1e-4)
  heard = _matrix(world.dataset.interactions.user, world.dataset.interactions.item, (1200, 900))
  for low, high in ((0, .001), (.001, .01), (.01, .05), (.05, .15), (.15, .4), (.4, .8), (.8, 1.1)):
    among = (expected >= low) & (expected < high)
    surplus = heard[among].sum() - expected[among].sum()
    assert abs(surplus) < 4 * np.sqrt((expected * (1 - expected))[among].sum())


def test_log_probability_since_counts_only_what_is_left(small):
  everyone = np.arange(200)
  end = sample.START + sample.PERIODS * sample.PERIOD_SECONDS
  whole = sample.log_probability(small, everyone)
  np.testing.assert_array_equal(sample.log_probability(small, everyone, sample.START), whole)
  assert (sample.log_probability(small, everyone, end) == np.float32(np.log(1e-30))).all()
  late, half = (sample.log_probability(small, everyone, end - part * sample.PERIOD_SECONDS) for part in (1, .5))
  assert (late <= whole).all() and (half <= late).all()
  gone = small.active[:, 1] < sample.PERIODS
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
  last = sample.START + sample.PERIODS * sample.PERIOD_SECONDS - 1
  np.testing.assert_array_equal(late, sample.affinity(small, users, last))


def test_collaborative_models_beat_popularity_and_the_oracle_beats_all_warm(world):
  train, test, _, warm, _ = _split(world)
  everyone = np.arange(1200)
  popularity = _ndcg(np.tile(train.sum(0), (1200, 1)), warm, test, train)
  ease = _ndcg(_ease(train), warm, test, train)
  left, strengths, right = np.linalg.svd(train, full_matrices=False)
  factors = _ndcg((left * strengths)[:, :16] @ right[:16], warm, test, train)
  at_the_end = _ndcg(sample.affinity(world, everyone), warm, test, train)
  oracle = _ndcg(sample.log_probability(world, everyone), warm, test, train)
  assert .08 < popularity < .7 * ease
  assert factors > 1.3 * popularity
  assert .15 < ease < .35
  assert oracle > 1.4 * ease
  assert oracle > at_the_end + .01


def test_content_helps_cold_items_and_the_oracle_beats_it(world):
  train, _, test, warm, cold = _split(world)
  nothing = np.zeros_like(train)
  guess = _ndcg(np.random.default_rng(3).random(train.shape), cold, test, nothing)
  text = _ndcg(_ridge(train, _bag_of_words(world.dataset.catalogue), warm), cold, test, nothing)
  truth = _ndcg(_ridge(train, world.vectors, warm, 1.), cold, test, nothing)
  oracle = _ndcg(sample.log_probability(world, np.arange(1200)), cold, test, nothing)
  assert text > 1.5 * guess
  assert truth > 1.3 * text
  assert oracle > 1.2 * truth


def test_the_oracle_since_the_cut_is_the_better_one_after_a_cut_in_time(world):
  log, shape, everyone = world.dataset.interactions, (1200, 900), np.arange(1200)
  cut = sample.START + 10 * sample.PERIOD_SECONDS
  before, after = log.take(log.time < cut), log.take(log.time >= cut)
  train, test = (_matrix(p.user, p.item, shape) for p in (before, after))
  whole = _ndcg(sample.log_probability(world, everyone), np.arange(900), test, train)
  assert _ndcg(sample.log_probability(world, everyone, cut), np.arange(900), test, train) > whole + .01


def test_the_testing_size_makes_sense(small):
  train, test, cold_test, warm, cold = _split(small)
  popularity = _ndcg(np.tile(train.sum(0), (200, 1)), warm, test, train)
  oracle = sample.log_probability(small, np.arange(200))
  assert _ndcg(_ease(train, 30.), warm, test, train) > 1.2 * popularity
  assert _ndcg(oracle, warm, test, train) > 2 * popularity
  guess = _ndcg(np.random.default_rng(3).random(train.shape), cold, cold_test, np.zeros_like(train))
  assert _ndcg(oracle, cold, cold_test, np.zeros_like(train)) > 1.4 * guess


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


def test_good_recommendations_are_accepted_more(world):
  everyone = np.arange(1200)
  random = np.random.default_rng(0).integers(0, 900, (1200, 10))
  best = np.argsort(-sample.log_probability(world, everyone), 1)[:, :10]
  at_random, at_best = (sample.react(world, everyone, items, 0).mean() for items in (random, best))
  assert .02 < at_random < .15
  assert .35 < at_best < .9
