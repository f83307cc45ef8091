"""Flags and dispatch: `python -m ganrec_jax.main --config=configs/music.py[:variant] [--workdir=DIR] [--validate]`."""

import logging as std_logging
import os
import pathlib
import sys

from absl import app, flags, logging
from ml_collections import config_flags

from ganrec_jax.errors import UserError

_CONFIG = config_flags.DEFINE_config_file('config', None, 'A config file, with :variant where it has some.',
                                          lock_config=True)
_WORKDIR = flags.DEFINE_string('workdir', None, 'The work directory; runs/<config>-<variant> by default.')
_VALIDATE = flags.DEFINE_bool('validate', False, 'Only look at config and data; train nothing.')
_ROOT = pathlib.Path(__file__).resolve().parents[1]


def find_config(value):
  """The config flag's value with its file found in the current directory or beside the package.

  Raises:
    UserError: where the file is in neither.
  """
  path, colon, variant = value.partition(':')
  places = [pathlib.Path(path), _ROOT / path]
  for place in places:
    if place.is_file():
      return f'{place}{colon}{variant}'
  raise UserError(f'config {path!r} is no file; looked for {" and ".join(str(p.resolve()) for p in places)}')


def _workdir(value):
  path, _, variant = value.partition(':')
  return os.path.join('runs', pathlib.Path(path).stem + (f'-{variant}' if variant else ''))


def _ours(record):
  # Orbax reports a dozen lines a checkpoint, and its failures, with the tracebacks of its threads, beside raising them.
  return 'orbax' not in record.pathname or record.levelno == std_logging.WARNING


def _main(_):
  logging.set_verbosity(logging.INFO)
  logging.get_absl_handler().addFilter(_ours)
  from ganrec_jax import pipeline  # imports jax, after the flags are known to be right
  from ganrec_jax.training import interrupt
  workdir = _WORKDIR.value or _workdir(_given[0])
  logging.info('work directory: %s', workdir)
  try:
    with interrupt.graceful():
      (pipeline.validate if _VALIDATE.value else pipeline.run)(_CONFIG.value, workdir)
  except UserError as error:
    return _refuse(error)
  except interrupt.Interrupted as stop:
    print(f'{stop}; what was done is saved, the same command goes on from there: '
          f'python -m ganrec_jax.main {" ".join(sys.argv[1:])}', file=sys.stderr)
    return 128 + stop.signum
  return 0


def _refuse(error):
  print(f'error: {error}', file=sys.stderr)
  return 2


_given = []


def _parse(argv):
  """Parses the flags; whatever is wrong with them is a `UserError`."""
  arguments = list(argv)
  for place, argument in enumerate(arguments):
    if argument.startswith(('--config=', '-config=')):
      _given.append(argument.partition('=')[2])
      arguments[place] = '--config=' + find_config(_given[0])
  app.define_help_flags()
  try:
    rest = flags.FLAGS(arguments)
  # absl and ml_collections answer a bad variant, field or type with errors of all these kinds.
  except (flags.Error, ValueError, KeyError, AttributeError, TypeError) as error:
    # ml_collections puts the traceback of a config file's own error before its message.
    words = ' '.join(str(error.args[0] if error.args else error).rpartition('ValueError: ')[2].split())
    raise UserError(f'unknown config field {words}' if isinstance(error, KeyError | AttributeError) else words
                    ) from error
  if not _given:
    raise UserError('--config=FILE[:VARIANT] is missing, for example --config=configs/music.py')
  if rest[1:]:
    raise UserError(f'{rest[1]!r} is no flag; flags look like --name=value')
  return rest


def run():
  """The command: exits with 0, with 2 for usage and data errors, or with 128 + signal where it was stopped."""
  try:
    rest = _parse(sys.argv)
  except UserError as error:
    sys.exit(_refuse(error))
  app.run(_main, argv=rest, flags_parser=lambda argv: argv)


if __name__ == '__main__':
  run()
