"""The testing config as a config object, for tests of the stages."""

import importlib.util
import pathlib

from ganrec_jax.stages import workspace

ROOT = pathlib.Path(__file__).resolve().parents[2]


def config(variant='testing', **sections):
  """The config of `configs/music.py`, with `section={field: value}` changed."""
  spec = importlib.util.spec_from_file_location('music', ROOT / 'configs' / 'music.py')
  music = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(music)
  found = music.get_config(variant)
  for section, fields in sections.items():
    found[section].update(fields)
  found.devices = 1
  return found


def workspace_of(found, path):
  """The workspace of a config in the folder `path`."""
  return workspace.make(found, str(path))
