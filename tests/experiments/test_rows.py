"""Tables of rows over draws: kept, compared, and written."""

import dataclasses

import jax
import numpy as np
import pytest

from experiments import ablation
from experiments.bench import rows
from experiments.peers import content, ours
from ganrec_jax.evaluation.significance import paired_bootstrap
from ganrec_jax.models import closed_form
from ganrec_jax.stages import recommend
from tests.experiments import problems

OPTIONS = {'reg': 5., 'kernel_weight': 2., 'power': 0., 'strength': 0.}


@pytest.fixture(scope='module')
def done(tmp_path_factory):
  """Two rows on two draws, and how often they were fitted."""
  calls, folder = [], tmp_path_factory.mktemp('rows')

  def fit(row, one, key):
    calls.append((row, one.draw))
    return content.cease(one, OPTIONS | ({'reg': 500.} if row == 'strong' else {}), key)

  def go():
    table = {row: lambda one, key, row=row: fit(row, one, key) for row in ('plain', 'strong')}
    return rows.run('small', table, 2, 'test', problems.small, folder, 500)
  return go(), go(), calls


def test_a_second_run_fits_nothing(done):
  first, second, calls = done
  assert sorted(calls) == [(row, draw) for row in ('plain', 'strong') for draw in range(2)]
  assert first['rows'] == second['rows'] and first['differences'] == second['differences']
  assert set(first['differences']) == {'strong'} and len(first['rows']['plain']['warm']) == 2


def test_a_user_counts_once_however_many_draws_ask_him():
  users = [np.array(['a', 'b']), np.array(['a'])]
  mine = [{'warm': np.array([.5, .2]), 'warm.users': users[0]}, {'warm': np.array([.1]), 'warm.users': users[1]}]
  other = [{'warm': np.array([.1, .2]), 'warm.users': users[0]}, {'warm': np.array([.1]), 'warm.users': users[1]}]
  found = rows.difference(mine, other, 'warm', 200)
  mean, low, high, p = paired_bootstrap([.2, 0.], [0., 0.], 0, 200)
  assert found == pytest.approx({'mean': mean, 'low': low, 'high': high, 'p': p})


def test_the_table_has_means_deviations_and_marks():
  row = {task: [.1, .3] for task in rows.TASKS} | {'seconds': [1., 3.]}
  cell = {'mean': -.1, 'low': -.2, 'high': 0., 'p': .001, 'p_holm': .001}
  lines = rows.markdown({'name': 'x', 'held_out': 'valid', 'rows': {'ours': row, 'less': row},
                         'differences': {'less': {'warm': cell}}}).splitlines()
  assert lines[0].startswith('| x, valid') and len({line.count('|') for line in lines}) == 1
  assert lines[2] == '| ours | ' + ' | '.join(['0.2000 (0.1414)'] * 4) + ' | 2 |'
  assert lines[3].startswith('| less | 0.2000 (0.1414) * | 0.2000 (0.1414) |')


@pytest.mark.parametrize('row', ['item-item model', 'text prior of factors', 'strengths'])
def test_a_row_lacks_its_part(row, monkeypatch):
  one, fitted = problems.small(0), []
  one = dataclasses.replace(one, config=one.config.copy_and_resolve_references())
  one.config.base.update(sweeps=2, dim=4, turn_knobs=False, regime='sparse')
  fit = closed_form.fit
  monkeypatch.setattr(closed_form, 'fit', lambda *args: (fitted.append(args), fit(*args))[1])
  _, params = ours.fit_kernel(one, one.kernel(.5), jax.random.key(0), *ablation.ROWS[row][:2])
  config, weights = fitted[0][4], fitted[0][0].weights
  lacking = {'item-item model': config.knobs.warm_blend == config.knobs.cold_blend == 0.,
             'text prior of factors': config.factors.kappa == .001, 'strengths': bool((weights == 1).all())}
  assert lacking[row] and params.config == config and config.factors.unobserved == recommend.SPARSE['unobserved']
