"""What the one knob at serving time is worth in the tail, under the rule by which peers choose their trial for it.

    python experiments/adventure.py --dataset=industrial --data=DIR --workdir=DIR

In `benchmark.py` a peer may take another trial for the tail than for known items: the best in the tail that loses at
most 1% of its best warm NDCG@20 on validation. Ours has one trial for everything. Here ours is fitted as there, and its
knob (`--adventure`, popularity taken out of finished scores, see `models/adventure.py`) is set by the same rule on each
draw's validation; nothing is fitted again. Stated are both settings on test. What is done is kept in the work
directory. It leaves `adventure.NAME.json` beside this file.
"""

import pathlib
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))  # a script sees only its own folder

from experiments.bench import frontier, trials
from experiments.bench.options import parser_of
from experiments.peers import ours, problem
from ganrec_jax import artifacts, pipeline
from ganrec_jax.evaluation import beyond, ranking
from ganrec_jax.evaluation.tasks import item_masks

_HERE = pathlib.Path(__file__).resolve().parent
_OURS = trials.Peer('ours', ours.fit, ours.SPACE, cold=True, single=True)
LOSS = .01
MEASURES = ('warm', 'tail', 'sparse', 'coverage', 'gini', 'tail_share')


def measure(one, damped, gamma, held_out):
  """The `MEASURES` of a `Damped` model of a `Problem` with its knob at `gamma`, float64 `[6]`."""
  tasks = one.tasks(held_out)
  warm, tail = tasks['warm'], item_masks(one.prepared.dataset, one.prepared.split)['tail']
  lists, _ = ranking.top_k(frontier.score_damped, damped.replace(gamma=jnp.float32(gamma)), warm, k=20)
  # Tail and sparse have the candidates of warm and some of its users, so one ranking tells all three.
  found = [ranking.metrics_per_user(lists[np.searchsorted(warm.users, task.users)], task.targets)['ndcg@20'].mean()
           for task in (tasks[name] for name in ('warm', 'tail', 'sparse'))]
  return np.array([*found, beyond.coverage(lists, warm.candidates), beyond.gini(lists, warm.candidates),
                   np.nanmean(beyond.share(lists, tail))])


def chosen(warm, tail):
  """Which setting validation takes: the best in the tail of those that lose at most `LOSS` of the first one's warm."""
  return int(np.argmax(np.where(np.asarray(warm) >= (1 - LOSS) * warm[0], tail, -np.inf)))


def measured(one):
  """One draw, as arrays for an artifact: the chosen `gamma`, validation `[gammas, 6]`, test `before` and `after`."""
  damped = frontier.as_fitted(one, *trials.fit(_OURS, {}, one))
  valid = np.stack([measure(one, damped, gamma, 'valid') for gamma in frontier.GAMMAS])
  gamma = frontier.GAMMAS[chosen(*valid[:, :2].T)]
  return {'gamma': np.float64(gamma), 'valid': valid, 'before': measure(one, damped, 0., 'test'),
          'after': measure(one, damped, gamma, 'test')}


def main():
  """Runs what the command line asks for."""
  options, start = parser_of(__doc__, 'adventure').parse_args(), time.perf_counter()
  workdir, hashes, found = pathlib.Path(options.workdir), [], []
  for draw in range(options.draws):
    one = problem.load(options.dataset, draw, options.data, str(workdir / 'problems'))
    hashes.append(trials.data_hash(one))
    key = artifacts.digest(hashes[-1], trials.revision_of(__name__), frontier.GAMMAS, LOSS)
    path = workdir / f'{options.dataset}-{draw}' / 'adventure.npz'
    found.append(artifacts.cached(str(path), key, lambda one=one: measured(one))[0])
    jax.clear_caches()
  result = {
    'name': options.dataset, 'gammas': frontier.GAMMAS, 'chosen': [float(one['gamma']) for one in found],
    'valid': [one['valid'].tolist() for one in found], 'measures': MEASURES,
    **{when: {name: [float(one[when][i]) for one in found] for i, name in enumerate(MEASURES)}
       for when in ('before', 'after')},
    'data_sha256': hashes, 'git_revision': pipeline.revision(), 'device': jax.devices()[0].device_kind,
    'jax': jax.__version__, 'wall_seconds': time.perf_counter() - start}
  artifacts.write_json(_HERE / f'adventure.{options.dataset}.json', result)
  print(f'knob by draw: {result["chosen"]}')
  for name in MEASURES:
    print(f'{name:12}' + ' -> '.join(f'{np.mean(result[when][name]):.4f} ({np.std(result[when][name]):.4f})'
                                     for when in ('before', 'after')))


if __name__ == '__main__':
  main()
