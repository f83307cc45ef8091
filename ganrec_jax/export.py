"""A finished run as a folder that answers without this package, on cpu, cuda and tpu.

    python -m ganrec_jax.export --workdir=DIR --out=DIR2 [--int8] [--index]

It leaves in DIR2: scores.jax_export (StableHLO by jax.export, any batch and length of history), parameters.safetensors,
items.parquet, manifest.json with the SHA-256 of every file, and answer.py, which needs no more than jax, numpy,
safetensors and pyarrow: `python DIR2/answer.py ITEM_ID ITEM_ID` names what goes with these items. No user is in it.
With --index answer_index.py asks an approximate index for candidates, which the exact scores then rank.
"""

from absl import flags, logging

from ganrec_jax import terminal
from ganrec_jax.errors import UserError

_WORKDIR = flags.DEFINE_string('workdir', None, 'The work directory of a finished run.')
_OUT = flags.DEFINE_string('out', None, 'The folder to write into, new or empty.')
_INT8 = flags.DEFINE_bool('int8', False, 'Keeps item vectors and matrices as bytes, a scale for each row, and measures '
                          'on validation what that costs.')
_INDEX = flags.DEFINE_bool('index', False, 'Builds an approximate index as well, for catalogues beyond '
                           'config.base.dense_items; needs faiss-cpu.')


def _answer():
  logging.set_verbosity(logging.WARNING)
  for name, value in (('workdir', _WORKDIR.value), ('out', _OUT.value)):
    if not value:
      raise UserError(f'--{name} is missing; see --help')
  from ganrec_jax import exporting  # imports jax, after the flags are known to be right
  print(exporting.run(_WORKDIR.value, _OUT.value, _INT8.value, _INDEX.value))
  return 0


if __name__ == '__main__':
  terminal.run(_answer)
