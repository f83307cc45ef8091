"""Words of a catalogue: shares, lengths, languages, tokens."""

import numpy as np
import pytest

from ganrec_jax.data.types import Catalogue
from ganrec_jax.errors import DataError
from ganrec_jax.report import texts

from . import worlds

GERMAN = ('Die Platte klingt nach langen Nächten am Meer und nach alten Freunden.',
          'Eine ruhige Sammlung von Liedern, die man im Herbst hören sollte.')
ENGLISH = ('The record sounds like long nights at the sea and of old friends.',
           'A quiet collection of songs that should be heard in the autumn.')


def catalogue(found, titles=None, ids=None):
  ids = np.array([f'i{k}' for k in range(len(found))]) if ids is None else np.array(ids)
  return Catalogue(ids, ids if titles is None else np.array(titles), np.array(found), ((),) * len(found))


def find(found, **options):
  config = worlds.config()
  return texts.find(found, np.arange(len(found)), config)


def test_shares_and_lengths_by_hand():
  found = find(catalogue(['', 'one two three', '12 34', 'i3', 'two words', 'The Matrix'],
                         ids=['a', 'b', 'c', 'i3', 'd', 'The Matrix']))
  # A number is no word, and an id is none unless it has blanks, as a title has.
  assert found.share == pytest.approx(3 / 6)
  assert (found.median, found.most, found.phrase_share) == (2, 3, 0)
  assert found.edges == (1, 2, 3, 4) and found.counts == (0, 2, 1)
  assert (found.tokens, found.cut, found.long, found.limit) == (0, 0, 0, 0)


@pytest.mark.parametrize('most', [1, 2, 29, 30, 31, 99, 100, 101, 5000])
def test_every_length_is_in_a_bin(most):
  found = find(catalogue(['word ' * (length - 1) + 'word' for length in {1, most // 2 + 1, most}]))
  assert found.most == most and sum(found.counts) == found.share * len({1, most // 2 + 1, most})
  assert (np.diff(found.edges) > 0).all() and len(found.edges) == len(found.counts) + 1 and len(found.counts) <= 31


def test_a_catalogue_without_words_is_described_too():
  found = find(catalogue(['', '']))
  assert (found.share, found.most, found.languages, found.read) == (0, 0, {}, 0)


def test_languages_are_told_and_short_texts_are_unclear():
  assert texts.languages(list(GERMAN)) == {'de': 1.}
  assert texts.languages([*ENGLISH, GERMAN[0], 'Muse']) == {'en': .5, 'de': .25, 'unclear': .25}
  assert texts.languages([]) == {}


def test_repeated_and_broken_words_are_counted():
  found = find(catalogue(['same text', 'same text', 'other text', 'm\ufffdll'], ['x', 'y', 'y', 'y']))
  assert found.repeated_titles == (3, 'y', 3) and found.repeated_texts == 2 and found.broken == (1, 'y')
  assert find(catalogue(['Beyonc\u00e9', 'M\u00e4dchen', '\u00c3 la carte'])).broken == (0, '')


def test_tokens_are_those_of_the_pretrained_encoder(tmp_path):
  config = worlds.config(encoder={'kind': 'pretrained', 'weights': str(tmp_path), 'max_length': 8})
  vocabulary = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]', 'one', 'two']
  (tmp_path / 'vocab.txt').write_text('\n'.join(vocabulary) + '\n')
  (tmp_path / 'config.json').write_text('{"model_type": "bert"}')
  words = catalogue(['one two', 'one ' * 6, 'two ' * 7, 'one ' * 30])
  found = texts.find(words, np.arange(4), config)
  # With [CLS] and [SEP] they hold 4, 8, 9 and 32 tokens, of which 8 are read.
  assert (found.tokens, found.cut, found.limit) == ((4 + 8 + 8 + 8) / 4, .5, 8)


def test_a_missing_pretrained_encoder_is_refused(tmp_path):
  config = worlds.config(encoder={'kind': 'pretrained', 'weights': 'nobody/nothing'})
  with pytest.raises(DataError, match='nobody/nothing'):
    texts.find(catalogue(['one two']), np.arange(1), config)
