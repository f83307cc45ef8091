"""What each part of the base model is worth: the model without it, by full ranking over the frozen draws.

    python experiments/ablation.py --dataset=lastfm --data=DIR --workdir=DIR                    the test part
    python experiments/ablation.py --dataset=lastfm --data=DIR --workdir=DIR --held_out=valid   to choose by

The first row is the model of the data set's config; each other row lacks one part, and turns its remaining knobs anew
on validation. *: the difference to the first row is significant (paired over users and draws, Holm's correction over
all cells). What is done is kept in the work directory. Test leaves `ablation.NAME.json` beside this file.
"""

import contextlib
import functools
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))  # a script sees only its own folder

from experiments.bench import rows
from experiments.bench.options import parser_of
from experiments.peers import ours, problem
from ganrec_jax import artifacts

_HERE = pathlib.Path(__file__).resolve().parent
# row -> (fields of config.base that differ, knobs that are held at these values, whether the encoder is adapted).
ROWS = {
  'ours': ({}, {}, True),
  'strengths': ({'strength': 0.}, {}, True),
  'popularity': ({}, {'popularity': 0., 'cold_popularity': 0.}, True),
  'activity': ({}, {'activity': 0.}, True),
  'tail power': ({}, {'power': 0.}, True),
  'item-item model': ({}, {'warm_blend': 0., 'cold_blend': 0.}, True),
  'item-item model, cold': ({}, {'cold_blend': 0.}, True),
  'text in the item-item model': ({'kernel_weight': 0.}, {}, True),
  'text prior of factors': ({'kappa': .001}, {}, True),
  'turned knobs': ({'turn_knobs': False}, {}, True),
  'adapted encoder': ({}, {}, False)}


def fit(row, one, key):
  """The base model of a `Problem` without the part `row`: (score, params)."""
  fields, held, adapted = ROWS[row]
  return ours.fit_kernel(one, one.own_kernel(adapted), key, fields, held)


def _options():
  parser = parser_of(__doc__, 'ablation')
  parser.add_argument('--held_out', choices=('valid', 'test'), default='test', help='Whose pairs are to be found.')
  return parser.parse_args()


def main():
  """Runs what the command line asks for."""
  options = _options()
  name, workdir = options.dataset, pathlib.Path(options.workdir)
  result = rows.run(name, {row if row == 'ours' else f'without {row}': functools.partial(fit, row) for row in ROWS},
                    options.draws, options.held_out,
                    lambda draw: problem.load(name, draw, options.data, str(workdir / 'problems')), workdir)
  if options.held_out == 'test':
    artifacts.write_json(_HERE / f'ablation.{name}.json', result)
  print(rows.markdown(result))


if __name__ == '__main__':
  with contextlib.suppress(KeyboardInterrupt):
    main()
