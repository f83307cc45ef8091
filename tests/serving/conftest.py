"""What the tests of the server share: a small run, fitted once."""

import pytest

from ganrec_jax.serving import answers

from . import runs


@pytest.fixture(scope='session')
def dense(tmp_path_factory):
  """What `finished.load` returns of a run with matrices of items times items."""
  return runs.parts(tmp_path_factory.mktemp('dense'))


@pytest.fixture(scope='session')
def finished_run(tmp_path_factory):
  """The work directory of a finished run, to be copied before it is served."""
  path = runs.finished_in(tmp_path_factory.mktemp('finished'))
  answers.load(str(path))
  return path
