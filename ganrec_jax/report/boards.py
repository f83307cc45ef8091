"""What TensorBoard shows of a finished run beside its curves: the items in the projector, and how things are spread."""

import os
import shutil

import numpy as np
import scipy.linalg

from ganrec_jax.errors import UserError

_ITEMS, _DIMS = 5000, 64  # of the projector at most, so that its files stay below a few MB and a browser can turn it
_DECIMALS = 4
_HEADER = ('title', 'id', 'interactions', 'known')


def folder_of(path):
  """Where they are in the work directory `path`: a run of TensorBoard's beside those of the trained stages."""
  return os.path.join(path, 'tensorboard', 'outcome')


def write(path, prepared, vectors, made):
  """Writes histograms and the projector of the items, in place of those of an earlier run.

  Args:
    path: the work directory.
    prepared: the run's `Prepared`.
    vectors: name -> float `[items, dim]`, the kinds of vectors that items have.
    made: the `Generated` interactions of all rows, with the weights that were chosen.

  Raises:
    UserError: where the folder cannot be written.
  """
  from tensorboardX import SummaryWriter  # takes a second to import
  folder, data = folder_of(path), prepared.dataset
  shutil.rmtree(folder, ignore_errors=True)  # the projector's config is appended to
  counts = np.bincount(data.interactions.item, minlength=data.items)
  warm = np.zeros(data.items, bool)
  warm[prepared.warm] = True
  items = np.argsort(-counts, kind='stable')[:_ITEMS]
  try:
    with SummaryWriter(folder) as writer:
      for name, values in spreads(vectors, warm, made).items():
        writer.add_histogram(name, values, 0)
      labels = _labels(data.catalogue, items, counts, warm)
      for name, rows in vectors.items():
        writer.add_embedding(narrowed(rows[items]), labels, tag=name, metadata_header=_HEADER)
  except OSError as error:
    raise UserError(f'{folder}: cannot be written ({error.strerror or error}); the results are complete, the same '
                    'command tries again') from error


def spreads(vectors, warm, made):
  """name -> float `[n]`: lengths of item vectors, and realness and weight of what was generated; none is empty.

  Args:
    vectors, made: as in `write`.
    warm: bool `[items]`, the known items; the others have their vectors from their texts.
  """
  found = {}
  for name, rows in vectors.items():
    lengths = np.linalg.norm(rows, axis=1)
    found |= {f'length/{name}/known': lengths[warm], f'length/{name}/new': lengths[~warm]}
  for source in np.unique(made.source):
    mine = made.source == source
    # A row has one weight for all of its interactions; what differs is how much of it an item gets.
    found[f'generated/{source}/weight_of_an_item'] = np.bincount(made.item[mine], made.weight[mine], len(warm))
    found[f'generated/{source}/realness'] = made.realness[mine & ~np.isnan(made.realness)]
  return {name: values for name, values in found.items() if len(values)}


def narrowed(rows):
  """The vectors `[n, dim]` in the directions in which they differ most: float64 `[n, up to 64]`, few digits."""
  rows = rows.astype(np.float64)
  if (dim := rows.shape[1]) > _DIMS:
    centred = rows - rows.mean(0)
    _, directions = scipy.linalg.eigh(centred.T @ centred, subset_by_index=(dim - _DIMS, dim - 1))
    rows = centred @ directions[:, ::-1]
  return np.round(rows, _DECIMALS)


def _labels(catalogue, items, counts, warm):
  """What the projector says of each of `items [m]`; tabs and line breaks would be columns and rows of its file."""
  return [(' '.join(str(catalogue.titles[item]).split()) or str(catalogue.ids[item]),
           ' '.join(str(catalogue.ids[item]).split()), counts[item], 'known' if warm[item] else 'new')
          for item in items]
