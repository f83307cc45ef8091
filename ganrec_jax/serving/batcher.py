"""Requests that arrive together are answered together: whatever waits while the worker is busy is the next batch."""

import asyncio
import collections
import concurrent.futures


class Full(Exception):
  """More questions wait than are taken."""


class Batcher:
  """A queue before one worker thread; nothing is ever held back to wait for more.

  Attributes:
    work: from a list of questions to the list of their answers; an answer that is an exception is raised to its asker.
    most: questions in a batch.
    waiting: questions that may wait.
    observe: is told the size of each batch.
  """

  def __init__(self, work, most, waiting, observe=lambda size: None):
    self.work, self.most, self.waiting, self.observe = work, most, waiting, observe
    self._queue, self._filled, self._task = collections.deque(), asyncio.Event(), None
    self._thread = concurrent.futures.ThreadPoolExecutor(1, 'worker')

  async def __aenter__(self):
    self._task = asyncio.create_task(self._run())
    return self

  async def __aexit__(self, *_):
    self._task.cancel()
    for _, future in self._queue:
      future.cancel()
    self._thread.shutdown(wait=False)

  async def ask(self, question):
    """The answer to a question.

    Raises:
      Full: where too many wait.
    """
    if len(self._queue) >= self.waiting:
      raise Full(f'{len(self._queue)} questions are waiting already')
    future = asyncio.get_running_loop().create_future()
    self._queue.append((question, future))
    self._filled.set()
    return await future

  async def _run(self):
    while True:
      await self._filled.wait()
      batch = [self._queue.popleft() for _ in range(min(self.most, len(self._queue)))]
      if not self._queue:
        self._filled.clear()
      # Whoever has left in the meantime needs no answer.
      batch = [(question, future) for question, future in batch if not future.done()]
      if batch:
        self.observe(len(batch))
        await self._answer(batch)

  async def _answer(self, batch):
    try:
      found = await asyncio.get_running_loop().run_in_executor(self._thread, self.work, [one for one, _ in batch])
    except Exception as error:  # whatever it is, it is told to those who asked, and the worker goes on
      found = [error] * len(batch)
    for (_, future), answer in zip(batch, found, strict=True):
      if future.done():
        continue
      if isinstance(answer, Exception):
        future.set_exception(answer)
      else:
        future.set_result(answer)
