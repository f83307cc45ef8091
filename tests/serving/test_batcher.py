"""Who waits while the worker is busy is answered together, each with his own answer."""

import asyncio
import threading

import pytest

from ganrec_jax.serving.batcher import Batcher, Full


class Worker:
  """Answers with the tenfold once it may; says what it was given."""

  def __init__(self):
    self.may, self.batches = threading.Event(), []

  def __call__(self, questions):
    self.batches.append(list(questions))
    assert self.may.wait(10)
    if 13 in questions:
      raise RuntimeError('thirteen')
    return [ValueError(str(one)) if one < 0 else 10 * one for one in questions]


async def started(batcher, questions):
  """Tasks that ask, once all wait or are at work."""
  tasks = [asyncio.create_task(batcher.ask(one)) for one in questions]
  await asyncio.sleep(.05)
  return tasks


def asked(questions, most=4, waiting=100, before=()):
  async def run():
    worker, sizes = Worker(), []
    async with Batcher(worker, most, waiting, sizes.append) as batcher:
      tasks = await started(batcher, before) + await started(batcher, questions)
      worker.may.set()
      return await asyncio.gather(*tasks, return_exceptions=True), worker.batches, sizes
  return asyncio.run(run())


def test_a_first_question_goes_alone_and_those_who_wait_go_together():
  found, batches, sizes = asked(range(1, 7), before=[0])
  assert found == [10 * one for one in range(7)]
  assert batches == [[0], [1, 2, 3, 4], [5, 6]] and sizes == [1, 4, 2]


def test_an_error_is_told_to_who_asked_for_it_alone():
  found, _, _ = asked([1, -2, 3], before=[0])
  assert found[0] == 0 and found[1] == 10 and found[3] == 30
  assert isinstance(found[2], ValueError)


def test_a_worker_that_fails_goes_on():
  found, _, _ = asked([13, 2, 3, 4, 5], before=[0])
  assert [isinstance(one, RuntimeError) for one in found] == [False, True, True, True, True, False]
  assert found[5] == 50


def test_more_than_may_wait_are_sent_away_at_once():
  found, _, _ = asked(range(1, 6), waiting=3, before=[0])
  assert found[:4] == [0, 10, 20, 30]
  assert all(isinstance(one, Full) for one in found[4:])


def test_who_has_left_is_not_answered():
  async def run():
    worker = Worker()
    async with Batcher(worker, 4, 100) as batcher:
      first, = await started(batcher, [0])
      gone, stays = await started(batcher, [1, 2])
      gone.cancel()
      worker.may.set()
      assert await first == 0 and await stays == 20
      return worker.batches
  assert asyncio.run(run()) == [[0], [2]]


def test_the_end_sends_away_who_waits():
  async def run():
    worker = Worker()
    async with Batcher(worker, 1, 100) as batcher:
      _, waits = await started(batcher, [0, 1])
      worker.may.set()
    with pytest.raises(asyncio.CancelledError):
      await waits
  asyncio.run(run())
