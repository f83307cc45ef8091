"""The loop that every trained stage runs: chunks of scanned steps, validation, checkpoints, early stopping."""

import dataclasses
import time
from collections.abc import Callable
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
from absl import logging
from tqdm import tqdm

from ganrec_jax.training import interrupt, profiling
from ganrec_jax.training.checkpoints import Checkpoints
from ganrec_jax.training.devices import make_chunk
from ganrec_jax.training.logs import Metrics


class Diverged(Exception):
  """Training went wrong, by a number that is not finite or worse; nothing was saved after the last good checkpoint."""


@dataclasses.dataclass(frozen=True)
class Schedule:
  """How long a stage trains.

  Attributes:
    steps: the most steps it may take.
    chunk: steps between two looks at validation; one compiled scan.
    patience: looks without a better value after which it stops; 0 never stops early.
    save_seconds: the least time between two checkpoints.
  """
  steps: int
  chunk: int
  patience: int = 0
  save_seconds: float = 60.


@dataclasses.dataclass(frozen=True)
class Surroundings:
  """What a stage runs in: where it saves and logs, and on which devices.

  Attributes:
    name: the stage's name in logs and bars.
    devices: the devices that share each batch.
    checkpoints: the folder of its checkpoints, or None to keep none.
    metrics: where measurements go.
    profile: the folder for a trace of a few steps, or None for no trace.
  """
  name: str
  devices: tuple
  checkpoints: str | None = None
  metrics: Metrics = dataclasses.field(default_factory=lambda: Metrics(None))
  profile: str | None = None


@flax.struct.dataclass
class Progress:
  """All that a checkpoint holds: the state, the best that was kept, and the bookkeeping of early stopping."""
  state: Any
  kept: Any
  step: jax.Array
  best: jax.Array
  best_step: jax.Array
  stale: jax.Array


def _check_finite(name, start, metrics):
  for metric, values in metrics.items():
    bad = np.flatnonzero(~np.isfinite(values))
    if len(bad):
      raise Diverged(f'{name}: {metric} is {values[bad[0]]} at step {start + bad[0]} '
                     f'(steps {start} to {start + len(values) - 1} were under way)')


def _copy(tree):
  # The state is donated to the next chunk, so what is kept must not share its buffers.
  return jax.tree.map(jnp.copy, tree)


def run(step: Callable, sample: Callable, state, data, key, schedule: Schedule, around: Surroundings,
        keep: Callable = lambda state: state, evaluate: Callable | None = None, check: Callable | None = None):
  """Trains until `schedule.steps` or until validation stops rising; goes on from a checkpoint where there is one.

  Args:
    step: `step(state, batch, axis=None) -> (state, metrics)`.
    sample: `sample(key, data) -> batch` with a leaf `weight` `[batch]`; see `devices.make_chunk`.
    state: the initial state, a pytree of arrays.
    data: a pytree of arrays, put on every device once.
    key: the key of all of the stage's randomness.
    schedule: how long.
    around: where.
    keep: `keep(state) -> pytree`, what is wanted of a state in the end (the averaged parameters, say).
    evaluate: `evaluate(kept) -> (value, metrics)`, after each chunk; the kept part with the highest value wins.
      Without it the last one is returned.
    check: `check(start, metrics, state)`, after each chunk that began with step `start`, with metrics `[steps]`; raises
      `Diverged` where training has gone wrong.

  Returns:
    (kept, summary): `summary` holds `steps`, `best` and `best_step`.

  Raises:
    Diverged: where a metric of a step is not finite, or by `check`.
    Interrupted: after a checkpoint, where a stop was asked for.
  """
  clock, chunk = profiling.Clock(), make_chunk(step, sample, around.devices)
  first = Progress(state=_copy(state), kept=_copy(keep(state)), step=jnp.int32(0), best=jnp.float32(-jnp.inf),
                   best_step=jnp.int32(0), stale=jnp.int32(0))
  checkpoints = around.checkpoints and Checkpoints(around.checkpoints)
  restored = checkpoints.restore(first) if checkpoints else None
  progress = jax.tree.map(jnp.asarray, restored[1]) if restored else first
  if restored:
    logging.info('%s: going on from step %d of %d', around.name, restored[0], schedule.steps)
  around.metrics.rewind(around.name, int(progress.step))
  with clock('input'):
    data = jax.block_until_ready(jax.tree.map(jnp.asarray, data))
  begun, saved = int(progress.step), time.monotonic()
  bar = tqdm(total=schedule.steps, initial=int(progress.step), desc=around.name, unit='step', mininterval=1.)

  def save():
    if checkpoints:
      with clock('save'):
        checkpoints.save(int(progress.step), progress)

  while int(progress.step) < schedule.steps and not 0 < schedule.patience <= int(progress.stale):
    start = int(progress.step)
    length = min(schedule.chunk, schedule.steps - start)
    with clock('compute' if start > begun else 'start'):
      state, metrics = chunk(progress.state, data, key, start, length)
      metrics = jax.device_get(metrics)
    _check_finite(around.name, start, metrics)
    if check is not None:
      check(start, metrics, state)
    shown = {name: values.mean() for name, values in metrics.items()}
    progress = progress.replace(state=state, step=jnp.int32(start + length))
    with clock('evaluate'):
      progress, judged = _judge(progress, keep, evaluate)
    if start == begun and around.profile:
      steps = profiling.trace(chunk, progress.state, data, key, around.profile)
      logging.info('%s: a trace of %d steps is in %s', around.name, steps, around.profile)
    around.metrics.write(around.name, start + length, shown | judged)
    bar.update(length)
    bar.set_postfix({k: f'{v:.4g}' for k, v in (judged or {'loss': shown.get('loss', np.nan)}).items()}, refresh=False)
    if time.monotonic() - saved >= schedule.save_seconds:
      save()
      saved = time.monotonic()
    interrupt.check(save)
  bar.close()
  save()
  if checkpoints:
    checkpoints.close()
  if int(progress.step) > begun:
    called = progress.state, data, key, begun, min(schedule.chunk, schedule.steps - begun)
    _tell_costs(clock, chunk, called, jax.eval_shape(sample, key, data), int(progress.step) - begun, around)
  return progress.kept, {'steps': int(progress.step), 'best': float(progress.best),
                         'best_step': int(progress.best_step)}


def _tell_costs(clock, chunk, called, batch, steps, around):
  """Logs and writes what `steps` steps on such a `batch` cost; the first `chunk` was called with `called`."""
  rows, length = batch['weight'].shape[0], called[-1]
  flops = profiling.matmul_flops(chunk, *called, static=len(called) - 1) / (length * rows)
  costs = clock.told(rows * steps, rows * length, flops, len(around.devices))
  logging.info('%s: %s', around.name, profiling.words(costs))
  around.metrics.write_costs(around.name, costs)


def _judge(progress, keep, evaluate):
  """Looks at validation and keeps the better one; returns the progress and the metrics of the look."""
  kept = _copy(keep(progress.state))
  if evaluate is None:
    return progress.replace(kept=kept, best_step=progress.step), {}
  value, metrics = evaluate(kept)
  metrics = {'valid': value} | metrics
  if value > float(progress.best):
    return progress.replace(kept=kept, best=jnp.float32(value), best_step=progress.step, stale=jnp.int32(0)), metrics
  return progress.replace(stale=progress.stale + 1), metrics
