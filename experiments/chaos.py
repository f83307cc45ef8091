"""Kills a run at random moments and holds what it ends with against an uninterrupted run.

    python experiments/chaos.py --kills=10 -- --config=configs/music.py:lastfm --config.data.manual_dir=FOLDER

Moments are drawn evenly over the time that the uninterrupted run took. Compared are results.json but for times and
revision, and every other artifact byte by byte, checkpoints and event files left out. Exit code 1 on a difference.
"""

import argparse
import filecmp
import json
import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import time

TIMES = ('wall_seconds', 'stages', 'costs')


def run(arguments, workdir, seconds=None):
  """Runs the command to its end, or kills it after `seconds`; whether it ended."""
  with subprocess.Popen([sys.executable, '-m', 'ganrec_jax.main', *arguments, f'--workdir={workdir}'],
                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
    try:
      code = process.wait(seconds)
    except subprocess.TimeoutExpired:
      process.send_signal(signal.SIGKILL)
      process.wait()
      return False
  if code:
    sys.exit(f'the command ended with exit code {code}')
  return True


def results(workdir):
  """results.json without times."""
  found = json.loads((workdir / 'results.json').read_text())
  return {name: value for name, value in found.items() if name not in TIMES}


def files(workdir):
  """What must be equal byte by byte, relative to the work directory."""
  return sorted(path.relative_to(workdir) for pattern in ('recommendations/*.npz', '*.csv.gz', 'metrics.jsonl')
                for path in workdir.glob(pattern))


def main():
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('--kills', type=int, default=10)
  parser.add_argument('--seed', type=int, default=0)
  parser.add_argument('command', nargs='+', help='arguments of ganrec_jax.main, after --')
  options = parser.parse_args()
  draw = random.Random(options.seed)
  with tempfile.TemporaryDirectory() as folder:
    whole, killed = pathlib.Path(folder, 'whole'), pathlib.Path(folder, 'killed')
    start = time.monotonic()
    run(options.command, whole)
    length, kills = time.monotonic() - start, 0
    print(f'uninterrupted: {length:.0f} s', flush=True)
    while kills < options.kills:
      moment = draw.uniform(0, length)
      if run(options.command, killed, moment):
        # It was done before the moment came; what is left of the kills hits runs that begin anew.
        compare(whole, killed)
        killed = pathlib.Path(folder, f'killed-{kills}')
        continue
      kills += 1
      print(f'kill {kills} after {moment:.1f} s', flush=True)
    run(options.command, killed)
    compare(whole, killed)
  print(f'{options.kills} kills, 0 differences')


def compare(whole, killed):
  """Ends the program with code 1 where the two work directories differ."""
  if results(whole) != results(killed):
    sys.exit('results.json differs')
  if files(whole) != files(killed):
    sys.exit(f'other files: {set(files(whole)) ^ set(files(killed))}')
  for name in files(whole):
    if not filecmp.cmp(whole / name, killed / name, shallow=False):
      sys.exit(f'{name} differs')
  print('equal to the uninterrupted run', flush=True)


if __name__ == '__main__':
  main()
