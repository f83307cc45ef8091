"""Answers from this folder alone: python answer.py ITEM_ID ITEM_ID ...   It needs jax, numpy, safetensors, pyarrow."""
import hashlib
import json
import pathlib
import sys

import jax
import numpy as np
import pyarrow.parquet
from jax import export
from safetensors.numpy import load_file


def load(folder):
  """answer(item_ids, k, adventure), the best k beyond a history as (id, title, score), from an export's Path."""
  manifest = json.loads((folder / 'manifest.json').read_text('utf-8'))
  if manifest.get('format') != 1:
    raise ValueError(f'{folder}: an export of format {manifest.get("format")}; this loader reads format 1')
  for name, due in {'manifest.json': manifest.pop('sha256', None), **manifest['files']}.items():
    data = json.dumps(manifest, sort_keys=True).encode() if name == 'manifest.json' else (folder / name).read_bytes()
    if hashlib.sha256(data).hexdigest() != due:
      raise ValueError(f'{folder / name}: its SHA-256 is not what the manifest says; it was damaged, export it again')
  scores = jax.jit(export.deserialize(bytearray((folder / 'scores.jax_export').read_bytes())).call)
  parameters = jax.device_put(load_file(folder / 'parameters.safetensors'))
  ids, titles = pyarrow.parquet.read_table(folder / 'items.parquet', columns=['id', 'title']).to_pydict().values()
  place = {one: i for i, one in enumerate(ids)}

  def answer(history, k=10, adventure=0.):
    if unknown := set(history) - place.keys():
      raise ValueError(f'unknown items {", ".join(unknown)}; {folder / "items.parquet"} holds those that are known')
    items = np.int32(sorted({place[one] for one in history}))
    there = np.float32(np.arange(1 << max(len(items) - 1, 0).bit_length()) < len(items))[None]  # of few lengths
    found = np.asarray(scores(parameters, np.resize(items, there.shape), there, np.float32(adventure)))[0]
    return [(ids[i], titles[i], float(found[i])) for i in np.argsort(-found, kind='stable')[:k] if found[i] > -np.inf]
  return answer


if __name__ == '__main__':
  sys.excepthook = lambda _, error, __: print(f'error: {error}', file=sys.stderr)
  print(*('\t'.join(map(str, one)) for one in load(pathlib.Path(__file__).parent)(sys.argv[1:])), sep='\n')
