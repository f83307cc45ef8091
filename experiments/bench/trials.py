"""One trial of a peer: fitted, measured on the tasks, and kept as an artifact, so that no trial is done twice."""

import dataclasses
import functools
import hashlib
import json
import math
import os
import pathlib
import sys
import time
import types
import zlib
from collections.abc import Callable

import jax
import numpy as np
from absl import logging

from ganrec_jax import artifacts
from ganrec_jax.evaluation import beyond, ranking
from ganrec_jax.evaluation.tasks import item_masks
from ganrec_jax.models import blend
from ganrec_jax.stages import encode, recommend

# `never` is `all` without a cold item in any list.
TASKS = ('warm', 'cold', 'all', 'never', 'tail', 'sparse')
# Written into every key: raise it where what is measured changes.
VERSION = 3
# A peer is done again where its own module changes, or one of these that it imports.
_SOURCES = ('experiments.court', 'experiments.peers', 'ganrec_jax.adversarial', 'ganrec_jax.models',
            'ganrec_jax.profiles', 'ganrec_jax.stages.tune', 'ganrec_jax.training')


@dataclasses.dataclass(frozen=True)
class Peer:
  """A recommender that is compared.

  Attributes:
    name: as it is shown.
    fit: `fit(problem, options, key) -> (score, params)`, see `experiments/peers`.
    space: option -> values; the first of each is the default.
    cold: whether its scores of cold items mean anything.
    single: whether one trial serves all tasks, as ours must.
    quick: whether it is fitted in seconds, and so tried at three times as many points.
  """
  name: str
  fit: Callable
  space: dict
  cold: bool
  single: bool = False
  quick: bool = False


def points(peer, number):
  """At most `number` points of a peer's space, three times as many of a quick one's.

  The default comes first, then others at random without replacement; the draw depends on the peer's name only. A space
  of no more points is taken whole.
  """
  number *= 3 if peer.quick else 1
  sizes = [len(values) for values in peer.space.values()]
  total = math.prod(sizes)
  rng = np.random.default_rng(zlib.crc32(peer.name.encode()))
  order = np.append(0, 1 + rng.permutation(total - 1))[:number]
  places = [()] * len(order) if not sizes else np.stack(np.unravel_index(order, sizes), 1)
  return [{name: values[int(p)] for (name, values), p in zip(peer.space.items(), place, strict=True)}
          for place in places]


def revision(peer):
  """The hash of the source of a peer's fit and of what it is made of, see `_SOURCES`, as far as modules import it."""
  return revision_of(peer.fit.__module__)


@functools.cache  # so that a file which changes while the benchmark runs does not change the keys
def revision_of(name):
  """The hash of the source of a module, by its name, and of what it is made of."""
  found, waiting = {}, [name]
  while waiting:
    one = waiting.pop()
    if one not in found and (one == name or one.startswith(_SOURCES)):
      module = sys.modules[one]
      found[one] = hashlib.sha256(pathlib.Path(module.__file__).read_bytes()).hexdigest()
      waiting += [value.__name__ if isinstance(value, types.ModuleType) else getattr(value, '__module__', None) or ''
                  for value in vars(module).values()]
  return artifacts.digest(found)


def data_hash(problem):
  """The hash of all that a peer may read: interactions, split, texts and their vectors.

  The whitened vectors follow from those, but not to the last bit: the eigenvectors depend on the number of threads.
  """
  return artifacts.digest(problem.prepared.sha256(), encode.sha256(problem.texts))


def trial(peer, options, problem, data, held_out, workdir):
  """What one trial gives on 'valid' or 'test', from the work directory where it was done before.

  A trial that fails or diverges is kept as such, with its error.

  Args:
    peer: `Peer`.
    options: its hyper-parameters.
    problem: `Problem`.
    data: its `data_hash`.
    held_out: 'valid' or 'test'; test has lists too.
    workdir: the work directory.

  Returns:
    a dict of arrays: `seconds` of fitting, `error` ('' where all went well), `calibration` as JSON, and for each task
    `TASK.users` (ids), `TASK.ndcg`, `TASK.recall`; on test `TASK.lists`, `TASK.coverage`, `TASK.gini`,
    `TASK.tail_share`.
  """
  key = artifacts.digest(VERSION, peer.name, options, revision(peer), data, held_out)
  path = os.path.join(workdir, held_out, f'{peer.name}.{key[:16]}.npz')

  def compute():
    start = time.perf_counter()
    try:
      score, params = fit(peer, options, problem)
      seconds = time.perf_counter() - start
      return {'seconds': np.asarray(seconds), 'error': np.asarray('')} | measure(
        score, params, peer.cold, problem, held_out)
    # Whatever a peer raises is a failed trial of that peer: it is counted, and the others go on.
    except Exception as error:
      logging.exception('%s with %s failed', peer.name, options)
      return {'seconds': np.asarray(time.perf_counter() - start),
              'error': np.asarray(f'{type(error).__name__}: {error}')}

  return artifacts.cached(path, key, compute)[0]


def fit(peer, options, problem):
  """(score, params) of a peer, its randomness given by its name and the draw; waits until it is computed."""
  key = jax.random.fold_in(jax.random.key(problem.draw), zlib.crc32(peer.name.encode()))
  score, params = peer.fit(problem, options, key)
  return score, jax.block_until_ready(params)


def measure(score, params, cold, problem, held_out):
  """The metrics of a fitted model on 'valid' or 'test', see `trial`.

  Cold scores get factor and offset on validation for `all`, by the rule that ours is held to. A model without cold
  ability never recommends a cold item.
  """
  tasks, valid = problem.tasks(held_out), problem.tasks('valid').get('all')
  never = blend.Calibrated(params, *map(np.float32, blend.NEVER), problem.warm, score)
  models = {'warm': (score, params), 'all': (blend.score_calibrated, never)}
  choice = {}
  if cold:
    unit = blend.deviation(score, params, recommend.some_users(problem.prepared), problem.warm)
    calibrated, choice = recommend.calibrate(score, params, valid, problem.warm, unit)
    models |= {'cold': (score, params), 'all': (blend.score_calibrated, calibrated),
               'never': (blend.score_calibrated, never)}
  found = {'calibration': np.asarray(json.dumps(choice))}
  tail = item_masks(problem.prepared.dataset, problem.prepared.split)['tail']
  for name, model in models.items():
    task = tasks.get('all' if name == 'never' else name)
    if task is None:
      continue
    lists, _ = ranking.top_k(*model, task, k=20)
    found |= _metrics(name, task, lists, problem)
    if held_out == 'test':
      top = {'lists': lists, 'coverage': beyond.coverage(lists, task.candidates),
             'gini': beyond.gini(lists, task.candidates), 'tail_share': np.nanmean(beyond.share(lists, tail))}
      found |= {f'{name}.{metric}': np.asarray(value) for metric, value in top.items()}
    if name == 'warm':  # the same candidates and the same lists, but fewer users or targets
      for part in ('tail', 'sparse'):
        if part in tasks:
          found |= _metrics(part, tasks[part], lists[np.searchsorted(task.users, tasks[part].users)], problem)
  return found


def _metrics(name, task, lists, problem):
  values = ranking.metrics_per_user(lists, task.targets)
  users = problem.prepared.dataset.user_ids[task.users]
  return {f'{name}.users': users, f'{name}.ndcg': values['ndcg@20'], f'{name}.recall': values['recall@20']}


def means(found):
  """Task -> mean NDCG@20 of a trial, without the tasks that it cannot do."""
  return {task: float(found[f'{task}.ndcg'].mean()) for task in TASKS if f'{task}.ndcg' in found}


def choose(values):
  """Which trial each task takes, by validation: task -> number; 'best_tail' and 'one' beside the tasks.

  'tail' is the best among the trials that lose at most 1% of the best warm value, 'best_tail' the best of all. 'one'
  serves all tasks: it has the largest mean of warm and cold, each relative to the peer's best.

  Args:
    values: for each trial task -> validation NDCG@20, empty where it failed.
  """
  def best(task, among=None):
    column = [value.get(task, -np.inf) if among is None or among[k] else -np.inf for k, value in enumerate(values)]
    return int(np.argmax(column)) if np.max(column, initial=-np.inf) > -np.inf else None
  chosen = {task: best(task) for task in TASKS}
  chosen['best_tail'] = chosen['tail']
  top = {task: values[k][task] for task in ('warm', 'cold') if (k := chosen[task]) is not None}
  if 'warm' in top:
    chosen['tail'] = best('tail', [value.get('warm', -np.inf) >= .99 * top['warm'] for value in values])
  relative = [np.mean([value[task] / max(top[task], 1e-12) for task in top]) if value else -np.inf for value in values]
  chosen['one'] = int(np.argmax(relative)) if top else None
  return {task: k for task, k in chosen.items() if k is not None}

