"""The loop that every trained stage runs: chunks of scanned steps, validation, checkpoints, early stopping."""

import contextlib
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

from ganrec_jax.training import guards, hosts, interrupt, profiling
from ganrec_jax.training.checkpoints import Checkpoints
from ganrec_jax.training.devices import make_chunk
from ganrec_jax.training.guards import Diverged, Guards, Watch
from ganrec_jax.training.logs import Metrics
from ganrec_jax.training.update import slower


@dataclasses.dataclass(frozen=True)
class Schedule:
  """How long a stage trains.

  Attributes:
    steps: the most steps it may take.
    chunk: steps between two looks at validation; one compiled scan.
    patience: looks without a better value after which it stops; 0 never stops early.
  """
  steps: int
  chunk: int
  patience: int = 0


@dataclasses.dataclass(frozen=True)
class Surroundings:
  """What a stage runs in: where it saves and logs, on which devices, and what is done where it goes wrong.

  Attributes:
    name: the stage's name in logs and bars.
    devices: the devices that share each batch.
    checkpoints: the folder of its checkpoints, or None to keep none.
    metrics: where measurements go.
    save_seconds: the least time between two checkpoints.
    guards: what is done where training goes wrong.
    profile: the folder for a trace of a few steps, or None for no trace.
    micro_batch: the most rows of a batch that a device holds at once; 0 is all of its share.
  """
  name: str
  devices: tuple
  checkpoints: str | None = None
  metrics: Metrics = dataclasses.field(default_factory=lambda: Metrics(None))
  save_seconds: float = 60.
  guards: Guards = Guards()
  profile: str | None = None
  micro_batch: int = 0


@flax.struct.dataclass
class Progress:
  """All that a checkpoint holds: the state, the best that was kept, and what the loop has to remember."""
  state: Any
  kept: Any
  step: jax.Array
  best: jax.Array
  best_step: jax.Array
  stale: jax.Array
  restarts: jax.Array
  memory: guards.Memory


def _copy(tree):
  # The state is donated to the next chunk, so what is kept must not share its buffers.
  return jax.tree.map(jnp.copy, tree)


def run(step: Callable, sample: Callable, state, data, key, schedule: Schedule, around: Surroundings,
        keep: Callable = lambda state: state, evaluate: Callable | None = None, watch: Watch = guards.ALONE):
  """Trains until `schedule.steps` or until validation stops rising; goes on from a checkpoint where there is one.

  A fault is a number that is not finite, a gradient that explodes, or what `watch` finds, among the metrics of a chunk;
  nothing after it is saved. By `around.guards` it stops the stage, or is said and borne, or training goes on from the
  last state without a suspicion, at a lower rate. All of that is a function of what a checkpoint holds, so that a run
  that was killed meanwhile ends in the same bits.

  Args:
    step: `step(state, batch, axis=None) -> (state, metrics)`.
    sample: `sample(key, data) -> batch` with a leaf `weight` `[batch]`; see `devices.make_chunk`.
    state: the initial state, a pytree of arrays; a restart slows its `update.slowable` optimizers.
    data: a pytree of arrays, put on every device once.
    key: the key of all of the stage's randomness.
    schedule: how long.
    around: where.
    keep: `keep(state) -> pytree`, what is wanted of a state in the end (the averaged parameters, say).
    evaluate: `evaluate(kept) -> (value, metrics)`, after each chunk; the kept part with the highest value wins.
      Without it the last one is returned.
    watch: what counts as a fault.

  Returns:
    (kept, summary): `summary` holds `steps`, `best`, `best_step` and `restarts`, those at a lower rate.

  Raises:
    Diverged: the fault that stopped it.
    Interrupted: after a checkpoint, where a stop was asked for.
    UserError: where a checkpoint cannot be written.
  """
  clock, restartable = profiling.Clock(), around.guards.policy == 'restart'
  with clock('input'):
    data = jax.block_until_ready(jax.tree.map(jnp.asarray, data))
  stage = _Stage(make_chunk(step, sample, around.devices), data, key, schedule, around, keep, evaluate, watch, clock)
  with contextlib.ExitStack() as stack:
    checkpoints = around.checkpoints and stack.enter_context(contextlib.closing(Checkpoints(around.checkpoints)))
    good = progress = _begin(state, keep, watch, checkpoints, schedule, around)
    bar = stack.enter_context(tqdm(total=schedule.steps, initial=int(progress.step), desc=around.name, unit='step',
                                   mininterval=1.))
    begun, taken, saved = int(progress.step), 0, time.monotonic()

    def save():
      if checkpoints:
        with clock('save'):
          checkpoints.save(int(good.step), good)

    while int(progress.step) < schedule.steps and not 0 < schedule.patience <= int(progress.stale):
      # A chunk takes the buffers of the state that it is given; a restart needs those of the good one.
      given = progress.replace(state=_copy(progress.state)) if restartable and progress is good else progress
      try:
        progress, shown, judged = _advance(stage, given, 'compute' if taken else 'start')
      except Diverged as fault:
        if not restartable or int(good.restarts) >= around.guards.restarts:
          raise
        good = progress = _again(good, fault, around)
        bar.reset(schedule.steps)
        bar.update(int(good.step))
        continue
      if not taken and around.profile:
        steps = profiling.trace(stage.chunk, progress.state, data, key, around.profile)
        logging.info('%s: a trace of %d steps is in %s', around.name, steps, around.profile)
      taken += int(progress.step) - int(given.step)
      if checkpoints:
        checkpoints.check()
      around.metrics.write(around.name, int(progress.step), shown | judged)
      bar.update(int(progress.step) - int(given.step))
      bar.set_postfix({k: f'{v:.4g}' for k, v in (judged or {'loss': shown.get('loss', np.nan)}).items()},
                      refresh=False)
      if not restartable or not guards.suspicious(progress.memory, around.guards):
        good = progress
        if time.monotonic() - saved >= around.save_seconds:
          save()
          saved = time.monotonic()
      interrupt.check(save)
    good = progress
    save()
  if taken:
    called = progress.state, data, key, begun, min(schedule.chunk, schedule.steps - begun)
    _tell_costs(stage, called, jax.eval_shape(sample, key, data), taken)
  return progress.kept, {'steps': int(progress.step), 'best': float(progress.best),
                         'best_step': int(progress.best_step), 'restarts': int(progress.restarts)}


@dataclasses.dataclass(frozen=True)
class _Stage:
  """What stays the same from chunk to chunk, see `run`; `chunk` is of `devices.make_chunk`."""
  chunk: Callable
  data: Any
  key: jax.Array
  schedule: Schedule
  around: Surroundings
  keep: Callable
  evaluate: Callable | None
  watch: Watch
  clock: profiling.Clock


def _begin(state, keep, watch, checkpoints, schedule, around):
  """The `Progress` to go on from: of the newest checkpoint, or of the initial state."""
  first = Progress(state=_copy(state), kept=_copy(keep(state)), step=jnp.int32(0), best=jnp.float32(-jnp.inf),
                   best_step=jnp.int32(0), stale=jnp.int32(0), restarts=jnp.int32(0), memory=guards.first(watch))
  restored = hosts.agreed(checkpoints.restore(first) if checkpoints else None)
  progress = jax.tree.map(jnp.asarray, restored[1]) if restored else first
  logging.info('%s: %s step %d of %d', around.name, 'going on from' if restored else 'beginning with',
               int(progress.step), schedule.steps)
  around.metrics.rewind(around.name, int(progress.step), int(progress.restarts))
  return progress


def _advance(stage, progress, part):
  """The progress after one more chunk, the means of its metrics and those of the look; raises `Diverged`.

  `part` is what the chunk's time counts as.
  """
  start, around, watch = int(progress.step), stage.around, stage.watch
  length = min(stage.schedule.chunk, stage.schedule.steps - start)
  with stage.clock(part):
    state, metrics = stage.chunk(progress.state, stage.data, stage.key, start, length)
    metrics, whole = jax.device_get((metrics, guards.finite(state)))
  faults, memory = guards.judge(around.name, watch, around.guards, progress.memory, start, metrics, state, whole)
  _bear(faults, around, whole.all())
  progress = progress.replace(state=state, step=jnp.int32(start + length), memory=memory)
  with stage.clock('evaluate'):
    progress, judged = _judge(progress, stage.keep, stage.evaluate)
  faults, memory = guards.judge_look(around.name, watch, around.guards, memory, start + length, judged)
  _bear(faults, around, True)
  return progress.replace(memory=memory), {name: values.mean() for name, values in metrics.items()}, judged


def _bear(faults, around, whole):
  """Says the faults of a stage that goes on in spite of them; raises the first one where it does not."""
  for fault in faults:
    if around.guards.policy != 'go_on' or not whole:
      raise fault
    logging.warning('%s; it goes on all the same', fault)


def _again(good, fault, around):
  """The good progress with lower rates, and the restart counted."""
  number, factor = int(good.restarts) + 1, around.guards.rate_factor
  logging.warning('%s; restart %d of at most %d, from step %d with %g times the learning rate', fault, number,
                  around.guards.restarts, int(good.step), factor ** number)
  around.metrics.restart(around.name, int(good.step), number, str(fault))
  return good.replace(state=slower(good.state, factor), restarts=jnp.int32(number))


def _tell_costs(stage, called, batch, steps):
  """Logs and writes what `steps` steps on such a `batch` cost; the first chunk was called with `called`."""
  rows, length, around = batch['weight'].shape[0], called[-1], stage.around
  # What is mapped over the devices of several processes cannot be traced within another program.
  flops = (profiling.matmul_flops(stage.chunk, *called, static=len(called) - 1) / (length * rows)
           if jax.process_count() == 1 else None)
  costs = stage.clock.told(rows * steps, rows * length, flops, len(around.devices))
  logging.info('%s: %s', around.name, profiling.words(costs))
  around.metrics.write_costs(around.name, costs)


def _judge(progress, keep, evaluate):
  """Looks at validation and keeps the better one; returns the progress and the metrics of the look."""
  kept = _copy(keep(progress.state))
  if evaluate is None:
    return progress.replace(kept=kept, best_step=progress.step), {}
  value, metrics = hosts.agreed(evaluate(kept))
  metrics = {'valid': value} | metrics
  if value > float(progress.best):
    return progress.replace(kept=kept, best=jnp.float32(value), best_step=progress.step, stale=jnp.int32(0)), metrics
  return progress.replace(stale=progress.stale + 1), metrics
