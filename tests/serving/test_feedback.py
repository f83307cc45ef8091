"""Feedback is a log that the project's own readers take, whoever writes at the same time and whatever stops it."""

import concurrent.futures
import multiprocessing
import time

import numpy as np
import pytest

from ganrec_jax.data import tables
from ganrec_jax.serving.feedback import NAME, FeedbackLog

KINDS = {'event_weights': 'like=1,skip=0', 'merge': 'last'}


def read(folder):
  return tables.load(tables.TablesConfig(interactions=str(folder / NAME), **KINDS))


def _write(folder, name, count):
  log = FeedbackLog(str(folder))
  for number in range(count):
    log.append(f'{name}-{number}', f'item {number % 7}', 'like')


def test_the_projects_reader_takes_it(tmp_path):
  log, before = FeedbackLog(str(tmp_path)), int(time.time())
  users = ['plain', 'a, "b"; c', "o'hara", 'ünï — 木', '=1+1', '007']
  for user in users:
    log.append(user, 'a,1', 'like')
  log.append('plain', 'b "2"', 'skip')
  found = read(tmp_path)
  assert sorted(found.user_ids.tolist()) == sorted(users)
  assert found.catalogue.ids.tolist() == ['a,1']  # a skip is no interaction
  assert found.info['rows']['have_the_value_zero'] == 1
  assert (found.interactions.time >= before).all() and (found.interactions.time <= time.time()).all()


def test_threads_and_processes_lose_nothing(tmp_path):
  context = multiprocessing.get_context('spawn')
  workers = [context.Process(target=_write, args=(tmp_path, f'process {one}', 40)) for one in range(2)]
  for worker in workers:
    worker.start()
  log = FeedbackLog(str(tmp_path))
  with concurrent.futures.ThreadPoolExecutor(8) as threads:
    list(threads.map(lambda number: log.append(f'thread-{number}', 'x', 'like'), range(200)))
  for worker in workers:
    worker.join()
    assert worker.exitcode == 0
  lines = (tmp_path / NAME).read_text().splitlines()
  assert len(lines) == 1 + 200 + 80 and sum(line.startswith('"user_id"') for line in lines) == 1
  assert len(read(tmp_path).interactions) == 280


@pytest.mark.parametrize('left', ['', '"user_', '"user_id","item_id","event","timestamp"\n"u1","i1","li'])
def test_a_line_that_a_crash_has_cut_off_is_taken_out(tmp_path, left):
  (tmp_path / NAME).write_text(left)
  FeedbackLog(str(tmp_path)).append('u2', 'i2', 'like')
  found = read(tmp_path)
  assert found.user_ids.tolist() == ['u2'] and np.array_equal(found.catalogue.ids, ['i2'])
