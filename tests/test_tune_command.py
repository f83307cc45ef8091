"""The tuner: trials are kept, shared and resumed; its config reproduces the best; the test part is never read."""

import dataclasses
import os
import runpy
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from ganrec_jax import tuning
from ganrec_jax.data.types import PARTS
from ganrec_jax.errors import UserError
from ganrec_jax.evaluation.tasks import make_tasks
from ganrec_jax.stages import encode, recommend, tune, workspace
from ganrec_jax.stages.prepare import prepare
from ganrec_jax.training import interrupt

from .stages import worlds

optuna = pytest.importorskip('optuna', reason='Optuna is not installed (extra `tune`)')

SPACE = {'base.dim': [8, 16], 'base.reg': (.02, .2), 'base.kernel_weight': (1., 100.)}


def config(**sections):
  return worlds.config(encoder={'kind': 'none'}, **sections)


def trials_of(workdir):
  """All trials of the one study in a work directory."""
  storage = f'sqlite:///{workdir}/tune.db'
  name, = optuna.get_all_study_names(storage)
  return optuna.load_study(study_name=name, storage=storage).trials


@pytest.fixture(scope='module')
def tuned(tmp_path_factory):
  """(work directory, what was told) of five trials."""
  workdir = str(tmp_path_factory.mktemp('tune'))
  return workdir, tuning.run(config(), SPACE, workdir, 5)


def test_the_config_that_is_left_reproduces_the_best(tuned, tmp_path):
  workdir, words = tuned
  found = runpy.run_path(f'{workdir}/tuned.py')['get_config']()
  best = max(trials_of(workdir), key=lambda trial: trial.value)
  assert {name: found.base[name.partition('.')[2]] for name in SPACE} == best.params
  with pytest.raises(AttributeError):
    found.base.no_such_field = 1  # locked
  space, prepared = workspace.make(found, str(tmp_path)), prepare(found)
  content = encode.content(space, prepared, encode.text_encoder(space, prepared))
  told = tune.fit(space, prepared, content, recommend.judge_of(space, prepared))[2]
  assert told['value'] == {'dense': pytest.approx(best.value, abs=1e-6)}
  assert f'worth {best.value:.4f}' in words and 'The best of 5 trials, and 0 stopped early' in words
  assert all(f'{name} = ' in words for name in SPACE) and words.count('importance') == 3
  assert os.path.getsize(f'{workdir}/tune.png') > 5000


def test_the_first_trial_is_the_config_as_it_is(tuned):
  first, own = trials_of(tuned[0])[0], config().base
  assert first.params == {'base.dim': own.dim, 'base.reg': own.reg, 'base.kernel_weight': own.kernel_weight}
  assert f'the config as it is {first.value:.4f}' in tuned[1]


def test_each_regime_of_the_config_is_a_trial_to_begin_with(tmp_path):
  own = config(base={'regime': 'auto'})
  space = {name: SPACE[name] for name in ('base.reg', 'base.kernel_weight')}
  tuning.run(own, space, str(tmp_path), 2)
  assert [trial.params for trial in trials_of(tmp_path)] == [
    {'base.reg': one['reg'], 'base.kernel_weight': one['kernel_weight']} for one in (own.base, recommend.SPARSE)]
  assert runpy.run_path(f'{tmp_path}/tuned.py')['get_config']().base.regime == 'dense'


def test_trials_are_kept_and_data_and_kernel_made_once(tuned, tmp_path, monkeypatch):
  calls = {'fit': 0, 'content': 0}

  def count(module, name):
    whole = getattr(module, name)

    def counted(*arguments):
      calls[name] += 1
      return whole(*arguments)
    monkeypatch.setattr(module, name, counted)
  count(tuning.closed_form, 'fit')
  count(tuning.encode, 'content')
  workdir, words = tuned
  assert tuning.run(config(), SPACE, workdir, 5) == words and calls == {'fit': 0, 'content': 1}
  tuning.run(config(), SPACE, workdir, 7)
  assert len(trials_of(workdir)) == 7 and calls == {'fit': 2, 'content': 2}


def test_a_stopped_tuner_goes_on(tmp_path, monkeypatch):
  looks = []

  def stop():
    looks.append(0)
    if len(looks) == 2:
      raise interrupt.Interrupted(15)
  monkeypatch.setattr(tuning.interrupt, 'check', stop)
  with pytest.raises(interrupt.Interrupted):
    tuning.run(config(), SPACE, str(tmp_path), 3)
  assert [trial.state.name for trial in trials_of(tmp_path)] == ['COMPLETE', 'FAIL']
  assert not (tmp_path / 'tuned.py').exists()
  assert 'The best of 3 trials' in tuning.run(config(), SPACE, str(tmp_path), 3)


def test_a_tuner_that_was_stopped_at_once_still_tries_the_config_as_it_is(tmp_path, monkeypatch):
  def stop():
    raise interrupt.Interrupted(15)
  with monkeypatch.context() as context, pytest.raises(interrupt.Interrupted):
    context.setattr(tuning.interrupt, 'check', stop)
    tuning.run(config(), SPACE, str(tmp_path), 1)
  assert 'the config as it is' in tuning.run(config(), SPACE, str(tmp_path), 1)


def test_the_test_part_is_not_read(tuned, tmp_path, monkeypatch):
  whole = prepare(config())
  part, item = whole.split.part.copy(), whole.dataset.interactions.item
  # Nearly all of it is taken away; a new item stays one by its first pair.
  part[whole.split.rows('test')] = PARTS.index('unused')
  cold = whole.split.rows('cold_test')
  cold = np.flatnonzero(cold) if cold.dtype == bool else cold
  keep = cold[np.unique(item[cold], return_index=True)[1]]
  part[np.setdiff1d(cold, keep)] = PARTS.index('unused')
  hidden = dataclasses.replace(whole, split=dataclasses.replace(whole.split, part=part))
  assert whole.warm.tolist() == hidden.warm.tolist()
  assert ['warm' in make_tasks(one.dataset, one.split, 0) for one in (whole, hidden)] == [True, False]
  monkeypatch.setattr(tuning, 'prepare', lambda _: hidden)
  tuning.run(config(), SPACE, str(tmp_path), 3)
  assert [(trial.params, trial.value) for trial in trials_of(tmp_path)] == [
    (trial.params, trial.value) for trial in trials_of(tuned[0])[:3]]


def test_what_is_not_worth_it_is_stopped_before_its_knobs_are_turned(monkeypatch):
  turned = []
  monkeypatch.setattr(tuning.closed_form, 'fit', lambda *_: FakeModel())
  monkeypatch.setattr(tuning.tune, 'value', lambda _, params: params.worth)
  monkeypatch.setattr(tuning.tune, 'search', lambda *_: turned.append(0))
  tried, prepared = config(base={'turn_knobs': True}), prepare(config())
  content = type('Content', (), {'kernel': None})()

  def value(prune):
    trial = optuna.trial.FixedTrial({})
    trial.should_prune = lambda: prune
    return tuning._value(optuna, trial, tried, {}, prepared, content, None)
  assert value(False) == 2. and len(turned) == 1
  with pytest.raises(optuna.TrialPruned):
    value(True)
  assert len(turned) == 1


class FakeModel:
  worth = 1.

  def turned(self, _):
    better = FakeModel()
    better.worth = 2.
    return better


def test_the_space_takes_in_the_configs_own_values():
  found = config()
  found.base.update(dim=24, reg=9., strength=0.)
  space = tuning._including({'base.dim': [8, 16], 'base.reg': (.02, .2), 'base.strength': (.1, 1.)}, [found])
  assert space == {'base.dim': [8, 16, 24], 'base.reg': (.02, 9.), 'base.strength': (.1, 1.)}


def test_every_config_has_a_space_of_fields_that_it_has():
  for path in sorted((worlds.ROOT / 'configs').glob('*.py')):
    if path.name != 'tables.py' and path.name != 'common.py':
      assert set(tuning._including(tuning.space_of(str(path)), [config()])) == set(tuning.space_of(str(path)))


@pytest.mark.parametrize(('space', 'trials', 'words'), [
  (SPACE, 0, '--trials is 0'), ({'base.dimm': [1]}, 1, 'names base.dimm, which is no field'),
  ({'base.reg': (.2, .1)}, 1, 'two rising numbers above 0'), ({'base.reg': (0, .1)}, 1, 'two rising numbers above 0')])
def test_mistakes_are_named(space, trials, words, tmp_path):
  with pytest.raises(UserError, match=words):
    tuning.run(config(), space, str(tmp_path), trials)
  assert not list(tmp_path.iterdir())


def test_without_a_search_space_or_optuna_it_is_said(tmp_path, monkeypatch):
  (tmp_path / 'mine.py').write_text('def get_config():\n  return None\n')
  with pytest.raises(UserError, match=r'mine\.py: has no search_space\(\)'):
    tuning.space_of(str(tmp_path / 'mine.py'))
  monkeypatch.setitem(sys.modules, 'optuna', None)
  with pytest.raises(UserError, match=r'needs Optuna, which is not installed'):
    tuning.run(config(), SPACE, str(tmp_path), 1)


def start(*arguments):
  environment = {name: value for name, value in os.environ.items() if name != 'XLA_FLAGS'}
  return subprocess.Popen([sys.executable, '-m', 'ganrec_jax.tune', *arguments], cwd=worlds.ROOT, env=environment,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_a_mistake_is_one_line_and_exit_code_2(tmp_path):
  process = start('--config=configs/music.py:testing', '--trials=0', f'--workdir={tmp_path}')
  error = process.communicate(timeout=300)[1]
  assert process.returncode == 2 and error.strip().splitlines()[-1].startswith('error: --trials is 0')
  assert 'Traceback' not in error


@pytest.mark.slow
def test_a_killed_process_loses_one_trial_and_two_share_the_rest(tmp_path):
  arguments = ('--config=configs/music.py:testing', '--config.encoder.kind=none', f'--workdir={tmp_path}',
               '--trials=12')
  first = start(*arguments)
  deadline = time.monotonic() + 300
  while not (tmp_path / 'tune.db').exists() or not finished(tmp_path):
    assert time.monotonic() < deadline and first.poll() is None
    time.sleep(.2)
  first.send_signal(signal.SIGKILL)
  first.communicate()
  both = [start(*arguments) for _ in range(2)]
  for process in both:
    out, error = process.communicate(timeout=600)
    assert process.returncode == 0, error
    assert 'The best of 1' in out
  trials = trials_of(tmp_path)
  assert 12 <= len([trial for trial in trials if trial.state.is_finished()]) <= 13 and len(trials) <= 14
  assert len({tuple(trial.params.values()) for trial in trials}) == len(trials)


def finished(workdir):
  try:
    return [trial for trial in trials_of(workdir) if trial.state.is_finished()]
  except (ValueError, KeyError, optuna.exceptions.StorageInternalError):  # the study is only being made
    return []
