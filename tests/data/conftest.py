"""Sample worlds for several test files, each made once."""

import functools

import pytest

from ganrec_jax.data.sample import WorldConfig, make_world


@functools.cache
def _world(domain, size):
  """The world of a domain in the size 'default' or 'small'."""
  return make_world(WorldConfig(domain) if size == 'default' else WorldConfig(domain, 200, 150, 4000))


@pytest.fixture
def world_of():
  """`world_of(domain, size)`, see `_world`."""
  return _world


@pytest.fixture
def world():
  """The music world."""
  return _world('music', 'default')


@pytest.fixture
def small():
  """A small music world."""
  return _world('music', 'small')
