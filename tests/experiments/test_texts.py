"""The peers that read texts, and iALS."""

import collections
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.peers import classic, content, factors, ours
from ganrec_jax.data import text
from ganrec_jax.models import als
from tests.experiments.problems import small

KEY = jax.random.key(0)
USERS = np.arange(6)


def test_bm25_is_that_of_the_formula():
  texts = np.array(['red fish blue fish', 'one fish two', 'red red car', 'a blue car on one red road', ''])
  phrases, fitted = ((),) * 5, np.array([0, 1, 2, 3])
  terms = [text.item_terms((), str(t)) for t in texts]
  frequency = collections.Counter(term for i in fitted for term in set(terms[i]))
  kept = {term for term, count in frequency.items() if count >= 2}
  mean = np.mean([sum(term in kept for term in terms[i]) for i in fitted])
  expected = np.zeros((5, 5))
  for i in range(5):
    for j in range(5):
      counts = collections.Counter(term for term in terms[j] if term in kept)
      for term in set(terms[i]) & set(counts):
        idf = math.log(1 + (4 - frequency[term] + .5) / (frequency[term] + .5))
        length = 1 - .75 + .75 * sum(counts.values()) / mean
        expected[i, j] += idf * counts[term] * 2.2 / (counts[term] + 1.2 * length)
  found = content.bm25(phrases, texts, fitted, 1.2, .75)
  np.testing.assert_allclose(found, expected, rtol=1e-5)
  assert found[0, 2] > 0 and not found[4].any()


@pytest.mark.parametrize(('fit', 'alike'), [
  (content.tfidf_knn, lambda problem: problem.alike),
  (content.minilm_knn, lambda problem: problem.whitened @ problem.whitened.T)])
def test_text_knn_adds_up_the_nearest_warm_items_of_the_history(fit, alike):
  problem = small()
  alike, items = np.asarray(alike(problem)), problem.prepared.dataset.items
  score, params = fit(problem, {'neighbours': 6, 'sharpness': 2.}, KEY)
  expected = np.zeros((len(USERS), items))
  for user in USERS:
    for j in range(items):
      near = sorted((i for i in np.flatnonzero(problem.warm) if i != j), key=lambda i: -alike[i, j])[:6]
      expected[user, j] = sum(np.sign(alike[i, j]) * alike[i, j] ** 2
                              for i in near if i in problem.prepared.histories.row(user))
  np.testing.assert_allclose(score(params, USERS), expected, atol=1e-5)
  assert expected[:, ~problem.warm].any()


def test_ridge_predicts_cold_items_from_warm_ones():
  problem = small()
  warm, cold, kernel = problem.prepared.warm, np.flatnonzero(~problem.warm), np.asarray(problem.kernel(.5), np.float64)
  solved = np.linalg.solve(kernel[np.ix_(warm, warm)] + .3 * np.eye(len(warm)), kernel[np.ix_(warm, cold)])
  score, params = factors.ridge_rows(problem, {'ridge': .3, 'share': .5}, KEY)
  x = np.asarray(classic.rows(problem), np.float64)
  np.testing.assert_allclose(score(params, USERS)[:, cold], x[USERS][:, warm] @ solved, atol=1e-4)

  _, hybrid = factors.hybrid(problem, {'dim': 64, 'unobserved': .05, 'ridge': .3, 'share': .5}, KEY)
  plain = als.fit(problem.prepared.histories, problem.prepared.dataset.items, warm, None,
                  als.AlsConfig(dim=64, unobserved=.05, reg=.02, kappa=0.), KEY)
  np.testing.assert_allclose(hybrid.items[warm], plain.items[warm], atol=1e-5)
  np.testing.assert_allclose(hybrid.items[cold], solved.T @ np.asarray(plain.items)[warm], atol=1e-4)
  _, both = factors.ridge_factors(problem, {'dim': 64, 'ridge': .3, 'unobserved': .05, 'share': .5}, KEY)
  np.testing.assert_allclose(both.items[cold], hybrid.items[cold], atol=1e-5)
  assert np.abs(both.items[warm] - hybrid.items[warm]).max() > 1e-3


@pytest.mark.parametrize(('fit', 'space'), [
  (factors.ials, factors.IALS), (content.cease, content.CEASE), (content.bm25_knn, content.BM25_KNN),
  (ours.fit, ours.SPACE)])
def test_spaces_hold_what_the_fits_read(fit, space, monkeypatch):
  problem = small()
  monkeypatch.setattr(type(problem), 'own_kernel', lambda self: self.kernel(.5))  # no encoder is trained here
  options = {name: min(values) if name == 'dim' else values[0] for name, values in space.items()}
  score, params = fit(problem, options, KEY)
  scores = score(params, jnp.asarray(USERS))
  assert scores.shape == (len(USERS), problem.prepared.dataset.items) and np.isfinite(scores).all()
  assert (np.ptp(scores[:, ~problem.warm], 1) > 0).all() == (fit is not factors.ials)
