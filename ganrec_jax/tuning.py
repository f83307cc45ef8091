"""tune: hyper-parameters that need a refit of the closed form, by Optuna, on validation alone."""

import contextlib
import fcntl
import os
import pprint
import runpy

import jax
import matplotlib.figure
from absl import logging

from ganrec_jax import artifacts, pipeline
from ganrec_jax.errors import ConfigError, UserError
from ganrec_jax.models import closed_form
from ganrec_jax.stages import encode, recommend, tune, workspace
from ganrec_jax.stages.prepare import prepare
from ganrec_jax.training import interrupt


def space_of(path):
  """The search space that goes with a config file.

  Raises:
    UserError: where neither the file nor the configs/common.py that it uses declares one.
  """
  names = runpy.run_path(path)
  found = names.get('search_space') or getattr(names.get('common'), 'search_space', None)
  if found is None:
    raise UserError(f'{path}: has no search_space(); see the one in configs/common.py')
  return found()


def run(config, search_space, workdir, trials):
  """Runs trials until the study in `workdir` has as many; returns in words what was found, and writes tuned.py.

  The data, the encoder and the kernel are made once, and kept in `workdir` for further processes.

  Args:
    config: the whole config; each of its regimes is a trial to begin with, and the best is written as one of 'dense',
      the regime that changes nothing.
    search_space: {field: (least, most) on a logarithmic scale, or a list of choices}.
    workdir: the folder.
    trials: how many there shall be, those of earlier calls included.

  Raises:
    UserError: for values out of range, fields that are not in the config, or without Optuna.
    Interrupted: where a stop was asked for.
  """
  optuna = _optuna()
  if trials < 1:
    raise UserError(f'--trials is {trials}; allowed are whole numbers from 1 on')
  pipeline.check(config)
  starts = [changed(config, {f'base.{name}': value for name, value in (
    {'regime': 'dense'} | (recommend.SPARSE if regime == 'sparse' else {})).items()})
    for regime in recommend.regimes(config)]
  config, space = starts[0], _including(search_space, starts)
  around = workspace.make(config, workdir)
  pipeline.use_compilation_cache(config)
  with _alone(workdir):
    prepared = prepare(config)
    content = encode.content(around, prepared, encode.text_encoder(around, prepared))
    study = _study(optuna, starts, space, os.path.join(workdir, 'tune.db'), prepared)
  judge = recommend.judge_of(around, prepared)
  states = (optuna.trial.TrialState.COMPLETE, optuna.trial.TrialState.PRUNED)

  def stop(study, _):
    done = len(study.get_trials(deepcopy=False, states=states))
    logging.info('%d of %d trials; the best so far is worth %s', done, trials, _best(study))
    if done >= trials:
      study.stop()

  if len(study.get_trials(deepcopy=False, states=states)) < trials:
    study.optimize(lambda trial: _value(optuna, trial, config, space, prepared, content, judge), callbacks=[stop])
  with _alone(workdir):
    return _tell(optuna, study, config, workdir)


def changed(config, fields):
  """The config with other values of `fields`, {'section.field': value}."""
  config = config.copy_and_resolve_references()
  config.update_from_flattened_dict(fields)
  return config


def _value(optuna, trial, config, space, prepared, content, judge):
  """What a trial is worth on validation, see `stages.tune.value`; pruned where the knobs are not worth turning."""
  interrupt.check()
  tried = changed(config, {name: _suggested(trial, name, values) for name, values in space.items()})
  try:
    params = closed_form.fit(prepared.strengths(tried.base.strength), prepared.dataset.items, prepared.warm,
                             content.kernel, recommend.closed(tried), jax.random.key(tried.seed))
  except ConfigError as error:
    trial.set_user_attr('error', str(error))
    raise optuna.TrialPruned(str(error)) from error
  value = tune.value(judge, params)
  if not tried.base.turn_knobs:
    return value
  trial.report(value, 0)
  if trial.should_prune():
    raise optuna.TrialPruned
  return tune.value(judge, params.turned(tune.search(judge, params)))


def _suggested(trial, name, values):
  if isinstance(values, list):
    return trial.suggest_categorical(name, values)
  return trial.suggest_float(name, *values, log=True)


def _including(space, starts):
  """The search space, widened where the values of the configs `starts` are not in it."""
  found = {}
  for name, values in space.items():
    if name not in _flat(starts[0]):
      raise UserError(f'the search space names {name}, which is no field of the config')
    own = [_flat(start)[name] for start in starts]
    if isinstance(values, list):
      found[name] = sorted({*values, *own})
    else:
      least, most = values
      if not 0 < least < most:
        raise UserError(f'the search space of {name} is {values}; allowed are two rising numbers above 0, or a list')
      ends = [least, most, *(value for value in own if value > 0)]
      found[name] = min(ends), max(ends)
  return found


def _flat(config):
  return {f'{section}.{name}': value for section, fields in config.to_dict().items() if isinstance(fields, dict)
          for name, value in fields.items()}


def _study(optuna, starts, space, path, prepared):
  """The study of this config and data, begun with the values of `starts`; each process draws by a seed of its own."""
  config = starts[0]
  name = artifacts.digest(workspace.VERSION, [start.to_dict() for start in starts], space, prepared.sha256())[:16]
  storage = optuna.storages.RDBStorage(f'sqlite:///{path}', engine_kwargs={'connect_args': {'timeout': 60}})
  study = optuna.create_study(storage=storage, study_name=name, direction='maximize', load_if_exists=True)
  processes = study.user_attrs.get('processes', 0)
  study.set_user_attr('processes', processes + 1)
  study.sampler = optuna.samplers.TPESampler(seed=config.seed + 1000 * processes)
  study.pruner = optuna.pruners.MedianPruner(n_startup_trials=5)
  failed = optuna.trial.TrialState.FAIL
  begun = {trial.user_attrs.get('own') for trial in study.get_trials(deepcopy=False) if trial.state != failed}
  for number, start in enumerate(starts):
    if number not in begun:
      own = {name: value for name, value in _flat(start).items() if name in space and (
        isinstance(space[name], list) or value > 0)}
      study.enqueue_trial(own, user_attrs={'own': number})
  return study


def _best(study):
  with contextlib.suppress(ValueError):  # no trial is complete yet
    return f'{study.best_value:.4f}'
  return 'nothing yet'


def _tell(optuna, study, config, workdir):
  """Writes tuned.py and tune.png; returns what was found in words."""
  try:
    best = study.best_trial
  except ValueError as error:
    raise UserError('no trial could be fitted; narrow the search space') from error
  complete = study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.COMPLETE,))
  own = [trial.value for trial in complete if 'own' in trial.user_attrs]
  count = len(study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.PRUNED,)))
  varied = len({trial.value for trial in complete}) > 1
  weights = optuna.importance.get_param_importances(
    study, evaluator=optuna.importance.FanovaImportanceEvaluator(seed=config.seed)) if varied else {}
  words = (f'The best of {len(complete)} trials, and {count} stopped early, is worth {best.value:.4f} on validation'
           + (f', the config as it is {max(own):.4f}' if own else ''))
  path = os.path.join(workdir, 'tuned.py')
  text = _CONFIG.format(words=words, values=pprint.pformat(changed(config, best.params).to_dict(), width=118))
  artifacts.write_atomically(path, lambda file: file.write(text.encode()))
  artifacts.write_atomically(os.path.join(workdir, 'tune.png'), lambda file: _plot(complete, weights, file))
  lines = [f'{words}; in logs of NDCG@20, warm and tail together plus cold',
           *(f'  {name} = {_short(value)}' + (f'  importance {weights[name]:.2f}' if weights else '')
             for name, value in sorted(best.params.items(), key=lambda pair: -weights.get(pair[0], 0)))]
  return '\n'.join([*lines, f'{path}: run it by python -m ganrec_jax.main --config={path}'])


def _short(value):
  return f'{value:.4g}' if isinstance(value, float) else str(value)


_CONFIG = '''"""Tuned by python -m ganrec_jax.tune; the test part was not read.

{words}.
"""

from ml_collections import ConfigDict


def get_config():
  """The whole config, locked."""
  return ConfigDict(VALUES).lock()


VALUES = {values}
'''


def _plot(complete, weights, file):
  """What each trial was worth, and what mattered."""
  figure = matplotlib.figure.Figure(figsize=(10, 3.5), layout='constrained')
  trials, bars = figure.subplots(1, 2)
  trials.plot([trial.number for trial in complete], [trial.value for trial in complete], 'o', markersize=4)
  trials.set(xlabel='trial', ylabel='validation')
  bars.barh(list(weights)[::-1], list(weights.values())[::-1])
  bars.set(xlabel='importance')
  figure.savefig(file, format='png', dpi=120)


@contextlib.contextmanager
def _alone(workdir):
  """Keeps other processes of the same work directory waiting."""
  with open(os.path.join(workdir, 'tune.lock'), 'w', encoding='utf-8') as file:
    fcntl.flock(file, fcntl.LOCK_EX)
    yield


def _optuna():
  try:
    import optuna
  except ImportError as error:
    raise UserError("ganrec_jax.tune needs Optuna, which is not installed: pip install 'ganrec_jax[tune]'") from error
  optuna.logging.set_verbosity(optuna.logging.WARNING)
  return optuna
