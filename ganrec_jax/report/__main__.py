"""The report of a finished run made anew, or of several side by side.

    python -m ganrec_jax.report --workdir=DIR
    python -m ganrec_jax.report --workdir=DIR --workdir=OTHER [--out=FOLDER]
"""

from absl import flags, logging

from ganrec_jax import terminal
from ganrec_jax.errors import UserError

_WORKDIR = flags.DEFINE_multi_string('workdir', [], 'The work directory of a finished run; several are compared with '
                                     'the first.')
_OUT = flags.DEFINE_string('out', None, 'The folder of the page that compares; report in the first work directory '
                           'where none is given.')


def _answer():
  logging.set_verbosity(logging.WARNING)
  if not _WORKDIR.value:
    raise UserError('--workdir=DIR is missing: the work directory of a finished run; two of them are put side by side')
  if len(_WORKDIR.value) == 1 and _OUT.value:
    raise UserError('--out goes with two or more --workdir; the report of one run is in its work directory')
  from ganrec_jax.report import compare, index  # imports jax, after the flags are known to be right
  if len(_WORKDIR.value) == 1:
    print(f'{index.write(_WORKDIR.value[0])}: complete')
  else:
    print(compare.write(_WORKDIR.value, _OUT.value))
  return 0


if __name__ == '__main__':
  terminal.run(_answer)
