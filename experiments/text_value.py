"""What texts are worth: the base model with text vectors, frozen and tuned, and with ones that say nothing.

    python experiments/text_value.py --dataset=lastfm --data=DIR --workdir=DIR                    the test part
    python experiments/text_value.py --dataset=lastfm --data=DIR --workdir=DIR --held_out=valid   to choose by

Every row is the base model of the data set's config, fitted with another content kernel, its knobs turned anew on
validation. Its other hyper-parameters were tuned with MiniLM and TF-IDF, which favours these rows a little. The
controls: 'shuffled' gives each item the whole text of another one (vectors and TF-IDF together), so that all that is
left of the kernel is its spectrum; 'random' draws Gaussian vectors; 'no text' has no kernel, and its order of cold
items is that of the ties. 'tuned' is MiniLM after the adaptation that the flags name, trained anew on every draw's
training pairs. For `all` cold scores are calibrated on validation. What is done is kept in the work directory. Test
leaves `text_value.NAME.json` beside this file.
"""

import contextlib
import pathlib
import sys
import time

import jax
import numpy as np
from absl import app, flags, logging

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))  # a script sees only its own folder

from experiments.peers import ours, problem
from ganrec_jax import artifacts, pipeline
from ganrec_jax.evaluation import ranking
from ganrec_jax.models import blend, kernels
from ganrec_jax.stages import encode, recommend, workspace

_HERE = pathlib.Path(__file__).resolve().parent
_DATASET = flags.DEFINE_enum('dataset', None, list(problem.SETS), 'The data set.', required=True)
_DATA = flags.DEFINE_string('data', 'data', 'Folder with the data sets and their splits.')
_WORKDIR = flags.DEFINE_string('workdir', 'runs/text_value', 'Where results and vectors are kept.')
_DRAWS = flags.DEFINE_integer('draws', 5, 'Draws.', lower_bound=1, upper_bound=5)
_ROWS = flags.DEFINE_list('rows', None, 'Names of rows; all where not given.')
_HELD_OUT = flags.DEFINE_enum('held_out', 'test', ('valid', 'test'), 'Whose pairs are to be found.')
_ADAPT = flags.DEFINE_enum('adapt_kind', 'distil', encode.ADAPTATIONS, 'How the tuned encoder is adapted.')
_STEPS = flags.DEFINE_integer('adapt_steps', 200, 'Steps of the adaptation.', lower_bound=1)
_RANK = flags.DEFINE_integer('lora_rank', 8, 'Rank of its adapters; 0 tunes all weights.', lower_bound=0)
_RATE = flags.DEFINE_float('adapt_rate', 1e-3, 'Its peak learning rate.')

TASKS = ('warm', 'cold', 'all', 'tail')
BOTH, FROZEN, TERMS, TUNED = 'MiniLM + TF-IDF', 'MiniLM', 'TF-IDF', 'tuned MiniLM + TF-IDF'
SHUFFLED, RANDOM, NOTHING = 'shuffled', 'random vectors', 'no text'
ROWS = (TUNED, BOTH, FROZEN, TERMS, SHUFFLED, RANDOM, NOTHING)


def kernel_of(texts, alike, warm, share):
  """The content kernel of text vectors `[items, dim]`, whitened on the warm items, and TF-IDF cosines `alike`."""
  z = kernels.whiten(texts, warm).apply(texts)
  return kernels.with_unit_diagonal(kernels.content_kernel(z @ z.T, alike, share))


def kernel(row, one, tuned, key):
  """The content kernel of a row.

  Args:
    row: one of `ROWS`.
    one: `Problem`.
    tuned: `tuned() -> float32 [items, dim]`, the tuned encoder's text vectors.
    key: of what is drawn.

  Returns:
    float32 `[items, items]`, or None for 'no text'.
  """
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
    return kernel_of(tuned(), one.alike, warm, share)
  found = one.kernel(share)
  if row == SHUFFLED:
    # Warm and cold items are shuffled together, as whole texts.
    order = np.asarray(jax.random.permutation(key, len(found)))
    found = found[order][:, order]
  return found


def tuned_vectors(one, path, options):
  """The text vectors float32 `[items, dim]` of the adapted encoder; zeros where an item has no text."""
  config = one.config.copy_and_resolve_references().unlock()
  config.encoder.update(options)
  space = workspace.make(config, path)
  texts = one.prepared.dataset.catalogue.texts
  found = encode.text_vectors(space, encode.text_encoder(space, one.prepared), texts, 'encode.npz')
  return np.where((np.asarray(texts) != '')[:, None], found, 0)


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


def run(name, rows, draws, held_out, options, load, workdir):
  """All rows on all draws, as a dict for JSON.

  Args:
    name: of the data set.
    rows: of `ROWS`.
    draws: how many.
    held_out: 'valid' or 'test'.
    options: fields of the section `encoder` of the tuned encoder's config.
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
        path = str(workdir / f'{name}-{draw}-tuned')
        found = kernel(row, one, lambda: tuned_vectors(one, path, options), key)
        score, params = ours.fit_kernel(one, found, key)
        return {'ndcg': measure(one, score, params, held_out), 'seconds': np.array(time.perf_counter() - began)}

      made_by = artifacts.digest(pipeline.revision(), hashes[-1], one.config.to_dict(), row, draw, held_out,
                                 options if row == TUNED else {})
      file = workdir / f'{name}-{draw}' / f'{held_out}.{row.replace(" ", "_")}.npz'
      arrays, _ = artifacts.cached(str(file), made_by, compute)
      values[row].append([*arrays['ndcg'].tolist(), float(arrays['seconds'])])
      logging.info('%s, draw %d, %s: %s', name, draw, row, dict(zip(TASKS, arrays['ndcg'].round(4), strict=True)))
  return {
    'name': name, 'held_out': held_out, 'config_sha256': artifacts.digest(one.config.to_dict()), 'tuned': options,
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


def main(_):
  rows = _ROWS.value or ROWS
  unknown = set(rows) - set(ROWS)
  if unknown:
    raise app.UsageError(f'--rows has {", ".join(sorted(unknown))}; allowed are {", ".join(ROWS)}')
  options = {'adapt_kind': _ADAPT.value, 'adapt_steps': _STEPS.value, 'lora_rank': _RANK.value,
             'adapt_rate': _RATE.value}
  workdir = pathlib.Path(_WORKDIR.value)
  result = run(_DATASET.value, rows, _DRAWS.value, _HELD_OUT.value, options,
               lambda draw: problem.load(_DATASET.value, draw, _DATA.value, str(workdir / 'problems')), workdir)
  if _HELD_OUT.value == 'test':
    artifacts.write_json(_HERE / f'text_value.{_DATASET.value}.json', result)
  print(markdown(result))


if __name__ == '__main__':
  with contextlib.suppress(KeyboardInterrupt):
    app.run(main)
