"""How hard a sample world is: simple models beat popularity, texts help with new items, and the oracle beats all."""

import numpy as np
import pytest

from ganrec_jax.data import sample
from ganrec_jax.data.worlds import DOMAINS


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


@pytest.mark.parametrize('domain', DOMAINS)
def test_texts_tell_less_than_the_attributes(world_of, domain):
  """Ridge from texts to vectors on four fifths of the items, measured on the rest."""
  world = world_of(domain, 'default')
  features = _bag_of_words(world.dataset.catalogue)
  fitted, rest = np.arange(720), np.arange(720, 900)
  mean = world.vectors[fitted].mean(0)
  guess = mean + _ridge((world.vectors - mean).T, features, fitted, 1.).T
  errors = ((world.vectors - guess)[rest] ** 2).sum() / ((world.vectors - mean)[rest] ** 2).sum()
  assert .15 < 1 - errors < .55


@pytest.mark.parametrize('domain', ['music', 'video'])
def test_collaborative_models_beat_popularity_and_the_oracle_beats_all_warm(world_of, domain):
  world = world_of(domain, 'default')
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


@pytest.mark.parametrize('domain', ['music', 'ecommerce'])
def test_content_helps_cold_items_and_the_oracle_beats_it(world_of, domain):
  world = world_of(domain, 'default')
  train, _, test, warm, cold = _split(world)
  nothing = np.zeros_like(train)
  guess = _ndcg(np.random.default_rng(3).random(train.shape), cold, test, nothing)
  text = _ndcg(_ridge(train, _bag_of_words(world.dataset.catalogue), warm), cold, test, nothing)
  truth = _ndcg(_ridge(train, world.vectors, warm, 1.), cold, test, nothing)
  oracle = _ndcg(sample.log_probability(world, np.arange(1200)), cold, test, nothing)
  assert text > 1.5 * guess
  assert truth > 1.3 * text
  assert oracle > 1.2 * truth


@pytest.mark.parametrize('domain', ['music', 'news'])
def test_the_oracle_since_the_cut_is_the_better_one_after_a_cut_in_time(world_of, domain):
  world = world_of(domain, 'default')
  log, shape, everyone = world.dataset.interactions, (1200, 900), np.arange(1200)
  cut = sample.START + .8 * world.temperament.periods * world.temperament.period_seconds
  before, after = log.take(log.time < cut), log.take(log.time >= cut)
  train, test = (_matrix(p.user, p.item, shape) for p in (before, after))
  whole = _ndcg(sample.log_probability(world, everyone), np.arange(900), test, train)
  assert _ndcg(sample.log_probability(world, everyone, cut), np.arange(900), test, train) > whole + .01


@pytest.mark.parametrize('domain', [domain for domain in DOMAINS if domain != 'news'])
def test_the_testing_size_makes_sense(world_of, domain):
  small = world_of(domain, 'small')
  train, test, cold_test, warm, cold = _split(small)
  popularity = _ndcg(np.tile(train.sum(0), (200, 1)), warm, test, train)
  oracle = sample.log_probability(small, np.arange(200))
  assert _ndcg(_ease(train, 30.), warm, test, train) > 1.1 * popularity
  assert _ndcg(oracle, warm, test, train) > 2 * popularity
  guess = _ndcg(np.random.default_rng(3).random(train.shape), cold, cold_test, np.zeros_like(train))
  assert _ndcg(oracle, cold, cold_test, np.zeros_like(train)) > 1.4 * guess
