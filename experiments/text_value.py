"""What texts are worth: the base model with text vectors, frozen and tuned, and with ones that say nothing.

    python experiments/text_value.py --dataset=lastfm --data=DIR --workdir=DIR                    the test part
    python experiments/text_value.py --dataset=lastfm --data=DIR --workdir=DIR --held_out=valid   to choose by

Every row is the base model of the data set's config, fitted with another content kernel, its knobs turned anew on
validation. Its other hyper-parameters were tuned with MiniLM and TF-IDF, which favours these rows a little. The
controls: 'shuffled' gives each item the whole text of another one (vectors and TF-IDF together), so that all that is
left of the kernel is its spectrum; 'random' draws Gaussian vectors; 'no text' has no kernel, and its order of cold
items is that of the ties. 'tuned' is the config's own kernel, half of MiniLM after its adaptation to the draw's
training pairs and half of MiniLM as it was. For `all` cold scores are calibrated on validation. What is done is kept in
the work directory. Test leaves `text_value.NAME.json` beside this file.
"""

import contextlib
import functools
import pathlib
import sys

import jax
import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))  # a script sees only its own folder

from experiments.bench import rows
from experiments.bench.options import parser_of
from experiments.peers import ours, problem
from ganrec_jax import artifacts
from ganrec_jax.models import kernels

_HERE = pathlib.Path(__file__).resolve().parent
BOTH, FROZEN, TERMS, TUNED = 'MiniLM + TF-IDF', 'MiniLM', 'TF-IDF', 'tuned MiniLM + TF-IDF'
SHUFFLED, RANDOM, NOTHING = 'shuffled', 'random vectors', 'no text'
ROWS = (TUNED, BOTH, FROZEN, TERMS, SHUFFLED, RANDOM, NOTHING)


def kernel(row, one, key):
  """The content kernel of a row of `ROWS` on a `Problem`, float32 `[items, items]`; None for 'no text'."""
  if row == NOTHING:
    return None
  if row == RANDOM:
    vectors = np.asarray(jax.random.normal(key, one.texts.shape))
    return problem.kernel_of(kernels.whiten(vectors, one.prepared.warm).apply(vectors), one.alike, 1.)
  if row == TERMS:
    return one.kernel(0.)
  if row == FROZEN:
    return one.kernel(1.)
  if row == TUNED:
    return one.own_kernel()
  found = one.own_kernel(adapted=False)
  if row == SHUFFLED:
    # Warm and cold items are shuffled together, as whole texts.
    order = np.asarray(jax.random.permutation(key, len(found)))
    found = found[order][:, order]
  return found


def fit(row, one, key):
  """The base model with the kernel of a row: (score, params)."""
  return ours.fit_kernel(one, kernel(row, one, key), key)


def _options():
  parser = parser_of(__doc__, 'text_value')
  parser.add_argument('--rows', nargs='*', choices=ROWS, default=ROWS, help='Names of rows; all where not given.')
  parser.add_argument('--held_out', choices=('valid', 'test'), default='test', help='Whose pairs are to be found.')
  return parser.parse_args()


def main():
  """Runs what the command line asks for."""
  options = _options()
  name, workdir = options.dataset, pathlib.Path(options.workdir)
  result = rows.run(name, {row: functools.partial(fit, row) for row in options.rows}, options.draws, options.held_out,
                    lambda draw: problem.load(name, draw, options.data, str(workdir / 'problems')), workdir)
  if options.held_out == 'test':
    artifacts.write_json(_HERE / f'text_value.{name}.json', result)
  print(rows.markdown(result))


if __name__ == '__main__':
  with contextlib.suppress(KeyboardInterrupt):
    main()
