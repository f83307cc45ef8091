import itertools
import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from ganrec_jax.evaluation import beyond


def random_lists(rng, users, items, k):
  lists = np.stack([rng.permutation(items)[:k] for _ in range(users)])
  lists[np.arange(lists.shape[1]) >= rng.integers(0, k + 1, (users, 1))] = -1
  return lists


def mean(values):
  return sum(values) / len(values) if values else math.nan


def cosine(a, b):
  norms = np.linalg.norm(a) * np.linalg.norm(b)
  return a @ b / norms if norms else 0.


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 1000), st.integers(1, 12), st.integers(1, 30), st.sampled_from([1, 3, 20]))
def test_all_equal_their_definitions(seed, users, items, k):
  rng = np.random.default_rng(seed)
  lists = random_lists(rng, users, items, k + 2)
  open_to = np.union1d(lists[lists >= 0], rng.integers(0, items, 3))
  counts, vectors = rng.integers(0, 50, items), rng.normal(size=(items, 4))
  vectors[0] = 0
  cold, tail = rng.random(items) < .3, rng.random(items) < .5
  got = beyond.beyond_accuracy(lists, rng.permutation(open_to), counts, 50, cold, tail, vectors, k)
  rows = [[i for i in row if i >= 0] for row in lists[:, :k].tolist()]
  shown = [i for row in rows for i in row]
  exposure = [shown.count(i) for i in open_to]
  np.testing.assert_allclose(got[f'coverage@{k}'], len(set(shown)) / len(open_to))
  apart = sum(abs(a - b) for a in exposure for b in exposure)
  expected = apart / (2 * len(exposure) * sum(exposure)) if shown else math.nan
  np.testing.assert_allclose(got[f'gini@{k}'], expected, atol=1e-12)
  for name, due in (
      ('novelty', [mean([-math.log2((counts[i] + 1) / 51) for i in row]) for row in rows]),
      ('cold_share', [mean([float(cold[i]) for i in row]) for row in rows]),
      ('tail_share', [mean([float(tail[i]) for i in row]) for row in rows]),
      ('diversity', [mean([1 - cosine(vectors[i], vectors[j]) for i, j in itertools.combinations(row, 2)])
                     for row in rows])):
    np.testing.assert_allclose(got[f'{name}@{k}'], due, atol=1e-9, err_msg=name)


def test_gini_of_one_item_for_all_and_of_equal_shares():
  assert beyond.gini(np.zeros((5, 1), int), np.arange(4)) == .75
  assert beyond.gini(np.arange(4)[None], np.arange(4)) == 0


def test_cold_items_have_the_novelty_of_something_nobody_knows():
  assert beyond.novelty(np.array([[0, 1]]), np.array([0, 7]), 7).tolist() == [1.5]


def test_diversity_does_not_depend_on_the_batches(monkeypatch):
  rng = np.random.default_rng(0)
  lists, vectors = random_lists(rng, 50, 40, 20), rng.normal(size=(40, 8)).astype(np.float32)
  whole = beyond.diversity(lists, vectors)
  monkeypatch.setattr(beyond, '_BATCH', 7)
  np.testing.assert_array_equal(beyond.diversity(lists, vectors), whole)
