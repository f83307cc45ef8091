"""TF-IDF of item phrases and texts in NumPy, as sparse rows, and the cosine similarities of such rows."""

import collections
import dataclasses
import re

import numpy as np

from ganrec_jax.data.ragged import Ragged
from ganrec_jax.errors import DataError

_WORD = re.compile(r'\b\w\w+\b')
_HEAD_TERMS = 512


@dataclasses.dataclass(frozen=True)
class Vocabulary:
  """The terms that at least two fitted items have, with their weights.

  Attributes:
    columns: the column number of each term.
    idf: float32 `[terms]`, log((1 + n) / (1 + df)) + 1 (smooth inverse document frequency).
  """
  columns: dict[str, int]
  idf: np.ndarray


def item_terms(phrases, text):
  """The terms of one item, repetitions kept: its whole phrases and their words, or else 1- and 2-grams of its text.

  A phrase of a single word counts once. Terms are in lower case; a word has at least two characters.

  Args:
    phrases: a tuple of str, maybe empty.
    text: str, read only where there are no phrases.
  """
  terms = []
  for phrase in phrases:
    whole = ' '.join(phrase.lower().split())
    words = _WORD.findall(whole)
    terms += ([whole] if whole else []) + [word for word in words if word != whole]
  if terms:
    return terms
  words = _WORD.findall(text.lower())
  return words + [f'{first} {second}' for first, second in zip(words, words[1:], strict=False)]


def letter_terms(phrases, title):
  """The runs of 3 to 5 characters of each word of a title, with a blank before and after it (char_wb of scikit-learn).

  They find what words miss: models, sizes, compounds, other spellings. `phrases` are not looked at.
  """
  del phrases
  terms = []
  for word in title.lower().split():
    padded = f' {word} '
    terms += [padded[start:start + size] for size in range(3, 6) for start in range(len(padded) - size + 1)]
  return terms


def fit_vocabulary(phrases, texts, fit_items, min_df=2, terms_of=item_terms):
  """The vocabulary and idf of the items `fit_items` int `[m]`; nothing else of the catalogue is looked at.

  Args:
    phrases: one tuple of str an item.
    texts: str `[items]`.
    fit_items: int `[m]`, the warm items.
    min_df: the least number of fitted items that have a term.
    terms_of: `item_terms` or `letter_terms`.
  """
  frequency = collections.Counter()
  for item in fit_items:
    frequency.update(set(terms_of(phrases[item], str(texts[item]))))
  kept = sorted(term for term, count in frequency.items() if count >= min_df)
  counts = np.array([frequency[term] for term in kept], np.float64)
  idf = np.log((1 + len(fit_items)) / (1 + counts)) + 1
  return Vocabulary({term: column for column, term in enumerate(kept)}, idf.astype(np.float32))


def transform(vocabulary, phrases, texts, terms_of=item_terms):
  """The TF-IDF rows of items, known or new: (1 + log count) idf, each row of length 1, or empty.

  Returns:
    A `Ragged` with a row an item: values are columns of the vocabulary in ascending order, weights the entries.

  Raises:
    DataError: where `phrases` and `texts` differ in length.
  """
  if len(phrases) != len(texts):
    raise DataError(f'phrases has {len(phrases)} rows and texts {len(texts)}; they must be as many')
  columns, weights, offsets = [], [], [0]
  for words, text in zip(phrases, texts, strict=True):
    terms = terms_of(words, str(text))
    counts = collections.Counter(vocabulary.columns[term] for term in terms if term in vocabulary.columns)
    row = np.array(sorted(counts.items()), np.int64).reshape(-1, 2)
    weight = (1 + np.log(np.maximum(row[:, 1], 1))) * vocabulary.idf[row[:, 0]]
    columns.append(row[:, 0])
    weights.append(weight / max(np.linalg.norm(weight), np.finfo(np.float64).tiny))
    offsets.append(offsets[-1] + len(row))
  return Ragged(np.array(offsets, np.int64), np.concatenate([*columns, []]).astype(np.int32),
                np.concatenate([*weights, []]).astype(np.float32))


def tfidf(phrases, texts, fit_items, terms_of=item_terms):
  """TF-IDF rows of all items by a vocabulary fitted on `fit_items`: see `fit_vocabulary` and `transform`.

  Returns:
    (`Ragged` with a row an item, number of terms).
  """
  vocabulary = fit_vocabulary(phrases, texts, fit_items, terms_of=terms_of)
  return transform(vocabulary, phrases, texts, terms_of), len(vocabulary.idf)


def dense(rows, num_terms):
  """The rows of a `Ragged` as float32 `[rows, num_terms]`."""
  out = np.zeros((len(rows), num_terms), np.float32)
  out[np.repeat(np.arange(len(rows)), rows.lengths), rows.values] = rows.weights
  return out


def similarities(left, right, num_terms, budget=2**23):
  """The inner products float32 `[left, right]` of two sets of sparse rows.

  The most frequent terms are multiplied densely, the long tail through its postings, so that apart from the result
  memory stays near `budget` entries and the work near the number of pairs that share a term.

  Args:
    left: `Ragged` of TF-IDF rows.
    right: `Ragged` of TF-IDF rows.
    num_terms: the size of the vocabulary.
    budget: entries of a temporary array.
  """
  frequency = np.bincount(right.values, minlength=num_terms)
  head = np.zeros(num_terms, bool)
  head[np.argsort(-frequency, kind='stable')[:_HEAD_TERMS]] = True
  out = _columns(left, head) @ _columns(right, head).T

  row_of = np.repeat(np.arange(len(right)), right.lengths)
  by_term = np.argsort(right.values, kind='stable')
  starts = np.concatenate([[0], np.cumsum(frequency)])
  reach = np.where(head, 0, frequency)[left.values]
  cost = np.concatenate([[0], np.cumsum(reach)])[left.offsets]
  step = max(1, budget // max(1, len(right)))
  for first in range(0, len(left), step):
    for start, stop in _within(cost, first, min(first + step, len(left)), budget):
      entries = slice(left.offsets[start], left.offsets[stop])
      times = reach[entries]
      within = np.arange(times.sum()) - np.repeat(np.cumsum(times) - times, times)
      posting = by_term[np.repeat(starts[left.values[entries]], times) + within]
      row = np.repeat(np.repeat(np.arange(stop - start), left.lengths[start:stop]), times)
      product = np.repeat(left.weights[entries], times) * right.weights[posting]
      block = np.bincount(row * len(right) + row_of[posting], product, (stop - start) * len(right))
      out[start:stop] += block.reshape(stop - start, len(right)).astype(np.float32)
  return out


def _columns(rows, mask):
  """The dense columns float32 `[rows, sum(mask)]` of sparse rows."""
  kept = mask[rows.values]
  lengths = np.bincount(np.repeat(np.arange(len(rows)), rows.lengths)[kept], minlength=len(rows))
  offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
  return dense(Ragged(offsets, (np.cumsum(mask) - 1)[rows.values[kept]], rows.weights[kept]), int(mask.sum()))


def _within(cost, start, stop, budget):
  """Cuts rows `start` to `stop` into runs whose cumulated `cost` grows by at most `budget`, one row at least."""
  while start < stop:
    end = int(np.clip(np.searchsorted(cost, cost[start] + budget, 'right') - 1, start + 1, stop))
    yield start, end
    start = end
