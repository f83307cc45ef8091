"""The run that is served, and the next one in its work directory, which takes over when it is ready."""

import asyncio
import contextlib
import gc
import logging

from ganrec_jax.errors import UserError
from ganrec_jax.serving import answers, scoring

_LOG = logging.getLogger(__name__)


def ready(workdir):
  """The finished run of a work directory with all that questions need, compiled and indexed.

  Raises:
    UserError: where there is none.
  """
  run = answers.load(workdir)
  scoring.compile_all(run.base, run.popularity)
  run.reader.compile_all()
  run.titles.find('a')
  # What a run holds stays; looking through it again and again would only stop the answers.
  gc.collect()
  gc.freeze()
  return run


class Live:
  """The run that is served; swapped as a whole, so that an answer is of one run.

  Attributes:
    workdir: the work directory.
    run: the `Run` that answers.
    reloads: is told 'done' or 'failed' of each reload.
  """

  def __init__(self, workdir, reloads=lambda result: None):
    self.workdir, self.reloads = workdir, reloads
    self.run = ready(workdir)
    self._seen = self.run.digest

  async def watch(self, seconds):
    """Looks for other results every few seconds, for ever; requests are answered by the run before in the meantime."""
    while True:
      await asyncio.sleep(seconds)
      found = await asyncio.to_thread(answers.digest_of, self.workdir)
      if found in (None, self._seen):
        continue
      self._seen = found
      try:
        self.run = await asyncio.to_thread(ready, self.workdir)
      except Exception as error:
        self.reloads('failed')
        _LOG.error('the new results cannot be served, the run before goes on: %s', error,
                   exc_info=None if isinstance(error, UserError) else error)
      else:
        self.reloads('done')
        self._seen = self.run.digest
        _LOG.info('serving new results', extra={'fields': {'run': self.run.digest}})

  @contextlib.asynccontextmanager
  async def watched(self, seconds):
    """Watches until the end of the block."""
    task = asyncio.create_task(self.watch(seconds))
    try:
      yield self
    finally:
      task.cancel()
