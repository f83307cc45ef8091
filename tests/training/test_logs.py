"""Lines of a run that was stopped: those after the checkpoint are dropped, and where it went on is written down."""

import pytest

from ganrec_jax.training import logs


@pytest.fixture
def path(tmp_path):
  metrics = logs.Metrics(str(tmp_path))
  for step in (10, 20, 30):
    for stage in ('one', 'two'):
      metrics.write(stage, step, {'loss': 1 / step})
  metrics.close()
  return tmp_path


def steps(path, stage, name='metrics.jsonl'):
  return [record['step'] for record in logs.read(str(path / name)) if record['stage'] == stage]


def test_a_restart_drops_what_came_after_it_and_is_remembered(path):
  logs.Metrics(str(path)).rewind('one', 20)
  assert steps(path, 'one') == [10, 20] and steps(path, 'two') == [10, 20, 30]
  logs.Metrics(str(path)).rewind('one', 10)
  # The restart at 20 is of a course that was given up.
  assert steps(path, 'one', 'restarts.jsonl') == [10] and steps(path, 'one') == [10]
  logs.Metrics(str(path)).rewind('one', 0)
  assert not steps(path, 'one', 'restarts.jsonl') and not steps(path, 'one') and steps(path, 'two') == [10, 20, 30]


def test_a_stage_that_begins_is_no_restart(path):
  logs.Metrics(str(path)).rewind('three', 0)
  assert not (path / 'restarts.jsonl').exists() and len(logs.read(str(path / 'metrics.jsonl'))) == 6


def test_torn_lines_are_left_out(path):
  with open(path / 'metrics.jsonl', 'a') as file:
    file.write('{"stage": "one", "st')
  assert len(logs.read(str(path / 'metrics.jsonl'))) == 6 and logs.read(str(path / 'none.jsonl')) == []


def test_without_a_work_directory_nothing_is_written(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  metrics = logs.Metrics(None)
  metrics.rewind('one', 20)
  metrics.write('one', 1, {'loss': 1.})
  assert not list(tmp_path.iterdir())
