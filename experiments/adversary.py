"""The court: does an adversary help a recommender? Every adversarial design beside its controls, at equal budget.

    python experiments/adversary.py --data=DIR --workdir=DIR
    python experiments/adversary.py --data=DIR --workdir=DIR --quick       a first look within 15 minutes

The base model is the closed form with the content kernel of frozen texts, fitted to a frozen draw and tuned on its
validation part. A row makes an offer to it, in one of three ways: generated interactions (10 a user, about half of them
of new items), generated users (as many as there are), or item vectors; the model takes it in with a weight. That is
chosen on validation by one rule for all rows, 0 among the choices; and since 0 hides what an offer would have done,
every row is shown at one fixed weight too. Full ranking, NDCG@20 on test; differences to no augmentation, and of each
design to the control that is the same without its adversary, paired over users, Holm's correction over each table.
Collapsed and diverged runs are counted and stay in the means.

What is done is kept in the work directory, and a stopped command goes on. It leaves `adversary.NAME.json` for each data
set, and `adversary.png` and `adversary.md` of all there are, beside this file; a quick look, or one at some rows only,
leaves them in the work directory; `--out` says otherwise.
"""

import argparse
import contextlib
import functools
import json
import pathlib
import sys
import time

import jax
import numpy as np
from absl import logging
from tqdm import tqdm

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))  # a script sees only its own folder

from experiments.bench import rows, trials
from experiments.court import case as court
from experiments.court import page
from experiments.court.rows import ROWS
from experiments.peers import problem
from ganrec_jax import artifacts, pipeline

_HERE = pathlib.Path(__file__).resolve().parent
NOTHING = 'no augmentation'
# Written into every key: raise it where what is measured changes.
_VERSION = 1


def measured(case, row, seed, before):
  """A row on one draw with one seed: metrics at both weights, and its report, as arrays for an artifact.

  Args:
    case: `Case`.
    row: `Row`.
    seed: of the offer.
    before: what `rows.measure` gives for no augmentation.
  """
  began = time.perf_counter()
  offer = row.fit(case, seed)
  chosen, best, fixed, values = court.decide(case, offer)
  report = offer.report | {'weight': chosen, 'valid': {f'{weight:g}': value for weight, value in values.items()}}
  seconds = time.perf_counter() - began
  found = {'fixed': before if fixed is case.base else _test(case, fixed)}
  found['chosen'] = before if chosen == 0 else found['fixed'] if chosen == court.FIXED else _test(case, best)
  return {f'{which}.{name}': values for which, arrays in found.items() for name, values in arrays.items()} | {
    'report': np.asarray(json.dumps(report, default=float)), 'seconds': np.asarray(seconds)}


def _test(case, params):
  return rows.measure(case.problem, court.closed_form.score, params, 'test')


def run(name, names, draws, seeds, quick, load, workdir):
  """All rows on all draws of a data set, as a dict for JSON.

  Args:
    name: of the data set.
    names: of rows.
    draws, seeds: how many.
    quick: whether networks get a quarter of their steps.
    load: `load(draw) -> Problem`.
    workdir: where results are kept, a path.
  """
  start, found, hashes = time.perf_counter(), {row: [] for row in (NOTHING, *names)}, []
  with tqdm(total=draws * (1 + seeds * len(names)), unit='cell', mininterval=5) as bar:
    for draw in range(draws):
      one = load(draw)
      hashes.append(trials.data_hash(one))
      opened = functools.cache(lambda one=one: court.open_case(one, quick))

      def kept(label, module, seed, compute, draw=draw, one=one):
        bar.set_description(f'{name}, draw {draw}: {label}')
        key = artifacts.digest(_VERSION, hashes[draw], one.config.to_dict(), trials.revision_of(module), label, seed,
                               quick)
        file = workdir / f'{name}-{draw}' / f'{"quick" if quick else "full"}.{label.replace(" ", "_")}.{seed}.npz'
        arrays, _ = artifacts.cached(str(file), key, compute)
        bar.update()
        return arrays

      before = kept(NOTHING, court.__name__, 0, lambda opened=opened: _test(opened(), opened().base))
      found[NOTHING].append([before])
      for label in names:
        row = ROWS[label]
        found[label].append([kept(label, row.module, seed, lambda row=row, seed=seed, opened=opened, before=before:
                                  measured(opened(), row, seed, before)) for seed in range(seeds)])
        if draw == draws - 1:
          logging.info('%s: %s', label, found[label][-1][0]['report'])
      jax.clear_caches()
  return {'name': name, 'quick': quick, 'draws': draws, 'seeds': seeds, 'git_revision': pipeline.revision(),
          'data_sha256': hashes, 'device': jax.devices()[0].device_kind, 'jax': jax.__version__,
          'wall_seconds': time.perf_counter() - start, 'weights': (0., *court.weights(quick)), 'fixed': court.FIXED,
          'order': [label for label in (NOTHING, *ROWS) if label in found],
          'rows': {label: summary(label, cells) for label, cells in found.items()},
          'differences': differences(found)}


def summary(label, cells):
  """A row's means over draws by task and weight, and the reports of its runs; `cells` are [draw][seed]."""
  if label == NOTHING:
    return {task: [float(draw[0][task].mean()) for draw in cells] for task in rows.TASKS}
  runs = [run for draw in cells for run in draw]
  reports = [json.loads(str(run['report'])) for run in runs]
  return {which: {task: [float(np.mean([run[f'{which}.{task}'].mean() for run in draw])) for draw in cells]
                  for task in rows.TASKS} for which in ('fixed', 'chosen')} | {
    'way': reports[0]['way'], 'status': [report['status'] for report in reports],
    'weights': [report['weight'] for report in reports], 'reports': reports,
    'seconds': [float(run['seconds']) for run in runs]}


def differences(found, resamples=10000):
  """Differences of rows, each user's values averaged over seeds: a list of records with Holm's correction.

  Four tables, each corrected for itself: at the fixed and at the chosen weight, to no augmentation and, for designs, to
  their controls.

  Args:
    found: row -> arrays [draw][seed].
    resamples: of the bootstrap.
  """
  def mean(label, which, task):
    prefix = '' if label == NOTHING else f'{which}.'
    return [{task: np.mean([run[prefix + task] for run in draw], 0), f'{task}.users': draw[0][f'{prefix}{task}.users']}
            for draw in found[label]]

  out = []
  for which in ('fixed', 'chosen'):
    for to in (NOTHING, 'control'):
      cells = []
      for label in found:
        other = NOTHING if to == NOTHING else label != NOTHING and ROWS[label].control
        if label == NOTHING or not other or other not in found:
          continue
        for task in rows.TASKS:
          mine, base = mean(label, which, task), mean(other, which, task)
          due = np.mean([draw[task].mean() for draw in base])
          cell = _difference(mine, base, task, resamples)
          cells.append({'row': label, 'to': other, 'against': to, 'weight': which, 'task': task,
                        'percent': {key: float(100 * cell[key] / due) if due > 0 else None
                                    for key in ('mean', 'low', 'high')}} | cell)
      out += rows.corrected(cells)
  return out


def _difference(mine, base, task, resamples):
  # Where validation took nothing of an offer there is nothing to resample.
  if all((a[task] == b[task]).all() for a, b in zip(mine, base, strict=True)):
    return {'mean': 0., 'low': 0., 'high': 0., 'p': 1.}
  return rows.difference(mine, base, task, resamples)


def _options():
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('--dataset', nargs='*', choices=list(problem.SETS), default=None, help='All if not given.')
  parser.add_argument('--data', default='data', help='Folder with the data sets and their splits.')
  parser.add_argument('--workdir', default='runs/adversary', help='Where results are kept.')
  parser.add_argument('--draws', type=int, default=5, choices=range(1, 6), help='Draws.')
  parser.add_argument('--seeds', type=int, default=3, choices=range(1, 11), help='Seeds of each offer.')
  parser.add_argument('--rows', nargs='*', choices=list(ROWS), default=list(ROWS), help='Rows; all where not given.')
  parser.add_argument('--out', default='', help='Folder of the results, see above.')
  parser.add_argument('--quick', action='store_true', help='MovieLens, one draw, one seed, short training.')
  return parser.parse_args()


def main():
  """Runs what the command line asks for."""
  options = _options()
  workdir = pathlib.Path(options.workdir)
  names, draws, seeds = options.dataset or list(problem.SETS), options.draws, options.seeds
  if options.quick:
    names, draws, seeds = options.dataset or ['movielens'], 1, 1
  whole = not options.quick and set(options.rows) == set(ROWS)
  out = pathlib.Path(options.out) if options.out else _HERE if whole else workdir
  for name in names:
    result = run(name, options.rows, draws, seeds, options.quick,
                 lambda draw, name=name: problem.load(name, draw, options.data, str(workdir / 'problems')), workdir)
    artifacts.write_json(out / f'adversary.{name}.json', result)
  results = [artifacts.read_json(path) for path in sorted(out.glob('adversary.*.json'))]
  page.write(out, results, ROWS)
  print('\n\n'.join(page.table(result) for result in results))


if __name__ == '__main__':
  with contextlib.suppress(KeyboardInterrupt):
    main()
