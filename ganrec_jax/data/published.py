"""Published data sets: where their archives come from, who made them, and how they are read."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

from ganrec_jax.data.types import Dataset


@dataclasses.dataclass(frozen=True)
class Archive:
  """A file that a data set is published as.

  Attributes:
    name: its file name.
    url: where it can be downloaded, or '' where a person has to get it (a form, a licence to agree to).
    sha256: as hex, where every copy in circulation has the same bits and they are known; else ''.
  """
  name: str
  url: str = ''
  sha256: str = ''


@dataclasses.dataclass(frozen=True)
class Source:
  """A published data set.

  Attributes:
    name: of the data set and its prepared copy, such as 'movielens_small'.
    homepage, citation, licence: for who uses it.
    archives: all that it takes.
    read: reads the archives, `read(paths, scratch) -> Dataset` with {archive name: path} and an empty folder for
      temporary files; the dataset is unfiltered, and its `info` has counts of all that was dropped or merged.
  """
  name: str
  homepage: str
  citation: str
  licence: str
  archives: tuple[Archive, ...]
  read: Callable[[dict[str, Path], Path], Dataset]
