"""What the closed form takes as logs grow, and what its low-rank form loses against the dense one.

    python experiments/low_rank.py                                  seconds and memory, synthetic logs
    python experiments/low_rank.py --dataset=movielens --data=DIR   NDCG@20 on validation by rank, the first frozen draw

Synthetic: logs of N interactions among N / 10 users and N / 10 items, both by power laws, a tenth of the items new;
texts are a vector of 384 numbers and six phrases an item. The content kernel and the closed form are fitted by the
defaults of `configs/common.py`, each form and size in a process of its own, compilation and imports in the figures;
`users/s` is how many users are scored over all items. It leaves `low_rank.json` and `low_rank.png` beside this file.

Real data: the base model of the data set's config with MiniLM as it is, dense, and by factors of several ranks, knobs
turned anew on validation for each. It leaves `low_rank.NAME.json`.
"""

import argparse
import json
import pathlib
import resource
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))  # a script sees only its own folder

import jax
import numpy as np

from configs import common
from experiments.peers import ours, problem
from ganrec_jax import artifacts
from ganrec_jax.data.ragged import group
from ganrec_jax.data.types import Catalogue
from ganrec_jax.models import closed_form
from ganrec_jax.stages import encode, recommend, workspace

_HERE = pathlib.Path(__file__).resolve().parent
GIB = 2**30
LOW, DENSE = 'low rank', 'dense'
# Interactions of the logs.
SIZES = {LOW: (10_000, 30_000, 100_000, 300_000, 1_000_000), DENSE: (10_000, 30_000, 100_000)}
RANKS = (256, 512, 1024, 2048)
TASKS = ('warm', 'cold', 'tail')
_SCORED = 64  # users of a timed batch


def synthetic(interactions, seed=0):
  """Histories, a `Ragged` over users, the warm items int `[m]`, a `Catalogue`, and text vectors `[items, 384]`."""
  rng, users, items = np.random.default_rng(seed), interactions // 10, interactions // 10
  order = rng.permutation(items)
  warm = np.sort(order[:items * 9 // 10])
  pairs = np.zeros(0, np.int64)
  while len(pairs) < interactions:  # a pair drawn twice counts once
    more = (rng.random(interactions) ** 1.5 * users).astype(np.int64) * items
    more += order[(rng.random(interactions) ** 2.5 * len(warm)).astype(np.int64)]
    pairs = np.unique(np.concatenate([pairs, more]))
  user, item = np.divmod(rng.choice(pairs, interactions, replace=False), items)
  words = (rng.random((items, 6)) ** 3 * max(items // 20, 50)).astype(np.int64)
  ids = np.arange(items).astype(str)
  catalogue = Catalogue(ids, ids, ids, tuple(tuple(f'word{word}' for word in row) for row in words))
  centres = rng.normal(size=(200, 384))
  texts = centres[rng.integers(0, len(centres), items)] + rng.normal(size=(items, 384))
  return group(user, item, users), warm, catalogue, texts.astype(np.float32)


def once(form, interactions):
  """What kernel and fit of one size take: a record of the table."""
  config = common.base()
  config.base.dense_items = 10**9 if form == DENSE else 0
  histories, warm, catalogue, texts = synthetic(interactions)
  before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
  with tempfile.TemporaryDirectory() as folder:
    start = time.perf_counter()
    kernel = jax.block_until_ready(encode.content_kernel(workspace.make(config, folder), catalogue, warm, [texts]))
  encoded = time.perf_counter()
  params = jax.block_until_ready(closed_form.fit(histories, len(catalogue), warm, kernel, recommend.closed(config),
                                                 jax.random.key(0)))
  fitted = time.perf_counter()
  users = np.arange(_SCORED)
  jax.block_until_ready(closed_form.score(params, users))
  ready = time.perf_counter()
  scores = closed_form.score(params, users)
  if not np.isfinite(scores).all():
    raise FloatingPointError(f'{form}, {interactions} interactions: scores are not all finite')
  scored = time.perf_counter()
  peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
  return {'form': form, 'interactions': interactions, 'items': len(catalogue), 'kernel_seconds': encoded - start,
          'fit_seconds': fitted - encoded, 'users_per_second': _SCORED / (scored - ready), 'peak_bytes': peak,
          'beyond_data_bytes': peak - before}


def exponent(records, name):
  """The exponent between the two largest sizes: how `name` grows with the items."""
  few, many = records[-2:]
  return float(np.log(many[name] / few[name]) / np.log(many['items'] / few['items']))


def grow():
  """Measures all sizes, prints the table, and leaves `low_rank.json` and `low_rank.png`."""
  records = []
  print('form      interactions    items  kernel s    fit s  users/s  peak GiB')
  for form, sizes in SIZES.items():
    for size in sizes:
      told = subprocess.run([sys.executable, __file__, f'--once={form},{size}'], check=True, capture_output=True,
                            text=True)
      found = json.loads(told.stdout.splitlines()[-1])
      records.append(found)
      print(f'{form:<9} {size:12,} {found["items"]:8,} {found["kernel_seconds"]:9.1f} {found["fit_seconds"]:8.1f} '
            f'{found["users_per_second"]:8.0f} {found["peak_bytes"] / GIB:9.2f}', flush=True)
  exponents = {form: {name: exponent([one for one in records if one['form'] == form], name)
                      for name in ('kernel_seconds', 'fit_seconds', 'beyond_data_bytes')} for form in SIZES}
  for form, found in exponents.items():
    print(f'{form}: exponents between the two largest sizes, ' + ', '.join(
      f'{name} {value:.2f}' for name, value in found.items()))
  artifacts.write_json(str(_HERE / 'low_rank.json'), {'records': records, 'exponents': exponents})
  draw(records, _HERE / 'low_rank.png')


def draw(records, path):
  """Seconds and memory over the number of items, both axes logarithmic."""
  import matplotlib  # takes a second
  from matplotlib.figure import Figure
  with matplotlib.rc_context({'font.size': 9, 'axes.spines.top': False, 'axes.spines.right': False}):
    figure = Figure(figsize=(8, 3.4), layout='constrained')
    for axes, name, unit in zip(figure.subplots(1, 2), ('seconds', 'memory, GiB'), (1, GIB), strict=True):
      for form, colour in ((LOW, '#1f6f8b'), (DENSE, '#c8553d')):
        rows = [one for one in records if one['form'] == form]
        values = [(one['kernel_seconds'] + one['fit_seconds'] if unit == 1 else one['peak_bytes']) / unit
                  for one in rows]
        axes.loglog([one['items'] for one in rows], values, 'o-', color=colour, label=form)
      axes.set_xlabel('items (interactions: ten times as many)')
      axes.set_ylabel(name)
      axes.grid(True, which='major', color='#dddddd', linewidth=.6)
      axes.legend(frameon=False)
    figure.savefig(path, dpi=150)


def lose(options):
  """NDCG@20 on validation of the dense form and of each rank; prints the table and leaves `low_rank.NAME.json`."""
  one = problem.load(options.dataset, 0, options.data, options.workdir)
  judge, rows = recommend.Judge(one.tasks('valid')), {}
  print(f'{options.dataset}, {one.prepared.dataset.items:,} items, {len(one.prepared.warm):,} of them warm; NDCG@20 on '
        f'validation\n{"":12s}' + ''.join(f'{task:>8s}' for task in TASKS))
  for name, fields in {DENSE: {'dense_items': 10**9}, **{f'rank {rank}': {'dense_items': 0, 'rank': rank}
                                                         for rank in RANKS}}.items():
    config = one.config.copy_and_resolve_references().unlock()
    config.base.update(fields)
    kernel = encode.content_kernel(workspace.make(config, one.workdir), one.prepared.dataset.catalogue,
                                   one.prepared.warm, [one.texts])
    score, params = ours.fit_kernel(one, kernel, jax.random.key(0), fields)
    rows[name] = {task: judge(score, params, task) for task in TASKS}
    print(f'{name:12s}' + ''.join(f'{rows[name][task]:8.4f}' for task in TASKS), flush=True)
  artifacts.write_json(str(_HERE / f'low_rank.{options.dataset}.json'), rows)


def main():
  """Runs what the command line asks for."""
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('--dataset', choices=list(problem.SETS), help='A real data set, whose loss is measured.')
  parser.add_argument('--data', default='data', help='Folder with the data sets and their splits.')
  parser.add_argument('--workdir', default='runs/low_rank', help='Where text vectors are kept.')
  parser.add_argument('--once', help=argparse.SUPPRESS)
  options = parser.parse_args()
  if options.once:
    form, size = options.once.split(',')
    print(json.dumps(once(form, int(size))))
  elif options.dataset:
    lose(options)
  else:
    grow()


if __name__ == '__main__':
  main()
