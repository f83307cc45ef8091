"""The court as a command: rows are fitted once, seeds are averaged, designs are held against their controls."""

import dataclasses
import json

import numpy as np
import pytest

from experiments import adversary
from experiments.court import page
from experiments.court.rows import ROWS
from tests.experiments import problems
from tests.experiments.court import cases

NAMES = ('random pairs', 'network alone', 'virtual adversarial')


@pytest.fixture(scope='module')
def done(tmp_path_factory):
  """Results of three rows with two seeds, twice, and which rows were fitted."""
  folder, fitted = tmp_path_factory.mktemp('court'), []

  def watched(label):
    def fit(case, seed):
      fitted.append((label, seed))
      return ROWS[label].fit(case, seed)
    fit.__module__ = ROWS[label].module
    return dataclasses.replace(ROWS[label], fit=fit)

  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(adversary, 'ROWS', {label: watched(label) for label in NAMES})
    patch.setattr(adversary.court, 'open_case', lambda one, quick: cases.small())
    found = [adversary.run('small', NAMES, 1, 2, False, problems.small, folder) for _ in range(2)]
  return found, fitted


def test_a_second_run_fits_nothing_and_gives_the_same(done):
  (first, second), fitted = done
  assert sorted(fitted) == sorted((label, seed) for label in NAMES for seed in range(2))
  assert first['rows'] == second['rows'] and first['differences'] == second['differences']
  assert json.loads(json.dumps(first))['fixed'] == .3


def test_every_row_is_shown_at_both_weights_and_counted(done):
  result = done[0][0]
  for label in NAMES:
    row = result['rows'][label]
    assert set(row['fixed']) == set(row['chosen']) == set(adversary.rows.TASKS)
    assert len(row['status']) == len(row['weights']) == 2 and set(row['weights']) <= set(result['weights'])
  cells = result['differences']
  against = {(one['row'], one['to']) for one in cells if one['against'] == 'control'}
  assert against == {('virtual adversarial', 'network alone')}
  assert len(cells) == 2 * 4 * (len(NAMES) + 1)


def _arrays(gain, seed):
  users, base = np.arange(80).astype(str), np.random.default_rng(0).random(80)
  noise = np.random.default_rng(1 + seed).normal(0, .01, 80)
  return {f'{which}{task}{part}': value for which in ('fixed.', 'chosen.', '') for task in adversary.rows.TASKS
          for part, value in (('', base + gain + noise), ('.users', users))}


def test_seeds_are_averaged_and_the_adversary_is_told_from_its_control():
  found = {adversary.NOTHING: [[_arrays(0., 0)]], 'network alone': [[_arrays(.1, 1), _arrays(.2, 2)]],
           'virtual adversarial': [[_arrays(.15, 3), _arrays(.15, 4)]]}
  cells = {(one['row'], one['against'], one['weight'], one['task']): one for one in adversary.differences(found, 500)}
  alone = cells['network alone', adversary.NOTHING, 'fixed', 'warm']
  assert alone['mean'] == pytest.approx(.15, abs=.01) and alone['p_holm'] < .05
  assert cells['virtual adversarial', 'control', 'chosen', 'cold']['mean'] == pytest.approx(0, abs=.01)


def test_the_page_counts_what_is_significant_and_what_collapsed(done, tmp_path):
  result = json.loads(json.dumps(done[0][0]))
  for cell in result['differences']:
    cell.update(p_holm=1., mean=.1)
  row = result['rows']['virtual adversarial']
  row['status'], row['weights'] = ['collapsed', 'converged'], [0., .3]
  row['reports'][0]['reason'] = 'one item reached'
  won, lost = (next(one for one in result['differences'] if (one['row'], one['weight'], one['task'], one['against'])
                    == ('virtual adversarial', 'fixed', task, 'no augmentation')) for task in ('warm', 'cold'))
  won['p_holm'], lost['p_holm'], lost['mean'] = .01, .01, -.1
  rows = {label: ROWS[label] for label in NAMES}
  page.write(tmp_path, [result], rows)
  text = (tmp_path / 'adversary.md').read_text()
  assert 'At the fixed weight adversarial designs are significantly better than no augmentation in 1 and worse in 1 ' \
         'of 4 cells' in text
  assert '1 converged, 1 collapsed, 0 diverged: virtual adversarial (small)' in text
  assert 'For 1 of 2 runs of adversarial designs validation chose the weight 0' in text
  assert 'one item reached' in text and '1 draw, 2 seeds' in text
  table = page.table(result).splitlines()
  assert len({line.count('|') for line in table}) == 1 and '*' in next(
    line for line in table if line.startswith('| virtual adversarial'))
  assert (tmp_path / 'adversary.png').stat().st_size > 10_000
