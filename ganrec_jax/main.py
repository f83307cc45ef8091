"""Flags and dispatch: `python -m ganrec_jax.main --config=configs/music.py[:variant] [--workdir=DIR] [--validate]`."""

import os
import pathlib
import sys

from absl import flags, logging

from ganrec_jax import command, terminal
from ganrec_jax.errors import UserError

_WORKDIR = flags.DEFINE_string('workdir', None, 'The work directory; runs/<config>-<variant> by default.')
_VALIDATE = flags.DEFINE_bool('validate', False, 'Only look at config and data; train nothing.')
_PROFILE = flags.DEFINE_bool('profile', False, 'Write a trace of a few steps of each trained stage to WORKDIR/profile.')


def _workdir(value):
  path, _, variant = value.partition(':')
  return os.path.join('runs', pathlib.Path(path).stem + (f'-{variant}' if variant else ''))


def _main(_):
  logging.set_verbosity(logging.INFO)
  from ganrec_jax import pipeline  # imports jax, after the flags are known to be right
  from ganrec_jax.training import interrupt, logs
  logging.get_absl_handler().addFilter(logs.ours)
  workdir = _WORKDIR.value or _workdir(command.given())
  logging.info('work directory: %s', workdir)
  try:
    with interrupt.graceful():
      if _VALIDATE.value:
        pipeline.validate(command.CONFIG.value, workdir)
      else:
        pipeline.run(command.CONFIG.value, workdir, command=command.typed(), profile=_PROFILE.value)
  except UserError as error:
    return terminal.refuse(error)
  except interrupt.Interrupted as stop:
    print(f'{stop}; what was done is saved, the same command goes on from there: '
          f'python -m ganrec_jax.main {" ".join(sys.argv[1:])}', file=sys.stderr)
    return 128 + stop.signum
  return 0


def run():
  """The command: exits with 0, with 2 for usage and data errors, or with 128 + signal where it was stopped."""
  command.run(_main)


if __name__ == '__main__':
  run()
