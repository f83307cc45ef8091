"""Kills hit where they are aimed at, and what they change is found."""

import json
import random

import pytest

from experiments import chaos

VICTIM = chaos.Case((), {'gan': 'adversarial'}, 'tests.experiments.victim')


def test_a_stage_is_killed_until_it_has_been_killed_enough(tmp_path):
  (row,), whole = chaos.besiege(VICTIM, tmp_path, 4, random.Random(0))
  assert row.kills == 4 and row.mismatches == 0 and row.chunk == 10
  # Two of them were aimed at saves; a run that is started again goes on from what is saved, a chunk or two back.
  assert 2 <= row.in_saves <= 4 and row.starts > 4 and 1 <= row.resumes <= 4 and 0 < row.lost_at_most <= 20
  assert chaos.last_step(whole, 'gan') == 60


def test_a_run_that_ends_otherwise_is_found(tmp_path, capsys):
  case = chaos.Case(('--forgetful',), VICTIM.stages, VICTIM.module)
  (row,), _ = chaos.besiege(case, tmp_path, 3, random.Random(0))
  assert row.mismatches and 'other than the uninterrupted run: rows in results.json' in capsys.readouterr().out
  assert '| adversarial |' in chaos.table([row]) and f'| {row.mismatches} |' in chaos.table([row])


def test_a_run_that_fails_ends_the_siege(tmp_path):
  with pytest.raises(SystemExit, match='exit code 1'):
    chaos.besiege(chaos.Case((), {}, 'tests.experiments.no_such_module'), tmp_path, 1, random.Random(0))


def test_files_are_compared_byte_by_byte(tmp_path):
  for name in ('one', 'other'):
    (tmp_path / name / 'recommendations').mkdir(parents=True)
    (tmp_path / name / 'results.json').write_text(json.dumps({'wall_seconds': name, 'rows': [1]}))
    (tmp_path / name / 'split.csv.gz').write_bytes(b'same')
    (tmp_path / name / 'recommendations' / 'gan.warm.npz').write_bytes(name.encode())
  (tmp_path / 'other' / 'generated.csv.gz').write_bytes(b'')
  assert chaos.differences(tmp_path / 'one', tmp_path / 'other') == ['generated.csv.gz',
                                                                     'recommendations/gan.warm.npz']


@pytest.mark.slow
def test_a_killed_recommender_ends_in_the_same_bits(monkeypatch, capsys):
  monkeypatch.delenv('XLA_FLAGS', raising=False)  # one device, as on a laptop
  assert chaos.main(['--cases=transformer', '--kills=3', '--out=']) == 0
  assert '| recommender (transformer) |' in capsys.readouterr().out


@pytest.mark.slow
def test_what_a_save_costs_is_measured():
  small, = chaos.saves(rounds=2, length=20, megabytes=(0,))
  assert small['state_mb'] > .5 and 0 < small['waited']['median'] < 10
