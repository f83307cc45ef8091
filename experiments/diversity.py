"""Diversity at equal accuracy: lists from several z of the profile GAN against the usual ways to more varied lists.

    python experiments/diversity.py --dataset=movielens --data=DIR --workdir=DIR

The base model (closed form, frozen texts, knobs turned on validation) gives each user's scores on the warm test task,
standardised. Ways to make them less alike, each with one knob:

- 'popularity': takes popularity out of the scores (`models/adventure.py`).
- 'temperature': adds Gumbel noise, which draws the list instead of taking the best.
- 'MMR': greedy, each next item less like those before it in the space of texts (Carbonell and Goldstein 1998).
- 'several z': the user's history gives q(z | x); four draws of z, five items of the list by each, from the base's
  scores plus the generator's standardised logits at this z. 'critic': the generator trained on against its critic, 'no
  critic': by its likelihood alone.

Stated are coverage@20, the share of tail items and intra-list diversity (texts) where a way has lost 1, 3 and 5% of the
base's NDCG@20, between the measured knobs by interpolation, and the curves. Mean over the draws. What is done is kept;
it leaves `diversity.NAME.json` and `diversity.NAME.png` beside this file.
"""

import dataclasses
import functools
import pathlib
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
from tqdm import tqdm

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))  # a script sees only its own folder

from experiments.bench.learned import keys, learn, people, trained_on
from experiments.bench.options import parser_of
from experiments.peers import ours, problem
from ganrec_jax import artifacts, pipeline
from ganrec_jax.data.ragged import pad
from ganrec_jax.evaluation import beyond, ranking
from ganrec_jax.evaluation.tasks import item_masks
from ganrec_jax.models.profiles import ProfileVae, unit_rows
from ganrec_jax.profiles.config import ProfileConfig
from ganrec_jax.report.plots import LIGHT

_HERE = pathlib.Path(__file__).resolve().parent
CUT, TASTES, POOL, ROWS = 20, 4, 200, 128
KNOBS = {'popularity': (.05, .1, .2, .4, .8), 'temperature': (.05, .1, .2, .4, .8), 'MMR': (.05, .1, .2, .4, .6),
         'several z, no critic': (.1, .25, .5, 1., 2.), 'several z, critic': (.1, .25, .5, 1., 2.)}
METRICS = ('ndcg', 'coverage', 'tail share', 'diversity')
LOSSES = (.01, .03, .05)


def best(scores):
  """The 20 best places int32 `[batch, 20]` of scores `[batch, items]`."""
  return jax.lax.top_k(scores, CUT)[1]


@jax.jit
def mmr(scores, alike, weight):
  """Greedy lists int32 `[batch, 20]` of the largest (1 - w) s - w max alike, from the 200 best of each row.

  Args:
    scores: float32 `[batch, items]`, standardised.
    alike: float32 `[items, items]`, cosines.
    weight: w, 0 to 1.
  """
  pool, places = jax.lax.top_k(scores, min(POOL, scores.shape[1]))
  rows = jnp.arange(len(scores))

  def step(state, _):
    nearest, free = state
    chosen = jnp.where(free, (1 - weight) * pool - weight * nearest, -jnp.inf).argmax(1)
    item = places[rows, chosen]
    return (jnp.maximum(nearest, alike[item[:, None], places]), free.at[rows, chosen].set(False)), item

  start = jnp.zeros(pool.shape), pool > -jnp.inf
  return jax.lax.scan(step, start, length=CUT)[1].T


@jax.jit
def by_turns(scores):
  """Lists int32 `[batch, 20]` of as many items by each of `scores [tastes, batch, items]`, none twice."""
  rows, each = jnp.arange(scores.shape[1])[:, None], CUT // len(scores)

  def step(taken, one):
    places = jax.lax.top_k(jnp.where(taken, -jnp.inf, one), each)[1]
    return taken.at[rows, places].set(True), places

  return jnp.concatenate(list(jax.lax.scan(step, jnp.zeros(scores.shape[1:], bool), scores)[1]), 1)


def standardised(scores, there):
  """Each row with mean 0 and deviation 1 over what is `there`, -inf elsewhere."""
  mean = scores.mean(1, keepdims=True, where=there)
  return jnp.where(there, (scores - mean) / jnp.maximum(scores.std(1, keepdims=True, where=there), 1e-9), -jnp.inf)


@dataclasses.dataclass(frozen=True)
class Case:
  """All that the ways read of one draw; items are the warm ones, as columns.

  Attributes:
    scores: `scores(users [batch]) -> [batch, columns]`, standardised, -inf for what was seen.
    tastes: way -> `logits(users, key) -> [tastes, batch, columns]`.
    popular: float32 `[columns]`, standardised log popularity.
    alike: float32 `[columns, columns]`, cosines of texts.
  """
  scores: object
  tastes: dict
  popular: jax.Array
  alike: jax.Array

  def lists(self, way, knob, users, key):
    """int `[batch, 20]` by a way of `KNOBS`, or by the base alone where `way` is None."""
    scores = self.scores(users)
    there = scores > -jnp.inf
    if way is None:
      return best(scores)
    if way == 'popularity':
      return best(scores - knob * self.popular)
    if way == 'temperature':
      return best(scores + knob * jax.random.gumbel(key, scores.shape))
    if way == 'MMR':
      return mmr(scores, self.alike, knob)
    logits = self.tastes[way](users, key)
    return by_turns(jnp.stack([scores + knob * jnp.where(there, standardised(one, there), 0) for one in logits]))


def opened(one, seed):
  """The `Case` of a `Problem`, its models fitted."""
  warm, columns = one.prepared.warm, len(one.prepared.warm)
  score, params = ours.fit_kernel(one, one.own_kernel(adapted=False), jax.random.key(one.config.seed))
  histories, task = one.prepared.histories, one.tasks('test')['warm']
  length, some, config = max(1, int(histories.lengths.max())), people(one.prepared, seed), ProfileConfig()
  learned = learn(some, config, seed)
  model = ProfileVae(columns, config.latent, config.hidden)
  place = np.zeros(one.prepared.dataset.items, np.int32)
  place[warm] = np.arange(columns)

  def scores(users):
    seen, there = pad(task.seen, np.searchsorted(task.users, users), max(1, int(task.seen.lengths.max())), 0)
    free = jnp.ones((len(users), len(place))).at[jnp.arange(len(users))[:, None], seen].min(1. - there) > 0
    return standardised(score(params, jnp.asarray(users, jnp.int32))[:, warm], free[:, warm])

  def logits(fitted, users, key):
    items, there = pad(histories, users, length, 0)
    mean, log_variance = model.apply(learned.params, unit_rows(jnp.asarray(place[items]), jnp.asarray(there), columns),
                                     method='encode')
    z = mean + jnp.exp(log_variance / 2) * jax.random.normal(key, (TASTES, *mean.shape))
    return jax.lax.map(fitted.logits, z)

  tastes = {}
  for way, share in (('several z, no critic', 0.), ('several z, critic', config.adversarial_share)):
    fitted = trained_on(learned, some, dataclasses.replace(config, adversarial_share=share), seed)
    tastes[way] = functools.partial(logits, fitted)
  popular = jnp.log1p(jnp.asarray(np.bincount(histories.values, minlength=len(place))[warm], jnp.float32))
  return Case(scores, tastes, (popular - popular.mean()) / popular.std(), jnp.asarray(one.alike[np.ix_(warm, warm)]))


def measured(one, seed):
  """way -> METRICS of each of its knobs float64 `[knobs, 4]`, and of the base alone ('base', one row)."""
  case, task, found = opened(one, seed), one.tasks('test')['warm'], {}
  tail = item_masks(one.prepared.dataset, one.prepared.split)['tail']
  for way in (None, *KNOBS):
    rows = []
    for knob in KNOBS.get(way, (0.,)):
      lists = np.concatenate([
        np.asarray(case.lists(way, knob, task.users[start:start + ROWS], jax.random.fold_in(keys(seed)[3], start)))
        for start in range(0, len(task.users), ROWS)])
      lists = one.prepared.warm[lists]
      rows.append([ranking.metrics_per_user(lists, task.targets)['ndcg@20'].mean(),
                   beyond.coverage(lists, task.candidates), np.nanmean(beyond.share(lists, tail)),
                   np.nanmean(beyond.diversity(lists, one.whitened))])
    found[way or 'base'] = np.asarray(rows)
  return found


def at_loss(base, curve, loss):
  """METRICS but the first where a way has lost a share of the base's NDCG, `[3]`; NaN where it never loses as much.

  Args:
    base: `[4]`.
    curve: `[knobs, 4]`, NDCG falling; knobs that lose nothing count by the last of them.
    loss: the share.
  """
  path, due = np.concatenate([base[None], curve]), (1 - loss) * base[0]
  below = np.flatnonzero(path[:, 0] < due)
  if not len(below):
    return np.full(len(METRICS) - 1, np.nan)
  after = path[below[0]]
  before = path[below[0] - 1]
  share = (before[0] - due) / (before[0] - after[0])
  return (before + share * (after - before))[1:]


def summary(draws):
  """way -> loss -> METRICS but the first, mean over `draws`, each what `measured` gives; and the base's own."""
  base = np.mean([draw['base'][0] for draw in draws], 0)
  return dict(zip(METRICS, base.tolist(), strict=True)), {
    way: {f'{loss:.0%}': dict(zip(METRICS[1:], np.mean([at_loss(draw['base'][0], draw[way], loss) for draw in draws],
                                                       0).tolist(), strict=True)) for loss in LOSSES} for way in KNOBS}


def table(result):
  """The summary as Markdown."""
  lines = ['| way | loss of NDCG | coverage@20 | tail share | diversity |', '|---|---|---|---|---|',
           '| the base alone | 0 | ' + ' | '.join(f'{result["base"][name]:.3f}' for name in METRICS[1:]) + ' |']
  for way, losses in result['ways'].items():
    for loss, found in losses.items():
      lines.append(f'| {way} | {loss} | ' + ' | '.join(
        '-' if np.isnan(found[name]) else f'{found[name]:.3f}' for name in METRICS[1:]) + ' |')
  return '\n'.join(lines)


def draw_picture(path, draws, title):
  """The curves of all ways, NDCG against each of the others, as PNG; means over draws."""
  import matplotlib  # takes a second
  from matplotlib.figure import Figure
  base, marks = np.mean([draw['base'] for draw in draws], 0), 'osD^v'
  with matplotlib.rc_context({'font.size': 10, 'axes.spines.top': False, 'axes.spines.right': False,
                              'grid.color': LIGHT['grid']}):
    figure = Figure((11, 3.9), layout='constrained')
    for axes, metric in zip(figure.subplots(1, 3, sharey=True), range(1, 4), strict=True):
      for number, way in enumerate(KNOBS):
        curve = np.concatenate([base, np.mean([draw[way] for draw in draws], 0)])
        axes.plot(curve[:, metric], curve[:, 0], marker=marks[number], markersize=4.5, label=way, color=f'C{number}',
                  linestyle='-' if way.startswith('several') else '--')
      axes.set_ylim(.75 * base[0, 0], 1.02 * base[0, 0])
      axes.set_xlabel(f'{METRICS[metric]}@20')
      axes.grid(True)
    figure.axes[0].set_ylabel('NDCG@20, warm')
    figure.suptitle(title, x=.01, ha='left')
    figure.legend(*figure.axes[0].get_legend_handles_labels(), loc='outside lower center', ncols=5, frameon=False)
    artifacts.write_atomically(path, lambda file: figure.savefig(file, format='png', dpi=150,
                                                                 metadata={'Software': None}))


def main():
  """Runs what the command line asks for."""
  options, start, draws, hashes = parser_of(__doc__, 'diversity').parse_args(), time.perf_counter(), [], []
  workdir, name = pathlib.Path(options.workdir), options.dataset
  for draw in tqdm(range(options.draws), name, unit='draw', mininterval=5):
    one = problem.load(name, draw, options.data, str(workdir / 'problems'))
    hashes.append(one.prepared.sha256())
    key = artifacts.digest(hashes[-1], one.config.to_dict(), dataclasses.asdict(ProfileConfig()), KNOBS, TASTES, POOL)
    draws.append(artifacts.cached(str(workdir / f'{name}-{draw}.npz'), key, functools.partial(measured, one, draw))[0])
  base, ways = summary(draws)
  result = {'name': name, 'seeds': list(range(options.draws)), 'data_sha256': hashes, 'knobs': KNOBS,
            'git_revision': pipeline.revision(), 'device': jax.devices()[0].device_kind, 'jax': jax.__version__,
            'wall_seconds': time.perf_counter() - start, 'metrics': METRICS, 'base': base, 'ways': ways,
            'curves': [{way: curve.tolist() for way, curve in draw.items()} for draw in draws]}
  artifacts.write_json(_HERE / f'diversity.{name}.json', result)
  draw_picture(_HERE / f'diversity.{name}.png', draws, f'{name}: accuracy against variety, mean of {len(draws)} draws')
  print(table(result))


if __name__ == '__main__':
  main()
