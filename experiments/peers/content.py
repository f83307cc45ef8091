"""CEASE, and nearest neighbours by texts: TF-IDF, BM25 and whitened MiniLM vectors."""

import collections

import jax.numpy as jnp
import numpy as np
import scipy.sparse

from experiments.peers import classic
from ganrec_jax.data import text
from ganrec_jax.models import cease as item_item

CEASE = {'reg': (100., 10., 30., 300.), 'kernel_weight': (50., 10., 200., 1000.), 'power': (0., .3, .6),
         'strength': classic.STRENGTH}
TFIDF_KNN = {'neighbours': (100, 10, 30, 300, 10_000), 'sharpness': (1., .5, 2.)}
MINILM_KNN = {'neighbours': (100, 10, 30, 300, 10_000), 'sharpness': (1., 2., 4.)}
BM25_KNN = {'neighbours': (100, 10, 30, 300, 10_000), 'k1': (1.2, .6, 2.), 'b': (.75, .3)}


def cease(problem, options, key):
  """EASE whose Gram matrix also holds the content kernel, see `ganrec_jax.models.cease`.

  Column j is divided by the root mean square of its scores to the given power, which opens the tail.
  """
  del key
  histories = problem.prepared.strengths(options['strength'])
  fitted = item_item.fit(histories, problem.prepared.dataset.items, problem.kernel(), options['reg'],
                         options['kernel_weight'])
  scale = jnp.where(fitted.square > 0, fitted.square, 1) ** (-.5 * options['power'])
  return classic.score, classic.Linear(classic.rows(problem, options['strength']), fitted.weights * scale)


def tfidf_knn(problem, options, key):
  """kNN by the cosines of TF-IDF rows."""
  del key
  return _knn(problem, options, problem.alike)


def minilm_knn(problem, options, key):
  """kNN by the cosines of whitened MiniLM vectors."""
  del key
  return _knn(problem, options, problem.whitened @ problem.whitened.T)


def bm25_knn(problem, options, key):
  """kNN by BM25: each item of the history is a query, each item a document."""
  del key
  catalogue = problem.prepared.dataset.catalogue
  alike = bm25(catalogue.phrases, catalogue.texts, problem.prepared.warm, options['k1'], options['b'])
  return _knn(problem, {'neighbours': options['neighbours'], 'sharpness': 1.}, alike)


def _knn(problem, options, alike):
  """A user's score of an item: the sum of s^sharpness over those of his history among its nearest warm neighbours.

  Sharpness is the case amplification of Breese, Heckerman and Kadie (1998), with the sign kept.
  """
  alike = jnp.asarray(alike)
  sharp = jnp.sign(alike) * jnp.abs(alike) ** options['sharpness']
  weights = classic.nearest(sharp, options['neighbours'], problem.warm)
  return classic.score, classic.Linear(classic.rows(problem), weights)


def bm25(phrases, texts, fit_items, k1, b):
  """What item i as a query finds in item j as a document, float32 `[items, items]`.

  The sum over i's distinct terms of idf c (k1 + 1) / (c + k1 (1 - b + b |j| / mean |j|)), c how often j has the term,
  idf = log(1 + (n - df + .5) / (df + .5)) (Robertson and Zaragoza 2009, Lucene's idf that is never negative). Terms,
  df and the mean length are those of the items `fit_items [m]`.

  Args:
    phrases: a tuple of str an item.
    texts: str `[items]`.
    fit_items: int `[m]`, the warm items.
    k1: how slowly repetitions saturate.
    b: how far lengths are normalised, 0 to 1.
  """
  columns = text.fit_vocabulary(phrases, texts, fit_items).columns
  found = [collections.Counter(columns[term] for term in text.item_terms(words, str(words_of)) if term in columns)
           for words, words_of in zip(phrases, texts, strict=True)]
  row = np.repeat(np.arange(len(found)), [len(counts) for counts in found])
  column = np.array([c for counts in found for c in counts], np.int64)
  count = np.array([n for counts in found for n in counts.values()], np.float64)
  shape = len(found), len(columns)
  length = np.bincount(row, count, len(found))
  warm = np.zeros(len(found), bool)
  warm[fit_items] = True
  frequency = np.bincount(column[warm[row]], minlength=len(columns))
  idf = np.log1p((len(fit_items) - frequency + .5) / (frequency + .5))
  relative = length / max(length[fit_items].mean(), 1e-12)
  weight = idf[column] * count * (k1 + 1) / (count + k1 * (1 - b + b * relative[row]))
  queries = scipy.sparse.csr_array((np.ones(len(row), np.float32), (row, column)), shape)
  documents = scipy.sparse.csr_array((weight.astype(np.float32), (row, column)), shape)
  return (queries @ documents.T).toarray()
