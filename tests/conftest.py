"""Eight simulated devices and a compilation cache for every test, set before jax is imported."""

import atexit
import os
import pathlib
import shutil
import tempfile

os.environ['XLA_FLAGS'] = os.environ.get('XLA_FLAGS', '') + ' --xla_force_host_platform_device_count=8'
# Simulated devices share a thread pool; with fewer threads than collectives in flight they wait for one another.
os.environ.setdefault('NPROC', '16')
os.environ.setdefault('MPLBACKEND', 'agg')
# Many tests compile the same programs, and those that start a process would compile them once more.
if 'JAX_COMPILATION_CACHE_DIR' not in os.environ:
  os.environ['JAX_COMPILATION_CACHE_DIR'] = tempfile.mkdtemp(prefix='compiled')
  os.environ['JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS'] = '.2'
  atexit.register(shutil.rmtree, os.environ['JAX_COMPILATION_CACHE_DIR'], ignore_errors=True)

import jax  # noqa: E402
import pytest  # noqa: E402

REAL_DATA = pathlib.Path(__file__).resolve().parents[2] / 'shared' / 'data'


@pytest.fixture(autouse=True, scope='module')
def forget_programs():
  """Compiled programs hold many memory mappings; where a process has 65,530 of them the next program crashes it."""
  yield
  jax.clear_caches()


@pytest.fixture
def real_data():
  """The folder of real data sets beside the repository; the test is skipped where it is absent."""
  if not REAL_DATA.is_dir():
    pytest.skip(f'needs the real data sets, and {REAL_DATA.name} is not beside the repository')
  return REAL_DATA
