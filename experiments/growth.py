"""How time and memory grow with items, users and the length of histories, where they should grow linearly.

    python experiments/growth.py                    all of it; about twenty minutes of one core
    python experiments/growth.py rank.items         one line; the others stay as the JSON has them
    python experiments/growth.py million            100 of a million items for each of 10,000 and of 100,000 users

Three pieces of work: `fit`, the base model in its low-rank form (64 factors, 3 sweeps and rank 64 instead of the
defaults, whose fixed costs hide the growth); `step`, two training steps of the MLP with the full softmax, 32 histories
a step; `rank`, the best 100 for 256 users by vectors of 64 numbers, or for all users where these grow. Each along three
lines, from `BASE` by one size at a time, on synthetic histories of equal length, without compilation. A line is a
process of its own, from the smallest size to the largest, so that the highest memory so far is that of the size at
hand. Seconds are the processor's, which other work on the machine changes least; the wall's are beside them. The
exponent is the slope of the least squares line through the logarithms of the three largest sizes. It leaves
`growth.json` and `growth.png` beside this file.

The fit stops at 100,000 items and users: a million take about ten times as long as all the rest.
"""

import json
import pathlib
import resource
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))  # a script sees only its own folder

import jax
import jax.numpy as jnp
import numpy as np

from ganrec_jax import artifacts, pipeline
from ganrec_jax.data.ragged import Ragged
from ganrec_jax.evaluation import ranking
from ganrec_jax.evaluation.tasks import Task
from ganrec_jax.models import closed_form, recommenders
from ganrec_jax.models.als import AlsConfig
from ganrec_jax.models.kernels import LowRankKernel
from ganrec_jax.models.recommenders import RecommenderConfig
from ganrec_jax.training import recommend
from ganrec_jax.training.devices import make_chunk
from ganrec_jax.training.update import gradient_update

_HERE = pathlib.Path(__file__).resolve().parent
MIB, GIB = 2**20, 2**30
BASE = {'items': 3000, 'users': 3000, 'history': 20}
HISTORY = (10, 50, 150, 500)
SIZES = {
  'fit.items': (1000, 10_000, 30_000, 100_000), 'fit.users': (1000, 10_000, 30_000, 100_000), 'fit.history': HISTORY,
  'step.items': (1000, 10_000, 100_000, 1_000_000), 'step.users': (1000, 10_000, 100_000), 'step.history': HISTORY,
  'rank.items': (1000, 10_000, 100_000, 1_000_000), 'rank.users': (1000, 10_000, 100_000), 'rank.history': HISTORY}
WIDTH, RANKED, STEPS, K = 64, 256, 2, 100
FACTORS = ranking.Blocks(lambda params, users: params['users'][users],
                         lambda params, items: params['items'] if items is None else params['items'][items],
                         lambda state, block: state @ block.T)


def histories(rng, items, users, history):
  """As many distinct items for each user, drawn evenly, a `Ragged` over users."""
  step = items // history
  values = np.arange(history) * step + rng.integers(0, step, (users, history))
  return Ragged(np.arange(users + 1) * history, values.ravel().astype(np.int32), np.ones(users * history, np.float32))


def fit(rng, items, users, history):
  """Makes a fit of the base model."""
  log, warm = histories(rng, items, users, history), np.arange(items)
  features = rng.normal(size=(items, 32)).astype(np.float32)
  kernel = LowRankKernel(jnp.asarray(.9 * features / np.linalg.norm(features, axis=1, keepdims=True)))
  config = closed_form.ClosedFormConfig(factors=AlsConfig(dim=WIDTH, sweeps=3), dense_items=0, rank=WIDTH)
  return lambda: closed_form.fit(log, items, warm, kernel, config, jax.random.key(0))


def step(rng, items, users, history):
  """Makes a run of training steps; history, padding and targets as in a run."""
  config = RecommenderConfig(dim=WIDTH, batch=32, max_history=500)
  data = recommend.prepare(histories(rng, items, users, history), None, np.ones(items, bool), config)
  data = jax.tree.map(jnp.asarray, data)
  params, optimizer = recommenders.init(jax.random.key(0), config, items, 1), recommend.make_optimizer(config)
  update = gradient_update(recommend.make_loss(config, data), optimizer)

  def one(state, batch, axis=None):
    params, opt_state, metrics = update(*state, batch, axis=axis)
    return (params, opt_state), metrics
  chunk = make_chunk(one, recommend.make_sample(config, 1), jax.devices()[:1])
  state = [(params, jax.jit(optimizer.init)(params))]

  def run():
    state[0], metrics = chunk(state[0], data, jax.random.key(0), 0, STEPS)  # the state is donated
    return metrics
  return run


def rank(rng, items, users, history, ranked=RANKED):
  """Makes a ranking of all items for `ranked` users, or for all of them where the users are what grows."""
  draw = lambda rows: jnp.asarray(rng.normal(size=(rows, WIDTH)), jnp.float32)  # noqa: E731
  params, asked = {'users': draw(users), 'items': draw(items)}, min(users, ranked)
  seen = histories(rng, items, asked, history)
  task = Task('all', np.arange(asked, dtype=np.int32), rng.permutation(items).astype(np.int32), seen, seen)
  return lambda: ranking.top_k(FACTORS, params, task, K)


def peak():
  """The most bytes that this process ever held."""
  return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def line(name):
  """The records of one line, from the smallest size to the largest."""
  piece, axis = name.split('.')
  records, before = [], peak()
  for size in SIZES[name]:
    sizes = BASE | {axis: size}
    more = {'ranked': size} if name == 'rank.users' else {}
    run = {'fit': fit, 'step': step, 'rank': rank}[piece](np.random.default_rng(0), **sizes, **more)
    jax.block_until_ready(jax.tree.leaves(run()))
    cpu, wall = time.process_time(), time.perf_counter()
    jax.block_until_ready(jax.tree.leaves(run()))
    records.append({**sizes, 'seconds': time.process_time() - cpu, 'wall_seconds': time.perf_counter() - wall,
                    'bytes': peak() - before})
    del run  # else its tables would stand beside those of the next size
    print(f'{name:<13}' + ''.join(f'{value:10,}' for value in sizes.values())
          + f'{records[-1]["seconds"]:10.2f} s {records[-1]["bytes"] / MIB:8.0f} MiB', file=sys.stderr, flush=True)
  return {'records': records, 'exponents': {of: slope([one[axis] for one in records], [one[of] for one in records])
                                            for of in ('seconds', 'bytes')}}


def slope(sizes, values):
  """The exponent: the slope of the least squares line through the logarithms of the three largest sizes."""
  return float(np.polyfit(np.log(sizes[-3:]), np.log(np.maximum(values[-3:], 1e-9)), 1)[0])


def million():
  """Time and memory of the best 100 of a million items for more and more users."""
  records, before = [], peak()
  for users in (10_000, 100_000):
    run = rank(np.random.default_rng(0), 1_000_000, users, 20, users)
    cpu, wall = time.process_time(), time.perf_counter()
    run()
    records.append({'items': 1_000_000, 'users': users, 'seconds': time.process_time() - cpu,
                    'wall_seconds': time.perf_counter() - wall, 'bytes': peak() - before, 'peak_bytes': peak()})
    del run  # else its tables would stand beside those of the next size
    print(f'a million items, {users:,} users: {records[-1]["seconds"]:.0f} s, peak {peak() / GIB:.2f} GiB',
          file=sys.stderr, flush=True)
  return {'records': records}


def main():
  """Measures what the command line asks for and leaves it with what was measured before."""
  if sys.argv[1:2] == ['--once']:
    print(json.dumps(million() if sys.argv[2] == 'million' else line(sys.argv[2])))
    return
  path = _HERE / 'growth.json'
  found = artifacts.read_json(str(path)) if path.exists() else {}
  for name in sys.argv[1:] or [*SIZES, 'million']:
    start = time.perf_counter()
    told = subprocess.run([sys.executable, __file__, '--once', name], check=True, stdout=subprocess.PIPE, text=True)
    found[name] = json.loads(told.stdout.splitlines()[-1]) | {
      'git_revision': pipeline.revision(), 'jax_version': jax.__version__, 'device': jax.devices()[0].device_kind,
      'wall_seconds': time.perf_counter() - start}
    artifacts.write_json(str(path), found)
    if name in SIZES:
      print(f'{name:<13} exponents: ' + ', '.join(
        f'{of} {value:.2f}' for of, value in found[name]['exponents'].items()), flush=True)
  draw(found, _HERE / 'growth.png')


def draw(found, path):
  """Seconds and memory along the three lines of sizes, all axes logarithmic, each line with its exponent."""
  import matplotlib  # takes a second
  from matplotlib.figure import Figure
  words = {'fit': ('base model, fit', '#1f6f8b'), 'step': ('MLP with the full softmax, two steps', '#c8553d'),
           'rank': ('ranking, 256 users (over users: all of them)', '#588157')}
  with matplotlib.rc_context({'font.size': 9, 'axes.spines.top': False, 'axes.spines.right': False}):
    figure = Figure(figsize=(9, 5.6), layout='constrained')
    panels = figure.subplots(2, 3)
    for row, of, unit, label in zip(panels, ('seconds', 'bytes'), (1, MIB), ('seconds', 'MiB'), strict=True):
      for axes, axis in zip(row, BASE, strict=True):
        for piece, (word, colour) in words.items():
          if (one := found.get(f'{piece}.{axis}')) is None:
            continue
          sizes, values = ([size[name] for size in one['records']] for name in (axis, of))
          axes.loglog(sizes, np.array(values) / unit, 'o-', markersize=4, color=colour, label=word)
          axes.annotate(f'{one["exponents"][of]:.2f}', (sizes[-1], values[-1] / unit), (5, -3), color=colour,
                        textcoords='offset points', annotation_clip=False)
        axes.set_xlabel(axis if axis != 'history' else 'length of histories')
        axes.set_ylabel(label)
        axes.margins(x=.12, y=.12)
        axes.grid(True, which='major', color='#dddddd', linewidth=.6)
    figure.legend(*panels[0, 0].get_legend_handles_labels(), loc='outside lower center', ncols=3, frameon=False)
    figure.savefig(path, dpi=150)


if __name__ == '__main__':
  main()
