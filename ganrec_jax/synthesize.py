"""Generated users of a finished run as a log that may leave the house, and what it is worth and gives away.

    python -m ganrec_jax.synthesize --workdir=DIR --users=N --out=DIR2 [--max_auc=.6] [--seed=0] [--over_budget]
                                       [--like='words']

It leaves in DIR2: interactions.csv and items.csv, which `--config=configs/tables.py:interactions=...,items=...` reads;
report.json and report.html: utility, fidelity and privacy, with provenance and seed. A run that was stopped goes on
where it was. Where the log gives away more of who was in the data than --max_auc allows, none is left.
"""

import sys

from absl import flags, logging

from ganrec_jax import terminal
from ganrec_jax.errors import UserError

_WORKDIR = flags.DEFINE_string('workdir', None, 'The work directory of a finished run.')
_USERS = flags.DEFINE_integer('users', None, 'How many users to generate.')
_OUT = flags.DEFINE_string('out', None, 'The folder to write into.')
_MAX_AUC = flags.DEFINE_float('max_auc', .6, 'The most that membership inference may reach; .5 is a guess.')
_OVER_BUDGET = flags.DEFINE_bool('over_budget', False, 'Leaves the log even where it gives away more than that.')
_LIKE = flags.DEFINE_string('like', '', 'Words that the users\' items should read like, such as a genre.')
_SEED = flags.DEFINE_integer('seed', 0, 'Of all draws; another seed gives other users.')


def _answer():
  logging.set_verbosity(logging.INFO)
  for name, value in (('workdir', _WORKDIR.value), ('users', _USERS.value), ('out', _OUT.value)):
    if value in (None, ''):
      raise UserError(f'--{name} is missing; see --help')
  from ganrec_jax import synthesis  # imports jax, after the flags are known to be right
  from ganrec_jax.training import interrupt, logs
  logging.get_absl_handler().addFilter(logs.ours)
  try:
    with interrupt.graceful():
      print(synthesis.run(_WORKDIR.value, _USERS.value, _OUT.value, _MAX_AUC.value, _OVER_BUDGET.value, _SEED.value,
                          _LIKE.value))
  except interrupt.Interrupted as stop:
    print(f'{stop}; what was done is saved, the same command goes on from there', file=sys.stderr)
    return 128 + stop.signum
  return 0


if __name__ == '__main__':
  terminal.run(_answer)
