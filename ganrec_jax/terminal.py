"""What the commands share: mistakes are told in one line with exit code 2."""

import sys

from absl import app, flags

from ganrec_jax.errors import UserError


def refuse(error):
  """Prints the error and returns the exit code."""
  print(f'error: {error}', file=sys.stderr)
  return 2


def run(answer):
  """Parses the flags, calls `answer()` and exits with what it returns, or with 2 where flags or data are wrong."""
  def main(_):
    try:
      return answer()
    except UserError as error:
      return refuse(error)
  app.run(main, flags_parser=_parse)


def _parse(argv):
  app.define_help_flags()
  try:
    return flags.FLAGS(argv)
  except flags.Error as error:
    sys.exit(refuse(error))
