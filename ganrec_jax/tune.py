"""Tunes what needs a refit, by validation alone, and writes a config that reproduces the best.

    python -m ganrec_jax.tune --config=configs/music.py --trials=40 [--workdir=DIR]

What is tried is `search_space()` of the config file, or else of configs/common.py. Trials are kept in DIR/tune.db: a
command that was stopped goes on from there, and several processes with the same command share the trials. It leaves
DIR/tuned.py, for --config=DIR/tuned.py, and DIR/tune.png: what mattered. It needs `pip install 'ganrec_jax[tune]'`.
"""

import sys

from absl import flags, logging

from ganrec_jax import command, terminal
from ganrec_jax.errors import UserError

_TRIALS = flags.DEFINE_integer('trials', 40, 'How many trials there shall be, those of earlier commands included.')
_WORKDIR = flags.DEFINE_string('workdir', 'runs/tune', 'Where data, encoder and trials are kept.')


def _main(_):
  logging.set_verbosity(logging.INFO)
  from ganrec_jax import tuning  # imports jax, after the flags are known to be right
  from ganrec_jax.training import interrupt, logs
  logging.get_absl_handler().addFilter(logs.ours)
  try:
    space = tuning.space_of(command.find_config(command.given()).partition(':')[0])
    with interrupt.graceful():
      print(tuning.run(command.CONFIG.value, space, _WORKDIR.value, _TRIALS.value))
  except UserError as error:
    return terminal.refuse(error)
  except interrupt.Interrupted as stop:
    print(f'{stop}; finished trials are kept, the same command goes on from there', file=sys.stderr)
    return 128 + stop.signum
  return 0


if __name__ == '__main__':
  command.run(_main)
