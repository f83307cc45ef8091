"""Paired runs that take turns, and what a race leaves: the ratio of each round, since a machine is rarely quiet."""

import dataclasses
import importlib
import statistics
import time

RUNS = 5
OURS = 'ganrec_jax'


@dataclasses.dataclass(frozen=True)
class Options:
  """How races are run.

  Attributes:
    data: the folder of real data sets.
    runs: rounds of each race.
    share: of the texts that are encoded and of the users that are ranked.
  """
  data: str = 'data'
  runs: int = RUNS
  share: float = 1.


@dataclasses.dataclass(frozen=True)
class Race:
  """One row of the table.

  Attributes:
    work: what is done.
    reference: by whom else.
    due: the ratio to reach, or None.
    unit: what is counted.
    amount: how many of it a run does.
    ours, theirs: (wall, processor) seconds of each run, in the order of the rounds.
    note: what was checked, and on what sizes.
  """
  work: str
  reference: str
  due: float | None
  unit: str
  amount: float
  ours: list
  theirs: list
  note: str

  def ratios(self, clock=0):
    """How many times as fast ours was in each round, by wall (0) or processor (1) time."""
    return [theirs[clock] / ours[clock] for ours, theirs in zip(self.ours, self.theirs, strict=True)]

  def record(self):
    """The race as a dict for JSON, seconds and ratios as (median, least, most)."""
    return {'work': self.work, 'reference': self.reference, 'due': self.due, 'unit': self.unit, 'amount': self.amount,
            'ratio': spread(self.ratios()), 'processor_ratio': spread(self.ratios(1)),
            'seconds': spread([wall for wall, _ in self.ours]),
            'reference_seconds': spread([wall for wall, _ in self.theirs]),
            'processor_seconds': spread([used for _, used in self.ours]),
            'reference_processor_seconds': spread([used for _, used in self.theirs]), 'note': self.note}


@dataclasses.dataclass(frozen=True)
class Skipped:
  """A race that was not run, and why."""
  work: str
  reference: str
  reason: str

  def record(self):
    """As a dict for JSON."""
    return dataclasses.asdict(self)


def spread(values):
  """(median, least, most)."""
  return statistics.median(values), min(values), max(values)


def timed(function):
  """The (wall, processor) seconds of one call; the processor's are of all threads."""
  wall, used = time.perf_counter(), time.process_time()
  function()
  return time.perf_counter() - wall, time.process_time() - used


def take_turns(functions, runs=RUNS):
  """The seconds of each of `functions` (name -> callable), which take turns `runs` times after a warm-up each."""
  for function in functions.values():
    function()
  seconds = {name: [] for name in functions}
  for _ in range(runs):
    for name, function in functions.items():
      seconds[name].append(timed(function))
  return seconds


def races(work, unit, amount, functions, due, note, runs=RUNS):
  """The races of `functions`, ours under the name `OURS`, against each of the others; `due` is name -> ratio."""
  seconds = take_turns(functions, runs)
  return [Race(work, name, due.get(name), unit, amount, seconds[OURS], seconds[name], note)
          for name in functions if name != OURS]


def missing(package):
  """Why `package` cannot be imported, or None where it can."""
  try:
    importlib.import_module(package)
  except ImportError as error:
    return f'{package} is not installed ({error})'
  return None


def table(found):
  """The rows of the table in Markdown."""
  lines = ['| work | reference | ratio (range) | by processor time | due | ours | reference |', '|---' * 7 + '|']
  for one in found:
    if isinstance(one, Skipped):
      lines.append(f'| {one.work} | {one.reference} | skipped: {one.reason} | | | | |')
      continue
    record = one.record()
    rates = [f'{one.amount / record[name][0]:,.4g} {one.unit}/s' for name in ('seconds', 'reference_seconds')]
    lines.append(f'| {one.work} | {one.reference} | {_words(record["ratio"])} | {_words(record["processor_ratio"])} | '
                 f'{"" if one.due is None else f"{one.due:g}"} | {rates[0]} | {rates[1]} |')
  return '\n'.join(lines)


def _words(ratios):
  return '{:.2f} ({:.2f} to {:.2f})'.format(*ratios)
