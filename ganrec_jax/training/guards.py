"""What goes wrong in training, found in the numbers that a chunk of steps leaves, and what is to be done about it."""

import dataclasses
from collections.abc import Callable

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from ganrec_jax.errors import ConfigError, UserError

POLICIES = ('stop', 'restart', 'go_on')
_MEMORY = .8  # how much of the running gradient norm's logarithm a chunk leaves


class Diverged(UserError):
  """Training went wrong: the message names the player, the metric and the steps.

  Attributes:
    status: 'diverged', or 'collapsed' where all numbers are fine and a player is lost.
  """

  def __init__(self, words, status='diverged'):
    super().__init__(words)
    self.status = status


@dataclasses.dataclass(frozen=True)
class Guards:
  """What is done where training goes wrong, and from when on it does, for all stages.

  Attributes:
    policy: 'stop'; 'restart' from the last good state at a lower rate; or 'go_on' as long as the state is finite.
    restarts: the most of them in a stage; the next fault stops it.
    rate_factor: what a restart multiplies the learning rates with.
    explosion: how many times the running one the median gradient norm of a chunk may be.
    window: steps in a row that a player must have won before it counts.
    looks: looks at held-out samples in a row that must be bad after a good one before it counts.

  Raises:
    ConfigError: for values out of range.
  """
  policy: str = 'stop'
  restarts: int = 2
  rate_factor: float = .5
  explosion: float = 100.
  window: int = 200
  looks: int = 3

  def __post_init__(self):
    if self.policy not in POLICIES:
      raise ConfigError(f'guards.policy is {self.policy!r}; allowed are {", ".join(POLICIES)}')
    for name, least in (('restarts', 0), ('window', 1), ('looks', 1)):
      if getattr(self, name) < least:
        raise ConfigError(f'guards.{name} is {getattr(self, name)}; allowed are whole numbers from {least} on')
    if not 0 < self.rate_factor < 1:
      raise ConfigError(f'guards.rate_factor is {self.rate_factor}; allowed are numbers between 0 and 1')
    if not self.explosion > 1:
      raise ConfigError(f'guards.explosion is {self.explosion}; allowed are numbers above 1')


@dataclasses.dataclass(frozen=True)
class Watch:
  """What a stage is watched for, beside numbers that are not finite.

  Attributes:
    players: (what the names of a player's metrics begin with, its name) of each player; a single one has no name.
      Where it has a metric `grad_norm`, this must not explode.
    won: (metric, from which value on, what it means) of one that must not stay there for a window of steps, or None.
    chunk: `chunk(means of a chunk's metrics) -> str`, what is wrong, '' for nothing; it counts at once.
    look: `look(metrics of a look at held-out samples) -> str`, likewise; it counts after some looks.
  """
  players: tuple = (('', ''),)
  won: tuple | None = None
  chunk: Callable = lambda means: ''
  look: Callable = lambda metrics: ''


ALONE = Watch()  # a single player of whom nothing more is known


@flax.struct.dataclass
class Memory:
  """What the guards know of the steps before.

  Attributes:
    norms: float32 `[players]`, running gradient norms, 0 where there is none yet.
    won: int32, steps in a row.
    looks: int32, bad looks in a row, -1 where none was good yet.
  """
  norms: jax.Array
  won: jax.Array
  looks: jax.Array


def first(watch):
  """The `Memory` before the first step."""
  return Memory(jnp.zeros(len(watch.players)), jnp.int32(0), jnp.int32(-1))


def suspicious(memory, guards):
  """Whether half of what makes a player's win count, or a bad look, may turn out to be a fault."""
  return 2 * int(memory.won) >= guards.window or int(memory.looks) > 0


@jax.jit
def finite(state):
  """Whether each leaf of a state holds finite numbers only, bool `[leaves]`."""
  return jnp.stack([jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(state)])


def judge(name, watch, guards, memory, start, metrics, state, whole):
  """Judges a chunk of steps.

  Args:
    name: of the stage.
    watch, guards: what is wrong, and from when on.
    memory: of the steps before.
    start: the chunk's first step.
    metrics: name to array `[steps]`.
    state: the state after it.
    whole: `finite(state)`.

  Returns:
    (the faults as a list of `Diverged`, the memory of what follows).
  """
  length = len(next(iter(metrics.values())))
  steps = f'steps {start} to {start + length - 1}'
  faults = [*_not_finite(name, watch, metrics, start, steps)]
  if not faults:
    faults += [Diverged(f'{name}: {jax.tree_util.keystr(path)} is not finite after step {start + length - 1} ({steps})')
               for (path, _), good in zip(jax.tree_util.tree_leaves_with_path(state), whole, strict=True) if not good]
  if faults:
    return faults[:1], memory
  norms, won = np.array(memory.norms), int(memory.won)
  for place, (prefix, player) in enumerate(watch.players):
    norm = float(np.median(metrics.get(f'{prefix}grad_norm', 0.)))
    most = guards.explosion * float(norms[place])
    if 0 < most < norm:
      faults.append(Diverged(f'{_subject(name, player)}: {prefix}grad_norm exploded, its median is {norm:.4g}; at most '
                             f'{most:.4g} is allowed, {guards.explosion:g} times the running one ({steps})'))
    elif norm:
      norms[place] = norm ** (1 - _MEMORY) * norms[place] ** _MEMORY if norms[place] else norm
  if watch.won is not None:
    metric, least, words = watch.won
    longest, won = streaks(won, metrics[metric] >= least)
    if longest >= guards.window:
      faults.append(Diverged(f'{name}: {words}: {metric} was {least:g} or more for {longest} steps in a row, allowed '
                             f'are fewer than {guards.window} ({steps})', 'collapsed'))
  wrong = watch.chunk({metric: float(values.mean()) for metric, values in metrics.items()})
  if wrong:
    faults.append(Diverged(f'{wrong} ({steps})'))
  return faults, memory.replace(norms=jnp.asarray(norms), won=jnp.int32(won))


def judge_look(name, watch, guards, memory, step, metrics):
  """Judges the metrics (name to scalar) of a look after `step` steps; returns (faults, memory) as `judge` does."""
  wrong = watch.look(metrics)
  looks = int(memory.looks)
  looks = 0 if not wrong else looks + 1 if looks >= 0 else -1
  faults = [Diverged(f'{name}: {wrong}, at {looks} looks in a row (the last one after step {step - 1})', 'collapsed')
            ] if looks >= guards.looks else []
  return faults, memory.replace(looks=jnp.int32(looks))


def streaks(before, true):
  """The longest and the last run of `true` bool `[steps]`, of which `before` more came right before."""
  runs = np.diff(np.concatenate([[-1 - before], np.flatnonzero(~true), [len(true)]])) - 1
  return int(runs.max()), int(runs[-1])


def _subject(name, player):
  return f'{name}, player {player}' if player else name


def _not_finite(name, watch, metrics, start, steps):
  """The first metric that is not finite, of those in the same step the first by name."""
  found = [(int(np.argmin(np.isfinite(values))), metric) for metric, values in metrics.items()
           if not np.isfinite(values).all()]
  for place, metric in sorted(found)[:1]:
    player = next((player for prefix, player in watch.players if metric.startswith(prefix)), '')
    yield Diverged(f'{_subject(name, player)}: {metric} is {metrics[metric][place]} at step {start + place} ({steps})')
