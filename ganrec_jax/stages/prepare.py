"""prepare: reads and checks the log, drops what is too thin, and splits it."""

import dataclasses
import functools
import os

import numpy as np

from ganrec_jax.data import clean, published, ragged, sample, split_files, splits
from ganrec_jax.data.types import Dataset, Split
from ganrec_jax.errors import ConfigError
from ganrec_jax.evaluation.tasks import item_masks


@dataclasses.dataclass(frozen=True)
class Prepared:
  """What `prepare` leaves: the data, the split, and the world behind them where they are simulated."""
  dataset: Dataset
  split: Split
  world: sample.World | None

  @functools.cached_property
  def histories(self):
    """The training items of each user, a `Ragged` over users, oldest first where there are times."""
    log = self.dataset.interactions.take(self.split.rows('train'))
    return ragged.group(log.user, log.item, self.dataset.users, order=log.time)

  def strengths(self, power):
    """The `histories` with weights (value / the user's mean value)^power, scaled to a mean of 1 for each user.

    None is below .001: an interaction that hardly says anything is still one.
    """
    histories, log = self.histories, self.dataset.interactions.take(self.split.rows('train'))
    values = ragged.group(log.user, log.item, self.dataset.users, log.value, log.time).weights.astype(np.float64)
    if not power or not len(values):
      return histories
    owner = np.repeat(np.arange(len(histories)), histories.lengths)
    for exponent in (power, 1):
      values = (values / (np.bincount(owner, values) / np.maximum(np.bincount(owner), 1))[owner]) ** exponent
    return dataclasses.replace(histories, weights=np.maximum(values, .001).astype(np.float32))

  @functools.cached_property
  def warm(self):
    """The warm items, int64 `[m]`."""
    return np.flatnonzero(item_masks(self.dataset, self.split)['warm'])

  @property
  def ordered(self):
    """Whether histories have an order in time."""
    return self.dataset.interactions.time is not None

  def sha256(self):
    """The hash of data and split."""
    return self.dataset.sha256() + self.split.sha256()


def prepare(config, given=None):
  """Reads and splits the log that the config names, or the `Dataset` that is `given` where data.source is 'given'.

  Raises:
    UserError: where the data or the config cannot be used.
  """
  dataset, world = read(config, given)
  return Prepared(*split(dataset, config), world)


def read(config, given=None):
  """The data of a config without what is too thin, and the world behind them where they are simulated.

  Raises:
    UserError: where the data or the config cannot be used.
  """
  dataset, world = _read(config, given)
  if config.data.least_value > 0:
    dataset = clean.at_least(dataset, config.data.least_value)
  if config.data.most_interactions > 0:
    dataset = clean.at_most(dataset, config.data.most_interactions)
  if not 0 < config.data.user_share <= 1:
    raise ConfigError(f'data.user_share is {config.data.user_share}; allowed are numbers above 0, up to 1')
  if config.data.user_share < 1:
    dataset = clean.subsample_users(dataset, config.data.user_share, config.seed)
  return clean.k_core(dataset, config.data.min_user, config.data.min_item), world


def split(dataset, config):
  """The dataset and its split, drawn or read from a file; a file leaves the pairs that it names.

  Raises:
    UserError: where the file or the config cannot be used.
  """
  if config.data.split_file:
    return split_files.read_split(config.data.split_file, dataset)
  return dataset, splits.make_split(dataset.interactions, dataset.users, dataset.items, seed=config.seed,
                                    **config.split.to_dict())


def _read(config, given):
  if (config.data.source == 'given') != (given is not None):
    raise ConfigError("a dataset is given from Python if and only if data.source is 'given'; data.source is "
                      f'{config.data.source!r} and a dataset is {"not " * (given is None)}given')
  if given is not None:
    return given, None
  if config.data.source == 'sample':
    world = sample.make_world(sample.WorldConfig(seed=config.seed, **config.world.to_dict()))
    return world.dataset, world
  if config.data.source == 'tables':
    from ganrec_jax.data import tables  # imports DuckDB
    options = tables.TablesConfig(**config.data.tables.to_dict())
    if config.data.prepared:
      from ganrec_jax.data import beam
      return beam.load(options, config.data.prepared), None
    return tables.kept(options, os.path.expanduser(config.data.data_dir)), None
  folder = config.data.manual_dir or None
  source = published.named(config.data.source, folder, others=('sample', 'tables', 'given'))
  return published.load(source, folder, config.data.data_dir), None
