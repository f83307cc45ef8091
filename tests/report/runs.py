"""Work directories as a finished run leaves them, made in a moment: real lists and figures of made-up scores."""

import json

import numpy as np

from ganrec_jax import artifacts
from ganrec_jax.adversarial import expand
from ganrec_jax.data import split_files, splits
from ganrec_jax.evaluation import ranking, strata, table
from ganrec_jax.evaluation.tasks import make_tasks, train_counts
from ganrec_jax.training.logs import Metrics
from tests.report import worlds

ROWS = {'popularity': 1., 'no_augmentation': .8, 'random_pairs': .8, 'generator_only': .79, 'gan': .8, 'oracle': .2}
KNOBS = ('power', 'warm_blend', 'cold_blend', 'activity', 'popularity', 'cold_popularity')
RESAMPLES = 200


def make(path, prepared=None, config=None, encoder=True, seed=0, **changed):
  """Writes what a run leaves into the folder `path`.

  Args:
    path: the work directory.
    prepared, config: the data and the config, those of the small sample world where none are given.
    encoder: whether there was one.
    seed: of all that is made up.
    **changed: entries of results.json that are other ones; None leaves an entry out.
  """
  prepared, config = prepared or worlds.small(), config or worlds.config()
  config.encoder.kind = 'trained' if encoder else 'none'
  rng, data = np.random.default_rng(seed), prepared.dataset
  rows, slices = _lists(path, prepared, rng)
  generated = _generated(prepared, rng)
  plain = json.loads(json.dumps(config.to_dict()))
  tasks = list(rows['no_augmentation'])
  results = {
    'config': plain, 'config_sha256': artifacts.digest(plain), 'git_revision': 'r' * 40, 'seed': 0, 'devices': 1,
    'data_sha256': data.sha256(), 'split_sha256': prepared.split.sha256(), 'simulated': data.info['simulated'],
    'device': 'cpu', 'wall_seconds': 12., 'versions': {'jax': '1.2.3'}, 'stages': {'prepare': 1., 'encode': 11.},
    'dataset': {'users': data.users, 'items': data.items, 'interactions': len(data.interactions), **data.info,
                'split': splits.describe(prepared.split, data)},
    'generated': {row: _report(generated, row) for row in ('random_pairs', 'generator_only', 'gan')},
    'choices': {row: {'weight': .01, 'weights_tried': _tried(rng)} | _calibration() for row in (
      'random_pairs', 'generator_only', 'gan')} | {'no_augmentation': _calibration()},
    'base': {'regime': 'dense', 'value': {'dense': -2.}, 'knobs': dict.fromkeys(KNOBS, .5)},
    'encoder': {stage: {'steps': 40, 'best': -2., 'best_step': 20} for stage in ('mlm', 'adapt') if encoder},
    'rows': table.records(rows, 0, RESAMPLES), 'strata': strata.records(slices, 0, RESAMPLES),
    'differences': table.difference_records(table.differences(list(rows), tasks, rows, resamples=RESAMPLES))}
  results = {name: value for name, value in (results | changed).items() if value is not None}
  artifacts.write_json(str(path / 'config.json'), {'config': plain, 'sha256': artifacts.digest(plain),
                                                   'command': "--config='configs/music.py:testing'"})
  artifacts.write_json(str(path / 'results.json'), results)
  split_files.write_split(str(path / 'split.csv.gz'), data, prepared.split)
  expand.write(str(path / 'generated.csv.gz'), generated, data.user_ids, data.catalogue.ids)
  _metrics(path, encoder)
  for name, array in (('encode', {'vectors': rng.normal(size=(data.items, 5)).astype(np.float32)}),
                      ('base.dense', {'factors.items': rng.normal(size=(data.items, 4)).astype(np.float32)})):
    artifacts.write_atomically(str(path / 'artifacts' / f'{name}.npz'), lambda file, a=array: np.savez(file, **a))
  return path


def _lists(path, prepared, rng):
  """Exports lists by popularity with more or less noise; returns the values of users as `Evaluation` holds them."""
  data, (activity, counts) = prepared.dataset, train_counts(prepared.dataset, prepared.split)
  tasks, rows, slices = make_tasks(data, prepared.split, 0), {}, {}
  for row, noise in ROWS.items():
    for name, task in tasks.items():
      if (row, name) == ('popularity', 'cold'):
        continue
      scores = np.log1p(counts)[task.candidates] + noise * rng.normal(size=(len(task.users), len(task.candidates)))
      lists = task.candidates[np.argsort(-scores, axis=1)[:, :100]]
      artifacts.save_lists(str(path / 'recommendations' / f'{row}.{name}.npz'), data.user_ids, data.catalogue.ids,
                           task.users, lists, -np.sort(-scores, axis=1)[:, :100])
      values = ranking.metrics_per_user(lists, task.targets)
      slices.setdefault(row, {})[name] = strata.by_stratum(task, lists, values, activity, counts)
      rows.setdefault(row, {})[name] = values | {'coverage@20': float(noise), 'gini@20': .5}
  return rows, slices


def _generated(prepared, rng, each=3):
  users = np.flatnonzero(prepared.histories.lengths)
  parts = {}
  for row in ('random_pairs', 'generator_only', 'gan'):
    user = np.repeat(users, each)
    item = np.concatenate([rng.permutation(prepared.dataset.items)[:each] for _ in users])
    real = np.full(len(user), np.nan) if row == 'random_pairs' else rng.random(len(user))
    parts[row] = expand.made(user, item, .01, row, real, {'asked': len(user) + 5, 'unreal': 5, 'kept': len(user)})
  return expand.joined(parts, dict.fromkeys(parts, .01))


def _report(generated, row):
  kept = int((generated.source == row).sum())
  found = {'counts': {'asked': kept + 5, 'unreal': 5, 'kept': kept}, 'leaks': {
    kind: {'coincidences': 3, 'expected_popularity': 2.4} for kind in ('warm', 'cold')}}
  if row == 'random_pairs':
    return found
  even = np.linspace(0, 1, 21).tolist()
  return found | {'status': 'converged', 'reason': '', 'steps': 40, 'best_step': 20, 'rows': 100, 'held_out': 12,
                  'frechet': 1.5, 'precision': .9, 'recall': .4, 'realness': {'real': even, 'generated': even}}


def _tried(rng):
  return {weight: {task: float(1 + .1 * rng.normal()) for task in ('warm', 'cold', 'tail', 'sparse')}
          for weight in ('0.01', '0.1')}


def _calibration():
  return {'calibration': {'cold': [1., 0.], 'valid': .2, 'tried': {
    'as_it_is_value': .2, 'best_value': .21, 'never_value': .19, 'best': [1., .5]}}}


def _metrics(path, encoder):
  metrics = Metrics(str(path))
  for step in (20, 40):
    for stage in ('mlm', 'adapt') if encoder else ():
      metrics.write(stage, step, {'loss': 100 / step, 'valid': -90 / step})
    for stage in ('generator_only', 'gan'):
      metrics.write(stage, step, {
        'g_loss': 2., 'd_loss': 1., 'd_accuracy': .7, 'd_accuracy_real': .8, 'd_accuracy_fake': .6,
        'd_ranked_accuracy': .75, 'frechet': 60 / step, 'precision': .9, 'recall': step / 100})
  metrics.close()
