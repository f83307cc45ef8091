"""MiniLM over item texts: ours against transformers' BertModel, on the same weights and tokens."""

import csv
import pathlib

import jax
import numpy as np

from experiments.races.turns import OURS, Skipped, missing, races
from ganrec_jax.data import sample
from ganrec_jax.encoding import tokenizer, vectors, weights

BATCH, MOST = 32, 4600
_WORK = 'MiniLM over item texts'


def texts_of(data, most):
  """At most `most` item texts, evenly taken, and where they are from.

  Those of Amazon's Industrial and Scientific where the folder `data` has it, else those of a sample world.
  """
  path = pathlib.Path(data) / 'amazon-industrial' / 'items.csv'
  if path.is_file():
    with open(path, encoding='utf-8', newline='') as file:
      found, name = [f'{row["title"]} {row["description"]}' for row in csv.DictReader(file)], 'Amazon'
  else:
    world = sample.make_world(sample.WorldConfig(users=300, items=1000))
    found, name = [str(text) for text in world.dataset.catalogue.texts], 'the sample world'
  return [found[place] for place in np.linspace(0, len(found) - 1, min(most, len(found))).astype(int)], name


def encoder(options):
  """The races of the encoder."""
  reason = missing('torch') or missing('transformers')
  if reason:
    return [Skipped(_WORK, 'transformers', reason)]
  import torch
  import transformers
  folder = weights.find('minilm')
  ours, words = weights.load(folder), tokenizer.load(folder)
  model = transformers.BertModel.from_pretrained(folder, add_pooling_layer=False, attn_implementation='sdpa').eval()
  texts, name = texts_of(options.data, max(1, round(MOST * options.share)))
  ids = tokenizer.encode(words, texts, 128)

  @torch.inference_mode()
  def theirs(order):
    out = np.zeros((len(ids), ours.config.dim), np.float32)
    for start in range(0, len(order), BATCH):
      rows = order[start:start + BATCH]
      padded = torch.nn.utils.rnn.pad_sequence([torch.tensor(ids[row], dtype=torch.long) for row in rows], True)
      mask = (padded != 0).float()
      hidden = model(input_ids=padded, attention_mask=mask).last_hidden_state
      out[rows] = ((hidden * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)).numpy()
    return out

  by_length = np.argsort([len(row) for row in ids], kind='stable')
  encode = lambda: vectors.encode(ours.params, ours.config, ids, devices=jax.devices()[:1])  # noqa: E731
  difference = np.abs(encode() - theirs(by_length)).max()
  by_us, in_order = 'transformers (SDPA), sorted by length', 'transformers (SDPA), as given'
  return races(_WORK, 'texts', len(ids), {OURS: encode, by_us: lambda: theirs(by_length),
                                          in_order: lambda: theirs(np.arange(len(ids)))}, {by_us: 1.5},
               f'{len(ids)} texts of {name}, {np.mean([len(row) for row in ids]):.0f} tokens on average; vectors at '
               f'most {difference:.1e} apart', options.runs)
