"""The same through the index, for large catalogues: python answer_index.py ITEM_ID ITEM_ID ...   Needs faiss-cpu."""
import json
import pathlib
import sys

import answer  # beside this file
import faiss
import jax
import numpy as np
import pyarrow.parquet
from jax import export
from safetensors.numpy import load_file


def load(folder):
  """answer(item_ids, k), as `answer.load` gives it, but among the candidates that the index proposes."""
  answer.load(folder)  # refuses what is damaged
  most = json.loads((folder / 'manifest.json').read_text('utf-8'))['index']['candidates']
  index = faiss.read_index(str(folder / 'items.faiss'))
  propose, rank = (jax.jit(export.deserialize(bytearray((folder / f'{name}.jax_export').read_bytes())).call)
                   for name in ('propose', 'rank'))
  parameters = jax.device_put(load_file(folder / 'parameters.safetensors') | load_file(folder / 'index.safetensors'))
  ids, titles = pyarrow.parquet.read_table(folder / 'items.parquet', columns=['id', 'title']).to_pydict().values()
  place = {one: i for i, one in enumerate(ids)}

  def ask(history, k=10):
    if unknown := set(history) - place.keys():
      raise ValueError(f'unknown items {", ".join(unknown)}; {folder / "items.parquet"} holds those that are known')
    items = np.int32(sorted({place[one] for one in history}))
    there = np.float32(np.arange(1 << max(len(items) - 1, 0).bit_length()) < len(items))[None]  # of few lengths
    items = np.resize(items, there.shape)
    candidates = np.int32(index.search(np.asarray(propose(parameters, items, there)), most)[1])
    scores = np.asarray(rank(parameters, items, there, candidates))[0]
    best = [n for n in np.argsort(-scores, kind='stable')[:k] if scores[n] > -np.inf]
    return [(ids[candidates[0, n]], titles[candidates[0, n]], float(scores[n])) for n in best]
  return ask


if __name__ == '__main__':
  sys.excepthook = lambda _, error, __: print(f'error: {error}', file=sys.stderr)
  print(*('\t'.join(map(str, one)) for one in load(pathlib.Path(__file__).parent)(sys.argv[1:])), sep='\n')
