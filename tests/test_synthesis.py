"""Synthetic logs: what is left can be read again, a stop loses nothing, and what gives too much away is not left."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from ganrec_jax import artifacts, synthesis
from ganrec_jax.data import tables
from ganrec_jax.errors import ConfigError, DataError, UserError
from ganrec_jax.profiles import logs
from ganrec_jax.report import synthetic
from ganrec_jax.stages import encode, profiles
from ganrec_jax.stages.prepare import prepare
from ganrec_jax.training import interrupt, loop

from .stages import worlds


def _finished(config, path):
  """A work directory as a finished run leaves it for those that read it; what is missing is fitted there."""
  artifacts.write_json(str(path / 'config.json'), {'config': config.to_dict()})
  artifacts.write_json(str(path / 'results.json'), {})
  return str(path)


@pytest.fixture(scope='module')
def workdir(tmp_path_factory):
  return _finished(worlds.config(encoder={'kind': 'none'}), tmp_path_factory.mktemp('work'))


@pytest.fixture(scope='module')
def made(workdir, tmp_path_factory):
  out = tmp_path_factory.mktemp('out')
  return out, synthesis.run(workdir, 2500, str(out), max_auc=1.)



def test_the_log_reads_as_one_of_ones_own(made, workdir):
  out, _ = made
  with open(f'{workdir}/config.json', encoding='utf-8') as file:
    config = json.load(file)['config']
  read = tables.load(tables.TablesConfig(interactions=str(out / 'interactions.csv'), items=str(out / 'items.csv'),
                                         template='{text}', phrases='tags'))
  source = prepare(worlds.config(encoder={'kind': 'none'})).dataset
  assert config['profiles']['held_out'] == .1
  assert read.users == 2500 and not set(read.user_ids) & set(source.user_ids)
  assert set(read.catalogue.ids) == set(source.catalogue.ids)
  place = np.argsort(source.catalogue.ids)[np.searchsorted(np.sort(source.catalogue.ids), read.catalogue.ids)]
  np.testing.assert_array_equal(read.catalogue.texts, source.catalogue.texts[place])
  assert [read.catalogue.phrases[k] for k in range(5)] == [source.catalogue.phrases[k] for k in place[:5]]
  times = source.interactions.time
  assert times.min() <= read.interactions.time.min() and read.interactions.time.max() <= times.max()


def test_the_report_has_utility_fidelity_privacy_and_where_it_comes_from(made):
  out, words = made
  report = json.loads((out / 'report.json').read_text())
  assert report['provenance']['users'] == 2500 and report['provenance']['simulated']
  attack = report['privacy']['membership']
  assert 0 <= attack['low'] <= attack['auc'] <= attack['high'] <= 1
  assert {(one['recommender'], one['task']) for one in report['utility']['ratios']} >= {
    ('ease', 'warm'), ('ials', 'warm'), ('item_knn', 'warm'), ('ours', 'warm'), ('ours', 'cold')}
  assert 0 < report['fidelity']['new_items'] < .5 and report['fidelity']['synthetic']['spearman'] > .3
  page = (out / 'report.html').read_text()
  assert 'SIMULATED' in words and 'SIMULATED' in page and page.count('<figure>') == 3
  assert f'{attack["auc"]:.3f}' in words and f'{attack["auc"]:.3f}' in page
  assert ('memorised nobody' in page) == (not report['faults'])
  assert sorted(path.name for path in out.iterdir()) == ['interactions.csv', 'items.csv', 'report.html', 'report.json']


def test_what_went_wrong_is_told_in_words_and_on_the_page(made):
  report = json.loads((made[0] / 'report.json').read_text()) | {'faults': ['the critic diverged: d_loss is nan']}
  page = synthetic.write(report, {'real': np.ones(3) / 3, 'generated': np.ones(3) / 3},
                         {'real, unseen': np.ones(5), 'generated': np.ones(5)})
  assert 'WARNING: the critic diverged' in synthetic.words(report, 'out')
  assert 'The critic diverged: d_loss is nan.' in page and 'memorised nobody' not in page


def test_a_share_of_next_to_nothing_has_no_interval(made):
  report = json.loads((made[0] / 'report.json').read_text())
  first, second = report['utility']['ratios'][:2]
  first |= {'value': 1.018, 'low': None, 'high': None}
  second |= {'value': None, 'low': None, 'high': None}
  page = synthetic.write(report, {'real': np.ones(3) / 3, 'generated': np.ones(3) / 3},
                         {'real, unseen': np.ones(5), 'generated': np.ones(5)})
  for told in (synthetic.words(report, 'out'), page):
    assert '101.8 [no interval]' in told and 'undefined (0 on real data)' in told


def test_a_stopped_log_goes_on_to_the_same_bytes(made, workdir, tmp_path, monkeypatch):
  whole, _ = made
  looks = []

  def stop(save=None):
    looks.append(save)
    if len(looks) == 2:
      save()
      raise interrupt.Interrupted(15)
  monkeypatch.setattr(logs.interrupt, 'check', stop)
  with pytest.raises(interrupt.Interrupted):
    synthesis.run(workdir, 2500, str(tmp_path), max_auc=1.)
  assert not (tmp_path / 'interactions.csv').exists()
  started = (tmp_path / 'interactions.csv.drawn.part').read_bytes()
  monkeypatch.undo()
  monkeypatch.setattr(synthesis, '_utility', lambda *_: {'ratios': [], 'profiles': 0, 'options': {}})
  synthesis.run(workdir, 2500, str(tmp_path), max_auc=1.)
  done = (tmp_path / 'interactions.csv').read_bytes()
  assert 0 < len(started) < len(done) and done.startswith(started)
  assert done == (whole / 'interactions.csv').read_bytes()


def test_another_seed_gives_other_users_and_the_real_side_is_not_made_again(made, workdir, tmp_path, monkeypatch):
  whole, _ = made
  measure, seen = synthesis.utility.measure, []
  grids = {name: options[:1] for name, options in synthesis.utility.GRIDS.items()}

  def counted(rows, *arguments, **options):
    seen.append(len(rows))
    return measure(rows, *arguments, names=('ease',), grids=grids, **options)
  monkeypatch.setattr(synthesis.utility, 'measure', counted)
  synthesis.run(workdir, 150, str(tmp_path), max_auc=1., seed=1)
  assert seen == [150]
  first, other = ((folder / 'interactions.csv').read_text().splitlines()[1:40] for folder in (whole, tmp_path))
  assert [line.split(',')[1] for line in first] != [line.split(',')[1] for line in other]


def test_over_budget_no_log_is_left(workdir, tmp_path):
  with pytest.raises(UserError, match=r'AUC of \d\.\d+, more than --max_auc=0\.01'):
    synthesis.run(workdir, 300, str(tmp_path / 'out'), max_auc=.01)
  assert not (tmp_path / 'out').exists()


@pytest.mark.parametrize(('number', 'options', 'words'), [
  (0, {}, '--users is 0'), (-3, {}, '--users is -3'), (5, {'max_auc': 0.}, '--max_auc is 0'),
  (5, {'seed': -1}, '--seed is -1')])
def test_values_out_of_range_are_named(workdir, tmp_path, number, options, words):
  with pytest.raises(UserError, match=words):
    synthesis.run(workdir, number, str(tmp_path), **options)


def test_too_few_users_are_refused_with_what_is_needed(tmp_path):
  config = worlds.config(encoder={'kind': 'none'}, world={'users': 60, 'items': 50, 'events': 500})
  with pytest.raises(DataError, match=r'users with training interactions .* at least 100 users'):
    synthesis.run(_finished(config, tmp_path), 5, str(tmp_path / 'out'))


def test_a_share_that_holds_nobody_out_is_refused():
  with pytest.raises(ConfigError, match='profiles.held_out is 0'):
    profiles.configured(worlds.config(profiles={'held_out': 0.}))


@pytest.mark.parametrize(('arguments', 'words'), [
  ([], '--workdir is missing'), (['--workdir=nowhere', '--users=5', '--out=x'], 'holds no finished run'),
  (['--users=many'], 'many')])
def test_a_mistake_is_one_line_and_exit_code_2(arguments, words, tmp_path):
  done = subprocess.run([sys.executable, '-m', 'ganrec_jax.synthesize', *arguments], cwd=tmp_path, capture_output=True,
                        text=True, timeout=300, env=os.environ | {'PYTHONPATH': str(worlds.ROOT)})
  assert done.returncode == 2 and words in done.stderr and done.stderr.count('\n') == 1


def test_a_folder_that_cannot_be_is_named_before_anything_is_trained(workdir, tmp_path, monkeypatch):
  (tmp_path / 'out').write_text('a file')
  monkeypatch.setattr(profiles, 'fit', None)
  with pytest.raises(UserError, match='out is a file'):
    synthesis.run(workdir, 150, str(tmp_path / 'out'), max_auc=1.)
  with pytest.raises(UserError, match=r'a log of 10{15} users takes about \d+\.\d GB, and \d+\.\d GB are free'):
    synthesis.run(workdir, 10**15, str(tmp_path), max_auc=1.)


def test_data_that_are_not_those_of_the_run_are_refused(workdir, tmp_path):
  for name, value in (('config.json', artifacts.read_json(f'{workdir}/config.json')),
                      ('results.json', {'data_sha256': 'f' * 64})):
    artifacts.write_json(str(tmp_path / name), value)
  with pytest.raises(UserError, match='the data are not those of the run .SHA-256 f{16} then'):
    synthesis.run(str(tmp_path), 150, str(tmp_path / 'out'), max_auc=1.)


def _prepared(path, **options):
  """A work directory, its data, and texts that say nothing."""
  config = worlds.config(encoder={'kind': 'none'}, profiles=options)
  prepared = prepare(config)
  texts = np.random.default_rng(0).normal(size=(prepared.dataset.items, 4)).astype(np.float32)
  return worlds.workspace_of(config, path), prepared, encode.Content(None, texts, None, None)


def test_a_game_that_diverges_goes_back_to_the_last_good_generator(tmp_path, monkeypatch):
  space, prepared, content = _prepared(tmp_path)

  def last_fails(params, prior, members, vectors, config, *rest):
    if config.steps == 120:
      raise loop.Diverged('the critic diverged: d_loss is nan at step 47 (steps 40 to 79)')
    return params, {'steps': config.steps}
  monkeypatch.setattr(profiles.game, 'train', last_fails)
  found, fault = profiles.fit(space, prepared, content, profiles.population(space, prepared))
  assert sorted(found) == [0, 40, 80]
  assert fault.startswith('the critic diverged') and 'after 80 steps of the critic' in fault


def test_a_likelihood_that_diverges_ends_the_command(tmp_path):
  space, prepared, content = _prepared(tmp_path, vae_rate=1e30)
  with pytest.raises(DataError, match=r'the generator of profiles: .* (nan|inf|diverged).*lower profiles\.vae_rate'):
    profiles.fit(space, prepared, content, profiles.population(space, prepared))
  assert not list(tmp_path.glob('artifacts/profiles_*'))


def test_numbers_that_are_not_finite_become_none_and_words_stay():
  assert synthesis._plain({'a': float('nan'), 'b': [1., float('inf')], 'c': 'NaN'}) == {
    'a': None, 'b': [1., None], 'c': 'NaN'}
