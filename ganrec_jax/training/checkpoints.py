"""Orbax checkpoints that are written while training goes on, that survive a kill, and are walked back past damage."""

import contextlib
import errno
import glob
import os
import shutil
import tempfile

import jax
import numpy as np
import orbax.checkpoint as ocp
from absl import logging

from ganrec_jax.errors import UserError

_ITEM = 'progress'


def _reserve(directory, size):
  """Raises an `OSError` where `directory` cannot take a file of `size` bytes."""
  with tempfile.TemporaryFile(dir=directory) as file:
    if hasattr(os, 'posix_fallocate'):
      os.posix_fallocate(file.fileno(), 0, max(1, size))
    elif shutil.disk_usage(directory).free < size:
      raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


class Checkpoints:
  """The checkpoints of one trained stage in one folder: the newest two are kept.

  An older one is removed only when a newer one is whole, so one that can be read is there at any moment.

  Args:
    directory: made where it does not exist.

  Raises:
    UserError: where the folder cannot be written.
  """

  def __init__(self, directory):
    # Of several processes only the first one saves, and waits for no other.
    alone = ocp.options.MultiprocessingOptions(primary_host=0, active_processes={0})
    options = ocp.CheckpointManagerOptions(max_to_keep=2, enable_async_checkpointing=True, create=False,
                                           cleanup_tmp_directories=True, multiprocessing_options=alone)
    try:
      os.makedirs(directory, exist_ok=True)
      # Without a name of the item Orbax infers from the newest checkpoint, which may be damaged, how to read them all.
      self._manager = ocp.CheckpointManager(os.path.abspath(directory), item_names=(_ITEM,), options=options)
    except OSError as error:
      raise UserError(f'{directory}: checkpoints cannot be written here ({error.strerror})') from error
    self._directory, self._step = directory, None

  def save(self, step, state):
    """Begins to save `state`, a pytree of arrays, as step number `step`, unless this or a later one is there.

    It waits for the save before, and returns when the state is copied, so that its buffers may be given away.

    Raises:
      UserError: where this one or the one before cannot be written; what is half-written goes at the next start at the
        latest.
    """
    self.wait()
    newest = self._manager.latest_step()
    if newest is not None and step <= newest:
      return
    self._step = step
    # On a CPU, what is got from a device may be the buffer itself.
    state = jax.tree.map(np.array, jax.device_get(state))
    with self._told():
      # Orbax writes in many threads; where the disk is full it is better not to begin.
      _reserve(self._directory, sum(leaf.nbytes for leaf in jax.tree.leaves(state)))
      self._manager.save(step, args=ocp.args.Composite(**{_ITEM: ocp.args.StandardSave(state)}))

  def wait(self):
    """Waits for the save under way; raises as `save` does."""
    with self._told():
      self._manager.wait_until_finished()

  def check(self):
    """Raises as `save` does where the save before has failed; does not wait for one that is under way."""
    if not self._manager.is_saving_in_progress():
      self.wait()

  @contextlib.contextmanager
  def _told(self):
    """Turns what goes wrong in a save, this one or the one under way, into a `UserError`."""
    try:
      yield
    # From its threads Orbax hands on errors of many kinds.
    except Exception as error:  # noqa: BLE001
      for half in glob.glob(os.path.join(glob.escape(str(self._directory)), f'{self._step}.*tmp*')):
        shutil.rmtree(half, ignore_errors=True)
      reason = getattr(error, 'strerror', None) or ' '.join(str(error).split())[:200] or type(error).__name__
      raise UserError(f'{self._directory}: checkpoint {self._step} cannot be written ({reason}); the last good one is '
                      'kept') from error

  def restore(self, like):
    """The newest readable checkpoint in the form of `like`, or None where there is none.

    A damaged checkpoint is named in a warning and removed, and the one before it is tried.

    Returns:
      (step, state) or None.
    """
    abstract = jax.tree.map(ocp.utils.to_shape_dtype_struct, jax.device_get(like))
    for step in sorted(self._manager.all_steps(), reverse=True):
      try:
        found = self._manager.restore(step, args=ocp.args.Composite(**{_ITEM: ocp.args.StandardRestore(abstract)}))
        return step, found[_ITEM]
      # Orbax answers damage with errors of many kinds (JSON, Zarr, key and shape errors), none of them its own.
      except Exception as error:  # noqa: BLE001
        logging.warning('%s: checkpoint %d is damaged (%s: %s); going back to the one before it', self._directory,
                        step, type(error).__name__, str(error).splitlines()[0] if str(error) else '')
        self._manager.delete(step)
    return None

  def close(self):
    """Waits for what is under way and gives back the threads; raises as `save` does."""
    try:
      self.wait()
    finally:
      with contextlib.suppress(Exception):  # it has been told, or is told again here
        self._manager.close()
