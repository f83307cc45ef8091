"""What every stage works in: the config, the work directory, the devices, and where it saves and logs."""

import dataclasses
import os
import shutil
import zlib

import jax
from ml_collections import ConfigDict

from ganrec_jax import artifacts
from ganrec_jax.errors import ConfigError, UserError
from ganrec_jax.training import loop
from ganrec_jax.training.logs import Metrics

# Written into every artifact's key: raise it where the meaning of an artifact changes.
VERSION = 2
PROFILE = 'profile'  # the folder of traces in a work directory


@dataclasses.dataclass(frozen=True)
class Workspace:
  """The surroundings of all stages.

  Attributes:
    config: the whole config.
    path: the work directory.
    devices: what the stages run on.
    metrics: where measurements go.
    profile: whether a trace of each trained stage is wanted.
  """
  config: ConfigDict
  path: str
  devices: tuple
  metrics: Metrics
  profile: bool = False

  def artifact(self, name):
    """The path of an artifact."""
    return os.path.join(self.path, 'artifacts', name)

  def key(self, purpose):
    """The random key of a purpose, a str."""
    return jax.random.fold_in(jax.random.key(self.config.seed), zlib.crc32(purpose.encode()))

  def surroundings(self, stage, key):
    """Where the trained `stage` saves and logs; checkpoints that another `key` (a hash) has left are removed."""
    folder = os.path.join(self.path, 'checkpoints', stage)
    path = os.path.join(folder, key[:16])
    for stale in os.listdir(folder) if os.path.isdir(folder) else ():
      if stale != os.path.basename(path):
        shutil.rmtree(os.path.join(folder, stale))
    profile = os.path.join(self.path, PROFILE, stage) if self.profile else None
    return loop.Surroundings(stage, self.devices, path, self.metrics, profile)


def devices(config):
  """The devices that the config asks for, a tuple.

  Raises:
    ConfigError: where there are fewer.
  """
  found = jax.devices()
  if not 0 <= config.devices <= len(found):
    raise ConfigError(f'devices is {config.devices}; allowed are 0 (all) to {len(found)}')
  return tuple(found[:config.devices or len(found)])


def make(config, path, profile=False):
  """The workspace of a config in the work directory `path`, which is made where it does not exist.

  Args:
    config, path: see `Workspace`.
    profile: whether a trace of each trained stage is wanted.

  Raises:
    UserError: where another version has left the work directory.
    ConfigError: where there are fewer devices than asked for.
  """
  found = devices(config)
  _claim(path)
  return Workspace(config, path, found, Metrics(path), profile)


def _claim(path):
  """Writes the version of the artifacts into the work directory, or refuses one of another version."""
  version = os.path.join(path, 'artifacts', 'version.json')
  if not os.path.exists(version):
    artifacts.write_json(version, VERSION)
    return
  with open(version, encoding='utf-8') as file:
    found = file.read().strip()
  if found != str(VERSION):
    raise UserError(f'{path}: was left by version {found} of the artifacts, this is version {VERSION}; '
                    'choose another --workdir')
