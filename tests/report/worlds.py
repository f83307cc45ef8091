"""Healthy prepared data, and ways to spoil them."""

import dataclasses

import numpy as np
from stages import worlds

from ganrec_jax.data import splits
from ganrec_jax.data.types import Catalogue, Dataset, Interactions
from ganrec_jax.report import costs, facts
from ganrec_jax.stages.prepare import Prepared, prepare

TODAY = 1_800_000_000  # 2027-01-15
MACHINE = costs.Machine(2, 24 * 2**30)


def config(variant='testing', **sections):
  """The config of a sample world without an encoder, so that no tokenizer is trained."""
  found = worlds.config(variant, **sections)
  if 'encoder' not in sections:
    found.encoder.kind = 'none'
  return found


def small():
  """The small sample world, prepared."""
  return prepare(config())


def look(prepared, found=None, machine=MACHINE):
  """The `Facts` of prepared data."""
  return facts.find(prepared, found or config(), TODAY, machine)


def split_of(dataset, **options):
  """Prepared data of any dataset, split at random."""
  log = dataset.interactions
  how = {'kind': 'random', 'cold_items': .2, 'cold_users': 0., 'seed': 0} | options
  return Prepared(dataset, splits.make_split(log, dataset.users, dataset.items, **how), None)


def with_log(prepared, **columns):
  """The same data with other columns of the log."""
  data = prepared.dataset
  return split_of(dataclasses.replace(data, interactions=dataclasses.replace(data.interactions, **columns)))


def with_catalogue(prepared, **columns):
  """The same data with other columns of the catalogue."""
  data = prepared.dataset
  return split_of(dataclasses.replace(data, catalogue=dataclasses.replace(data.catalogue, **columns)))


def log_of(counts, items, seed=0):
  """A dataset in which user k has `counts[k]` interactions with different ones of the `items`."""
  rng = np.random.default_rng(seed)
  user = np.repeat(np.arange(len(counts)), counts).astype(np.int32)
  item = np.concatenate([rng.permutation(items)[:count] for count in counts]).astype(np.int32)
  ids = np.array([f'i{k}' for k in range(items)])
  texts = np.array([f'thing number {k} of the shop' for k in range(items)])
  log = Interactions(user, item, rng.integers(1, 9, len(user)).astype(np.float32), rng.integers(1e9, 1.5e9, len(user)))
  return Dataset(log, Catalogue(ids, texts, texts, ((),) * items), np.array([f'u{k}' for k in range(len(counts))]),
                 {'name': 'made', 'simulated': True})
