"""One frozen draw of a real data set, with all that any recommender may read of it."""

import dataclasses
import functools
import importlib.util
import os
import pathlib

import numpy as np

from ganrec_jax.data import text
from ganrec_jax.data.ragged import Ragged
from ganrec_jax.evaluation.tasks import item_masks, make_tasks
from ganrec_jax.models import kernels
from ganrec_jax.stages import encode, prepare, workspace

ROOT = pathlib.Path(__file__).resolve().parents[2]
# name -> (config file, variant, what it says about the data); {data} is the folder with the archives.
SETS = {
    'lastfm': ('music', 'lastfm', {'manual_dir': '{data}'}),
    'movielens': ('video', 'movielens_small', {'manual_dir': '{data}'}),
    'industrial': ('tables', '', {'min_user': 4, 'min_item': 2,
                                  'tables.interactions': '{data}/amazon-industrial/interactions.csv',
                                  'tables.items': '{data}/amazon-industrial/items.csv'}),
}


@dataclasses.dataclass(frozen=True)
class Problem:
  """The data of one draw, and what texts say of the items; everything fitted is fitted on warm items.

  Attributes:
    name: of the data set.
    draw: its number, 0 to 4.
    config: the whole config.
    prepared: dataset, split, training histories (`Ragged` over users, weights 1) and the warm items int `[m]`.
    texts: float32 `[items, 384]`, MiniLM's vectors; zeros where an item has no text.
    whitened: float32 `[items, 128]`, whitened and of length 1.
    terms: `Ragged` over items, TF-IDF rows of length 1 (attribute phrases and their words, else 1- and 2-grams).
    num_terms: columns of the TF-IDF rows.
    workdir: where vectors and adapted encoders are kept.
  """
  name: str
  draw: int
  config: object
  prepared: prepare.Prepared
  texts: np.ndarray
  whitened: np.ndarray
  terms: Ragged
  num_terms: int
  workdir: str

  @functools.cached_property
  def warm(self):
    """bool `[items]`."""
    return item_masks(self.prepared.dataset, self.prepared.split)['warm']

  @functools.cached_property
  def alike(self):
    """float32 `[items, items]`, the cosines of the TF-IDF rows."""
    return text.similarities(self.terms, self.terms, self.num_terms)

  def kernel(self, share=.5):
    """The content kernel float32 `[items, items]`, `share` of it from the text vectors."""
    return kernel_of(self.whitened, self.alike, share)

  def own_kernel(self, adapted=True):
    """The content kernel of a run by the config, its encoder adapted to the training pairs or not; for ours alone."""
    space = workspace.make(self.config, self.workdir)
    if not adapted:
      return encode.content_kernel(space, self.prepared.dataset.catalogue, self.prepared.warm, [self.texts])
    return encode.content(space, self.prepared, encode.text_encoder(space, self.prepared)).kernel

  def tasks(self, held_out):
    """The tasks of 'valid' or 'test', name -> `Task`."""
    return make_tasks(self.prepared.dataset, self.prepared.split, 0, held_out)


def kernel_of(whitened, alike, share):
  """The content kernel float32 `[items, items]` of whitened vectors `[items, dim]` and TF-IDF cosines `alike`."""
  return kernels.with_unit_diagonal(kernels.content_kernel(whitened @ whitened.T, [alike], share))


def config_of(file, variant):
  """The config of a variant of `configs/FILE.py`."""
  spec = importlib.util.spec_from_file_location(file, ROOT / 'configs' / f'{file}.py')
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  return module.get_config(variant)


def configured(name, draw, data):
  """The config of one draw of a data set, one of `SETS`; `data` is the folder with the data sets and `splits/`."""
  file, variant, fields = SETS[name]
  config = config_of(file, variant)
  with config.unlocked():
    for field, value in fields.items():
      config.data.update_from_flattened_dict(
        {field: value.format(data=data) if isinstance(value, str) else value})
    config.data.split_file = os.path.join(data, 'splits', name + (f'-{draw}' if draw else '') + '.csv.gz')
    config.encoder.kind = 'pretrained'
  return config


def load(name, draw, data, workdir):
  """Reads one draw.

  Args:
    name: one of `SETS`.
    draw: 0 to 4.
    data: the folder with the data sets and `splits/`.
    workdir: where the text vectors are kept.
  """
  config = configured(name, draw, data)
  prepared = prepare.prepare(config)
  # The texts are the same in all draws, though not the order of the items: the vectors' key tells.
  path, frozen = os.path.join(workdir, f'{name}-{draw}'), config.copy_and_resolve_references().unlock()
  frozen.encoder.adapt_steps = 0
  space, catalogue = workspace.make(frozen, path), prepared.dataset.catalogue
  texts = encode.text_vectors(space, encode.text_encoder(space, prepared), catalogue.texts, 'encode.frozen.npz')
  texts = np.where((np.asarray(catalogue.texts) != '')[:, None], texts, 0)
  terms, num_terms = text.tfidf(catalogue.phrases, catalogue.texts, prepared.warm)
  whitened = np.asarray(kernels.whiten(texts, prepared.warm).apply(texts))
  return Problem(name, draw, config, prepared, texts, whitened, terms, num_terms, path)
