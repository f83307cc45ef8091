import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ganrec_jax.data import text
from ganrec_jax.errors import DataError

PHRASES = (('Indie Rock', 'rock'), ('indie rock', 'female vocalists', 'folk'), ('rock', 'Folk', 'indie'), (),
           ('female vocalists',), ('trip-hop', 'indie rock', 'unseen phrase'), ('rock', 'Rock', 'rock '), ())
TEXTS = np.array(['', 'b', '', 'steel drill bits for steel', 'ignored', '', '', 'drill bits of steel, and drill bits'])
WARM = np.array([0, 1, 2, 3, 4, 6, 7])


def _fit_reference(**arguments):
  vectorizer = pytest.importorskip('sklearn.feature_extraction.text', reason='scikit-learn is absent').TfidfVectorizer
  return vectorizer(sublinear_tf=True, min_df=2, dtype=np.float64, **arguments)


def test_phrases_agree_with_scikit_learn():
  reference = _fit_reference(analyzer=lambda item: text.item_terms(PHRASES[item], str(TEXTS[item])))
  reference.fit(WARM)
  rows, num_terms = text.tfidf(PHRASES, TEXTS, WARM)
  expected = reference.transform(np.arange(len(PHRASES))).toarray()
  np.testing.assert_allclose(text.dense(rows, num_terms), expected, atol=1e-6)
  assert list(text.fit_vocabulary(PHRASES, TEXTS, WARM).columns) == list(reference.get_feature_names_out())


def test_texts_without_phrases_agree_with_scikit_learn():
  texts = np.array(['Stainless-steel drill bits, 5 mm', 'drill bits; steel', 'Steel 5 mm screws, steel', 'steel bits'])
  reference = _fit_reference(ngram_range=(1, 2)).fit(texts[:3])
  rows, num_terms = text.tfidf(((),) * 4, texts, np.arange(3))
  np.testing.assert_allclose(text.dense(rows, num_terms), reference.transform(texts).toarray(), atol=1e-6)


def test_terms_are_whole_phrases_and_their_words():
  assert text.item_terms(('Female  Vocalists', 'rock'), 'never read') == ['female vocalists', 'female', 'vocalists',
                                                                        'rock']
  assert text.item_terms((), 'Drill bits x') == ['drill', 'bits', 'drill bits']


def test_letters_of_titles_agree_with_scikit_learn():
  titles = np.array(['TRA708T Staples, 1/2-Inch', 'tra706 staples', 'GT2 16T Pulley', 'pulley GT2-20T a'])
  reference = _fit_reference(analyzer='char_wb', ngram_range=(3, 5)).fit(titles[:3])
  rows, num_terms = text.tfidf(((),) * 4, titles, np.arange(3), text.letter_terms)
  np.testing.assert_allclose(text.dense(rows, num_terms), reference.transform(titles).toarray(), atol=1e-6)


def test_cold_items_do_not_touch_the_vocabulary():
  changed = (*PHRASES[:5], ('rock', 'rock opera', 'folk'), *PHRASES[6:])
  first, second = (text.fit_vocabulary(phrases, TEXTS, WARM) for phrases in (PHRASES, changed))
  assert first.columns == second.columns
  np.testing.assert_array_equal(first.idf, second.idf)


def test_new_items_get_the_rows_they_would_have_had():
  vocabulary = text.fit_vocabulary(PHRASES, TEXTS, WARM)
  rows = text.transform(vocabulary, PHRASES, TEXTS)
  alone = text.transform(vocabulary, PHRASES[5:6], TEXTS[5:6])
  np.testing.assert_array_equal(alone.values, rows.row(5))
  np.testing.assert_array_equal(alone.weights, rows.weights[rows.offsets[5]:rows.offsets[6]])


def test_lengths_that_differ_are_refused():
  with pytest.raises(DataError, match='phrases has 8 rows and texts 7'):
    text.tfidf(PHRASES, TEXTS[:7], WARM[:3])


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**32 - 1), st.integers(0, 12), st.integers(1, 9), st.integers(1, 40), st.integers(0, 3))
def test_similarities_are_inner_products(seed, left, right, budget, head):
  rng = np.random.default_rng(seed)
  words = [f'w{rank:02d}' for rank in range(20)]

  def sample(count):
    return tuple(tuple(rng.choice(words, size=rng.integers(0, 6))) for _ in range(count)), np.full(count, '', 'U1')

  vocabulary = text.fit_vocabulary(*sample(30), np.arange(30))
  a, b = text.transform(vocabulary, *sample(left)), text.transform(vocabulary, *sample(right))
  terms = len(vocabulary.idf)
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(text, '_HEAD_TERMS', head)
    found = text.similarities(a, b, terms, budget)
  assert found.dtype == np.float32
  np.testing.assert_allclose(found, text.dense(a, terms) @ text.dense(b, terms).T, atol=1e-5)


def test_items_and_catalogues_without_text_have_empty_rows():
  rows, num_terms = text.tfidf(((), ()), np.array(['', '']), np.array([0, 1]))
  assert num_terms == 0 and len(rows) == 2 and not len(rows.values)
  np.testing.assert_array_equal(text.similarities(rows, rows, num_terms), np.zeros((2, 2)))
