"""Tokenizers: those of pretrained models, and WordPiece trained on a catalogue's own texts."""

import collections
import os

import numpy as np
import tokenizers
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors, trainers

from ganrec_jax.errors import ConfigError, DataError

# In a vocabulary trained here these have the ids 0 to 4.
SPECIAL = ('[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]')
PAD, UNK, CLS, SEP, MASK = range(len(SPECIAL))


def load(folder):
  """The tokenizer of the pretrained model in a local folder, as a `tokenizers.Tokenizer`.

  Raises:
    DataError: where the folder holds no tokenizer.
  """
  if not any(os.path.isfile(os.path.join(folder, name)) for name in ('tokenizer.json', 'vocab.txt')):
    raise DataError(f'{folder}: holds neither tokenizer.json nor vocab.txt, so its texts cannot be tokenized')
  from transformers import AutoTokenizer  # takes a second or two to import
  try:
    return AutoTokenizer.from_pretrained(folder, local_files_only=True, use_fast=True).backend_tokenizer
  except (OSError, ValueError) as error:
    raise DataError(f'{folder}: its tokenizer cannot be read ({error})') from error


def from_json(text):
  """The tokenizer that `Tokenizer.to_str` turned into a JSON string.

  Raises:
    DataError: where the string is damaged.
  """
  try:
    return tokenizers.Tokenizer.from_str(text)
  except Exception as error:  # the library raises nothing more specific
    raise DataError(f'a saved tokenizer cannot be read ({error})') from error


def train_wordpiece(texts, vocab_size):
  """Trains an uncased WordPiece vocabulary; the same texts give the same tokenizer.

  The alphabet is the most frequent characters, at most a quarter of the vocabulary; other characters become `[UNK]`.

  Args:
    texts: an iterable of str.
    vocab_size: the most entries, the five special ones among them; at least 20.

  Returns:
    A `tokenizers.Tokenizer`; its `to_str()` saves it.

  Raises:
    ConfigError: for a smaller `vocab_size`.
  """
  if vocab_size < 20:
    raise ConfigError(f'vocab_size: {vocab_size}; at least 20 are needed')
  texts = [str(text) for text in texts]
  draft = _uncased(models.WordPiece(unk_token=SPECIAL[UNK]))
  counts = collections.Counter(
      character for text in texts
      for word, _ in draft.pre_tokenizer.pre_tokenize_str(draft.normalizer.normalize_str(text)) for character in word)
  ranked = sorted(counts, key=lambda character: (-counts[character], character))
  alphabet = sorted(ranked[:(vocab_size - len(SPECIAL)) // 4])
  # The trainer numbers the pieces '##x' in the order of a hash table with a random seed, and breaks ties between
  # merges by these numbers. Named as special tokens they are numbered in the order given.
  trainer = trainers.WordPieceTrainer(
      vocab_size=vocab_size, special_tokens=[*SPECIAL, *(f'##{c}' for c in alphabet)], initial_alphabet=alphabet,
      limit_alphabet=len(alphabet), min_frequency=2, show_progress=False)
  draft.train_from_iterator(texts, trainer)
  tokenizer = _uncased(models.WordPiece(draft.get_vocab(), unk_token=SPECIAL[UNK]))
  tokenizer.add_special_tokens(list(SPECIAL))
  tokenizer.post_processor = processors.TemplateProcessing(
      single='[CLS] $A [SEP]', pair='[CLS] $A [SEP] $B:1 [SEP]:1', special_tokens=[('[CLS]', CLS), ('[SEP]', SEP)])
  return tokenizer


def _uncased(model):
  tokenizer = tokenizers.Tokenizer(model)
  tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
  tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
  tokenizer.decoder = decoders.WordPiece()
  return tokenizer


def encode(tokenizer, texts, max_length):
  """Token ids, at most `max_length` a text, with what the tokenizer puts around them: `[CLS]` and `[SEP]` for BERT.

  GPT-2's puts nothing there; a text without a token is then its `<|endoftext|>`.

  Returns:
    A list of int32 arrays `[length]`, one a text.
  """
  tokenizer.no_padding()
  tokenizer.enable_truncation(max_length)
  end = tokenizer.token_to_id('<|endoftext|>')
  nothing = [] if end is None else [end]
  return [np.asarray(e.ids or nothing, np.int32) for e in tokenizer.encode_batch([str(text) for text in texts])]
