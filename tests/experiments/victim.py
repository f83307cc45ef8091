"""A stand-in for a run with one stage of 60 steps: `python -m tests.experiments.victim [--forgetful] --workdir=DIR`."""

import json
import pathlib
import sys
import time

CHUNK = 10


def main(arguments):
  workdir = pathlib.Path(arguments[-1].removeprefix('--workdir='))
  checkpoints = workdir / 'checkpoints' / 'gan' / 'key'
  checkpoints.mkdir(parents=True, exist_ok=True)
  metrics = workdir / 'metrics.jsonl'
  start = max((int(path.name) for path in checkpoints.iterdir() if path.name.isdigit()), default=0)
  print(f'I1126 x.py:1] gan: {"going on from" if start else "beginning with"} step {start} of 60', file=sys.stderr)
  lines = metrics.read_text().splitlines() if metrics.exists() else []
  # All at once, since a kill may come here too; a torn last line is left out.
  kept = [line for line in lines if line.endswith('}') and json.loads(line)['step'] <= start]
  metrics.with_suffix('.tmp').write_text(''.join(line + '\n' for line in kept))
  metrics.with_suffix('.tmp').replace(metrics)
  for step in range(start + CHUNK, 60 + CHUNK, CHUNK):
    time.sleep(.02)
    with open(metrics, 'a') as file:
      file.write(json.dumps({'stage': 'gan', 'step': step}) + '\n')
    half = checkpoints / f'{step}.tmp'
    half.mkdir(exist_ok=True)
    time.sleep(.02)
    half.rename(checkpoints / str(step))
  found = {'wall_seconds': time.time(), 'rows': [start if '--forgetful' in arguments else 0]}
  (workdir / 'results.json').write_text(json.dumps(found))


if __name__ == '__main__':
  main(sys.argv[1:])
