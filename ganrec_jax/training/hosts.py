"""Several processes, on one machine or on many, as one run: they do the same, and the first one decides and writes.

Every process reads the data and goes through the same stages. The steps of training share each batch over the devices
of all; what each does besides, it does on its own devices. Where they could come to differ (what is found on disk, what
validation says, who was asked to stop) they take what the first process has, so only that one needs the work directory.
"""

import collections
import functools
import os
import pickle
import sys
import tempfile
import time
import traceback

import jax
import numpy as np
from absl import logging
from jax.experimental import multihost_utils
from tqdm import tqdm

from ganrec_jax.errors import UserError

# Seconds in which all processes must have been started.
_PATIENCE = 300
# Seconds without a sign of life after which a process is given up; a closed connection is noticed at once.
_HEARTBEAT = 60
# Seconds that the first process, by whom the others are connected, outlives a failure of all.
_GRACE = 3
_LEAST_BYTES, _MOST_BYTES = 1 << 12, 1 << 24


def first():
  """Whether this is the first process of the run, or the only one."""
  return jax.process_index() == 0


def local(devices):
  """Those of the `devices` that belong to this process, a tuple: what it does alone, it does on them."""
  return tuple(device for device in devices if device.process_index == jax.process_index())


def agreed(value):
  """The `value` that the first process has, whatever can be pickled, in every process.

  All processes must call it, in the same order; it waits for them. Arrays of JAX become NumPy's.
  """
  if jax.process_count() == 1:
    return value
  data = pickle.dumps(jax.device_get(value)) if first() else b''
  # Blocks of few sizes, so that few programs are compiled and the devices' memory is not filled.
  size = min(max(1 << (len(data) - 1).bit_length(), _LEAST_BYTES), _MOST_BYTES)
  blocks, size = multihost_utils.broadcast_one_to_all(np.array([-(-len(data) // size), size], np.int32)).tolist()
  data = data.ljust(blocks * size, b'\0')
  return pickle.loads(b''.join(
    multihost_utils.broadcast_one_to_all(np.frombuffer(data, np.uint8, size, block * size)).tobytes()
    for block in range(blocks)))


def largest(number):
  """The largest of the processes' whole numbers `number`; all must call it, in the same order."""
  return number if jax.process_count() == 1 else int(multihost_utils.process_allgather(np.int32(number)).max())


def in_turn(work, *arguments):
  """`work(*arguments)`, by the first process before the others: what it keeps on a disk that they share is then there.

  All processes must call it, in the same order.
  """
  if not first():
    agreed(None)
  result = work(*arguments)
  if first():
    agreed(None)
  return result


def check_alike(**digests):
  """Compares what must be the same in all processes, as hex strings of one length; all must call it.

  Raises:
    UserError: in every process, naming what differs.
  """
  if jax.process_count() == 1:
    return
  for name, digest in digests.items():
    found = multihost_utils.process_allgather(np.frombuffer(bytes.fromhex(digest), np.uint8))
    other = np.flatnonzero((found != found[0]).any(1))
    if len(other):
      raise UserError(f'process {other[0]} has another {name} than process 0; all processes need the same command, '
                      'data and code')


def run(work, workdir, coordinator=None, processes=None, process=None):
  """Runs `work(workdir)`, which returns an exit code, as one of several processes, or alone without a `coordinator`.

  Processes but the first say nothing, and their work directory is a temporary one. A process that fails ends at once;
  the others notice at the next step that they share, say so, and end with 1. Where nothing is heard of a process for a
  minute, or the first one is gone, JAX aborts the others with words of its own. The same command in all goes on.

  Args:
    work: what all processes do.
    workdir: the work directory.
    coordinator: 'host:port' of the first process; 'auto' where JAX knows its surroundings (Cloud TPU, Slurm, Open MPI,
      Kubernetes); None for a single process.
    processes: how many there are, None with 'auto'.
    process: which one this is, from 0, None with 'auto'.

  Returns:
    The exit code.

  Raises:
    UserError: where these do not fit together, or the processes have different numbers of devices.
  """
  _join(coordinator, processes, process)
  if jax.process_count() == 1:
    return work(workdir)
  logging.info('process %d of %d, with %d of %d devices', jax.process_index(), jax.process_count(),
               jax.local_device_count(), jax.device_count())
  with tempfile.TemporaryDirectory(prefix='ganrec_jax') as own:
    if not first():
      workdir = own
      _be_silent()
    code = _guarded(work, workdir)
  if code in (0, *range(129, 192)):  # what all of them know of: done, or stopped by a signal
    jax.distributed.shutdown()
    return code
  # Whoever fails must not wait for the others at the door: they may be waiting for him.
  time.sleep(_GRACE if first() else 0)
  sys.stdout.flush()
  sys.stderr.flush()
  os._exit(code)


def _join(coordinator, processes, process):
  """Connects this process to the others."""
  given = [name for name, value in (('processes', processes), ('process', process)) if value is not None]
  if coordinator in (None, 'auto') and given:
    raise UserError(f'--{given[0]} goes with --coordinator=HOST:PORT, the address of the first process')
  if coordinator is None:
    return
  if coordinator != 'auto':
    if len(given) < 2 or not 0 <= process < processes:
      raise UserError(f'--processes is {processes} and --process is {process}; with --coordinator=HOST:PORT allowed '
                      'are whole numbers from 1 on, and from 0 to one less')
    if not coordinator.rpartition(':')[2].isdigit():
      raise UserError(f'--coordinator is {coordinator!r}; allowed are HOST:PORT and auto')
  address = None if coordinator == 'auto' else coordinator
  logging.info('waiting for the other processes, up to %d s; where one stays away, JAX ends this one', _PATIENCE)
  try:
    jax.distributed.initialize(address, processes, process, initialization_timeout=_PATIENCE,
                               heartbeat_timeout_seconds=_HEARTBEAT)
  except (ValueError, RuntimeError) as error:
    raise UserError(f'--coordinator={coordinator}: the processes did not come together '
                    f'({str(error).splitlines()[0]})') from error
  counts = collections.Counter(device.process_index for device in jax.devices())
  if len(set(counts.values())) > 1:
    raise UserError(f'the processes have {sorted(counts.values())} devices; all must have as many')
  agreed(None)  # connects them all, so that from here on a lost one is noticed


def _be_silent():
  """Leaves tables, bars and news to the first process; warnings and errors are still said."""
  logging.set_verbosity(logging.WARNING)
  sys.stdout = open(os.devnull, 'w', encoding='utf-8')  # noqa: SIM115  (for good)
  tqdm.__init__ = functools.partialmethod(tqdm.__init__, disable=True)


def _guarded(work, workdir):
  """The exit code of `work(workdir)`; 1 where it failed in a way that it did not foresee, with a word about it."""
  try:
    return work(workdir)
  except BaseException as error:  # whatever it is, the others must not wait for this process
    # JAX raises one or the other, depending on when it learns of a lost connection.
    if not isinstance(error, jax.errors.JaxRuntimeError) and 'Gloo' not in str(error):
      traceback.print_exc()
    words = (str(error) or type(error).__name__).splitlines()[0]
    print(f'error: process {jax.process_index()} of {jax.process_count()} cannot go on ({words}); if another one has '
          'ended, see what it says. The same command in all of them goes on from the last checkpoint', file=sys.stderr)
  return 1
