"""Orbax checkpoints that survive a kill, and that are walked back past damage."""

import errno
import glob
import os
import shutil
import tempfile

import jax
import orbax.checkpoint as ocp
from absl import logging

from ganrec_jax.errors import UserError


def _reserve(directory, size):
  """Raises an `OSError` where `directory` cannot take a file of `size` bytes."""
  with tempfile.TemporaryFile(dir=directory) as file:
    if hasattr(os, 'posix_fallocate'):
      os.posix_fallocate(file.fileno(), 0, max(1, size))
    elif shutil.disk_usage(directory).free < size:
      raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


class Checkpoints:
  """The checkpoints of one trained stage in one folder: the newest two are kept.

  Args:
    directory: made where it does not exist.

  Raises:
    UserError: where the folder cannot be written.
  """

  def __init__(self, directory):
    options = ocp.CheckpointManagerOptions(max_to_keep=2, enable_async_checkpointing=False,
                                           cleanup_tmp_directories=True)
    try:
      self._manager = ocp.CheckpointManager(os.path.abspath(directory), options=options)
    except OSError as error:
      raise UserError(f'{directory}: checkpoints cannot be written here ({error.strerror})') from error
    self._directory = directory

  def save(self, step, state):
    """Saves `state`, a pytree of arrays, as step number `step`; returns when it is on disk.

    Raises:
      UserError: where it cannot be written; nothing half-written is left.
    """
    state = jax.device_get(state)
    try:
      # Orbax writes in many threads; where the disk is full it is better not to begin.
      _reserve(self._directory, sum(leaf.nbytes for leaf in jax.tree.leaves(state)))
      self._manager.save(step, args=ocp.args.StandardSave(state))
      self._manager.wait_until_finished()
    except (OSError, ValueError) as error:
      for half in glob.glob(os.path.join(self._directory, f'{step}.*tmp*')):
        shutil.rmtree(half, ignore_errors=True)
      raise UserError(f'{self._directory}: checkpoint {step} cannot be written '
                      f'({getattr(error, "strerror", None) or error}); the last good one is kept') from error

  def restore(self, like):
    """The newest readable checkpoint in the form of `like`, or None where there is none.

    A damaged checkpoint is named in a warning and removed, and the one before it is tried.

    Returns:
      (step, state) or None.
    """
    abstract = jax.tree.map(ocp.utils.to_shape_dtype_struct, jax.device_get(like))
    for step in sorted(self._manager.all_steps(), reverse=True):
      try:
        return step, self._manager.restore(step, args=ocp.args.StandardRestore(abstract))
      # Orbax answers damage with errors of many kinds (JSON, Zarr, key and shape errors), none of them its own.
      except Exception as error:  # noqa: BLE001
        logging.warning('%s: checkpoint %d is damaged (%s: %s); going back to the one before it', self._directory,
                        step, type(error).__name__, str(error).splitlines()[0] if str(error) else '')
        self._manager.delete(step)
    return None

  def close(self):
    """Waits for what is under way and gives back the threads."""
    self._manager.close()
