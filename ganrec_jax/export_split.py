"""Writes the splits of a config for others to run on the same.

    python -m ganrec_jax.export_split --config=configs/music.py --out=DIR [--draws=5] [--form=csv|recbole]

`csv` gives NAME.csv.gz, NAME-1.csv.gz and so on, a file a draw, which `--config.data.split_file` reads: all parts, new
items and new users among them. `recbole` gives a folder a draw with RecBole's atomic files, see `data.recbole`. Unused
rows are in neither; their number and the reasons are printed.
"""

import os
import re

from absl import flags, logging

from ganrec_jax import command, terminal
from ganrec_jax.data import recbole, split_files, splits
from ganrec_jax.errors import ConfigError, UserError
from ganrec_jax.stages import prepare

_OUT = flags.DEFINE_string('out', None, 'The folder to write into.')
_DRAWS = flags.DEFINE_integer('draws', 1, 'How many draws, from config.split.draw on.', lower_bound=1)
_FORM = flags.DEFINE_enum('form', 'csv', ['csv', 'recbole'], 'The form of the files.')


def export(config, out, draws=1, form='csv'):
  """Writes the draws of a config's split into the folder `out`; yields a line of words about each.

  Args:
    config: the whole config.
    out: the folder; it is made where it does not exist.
    draws: how many, from `config.split.draw` on. Draw 0 is NAME, draw k is NAME-k.
    form: 'csv' or 'recbole'.

  Raises:
    UserError: where the config or the data cannot be used, or a file cannot be written.
  """
  if config.data.split_file and draws > 1:
    raise ConfigError(f'--draws is {draws}, but data.split_file is given; allowed is 1 of a split that is read')
  splits.SplitConfig(**config.split.to_dict())
  whole, _ = prepare.read(config)
  stem = re.sub(r'[^\w-]+', '-', whole.info['name'].split('.')[0]).strip('-') or 'data'
  config = config.copy_and_resolve_references()
  for draw in range(config.split.draw, config.split.draw + draws):
    config.split.draw = draw
    dataset, split = prepare.split(whole, config)
    name = stem + (f'-{draw}' if draw else '')
    path = os.path.join(out, name if form == 'recbole' else f'{name}.csv.gz')
    if form == 'recbole':
      recbole.write(out, name, dataset, split)
    else:
      split_files.write_split(path, dataset, split)
    told = splits.describe(split, dataset)
    counts = ', '.join(f'{part} {rows}' for part, rows in told['rows'].items())
    why = ''.join(f'; {reason}: {rows}' for reason, rows in told.get('unused', {}).items())
    yield f'{path}: {counts}{why}; split {split.sha256()[:16]}'


def _main(_):
  logging.set_verbosity(logging.WARNING)
  try:
    if not _OUT.value:
      raise UserError('--out=DIR is missing: the folder to write into')
    for line in export(command.CONFIG.value, _OUT.value, _DRAWS.value, _FORM.value):
      print(line)
  except UserError as error:
    return terminal.refuse(error)
  return 0


if __name__ == '__main__':
  command.run(_main)
