"""What a catalogue's words are like: how many, how long, in which languages, and what the encoder will cut off."""

import collections
import dataclasses
import functools
import re

import numpy as np

from ganrec_jax.encoding import tokenizer, weights
from ganrec_jax.models import bert

UNCLEAR = 'unclear'
EVEN = 100  # words up to which the bins of the histogram are even; beyond they are even on a log scale
_BINS = 30
# Texts that are read for languages and tokens; whole catalogues are counted, not read.
_LANGUAGE_TEXTS, _TOKEN_TEXTS = 300, 1000
_READ_CHARACTERS = 1000
# The classifier's probability below which a text counts as unclear; short texts fall below it by themselves.
_SURE = .7
_WORD = re.compile(r'[^\W\d_]{2}')
_SAMPLE = 0x7e87  # the purpose of the draws
# What UTF-8 looks like where it was read as Latin-1, and what is left of bytes that were not understood.
_BROKEN = ('\ufffd', 'Ã©', 'Ã¨', 'Ã¼', 'Ã¶', 'Ã¤', 'Ã³', 'Ã±', 'Ã¡', 'Ã­', 'â€')


@dataclasses.dataclass(frozen=True)
class Texts:
  """The words of a catalogue.

  Attributes:
    share: of the items with a text that holds a word, and more than the item's id.
    phrase_share: of the items with phrases.
    edges, counts: a histogram of the numbers of words, see `EVEN`, of the items with a text.
    median, most: words of a text, of these items.
    tokens: mean tokens of a text as the encoder will read it, cut; 0 without an encoder.
    cut: share of the texts that the encoder cuts.
    long: tokens that 95 of 100 texts do not exceed; 0 without an encoder.
    limit: tokens at which the encoder cuts.
    languages: language -> share of the texts that were looked at, the most frequent first, 'unclear' among them.
    read: how many texts were looked at for languages.
    repeated_titles: items whose title another item has too, and the most frequent such title with its number.
    repeated_texts: items with a text whose text another item has too.
    broken: items whose title or text looks as if read in a wrong encoding, and an example.
  """
  share: float
  phrase_share: float
  edges: tuple
  counts: tuple
  median: float
  most: int
  tokens: float
  cut: float
  long: int
  limit: int
  languages: dict
  read: int
  repeated_titles: tuple
  repeated_texts: int
  broken: tuple


def find(catalogue, warm, config):
  """The `Texts` of a `Catalogue` whose `warm` items int `[m]` an encoder may be trained on.

  Raises:
    DataError: where the pretrained encoder that the config asks for is not there.
  """
  there = np.fromiter(map(_says_something, catalogue.texts.tolist(), catalogue.ids.tolist()), bool, len(catalogue))
  # Words are counted by blanks; a language without them counts its sentences.
  words = np.strings.count(catalogue.texts[there], ' ') + 1
  most = int(words.max(initial=0))
  step = max(1, -(-most // _BINS))
  edges = np.arange(1, most + 1 + step, step) if most <= EVEN else np.unique(
    np.geomspace(1, most + 1, _BINS + 1).round().astype(int))
  counts = np.histogram(words, edges)[0]
  drawn = _draw(np.flatnonzero(there), _LANGUAGE_TEXTS)
  some = [str(text)[:_READ_CHARACTERS] for text in catalogue.texts[drawn]]
  tokens, cut, long, limit = _tokens(catalogue.texts, warm, np.flatnonzero(there), config.encoder)
  return Texts(
    float(there.mean()), sum(map(bool, catalogue.phrases)) / len(there), tuple(edges.tolist()), tuple(counts.tolist()),
    float(np.median(words)) if len(words) else 0., most, tokens, cut, long, limit, languages(some), len(some),
    _repeated_titles(catalogue.titles), int(_repeats(catalogue.texts[there])[0].sum()), _broken(catalogue))


def _says_something(text, identity):
  return _WORD.search(text) is not None and (text != identity or ' ' in text)


def _draw(candidates, number):
  """At most `number` of the `candidates`, always the same ones, in their order."""
  return np.sort(np.random.default_rng(_SAMPLE).permutation(candidates)[:number])


@functools.cache
def _classifier():
  from py3langid import langid  # takes half a second for its model
  return langid.LanguageIdentifier.from_model_file(langid.MODEL_FILE, norm_probs=True)


def languages(some):
  """Language (ISO 639) -> its share of a few texts, the most frequent first; a text too short to say is 'unclear'."""
  if not some:
    return {}
  guesses = [_classifier().classify(text) for text in some]
  found = collections.Counter(language if sure >= _SURE else UNCLEAR for language, sure in guesses)
  return {language: count / len(some) for language, count in found.most_common()}


def _tokens(texts, warm, there, encoder):
  """Mean tokens, the share that is cut, the tokens that 95 of 100 stay within, and the limit; zeros without encoder."""
  if encoder.kind == 'none' or not len(there):
    return 0., 0., 0, 0
  if encoder.kind == 'pretrained':
    folder = weights.find(encoder.weights)
    words, positions = tokenizer.load(folder), 512
  else:
    words = tokenizer.train_wordpiece(texts[_draw(warm, _TOKEN_TEXTS)], bert.VARIANTS['tiny'].vocab_size)
    positions = bert.VARIANTS['tiny'].positions
  limit = min(encoder.max_length, positions)
  # Read a little further than the limit, to say what limit would do; whole books are not read.
  lengths = np.array([len(ids) for ids in tokenizer.encode(words, texts[_draw(there, _TOKEN_TEXTS)], 512)])
  return (float(np.minimum(lengths, limit).mean()), float((lengths > limit).mean()),
          int(np.percentile(lengths, 95)), limit)


def _repeats(column):
  """Whether each entry of `column [n]` occurs more than once, bool `[n]`, and the most frequent one with its number."""
  if not len(column):
    return np.zeros(0, bool), '', 0
  found, place, counts = np.unique(column, return_inverse=True, return_counts=True)
  return counts[place] > 1, str(found[np.argmax(counts)]), int(counts.max())


def _repeated_titles(titles):
  twice, example, number = _repeats(titles[titles != ''])
  return int(twice.sum()), example, number


def _broken(catalogue):
  found = np.zeros(len(catalogue), bool)
  for column in (catalogue.titles, catalogue.texts):
    for sign in _BROKEN:
      found |= np.strings.find(column, sign) >= 0
  return int(found.sum()), str(catalogue.titles[np.argmax(found)]) if found.any() else ''
