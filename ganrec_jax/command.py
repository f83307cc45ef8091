"""What the commands share that begin with a config: the flag --config, found where it is meant."""

import pathlib
import shlex
import sys

from absl import app, flags
from ml_collections import config_flags

from ganrec_jax import terminal
from ganrec_jax.errors import UserError

CONFIG = config_flags.DEFINE_config_file('config', None, 'A config file, with :variant where it has some.',
                                         lock_config=True)
_ROOT = pathlib.Path(__file__).resolve().parents[1]
_given = []
# The work directory, and which processes run together where.
_OF_A_PLACE = ('workdir', 'coordinator', 'processes', 'process')


def given():
  """The value of --config as it was typed."""
  return _given[0]


def typed():
  """The flags as they were typed, for a shell, without those of a place: what makes the same run elsewhere."""
  words, kept = iter(sys.argv[1:]), []
  for word in words:
    name, equals, _ = word.lstrip('-').partition('=')
    if name not in _OF_A_PLACE:
      kept.append(word)
    elif not equals:
      next(words, None)
  return shlex.join(kept)


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


def run(main):
  """Runs `main(argv)` with parsed flags; exits with what it returns, or with 2 for usage errors."""
  try:
    rest = _parse(sys.argv)
  except UserError as error:
    sys.exit(terminal.refuse(error))
  app.run(main, argv=rest, flags_parser=lambda argv: argv)
