"""How careful the calibration of new items' scores should be, by validation alone.

    python experiments/calibration.py --dataset=movielens --data=DIR --workdir=DIR

The base model is fitted to each draw. Its users with validation targets in the task `all` are cut into halves, many
times over: `blend.calibrate` chooses factor and offset on one half, with so many standard errors of caution, and the
other half says what the choice is worth. Stated is the mean gain over leaving the scores as they are, in per cent of
NDCG@20, beside never recommending a new item. Half the users choose worse than all of them do, so caution looks a
little better here than it is. The test part is not read. It leaves `calibration.NAME.json` beside this file.
"""

import json
import pathlib
import sys
import time

import jax
import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))  # a script sees only its own folder

from experiments.bench import trials
from experiments.bench.options import parser_of
from experiments.peers import ours, problem
from ganrec_jax import artifacts, pipeline
from ganrec_jax.models import blend
from ganrec_jax.stages import recommend

_HERE = pathlib.Path(__file__).resolve().parent
# The last one is about what Bonferroni's correction for all choices asks for at .05.
ERRORS = (0., .5, 1., 1.5, 2., 3.7)


def lists_of(one):
  """The validation lists of the base model fitted to a `Problem`, as arrays for an artifact, see `gains`."""
  score, params = ours.fit(one, {}, jax.random.key(one.draw))
  task = one.tasks('valid')['all']
  (warm, warm_hits), (cold, cold_hits) = recommend.both_kinds(score, params, task, one.warm)
  unit = blend.deviation(score, params, recommend.some_users(one.prepared), one.warm)
  return {'warm': warm, 'warm_hits': warm_hits, 'cold': cold, 'cold_hits': cold_hits, 'unit': np.float64(unit),
          'targets': task.targets.lengths}


def gains(arrays, repeats, seed=0):
  """The mean gain on the other half in per cent, for 'never' and each of `ERRORS`.

  Args:
    arrays: scores and hits `[users, 20]` of both kinds, `targets` `[users]`, `unit` of the offsets.
    repeats: how often users are cut into halves; each half chooses once.
    seed: of the halves.
  """
  targets, rng = arrays['targets'], np.random.default_rng(seed)
  lists = (arrays['warm'], arrays['warm_hits']), (arrays['cold'], arrays['cold_hits'])
  offsets = tuple(float(arrays['unit']) * one for one in blend.OFFSETS)

  def of(users):
    return *([(scores[users], hits[users]) for scores, hits in lists]), targets[users]

  found = {name: [] for name in ('never', *ERRORS)}
  for _ in range(repeats):
    halves = np.array_split(rng.permutation(len(targets)), 2)
    for mine, other in (halves, halves[::-1]):
      before = blend.merged_ndcg(*of(other), blend.AS_IT_IS).mean()
      for name, values in found.items():
        point = blend.NEVER if name == 'never' else blend.calibrate(*of(mine), offsets=offsets, errors=name)[0]
        values.append(100 * (blend.merged_ndcg(*of(other), point).mean() / before - 1))
  return {f'{name}': float(np.mean(values)) for name, values in found.items()}


def main():
  """Runs what the command line asks for."""
  parser = parser_of(__doc__, 'calibration')
  parser.add_argument('--repeats', type=int, default=20, help='How often users are cut into halves.')
  options, start = parser.parse_args(), time.perf_counter()
  if options.repeats < 1:
    parser.error(f'--repeats is {options.repeats}; allowed are whole numbers from 1 on')
  workdir, hashes, found = pathlib.Path(options.workdir), [], []
  for draw in range(options.draws):
    one = problem.load(options.dataset, draw, options.data, str(workdir / 'problems'))
    hashes.append(trials.data_hash(one))
    key = artifacts.digest(hashes[-1], trials.revision_of(__name__), draw)
    path = workdir / f'{options.dataset}-{draw}' / 'lists.npz'
    found.append(gains(artifacts.cached(str(path), key, lambda one=one: lists_of(one))[0], options.repeats))
    print(f'{options.dataset}, draw {draw}: ' + ', '.join(f'{name} {value:+.2f}' for name, value in found[-1].items()))
  result = {'name': options.dataset, 'draws': found, 'mean': {name: float(np.mean([one[name] for one in found]))
                                                              for name in found[0]},
            'data_sha256': hashes, 'repeats': options.repeats, 'git_revision': pipeline.revision(),
            'device': jax.devices()[0].device_kind, 'jax': jax.__version__, 'wall_seconds': time.perf_counter() - start}
  artifacts.write_json(_HERE / f'calibration.{options.dataset}.json', result)
  print(json.dumps(result['mean'], indent=2))


if __name__ == '__main__':
  main()
