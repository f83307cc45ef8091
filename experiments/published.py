"""A published result reproduced: LightGCN on HetRec Last.fm 2K, and our base model under the same protocol.

    python experiments/published.py --data=DIR --workdir=DIR

The table is that of RecBole-GNN (https://github.com/RUCAIBox/RecBole-GNN/blob/main/results/social/lastfm.md). Its
protocol: all 92,834 pairs; a user's pairs in random order, 8:1:1 for training, validation and test (RecBole's rule for
short histories, see `split`); all 17,632 artists are ranked but those of the user's training and validation; metrics
at 10, averaged over users with a test pair. They used one draw with one seed; here there are five.

LightGCN has their settings: width 64, 3 layers, BPR on one negative, batches of 4,096, Adam with a rate of .001, L2 of
1e-5, Xavier's uniform start, and early stopping by validation NDCG@10 after 50 epochs without a better one. The loss is
the peer's. Three things differ: pairs are drawn with replacement, a negative that the user has does not count instead
of being drawn again, and validation is looked at every 5 epochs.

Ours reads no texts: the closed form of configs/music.py:lastfm without a kernel, its knobs turned on validation. Play
counts say how strong a pair is; 'pairs alone' does without them, as the published models do. MHCN, SEPT and DiffNet
read the friendships as well. Items with fewer than two training listeners are no part of its item-item model and come
last in its lists.

What is done is kept in the work directory. It leaves `published.json` beside this file.
"""

import argparse
import contextlib
import dataclasses
import functools
import importlib.util
import pathlib
import sys
import time

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse
from jax.experimental import sparse

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))  # a script sees only its own folder

from experiments.peers import graph, ours, problem, training
from ganrec_jax import artifacts, pipeline
from ganrec_jax.data import published as sources
from ganrec_jax.data.types import PARTS, Dataset, Interactions, Split
from ganrec_jax.evaluation import ranking
from ganrec_jax.evaluation.tasks import item_masks, make_tasks
from ganrec_jax.models import closed_form
from ganrec_jax.stages import prepare

_HERE = pathlib.Path(__file__).resolve().parent
SOURCE = 'https://github.com/RUCAIBox/RecBole-GNN/blob/main/results/social/lastfm.md'
METRICS = ('recall@10', 'mrr@10', 'ndcg@10', 'hit@10', 'precision@10')
PUBLISHED = {
  'BPR': (.1761, .3026, .1674, .5573, .0858),
  'NeuMF': (.1696, .2924, .1604, .5456, .0828),
  'NGCF': (.1960, .3479, .1898, .6141, .0961),
  'LightGCN': (.2064, .3559, .1972, .6322, .1009),
  'DiffNet': (.1757, .3117, .1694, .5621, .0857),
  'MHCN': (.2123, .3782, .2068, .6523, .1042),
  'SEPT': (.2127, .3703, .2057, .6465, .1044),
}
LIGHTGCN, OURS, PAIRS = 'LightGCN', 'ours', 'ours, pairs alone'
ROWS = (LIGHTGCN, OURS, PAIRS)
OPTIONS = {'layers': 3, 'weight_decay': 1e-5, 'learning_rate': .001}
_EPOCHS, _LOOK, _PATIENCE = 5000, 5, 50
_DIM, _BATCH = 64, 4096
_LEAST = 2  # training listeners of an item that ours knows


@dataclasses.dataclass(frozen=True)
class Problem:
  """One split of the data, as the peers read it; there are no texts.

  Attributes:
    config: the whole config.
    prepared: data and split.
  """
  config: object
  prepared: prepare.Prepared

  @functools.cached_property
  def warm(self):
    """bool `[items]`."""
    return item_masks(self.prepared.dataset, self.prepared.split)['warm']

  def tasks(self, held_out):
    """The tasks of 'valid' or 'test', name -> `Task`."""
    return make_tasks(self.prepared.dataset, self.prepared.split, 0, held_out)


def split(log, users, seed):
  """RecBole's split of each user's pairs in random order, 8:1:1.

  Validation and test are a tenth each, rounded down. Of less than ten pairs one is for test where there are two, and
  one for validation where there are three (`Dataset._calcu_split_ids` of
  https://github.com/RUCAIBox/RecBole/blob/master/recbole/data/dataset/dataset.py).

  Args:
    log: `Interactions`.
    users: how many there are.
    seed: of the order.
  """
  order = np.lexsort((np.random.default_rng(seed).random(len(log)), log.user))
  total = np.bincount(log.user, minlength=users)
  tested = np.where(total < 10, total >= 2, total // 10)
  validated = np.where(total < 10, total >= 3, total // 10)
  left = np.empty(len(log), np.int64)  # how many pairs of the user come after this one
  left[order] = np.repeat(np.cumsum(total), total) - 1 - np.arange(len(log))
  tests, valids = tested[log.user], validated[log.user]
  part = np.where(left < tests, PARTS.index('test'),
                  np.where(left < tests + valids, PARTS.index('valid'), PARTS.index('train')))
  return Split(part.astype(np.int8), np.zeros(len(log), bool))


def metrics(lists, targets):
  """RecBole's metrics at 10 of each user, name -> float64 `[n]`.

  Recall has the number of targets as denominator, precision 10; NDCG's ideal list has min(targets, 10) hits.

  Args:
    lists: int `[n, 10]`, best first.
    targets: `n` rows of items, one at least in each.
  """
  found, hits = ranking.metrics_per_user(lists, targets, 10), ranking.hits(lists, targets).sum(1)
  return {'recall@10': hits / targets.lengths, 'mrr@10': found['mrr@10'], 'ndcg@10': found['ndcg@10'],
          'hit@10': (hits > 0).astype(float), 'precision@10': hits / 10}


def measure(score, params, task):
  """The means of `metrics` over the users of a task."""
  lists, _ = ranking.top_k(score, params, task, k=10, batch=512)
  return {name: float(values.mean()) for name, values in metrics(lists, task.targets).items()}


@jax.custom_vjp
def _spread(matrix, x):
  return matrix @ x


# The matrix is symmetric and gets no gradient.
_spread.defvjp(lambda matrix, x: (matrix @ x, matrix), lambda matrix, slope: (None, matrix @ slope))


def adjacency(edges, users, items):
  """The normalised adjacency of users and items, BCSR `[users + items, users + items]`, of the peer's `edges`."""
  row, column, weight = map(np.asarray, edges)
  there = np.concatenate([row, users + column]), np.concatenate([users + column, row])
  return sparse.BCSR.from_scipy_sparse(
    scipy.sparse.csr_matrix((np.concatenate([weight, weight]), there), shape=(users + items,) * 2))


def propagate(matrix, users, items, layers):
  """What `graph.propagate` gives, by products with the `adjacency`: a third of the time on a CPU."""
  x = total = jnp.concatenate([users, items])
  for _ in range(layers):
    x = _spread(matrix, x)
    total = total + x
  return tuple(jnp.split(total / (layers + 1), [len(users)]))


def _step(layers, state, data, key, number):
  def loss(params):
    return graph._bpr(data, key, *propagate(data['matrix'], *params, layers), *params)
  params, moments, value = training.adam(loss, *state, data['learning_rate'])
  return (params, moments), value


def lightgcn(one, key):
  """LightGCN as it was published, by the loss of the peer: (score, params)."""
  start, steps = jax.random.split(key)
  items, weights = training.padded(one)
  users, count = len(items), len(one.prepared.warm)
  row, column = training.pairs(one)
  edges = row, column, graph.edge_weights(row, column, users, count)
  layers, matrix = OPTIONS['layers'], adjacency(edges, users, count)
  data = {'edges': edges, 'matrix': matrix, 'items': items, 'weights': weights,
          **{name: OPTIONS[name] for name in ('weight_decay', 'learning_rate')}}
  initial = jax.nn.initializers.xavier_uniform()
  params = tuple(initial(k, (n, _DIM)) for k, n in zip(jax.random.split(start), (users, count), strict=True))
  task, epoch = one.tasks('valid')['warm'], -(-len(row) // _BATCH)
  final = jax.jit(functools.partial(propagate, layers=layers))

  def assemble(state):
    return training.factors(one, *final(matrix, *state[0]))
  found = training.train(
    _step, layers, (params, training.moments(params)), data, steps, assemble,
    lambda found: measure(training.score, found, task)['ndcg@10'], steps=_EPOCHS * epoch, chunk=_LOOK * epoch,
    patience=_PATIENCE // _LOOK)
  return training.score, found


def known(one):
  """The `Problem` of the items with `_LEAST` or more training listeners, renumbered, and these items int64 `[m]`."""
  dataset, part = one.prepared.dataset, one.prepared.split.part
  log, train = dataset.interactions, one.prepared.split.rows('train')
  kept = np.bincount(log.item[train], minlength=dataset.items) >= _LEAST
  rows, place = kept[log.item], np.cumsum(kept) - 1
  smaller = Interactions(log.user[rows], place[log.item[rows]].astype(np.int32), log.value[rows])
  items = np.flatnonzero(kept)
  prepared = prepare.Prepared(Dataset(smaller, dataset.catalogue.take(items), dataset.user_ids, dataset.info),
                              Split(part[rows], np.zeros(rows.sum(), bool)), None)
  return Problem(one.config, prepared), items


@flax.struct.dataclass
class Among:
  """A closed form of some items only.

  Attributes:
    model: its parameters.
    items: int `[known]`, which items these are.
    count: of all items.
  """
  model: closed_form.ClosedFormParams
  items: jax.Array
  count: int = flax.struct.field(pytree_node=False)


@jax.jit
def score_among(params, users):
  """The scores float32 `[batch, items]` of `users [batch]`; -inf for items that the model does not know."""
  scores = closed_form.score(params.model, users)
  return jnp.full((len(users), params.count), -jnp.inf).at[:, params.items].set(scores)


def base(one, key, **fields):
  """Our closed form without texts, with `fields` of config.base that differ: (score, params)."""
  smaller, items = known(one)
  _, params = ours.fit_kernel(smaller, None, key, fields)
  return score_among, Among(params, jnp.asarray(items), one.prepared.dataset.items)


FITS = {LIGHTGCN: lightgcn, OURS: base, PAIRS: functools.partial(base, strength=0.)}


def run(config, dataset, rows, draws, workdir):
  """The rows over the draws, as a dict for JSON.

  Args:
    config: the whole config.
    dataset: the data, unfiltered.
    rows: of `ROWS`.
    draws: how many.
    workdir: where the test values of each draw are kept, a path.
  """
  start, found, hashes = time.perf_counter(), {row: [] for row in rows}, []
  for draw in range(draws):
    one = Problem(config, prepare.Prepared(dataset, split(dataset.interactions, dataset.users, draw), None))
    hashes.append(one.prepared.sha256())
    for row in rows:
      def compute(one=one, row=row, draw=draw):
        began = time.perf_counter()
        score, params = jax.block_until_ready(FITS[row](one, jax.random.key(draw)))
        seconds = time.perf_counter() - began
        values = measure(score, params, one.tasks('test')['warm']) | {'seconds': seconds}
        print(f'draw {draw}, {row}: ' + ', '.join(f'{name} {value:.4f}' for name, value in values.items()), flush=True)
        return {name: np.asarray(value) for name, value in values.items()}

      made_by = artifacts.digest(pipeline.revision(), hashes[-1], config.to_dict(), row, draw)
      file = workdir / f'draw-{draw}' / f'{row.replace(" ", "_")}.npz'
      found[row].append(artifacts.cached(str(file), made_by, compute)[0])
  return {
    'source': SOURCE, 'published': {row: dict(zip(METRICS, values, strict=True)) for row, values in PUBLISHED.items()},
    'lightgcn': OPTIONS | {'dim': _DIM, 'batch': _BATCH, 'epochs': _EPOCHS, 'look': _LOOK, 'patience': _PATIENCE},
    'config_sha256': artifacts.digest(config.to_dict()), 'data_sha256': hashes, 'git_revision': pipeline.revision(),
    'seeds': list(range(draws)), 'device': jax.devices()[0].device_kind, 'jax': jax.__version__,
    'wall_seconds': time.perf_counter() - start,
    'rows': {row: {name: [float(one[name]) for one in those] for name in (*METRICS, 'seconds')}
             for row, those in found.items()}}


def markdown(result):
  """The published rows and ours, mean and deviation over draws, as a Markdown table."""
  lines = ['| Last.fm, all pairs | ' + ' | '.join(METRICS) + ' |', '|---|' + '---|' * len(METRICS)]
  for row, values in result['published'].items():
    lines.append(f'| {row}, published | ' + ' | '.join(f'{values[name]:.4f}' for name in METRICS) + ' |')
  for row, values in result['rows'].items():
    cells = [f'{np.mean(values[name]):.4f}' + f' ({np.std(values[name], ddof=1):.4f})' * (len(values[name]) > 1)
             for name in METRICS]
    lines.append(f'| {row} | ' + ' | '.join(cells) + ' |')
  return '\n'.join(lines)


def _config():
  spec = importlib.util.spec_from_file_location('music', problem.ROOT / 'configs' / 'music.py')
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  return module.get_config('lastfm')


def _options():
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('--data', default='data', help='Folder with hetrec2011-lastfm-2k.zip.')
  parser.add_argument('--workdir', default='runs/published', help='Where results are kept.')
  parser.add_argument('--draws', type=int, default=5, choices=range(1, 6), help='Draws.')
  parser.add_argument('--rows', nargs='*', choices=ROWS, default=ROWS, help='Names of rows; all where not given.')
  return parser.parse_args()


def main():
  """Runs what the command line asks for."""
  options = _options()
  workdir = pathlib.Path(options.workdir)
  dataset = sources.load(sources.named('lastfm', options.data), options.data, str(workdir / 'data'))
  result = run(_config(), dataset, options.rows, options.draws, workdir)
  if set(options.rows) == set(ROWS):
    artifacts.write_json(_HERE / 'published.json', result)
  print(markdown(result))


if __name__ == '__main__':
  with contextlib.suppress(KeyboardInterrupt):
    main()
