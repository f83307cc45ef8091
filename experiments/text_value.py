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

import argparse
import contextlib
import pathlib
import sys
import time

import jax
import numpy as np
from absl import logging

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))  # a script sees only its own folder

from experiments.peers import ours, problem
from ganrec_jax import artifacts, pipeline
from ganrec_jax.evaluation import ranking
from ganrec_jax.models import blend, kernels
from ganrec_jax.stages import encode, recommend

_HERE = pathlib.Path(__file__).resolve().parent
TASKS = ('warm', 'cold', 'all', 'tail')
BOTH, FROZEN, TERMS, TUNED = 'MiniLM + TF-IDF', 'MiniLM', 'TF-IDF', 'tuned MiniLM + TF-IDF'
SHUFFLED, RANDOM, NOTHING = 'shuffled', 'random vectors', 'no text'
ROWS = (TUNED, BOTH, FROZEN, TERMS, SHUFFLED, RANDOM, NOTHING)


def kernel_of(texts, alike, warm, share):
  """The content kernel of text vectors `[items, dim]`, whitened on the warm items, and TF-IDF cosines `alike`."""
  z = kernels.whiten(texts, warm).apply(texts)
  return kernels.with_unit_diagonal(kernels.content_kernel(z @ z.T, alike, share))


def kernel(row, one, key):
  """The content kernel of a row of `ROWS` on a `Problem`, float32 `[items, items]`; None for 'no text'."""
  warm, share = one.prepared.warm, one.config.encoder.share
  if row == NOTHING:
    return None
  if row == RANDOM:
    return kernel_of(np.asarray(jax.random.normal(key, one.texts.shape)), one.alike, warm, 1.)
  if row == TERMS:
    return one.kernel(0.)
  if row == FROZEN:
    return one.kernel(1.)
  if row == TUNED:
    return one.own_kernel()
  found = one.kernel(share)
  if row == SHUFFLED:
    # Warm and cold items are shuffled together, as whole texts.
    order = np.asarray(jax.random.permutation(key, len(found)))
    found = found[order][:, order]
  return found


def measure(one, score, params, held_out):
  """NDCG@20 on the `TASKS` of 'valid' or 'test', cold scores calibrated on validation for `all`; float64 `[tasks]`."""
  calibrated, _ = recommend.for_all(one.prepared, recommend.Model(score, params, {}),
                                    recommend.Judge(one.tasks('valid')))
  tasks, out = one.tasks(held_out), []
  for name in TASKS:
    function, model = (blend.score_calibrated, calibrated) if name == 'all' else (score, params)
    lists, _ = ranking.top_k(function, model, tasks[name], k=20)
    out.append(ranking.metrics_per_user(lists, tasks[name].targets)['ndcg@20'].mean())
  return np.array(out)


def run(name, rows, draws, held_out, load, workdir):
  """All rows on all draws, as a dict for JSON.

  Args:
    name: of the data set.
    rows: of `ROWS`.
    draws: how many.
    held_out: 'valid' or 'test'.
    load: `load(draw) -> Problem`.
    workdir: where results are kept, a path.
  """
  start, values, hashes = time.perf_counter(), {row: [] for row in rows}, []
  for draw in range(draws):
    one = load(draw)
    hashes.append(artifacts.digest(one.prepared.sha256(), encode.sha256(one.texts)))
    for row in rows:
      def compute(one=one, row=row, draw=draw):
        began, key = time.perf_counter(), jax.random.fold_in(jax.random.key(one.config.seed), draw)
        score, params = ours.fit_kernel(one, kernel(row, one, key), key)
        return {'ndcg': measure(one, score, params, held_out), 'seconds': np.array(time.perf_counter() - began)}

      made_by = artifacts.digest(pipeline.revision(), hashes[-1], one.config.to_dict(), row, draw, held_out)
      file = workdir / f'{name}-{draw}' / f'{held_out}.{row.replace(" ", "_")}.npz'
      arrays, _ = artifacts.cached(str(file), made_by, compute)
      values[row].append([*arrays['ndcg'].tolist(), float(arrays['seconds'])])
      logging.info('%s, draw %d, %s: %s', name, draw, row, dict(zip(TASKS, arrays['ndcg'].round(4), strict=True)))
  return {
    'name': name, 'held_out': held_out, 'config_sha256': artifacts.digest(one.config.to_dict()),
    'data_sha256': hashes, 'git_revision': pipeline.revision(), 'seeds': list(range(draws)),
    'device': jax.devices()[0].device_kind, 'jax': jax.__version__, 'wall_seconds': time.perf_counter() - start,
    'rows': {row: {task: [one[place] for one in found] for place, task in enumerate((*TASKS, 'seconds'))}
             for row, found in values.items()}}


def markdown(result):
  """The results as a Markdown table: mean and, over several draws, standard deviation."""
  lines = [f'| {result["name"]}, {result["held_out"]}, NDCG@20 | ' + ' | '.join(TASKS) + ' | seconds |',
           '|---|' + '---|' * (len(TASKS) + 1)]
  for row, found in result['rows'].items():
    cells = [f'{np.mean(found[task]):.4f}' + (f' ({np.std(found[task], ddof=1):.4f})' if len(found[task]) > 1 else '')
             for task in TASKS]
    lines.append(f'| {row} | ' + ' | '.join(cells) + f' | {np.mean(found["seconds"]):.0f} |')
  return '\n'.join(lines)


def _options():
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('--dataset', choices=list(problem.SETS), required=True, help='The data set.')
  parser.add_argument('--data', default='data', help='Folder with the data sets and their splits.')
  parser.add_argument('--workdir', default='runs/text_value', help='Where results and vectors are kept.')
  parser.add_argument('--draws', type=int, default=5, choices=range(1, 6), help='Draws.')
  parser.add_argument('--rows', nargs='*', choices=ROWS, default=ROWS, help='Names of rows; all where not given.')
  parser.add_argument('--held_out', choices=('valid', 'test'), default='test', help='Whose pairs are to be found.')
  return parser.parse_args()


def main():
  """Runs what the command line asks for."""
  options = _options()
  name, workdir = options.dataset, pathlib.Path(options.workdir)
  result = run(name, options.rows, options.draws, options.held_out,
               lambda draw: problem.load(name, draw, options.data, str(workdir / 'problems')), workdir)
  if options.held_out == 'test':
    artifacts.write_json(_HERE / f'text_value.{name}.json', result)
  print(markdown(result))


if __name__ == '__main__':
  with contextlib.suppress(KeyboardInterrupt):
    main()
