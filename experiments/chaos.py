"""Kills runs at random moments and in the middle of saves, and holds what they end with against uninterrupted ones.

    python experiments/chaos.py [--kills=6] [--cases=texts,distil,transformer,profiles] [--seed=0]     -> chaos.json
    python experiments/chaos.py --saves                                                                -> saves.json

Every trained stage is killed `--kills` times by SIGKILL, in turn at a moment drawn evenly over its chunks of steps and
while a checkpoint is being written, and the same command is started again. Compared are results.json but for times
and revision, and every other artifact byte by byte, checkpoints and event files left out. Exit code 1 on a difference.
A checkpoint is begun after each chunk of steps and written during the next one, so that two chunks are the most that
may be lost.

`--saves` measures what a save costs the training: the time for which the thread that trains waits, the slowdown of the
steps that run meanwhile, and the processor's time in all threads, as shares of the default time between two saves.
"""

import argparse
import dataclasses
import filecmp
import json
import os
import pathlib
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
# What results.json says of the moment, and not of what was found.
OF_THE_MOMENT = ('wall_seconds', 'stages', 'costs', 'git_revision')
_MARK = re.compile(r'\] ([\w.]+): (?:beginning with|going on from) step (\d+) of (\d+)')
_FIRST = 1.  # seconds that stand for the first chunk, of which none has told how long it takes
_ROUNDS = 20  # runs for one case, after which a stage counts as too short to be hit


@dataclasses.dataclass(frozen=True)
class Case:
  """One command and the stages in which it is killed: their names in its log and what they are."""
  arguments: tuple
  stages: dict
  module: str = 'ganrec_jax.main'

  def command(self, workdir):
    """The command line."""
    place = (f'--workdir={workdir}', *((f'--out={workdir}/synthetic',) if self.module.endswith('synthesize') else ()))
    return [sys.executable, '-m', self.module, *self.arguments, *place]


def _main(*arguments):
  return ('--config=configs/music.py:testing', '--config.save_seconds=0', '--config.evaluation.resamples=50',
          '--config.base.sweeps=2', '--config.expand.weights=(.1,)', '--config.encoder.max_length=16',
          *(f'--config.{argument}' for argument in arguments))


CASES = {
  'texts': Case(_main('encoder.steps=200', 'encoder.adapt_steps=200', 'adversarial.steps=60', 'adversarial.chunk=10',
                      'controls=generator_only', 'recommender.kind=mlp', 'recommender.chunk=10',
                      'profiles.vae_steps=400', 'profiles.steps=300'),
                {'mlm': 'masked language model', 'adapt': 'adaptation (contrastive)', 'gan': 'adversarial',
                 'generator_only': 'generator only', 'recommender.no_augmentation': 'recommender (mlp)'}),
  'distil': Case(_main('encoder.steps=20', 'encoder.adapt_kind=distil', 'encoder.adapt_steps=200', 'controls=none',
                       'adversarial.steps=20', 'adversarial.chunk=10', 'recommender.kind=gru', 'recommender.chunk=10'),
                 {'adapt': 'adaptation (distillation)', 'recommender.no_augmentation': 'recommender (gru)'}),
  'transformer': Case(_main('encoder.kind=none', 'controls=none', 'adversarial.steps=20', 'adversarial.chunk=10',
                            'recommender.kind=transformer', 'recommender.chunk=10'),
                      {'recommender.no_augmentation': 'recommender (transformer)'}),
  # On a finished run of the case `texts`.
  'profiles': Case(('--users=150', '--max_auc=1'),
                   {'profiles_likelihood': 'profiles (likelihood)', 'profiles_game': 'profiles (game)'},
                   'ganrec_jax.synthesize')}


@dataclasses.dataclass
class Row:
  """What happened to one stage."""
  stage: str
  starts: int = 0
  kills: int = 0
  in_saves: int = 0
  resumes: int = 0
  mismatches: int = 0
  lost_at_most: int = 0
  chunk: int = 0


def attack(case, workdir, aim=None):
  """Runs the command to its end, or kills it.

  Args:
    case: `Case`.
    workdir: its work directory.
    aim: `aim(stage, step)`, when to kill it in a stage that begins with a step: in a 'save'; after so many chunks and a
      share of the next one, a pair; or None.

  Returns:
    (the stages that it reached and the steps with which they began, a list of pairs; the stage in which it was killed,
    None where it ended).
  """
  marks, when, size = [], None, 0
  log, metrics = workdir.with_suffix('.log'), workdir / 'metrics.jsonl'
  with open(log, 'wb') as out, open(log, encoding='utf-8', errors='replace') as words, subprocess.Popen(
      case.command(workdir), cwd=ROOT, stdout=subprocess.DEVNULL, stderr=out) as process:
    rest = ''
    while process.poll() is None:
      *lines, rest = (rest + words.read()).split('\n')
      for mark in filter(None, map(_MARK.search, lines)):
        marks.append((mark[1], int(mark[2])))
        when, chunks, moment, gap = aim and aim(*marks[-1]), 0, time.monotonic(), _FIRST
      written = metrics.stat().st_size if marks and metrics.exists() else 0
      if written > size:
        chunks, gap, moment = chunks + 1, time.monotonic() - moment, time.monotonic()
      size = written
      if when and (saving(workdir, marks[-1][0]) if when == 'save'
                   else chunks >= when[0] and time.monotonic() >= moment + when[1] * gap):
        process.kill()
        process.wait()
        return marks, marks[-1][0]
      time.sleep(.003)
  if process.returncode:
    sys.exit(f'{" ".join(case.command(workdir))} ended with exit code {process.returncode}:\n'
             + '\n'.join(log.read_text('utf-8', 'replace').splitlines()[-15:]))
  return marks, None


def saving(workdir, stage):
  """Whether a checkpoint of the stage is half-written."""
  return any((workdir / 'checkpoints' / stage).glob('*/*tmp*'))


def last_step(workdir, stage):
  """The last step of the stage that is in metrics.jsonl, 0 where there is none."""
  found = 0
  path = workdir / 'metrics.jsonl'
  for line in path.read_text('utf-8').splitlines() if path.exists() else ():
    if line.endswith('}') and json.loads(line)['stage'] == stage:
      found = json.loads(line)['step']
  return found


def differences(whole, killed):
  """What differs between two work directories: names of files, and of parts of results.json."""
  patterns = ('recommendations/*.npz', '*.csv.gz', 'metrics.jsonl', 'synthetic/*.csv', 'synthetic/report.json')
  names = [{path.relative_to(folder) for pattern in patterns for path in folder.glob(pattern)}
           for folder in (whole, killed)]
  found = [str(name) for name in names[0] ^ names[1]] + [
    str(name) for name in names[0] & names[1] if not filecmp.cmp(whole / name, killed / name, shallow=False)]
  one, other = (json.loads((folder / 'results.json').read_text('utf-8')) for folder in (whole, killed))
  return sorted(found + [f'{name} in results.json' for name in {*one, *other} - {*OF_THE_MOMENT}
                         if one.get(name) != other.get(name)])


def besiege(case, folder, kills, draw, start=None):
  """Kills each stage of a case `kills` times; (rows, the work directory of the uninterrupted run).

  Args:
    case: `Case`.
    folder: where to work.
    kills: of each stage.
    draw: `random.Random`.
    start: a work directory to begin with, a copy for each run, or None.
  """
  def fresh(name):
    if start is not None:
      shutil.copytree(start, folder / name)
    return folder / name

  whole, rows = fresh('whole'), {stage: Row(label) for stage, label in case.stages.items()}
  attack(case, whole)
  lines = [json.loads(line) for line in (whole / 'metrics.jsonl').read_text('utf-8').splitlines()]
  steps = {stage: [line['step'] for line in lines if line['stage'] == stage] for stage in rows}
  for stage, row in rows.items():
    row.chunk = steps[stage][0]

  def aim(stage, first):
    if stage not in rows or rows[stage].kills >= kills:
      return None
    ahead = sum(step > first for step in steps[stage])
    return 'save' if rows[stage].kills % 2 else (draw.randrange(max(1, ahead)), draw.random())

  for number in range(_ROUNDS):
    workdir, hit = fresh(f'killed-{number}'), {}
    while True:
      marks, killed = attack(case, workdir, aim)
      for stage, first in dict(reversed(marks)).items():
        if stage in rows:
          rows[stage].starts += 1
          if stage in hit:
            rows[stage].resumes += first > 0
            rows[stage].lost_at_most = max(rows[stage].lost_at_most, hit.pop(stage) - first)
      if killed is None:
        break
      row, in_save = rows[killed], saving(workdir, killed)
      row.kills, row.in_saves, hit[killed] = row.kills + 1, row.in_saves + in_save, last_step(workdir, killed)
      print(f'{row.stage}: kill {row.kills} after step {hit[killed]}' + ', in a save' * in_save, flush=True)
    wrong = differences(whole, workdir)
    if wrong:
      print(f'{workdir}: other than the uninterrupted run: {", ".join(wrong)}', flush=True)
      for row in rows.values():
        row.mismatches += 1
    else:
      print('equal to the uninterrupted run', flush=True)
    shutil.rmtree(workdir)
    if all(row.kills >= kills for row in rows.values()):
      return list(rows.values()), whole
  sys.exit(f'after {_ROUNDS} runs: {", ".join(f"{row.stage} {row.kills} kills" for row in rows.values())}')


def table(rows):
  """The rows in Markdown, their sum last."""
  names = [field.name for field in dataclasses.fields(Row)]
  total = Row('all', *(sum(getattr(row, name) for row in rows) for name in names[1:6]))
  lines = [[str(getattr(row, name)) for name in names] for row in rows]
  lines.append([str(getattr(total, name)) for name in names[:6]] + ['', ''])
  return '\n'.join('| ' + ' | '.join(cells) + ' |' for cells in (
    [name.replace('_', ' ') for name in names], ['---'] * len(names), *lines))


def chaos(names, kills, seed):
  """All kills of the cases `names`; the rows."""
  draw, rows = random.Random(seed), []
  with tempfile.TemporaryDirectory() as folder:
    folder = pathlib.Path(folder)
    # Runs differ in what they compile only once.
    os.environ.setdefault('JAX_COMPILATION_CACHE_DIR', str(folder / 'compiled'))
    finished = None
    for name in names:
      place, case = folder / name, CASES[name]
      place.mkdir()
      if case.module != 'ganrec_jax.main' and finished is None:
        finished = place / 'finished'
        attack(CASES['texts'], finished)
      found, whole = besiege(case, place, kills, draw, finished if case.module != 'ganrec_jax.main' else None)
      finished, rows = (whole if name == 'texts' else finished), rows + found
  return rows


def saves(rounds=9, length=100, megabytes=(0, 270)):
  """What a save costs steps of the adversary at its default sizes, for its own state and with so much more beside it.

  Returns:
    A list of dicts: `state_mb`, and medians and ranges in seconds of `waited` (by the thread that trains), `slowdown`
    (of the steps that run meanwhile, over those without a save) and `processor` (all threads, beyond the steps').
  """
  import jax
  import jax.numpy as jnp
  import numpy as np

  from ganrec_jax.adversarial import step as steps
  from ganrec_jax.training.checkpoints import Checkpoints
  from ganrec_jax.training.devices import make_chunk
  config, random_state = steps.AdversarialConfig(), np.random.default_rng(0)
  vectors, texts = (jnp.asarray(random_state.standard_normal((900, 64)), jnp.float32) for _ in range(2))
  rows, key = {'x': vectors, 'item': jnp.arange(900), 'text': texts}, jax.random.key(0)
  chunk = make_chunk(steps.make_step(config, vectors, texts), steps.make_sample(config), jax.devices()[:1])
  state = steps.init_state(config, 64, (1, 64), (64,), key)

  def timed(state, start):
    begun, busy = time.perf_counter(), time.process_time()
    state, metrics = chunk(state, rows, key, start, length)
    jax.block_until_ready(metrics)
    return state, time.perf_counter() - begun, time.process_time() - busy

  state, *_ = timed(state, 0)
  found = []
  for more in megabytes:
    ballast = random_state.standard_normal(more << 18).astype(np.float32)
    costs = {'waited': [], 'slowdown': [], 'processor': []}
    with tempfile.TemporaryDirectory() as folder:
      checkpoints = Checkpoints(folder)
      for number in range(rounds + 1):  # the first one is not counted
        state, plain, plain_busy = timed(state, 0)
        begun, busy = time.perf_counter(), time.process_time()
        checkpoints.save(number, {'state': state, 'ballast': ballast} if more else {'state': state})
        waited = time.perf_counter() - begun
        state, meanwhile, _ = timed(state, 0)
        checkpoints.wait()
        spent = time.process_time() - busy - plain_busy
        if number:
          for name, value in (('waited', waited), ('slowdown', meanwhile - plain), ('processor', spent)):
            costs[name].append(value)
      checkpoints.close()
    size = sum(leaf.nbytes for leaf in jax.tree.leaves(state)) / 2**20 + more
    found.append({'state_mb': round(size, 1), 'steps': length, 'seconds_of_steps': round(plain, 2)} | {
      name: {'median': round(float(np.median(values)), 3), 'range': [round(min(values), 3), round(max(values), 3)]}
      for name, values in costs.items()})
  return found


def _about(seconds, seed):
  """Where and when it was measured."""
  import jax

  from ganrec_jax.pipeline import revision, versions
  return {'git_revision': revision(), 'device': jax.devices()[0].device_kind, 'cores': len(os.sched_getaffinity(0)),
          'load': round(os.getloadavg()[0], 1), 'versions': versions(), 'seed': seed, 'wall_seconds': round(seconds)}


def main(arguments=None):
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('--kills', type=int, default=6, help='of each stage')
  parser.add_argument('--cases', default=','.join(CASES))
  parser.add_argument('--seed', type=int, default=0)
  parser.add_argument('--saves', action='store_true', help='measure what a save costs instead')
  parser.add_argument('--out', help='the JSON file, beside this one by default; none where it is empty')
  options = parser.parse_args(arguments)
  begun = time.monotonic()
  if options.saves:
    from ganrec_jax.training.loop import Surroundings
    interval = Surroundings('', ()).save_seconds
    found = {'save_seconds': interval, 'saves': saves()}
    for one in found['saves']:
      cost = one['waited']['median'] + max(one['slowdown']['median'], 0)
      one['share'] = round(cost / interval, 5)
      one['processor_share'] = round(one['processor']['median'] / interval, 5)
      print(f'{one["state_mb"]} MB: {100 * one["share"]:.2f}% of the time between two saves, waiting and slower steps; '
            f'{100 * one["processor_share"]:.2f}% of one core over all threads')
  else:
    rows = chaos(options.cases.split(','), options.kills, options.seed)
    found = {'kills': sum(row.kills for row in rows), 'mismatches': sum(row.mismatches for row in rows),
             'rows': [dataclasses.asdict(row) for row in rows]}
    print(table(rows))
  out = pathlib.Path(__file__).with_name('saves.json' if options.saves else 'chaos.json')
  out = out if options.out is None else options.out
  if out:
    found = _about(time.monotonic() - begun, options.seed) | found
    pathlib.Path(out).write_text(json.dumps(found, indent=1) + '\n', 'utf-8')
  return 1 if found.get('mismatches') else 0


if __name__ == '__main__':
  sys.path.insert(0, str(ROOT))
  sys.exit(main())
