"""A small fitted run, as the server answers from, without the stages that take long."""

import contextlib
import threading
import time

from ganrec_jax import artifacts
from ganrec_jax.serving import answers, guard, server
from ganrec_jax.stages import encode, recommend
from ganrec_jax.stages.prepare import prepare

from ..stages import worlds


def parts(path, **base):
  """What `finished.load` returns, for the testing config without an encoder."""
  config = worlds.config(encoder={'kind': 'none'}, base={'sweeps': 3, **base})
  space, prepared = worlds.workspace_of(config, path), prepare(config)
  content = encode.content(space, prepared, None)
  return space, prepared, None, content, recommend.fit_base(space, prepared, content, 'dense')[0]


def small(fitted):
  """The `Run` of `parts`."""
  return answers.make(*fitted, 'a run')


def finished_in(path):
  """Makes the folder `path` the work directory of a finished run, whose base model is fitted when it is first read."""
  config = worlds.config(encoder={'kind': 'none'}, base={'sweeps': 3, 'turn_knobs': False}).to_dict()
  digest = artifacts.digest(config)
  artifacts.write_json(path / 'config.json', {'config': config, 'sha256': digest})
  artifacts.write_json(path / 'results.json', {'config_sha256': digest})
  return path


@contextlib.contextmanager
def serving(application, limits=guard.Limits()):  # noqa: B008, frozen
  """A server of an application in a thread; gives its address."""
  with server.bound('127.0.0.1', 0) as listener:
    running = server.around(application, limits)
    thread = threading.Thread(target=running.run, args=([listener],))
    thread.start()
    try:
      while not running.started:
        assert thread.is_alive()
        time.sleep(.01)
      yield f'http://127.0.0.1:{listener.getsockname()[1]}'
    finally:
      running.should_exit = True
      thread.join()
