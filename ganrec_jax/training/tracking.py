"""Weights & Biases, where the config asks for it: the measurements of a run, its config and its table."""

import contextlib
import importlib.util
import os
import secrets

from ganrec_jax import artifacts
from ganrec_jax.errors import UserError
from ganrec_jax.training import hosts

_COLUMNS = ('row', 'task', 'metric', 'value', 'low', 'high', 'users')


def check(config):
  """Raises a `UserError` where the config asks for what is not installed."""
  # A folder of that name, which the package leaves where it was used, can be found as a package without a file.
  if config.track.wandb and getattr(importlib.util.find_spec('wandb'), 'origin', None) is None:
    raise UserError("track.wandb is True and the package wandb is missing; pip install 'ganrec_jax[track]' brings it")


@contextlib.contextmanager
def started(config, path, key):
  """A context of the run in Weights & Biases; None, and nothing is imported, where the config does not ask for it or
  this is not the first process.

  It keeps its files in `path/wandb` and sends nothing, unless the environment variable WANDB_MODE is set. What goes on
  from an earlier start goes on under the same id.

  Args:
    config: the whole config.
    path: the work directory.
    key: the hash of all that makes the run; with another one it is another run.
  """
  if not config.track.wandb or not hosts.first():
    yield None
    return
  import wandb
  with wandb.init(project=os.environ.get('WANDB_PROJECT', 'ganrec_jax'), name=os.path.basename(os.path.abspath(path)),
                  id=_identity(path, key), resume='allow', dir=path, mode=os.environ.get('WANDB_MODE', 'offline'),
                  config=config.to_dict(), reinit='finish_previous',
                  settings=wandb.Settings(console='off')) as run:
    # Each stage counts its own steps, and a stage that goes on may repeat some: the run's own counter only grows.
    run.define_metric('step')
    run.define_metric('*', step_metric='step')
    yield run


def _identity(path, key):
  """The id of the run, the same for each start of it."""
  place = os.path.join(path, 'artifacts', 'wandb.json')
  known = artifacts.read_json(place) or {}
  if known.get('key') != key:
    known = {'key': key, 'id': secrets.token_hex(4)}
    artifacts.write_json(place, known)
  return known['id']


def log(run, stage, step, values):
  """Tells the `run` the numbers `values` (name to scalar) of `stage` at `step`, a line of metrics.jsonl."""
  run.log({f'{stage}/{name}': value for name, value in values.items()} | {'step': step})


def tell(run, records):
  """Tells the `run` the table, `rows` of results.json, and its values as the summary by which runs are compared."""
  import wandb
  run.log({'results': wandb.Table(columns=list(_COLUMNS), data=[[one[name] for name in _COLUMNS] for one in records])})
  for one in records:
    run.summary[f'{one["row"]}/{one["task"]}/{one["metric"]}'] = one['value']
