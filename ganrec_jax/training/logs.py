"""What a run writes down while it goes: one JSON line a measurement, and the same for TensorBoard."""

import json
import logging as std_logging
import math
import os

from absl import logging

_COSTS = 'costs.jsonl'


def ours(record):
  """A filter of log records: of Orbax's, which are a dozen lines a checkpoint, only its warnings.

  It reports its failures, with the tracebacks of its threads, beside raising them.
  """
  return 'orbax' not in record.pathname or record.levelno == std_logging.WARNING


def read(path):
  """The records of a file of JSON lines, a list; torn lines are left out, and no file has none."""
  return [record for _, record in _lines(path) if record is not None]


def read_costs(workdir):
  """Stage -> what it has cost when it was last trained in a work directory; see `profiling.Clock.told`."""
  return {record.pop('stage'): record for record in read(os.path.join(workdir, _COSTS))}


def _lines(path):
  """(line, its record, None where it is torn) of each line of a file."""
  if not os.path.exists(path):
    return []
  found = []
  with open(path, encoding='utf-8') as file:
    for line in file:
      try:
        found.append((line, json.loads(line)))
      except json.JSONDecodeError:
        found.append((line, None))
  return found


def _drop(path, stage, step):
  """Drops torn lines and those of `stage` after `step` from a file; how many there were."""
  lines = _lines(path)
  kept = [line for line, record in lines
          if record is not None and (record['stage'] != stage or record['step'] <= step)]
  if len(kept) < len(lines):
    with open(f'{path}.tmp', 'w', encoding='utf-8') as file:
      file.writelines(kept)
    os.replace(f'{path}.tmp', path)
  return len(lines) - len(kept)


class Metrics:
  """Writes `metrics.jsonl` and TensorBoard event files below one work directory.

  Lines are `{"stage": ..., "step": ..., name: value, ...}`. A stage that goes on from step s first drops its own
  lines after s, so that an interrupted run leaves the same lines as an uninterrupted one; `restarts.jsonl` holds
  where it went on: `{"stage": ..., "step": ...}`; `costs.jsonl` what each training has cost.

  Args:
    workdir: the work directory, or None to write nothing.
    tell: who else hears of each line, `tell(stage, step, values)`, or None.
  """

  def __init__(self, workdir, tell=None):
    self._path = workdir and os.path.join(workdir, 'metrics.jsonl')
    self._restarts = workdir and os.path.join(workdir, 'restarts.jsonl')
    self._costs = workdir and os.path.join(workdir, _COSTS)
    self._board = workdir and os.path.join(workdir, 'tensorboard')
    self._writers, self._tell = {}, tell

  def rewind(self, stage, step):
    """Drops the lines of `stage` (all where `step` is 0) that lie after `step`, and a torn last line.

    Where `step` is not 0, the stage goes on from there, and this restart is written down.
    """
    if not self._path:
      return
    dropped = _drop(self._path, stage, step)
    if dropped:
      logging.info('%s: %d lines after step %d of %s are written anew', self._path, dropped, step, stage)
    _drop(self._restarts, stage, step)
    if step:
      with open(self._restarts, 'a', encoding='utf-8') as file:
        file.write(json.dumps({'stage': stage, 'step': int(step)}) + '\n')

  def write(self, stage, step, values):
    """Writes the finite or infinite numbers `values` (name to scalar) of `stage` at `step`."""
    if not self._path:
      return
    values = {name: float(value) for name, value in values.items()}
    record = {name: value if math.isfinite(value) else repr(value) for name, value in values.items()}
    with open(self._path, 'a', encoding='utf-8') as file:
      file.write(json.dumps({'stage': stage, 'step': int(step)} | record) + '\n')
    if stage not in self._writers:
      from tensorboardX import SummaryWriter  # takes a second to import
      self._writers[stage] = SummaryWriter(os.path.join(self._board, stage), write_to_disk=True)
    for name, value in values.items():
      self._writers[stage].add_scalar(name, value, int(step))
    if self._tell:
      self._tell(stage, int(step), values)

  def write_costs(self, stage, costs):
    """Writes a line of `costs.jsonl`: what the training of `stage` has cost, a dict for JSON."""
    if self._costs:
      with open(self._costs, 'a', encoding='utf-8') as file:
        file.write(json.dumps({'stage': stage} | costs) + '\n')

  def close(self):
    """Writes out the event files."""
    for writer in self._writers.values():
      writer.close()
    self._writers.clear()
