"""Rows of a table over the draws of a data set: each is fitted and ranked once, kept, and held against the first."""

import time

import jax
import numpy as np
from absl import logging

from ganrec_jax import artifacts, pipeline
from ganrec_jax.evaluation import ranking
from ganrec_jax.evaluation.significance import holm, paired_bootstrap
from ganrec_jax.models import blend
from ganrec_jax.stages import encode, recommend

TASKS = ('warm', 'cold', 'all', 'tail')


def run(name, rows, draws, held_out, load, workdir, resamples=10000):
  """All rows on all draws, as a dict for JSON.

  Args:
    name: of the data set.
    rows: row -> `fit(problem, key) -> (score, params)`.
    draws: how many.
    held_out: 'valid' or 'test'.
    load: `load(draw) -> Problem`.
    workdir: where results are kept, a path.
    resamples: of the bootstrap.
  """
  start, found, hashes = time.perf_counter(), {row: [] for row in rows}, []
  for draw in range(draws):
    one = load(draw)
    hashes.append(artifacts.digest(one.prepared.sha256(), encode.sha256(one.texts)))
    for row, fit in rows.items():
      def compute(one=one, fit=fit, draw=draw):
        began, key = time.perf_counter(), jax.random.fold_in(jax.random.key(one.config.seed), draw)
        score, params = fit(one, key)
        seconds = time.perf_counter() - began
        return measure(one, score, params, held_out) | {'seconds': np.array(seconds)}

      made_by = artifacts.digest(pipeline.revision(), hashes[-1], one.config.to_dict(), row, draw, held_out)
      file = workdir / f'{name}-{draw}' / f'{held_out}.{row.replace(" ", "_")}.npz'
      arrays, _ = artifacts.cached(str(file), made_by, compute)
      found[row].append(arrays)
      logging.info('%s, draw %d, %s: %s', name, draw, row,
                   ', '.join(f'{task} {arrays[task].mean():.4f}' for task in TASKS))
  return {
    'name': name, 'held_out': held_out, 'config_sha256': artifacts.digest(one.config.to_dict()),
    'data_sha256': hashes, 'git_revision': pipeline.revision(), 'seeds': list(range(draws)),
    'device': jax.devices()[0].device_kind, 'jax': jax.__version__, 'wall_seconds': time.perf_counter() - start,
    'rows': {row: {task: [float(one[task].mean()) for one in those] for task in (*TASKS, 'seconds')}
             for row, those in found.items()},
    'differences': differences(found, resamples)}


def measure(one, score, params, held_out):
  """NDCG@20 of each user, task -> float64, and his id, task.users -> str; in `all` calibrated on validation."""
  calibrated, _ = recommend.for_all(one.prepared, recommend.Model(score, params, {}),
                                    recommend.Judge(one.tasks('valid')))
  tasks, out = one.tasks(held_out), {}
  for name in TASKS:
    function, model = (blend.score_calibrated, calibrated) if name == 'all' else (score, params)
    lists, _ = ranking.top_k(function, model, tasks[name], k=20)
    out[name] = ranking.metrics_per_user(lists, tasks[name].targets)['ndcg@20']
    out[f'{name}.users'] = one.prepared.dataset.user_ids[tasks[name].users].astype(str)
  return out


def differences(found, resamples):
  """Each row minus the first one: row -> task -> mean, interval and p value, these corrected by Holm over all.

  A user's differences are averaged over the draws he is in, and users are resampled, so that a user counts as one.
  """
  first, *others = found
  out = {row: {task: difference(found[row], found[first], task, resamples) for task in TASKS} for row in others}
  corrected([cell for tasks in out.values() for cell in tasks.values()])
  return out


def corrected(cells):
  """The `cells` with Holm's correction of their p values beside these."""
  for cell, p in zip(cells, holm([cell['p'] for cell in cells]) if cells else (), strict=True):
    cell['p_holm'] = float(p)
  return cells


def difference(mine, other, task, resamples):
  """Two rows' difference in a task: mean, interval and p value, see `differences`."""
  users = np.concatenate([draw[f'{task}.users'] for draw in mine])
  gains = np.concatenate([a[task] - b[task] for a, b in zip(mine, other, strict=True)])
  _, place = np.unique(users, return_inverse=True)
  means = np.bincount(place, gains) / np.bincount(place)
  mean, low, high, p = paired_bootstrap(means, np.zeros(len(means)), 0, resamples)
  return {'mean': mean, 'low': low, 'high': high, 'p': p}


def markdown(result):
  """The results as a Markdown table: mean, deviation over draws, * where the difference is significant."""
  lines = [f'| {result["name"]}, {result["held_out"]}, NDCG@20 | ' + ' | '.join(TASKS) + ' | seconds |',
           '|---|' + '---|' * (len(TASKS) + 1)]
  for row, found in result['rows'].items():
    cells = [f'{np.mean(found[task]):.4f}' + (f' ({np.std(found[task], ddof=1):.4f})' if len(found[task]) > 1 else '')
             + ' *' * (result['differences'].get(row, {}).get(task, {}).get('p_holm', 1.) < .05) for task in TASKS]
    lines.append(f'| {row} | ' + ' | '.join(cells) + f' | {np.mean(found["seconds"]):.0f} |')
  return '\n'.join(lines)
