"""Published data sets: where their archives come from, who made them, and how they are read and kept."""

import dataclasses
import difflib
import importlib
import os
import re
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from ganrec_jax.data import archives
from ganrec_jax.data.archives import Archive
from ganrec_jax.data.types import Dataset
from ganrec_jax.errors import ConfigError, DataError

# Where each source is: a module and its name there, imported only when it is asked for; a name that begins with a key
# that ends in '_' is one of many. Where several forms are published, a function chooses by what lies in the folder.
SOURCES = {
  'amazon_2018_': 'ganrec_jax.data.amazon:source',
  'amazon_2023_': 'ganrec_jax.data.amazon:source',
  'lastfm': 'ganrec_jax.data.lastfm:SOURCE',
  'lastfm1k': 'ganrec_jax.data.lastfm1k:SOURCE',
  'mind_large': 'ganrec_jax.data.mind:LARGE',
  'mind_small': 'ganrec_jax.data.mind:SMALL',
  'movielens_small': 'ganrec_jax.data.movielens:SMALL',
  'movielens_1m': 'ganrec_jax.data.movielens:ONE_MILLION',
  'movielens_32m': 'ganrec_jax.data.movielens:THIRTY_TWO_MILLION',
  'steam': 'ganrec_jax.data.steam:source',
  'steam_reviews': 'ganrec_jax.data.steam:source',
}
_ADVICE = re.compile(r'; --config\.data\.tables[^)]*| \(--config\.data\.tables[^)]*\)')


@dataclasses.dataclass(frozen=True)
class Source:
  """A published data set.

  Attributes:
    name: of the data set and its prepared copy, such as 'movielens_small'.
    homepage, citation, licence: for who uses it.
    archives: all that it takes.
    read: reads the archives, `read(paths, scratch) -> Dataset` with {archive name: path} and an empty folder for
      temporary files; the dataset is unfiltered, and its `info` has counts of all that was dropped or merged.
    published: the counts that `info['counts']` must have, as they were published.
    verb: what people did with the items, as in 'listened to'.
    version: of what `read` makes of an archive; a prepared copy of another version is not used.
  """
  name: str
  homepage: str
  citation: str
  licence: str
  archives: tuple[Archive, ...]
  read: Callable[[dict[str, Path], Path], Dataset]
  published: Mapping[str, int] = dataclasses.field(default_factory=dict)
  verb: str = 'chose'
  version: str = '1.0.0'


def named(name, folder=None, others=()):
  """The `Source` of that name, in the form whose archives lie in `folder` where there are several.

  Raises:
    ConfigError: for an unknown name, saying which are allowed, `others` included, the nearest first.
  """
  key = next((key for key in SOURCES if name == key or key.endswith('_') and name.startswith(key)), None)
  if key is None:
    known = [f'{key}CATEGORY' if key.endswith('_') else key for key in (*others, *SOURCES)]
    known.sort(key=lambda one: -difflib.SequenceMatcher(None, name, one).ratio())
    raise ConfigError(f'data.source is {name!r}; allowed are {", ".join(known)}')
  module, _, attribute = SOURCES[key].partition(':')
  found = getattr(importlib.import_module(module), attribute)
  return found if isinstance(found, Source) else found(name, folder)


def load(source, manual_dir, data_dir):
  """A published data set as a `Dataset` before any filter.

  The archives are read and checked whole before the prepared copy below `data_dir` is written. The copy is used where
  there are no archives, and made anew where one of them is another one (by SHA-256) than it was made from.

  Args:
    source: a `Source`.
    manual_dir: the folder the archives lie in, or None.
    data_dir: where downloads and prepared copies are kept.

  Raises:
    DataError: where there is neither archive nor copy nor network, or something in them cannot be used.
  """
  from ganrec_jax.data import tfds_copy  # imports TFDS, which takes seconds
  manual_dir, data_dir = (None if p is None else Path(p).expanduser() for p in (manual_dir, data_dir))
  folders = [p for p in (manual_dir, data_dir / 'downloads' / 'manual') if p is not None]
  found = archives.find(source.archives, folders)
  digests = {name: archives.sha256(path) for name, path in found.items()}
  dataset = tfds_copy.read(source, data_dir, digests)
  if dataset is None:
    # A log of any size lies in the scratch folder while it is written.
    with (archives.complete(source, found, folders, data_dir) as paths,
          tempfile.TemporaryDirectory(prefix='ganrec_jax') as scratch):
      tfds_copy.write(source, data_dir, _read(source, paths, digests, Path(scratch)))
    dataset = tfds_copy.read(source, data_dir, {})
  _verify_counts(source, dataset.info)
  return dataset


def _read(source, paths, digests, scratch):
  """The `Dataset` in the archives at `paths`, some of whose `digests` are known, with all that is known in `info`."""
  try:
    dataset = source.read(paths, scratch)
    _verify_counts(source, dataset.info)
  except DataError as error:
    # A folder that is soon gone is nothing to look into, and one's own tables' options are none here.
    words = _ADVICE.sub('', str(error).replace(f'{scratch}{os.sep}', ''))
    raise DataError(f'{words} (data set {source.name}, {source.homepage})') from error
  return dataclasses.replace(dataset, info={
    **dataset.info, 'name': source.name, 'simulated': False, 'verb': source.verb, 'citation': source.citation,
    'homepage': source.homepage, 'licence': source.licence,
    'archive_sha256': {name: digests.get(name) or archives.sha256(path) for name, path in paths.items()}})


def _verify_counts(source, info):
  wrong = [f'{info["counts"][key]} {key} where {due} are published' for key, due in source.published.items()
           if info['counts'][key] != due]
  if wrong:
    raise DataError(f'{", ".join(archive.name for archive in source.archives)}: {"; ".join(wrong)}; get it anew')
