"""The testing config as a config object, for tests of the stages."""

import importlib.util
import pathlib

from ganrec_jax.stages import workspace

ROOT = pathlib.Path(__file__).resolve().parents[2]


def config_file(name):
  """The module of `configs/NAME.py`."""
  spec = importlib.util.spec_from_file_location(name, ROOT / 'configs' / f'{name}.py')
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  return module


def config(variant='testing', **sections):
  """The config of `configs/music.py`, with `section={field: value}` changed."""
  return of('music', variant, **sections)


def of(domain, variant='testing', **sections):
  """The config of `configs/DOMAIN.py`, with `section={field: value}` or a field outside of sections changed."""
  found = config_file(domain).get_config(variant)
  found.update(sections)
  found.devices = 1
  return found


def workspace_of(found, path):
  """The workspace of a config in the folder `path`."""
  return workspace.make(found, str(path))
