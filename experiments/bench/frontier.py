"""Accuracy against coverage: each model with one knob at serving time, which takes popularity out of its scores."""

import os
from collections.abc import Callable
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from experiments.bench import trials
from ganrec_jax import artifacts
from ganrec_jax.evaluation import beyond, ranking
from ganrec_jax.evaluation.tasks import train_counts
from ganrec_jax.models import adventure
from ganrec_jax.report.plots import LIGHT

GAMMAS = (0., .05, .1, .2, .3, .45, .6, .8, 1., 1.3, 1.7, 2.2)
_SIZE = (8.4, 5.2)  # inches
_COLOURS = ('C2', 'C3', 'C4', 'C5', 'C6', 'C7', 'C8', 'C9')  # without the two hues that stand out
_STYLES = ('-', '--', ':')


@flax.struct.dataclass
class Damped:
  """A model with the knob of `models/adventure.py`.

  Attributes:
    model: the model's parameters.
    gamma: float32 scalar, 0 leaves the scores as they are.
    popularity: float32 `[items]`, log(1 + interactions), with mean 0 and deviation 1 over warm items.
    warm: bool `[items]`.
    score: the model's score function.
  """
  model: Any
  gamma: jax.Array
  popularity: jax.Array
  warm: jax.Array
  score: Callable = flax.struct.field(pytree_node=False)


@jax.jit
def score_damped(params, users):
  """The scores float32 `[batch, items]` of a `Damped` model for users `[batch]`."""
  return adventure.damp(params.score(params.model, users), params.popularity, params.warm, params.gamma)


def as_fitted(problem, score, params):
  """A fitted model of a `Problem` as `Damped`, its knob at 0."""
  counts = np.log1p(train_counts(problem.prepared.dataset, problem.prepared.split)[1])
  warm = counts[problem.warm]
  return Damped(params, jnp.float32(0), ((counts - warm.mean()) / warm.std()).astype(np.float32), problem.warm, score)


def curve(peer, options, problem, data, workdir):
  """NDCG@20 and coverage@20 float64 `[gammas]` each on the warm test task, kept like a trial."""
  key = artifacts.digest(trials.VERSION, peer.name, options, trials.revision(peer), data, GAMMAS)

  def compute():
    damped, task = as_fitted(problem, *trials.fit(peer, options, problem)), problem.tasks('test')['warm']
    found = {'ndcg': [], 'coverage': []}
    for gamma in GAMMAS:
      lists, _ = ranking.top_k(score_damped, damped.replace(gamma=jnp.float32(gamma)), task, k=20)
      found['ndcg'].append(ranking.metrics_per_user(lists, task.targets)['ndcg@20'].mean())
      found['coverage'].append(beyond.coverage(lists, task.candidates))
    return {name: np.asarray(values) for name, values in found.items()}

  arrays, _ = artifacts.cached(os.path.join(workdir, f'frontier.{peer.name}.{key[:16]}.npz'), key, compute)
  return {name: arrays[name].tolist() for name in ('ndcg', 'coverage')}


def draw(path, curves, main, title):
  """Writes the picture as PNG.

  Args:
    path: the file.
    curves: name -> what `curve` gives.
    main: the names of the two curves that stand out.
    title: above the picture.
  """
  import matplotlib  # takes a second
  from matplotlib.figure import Figure
  inks = ('axes.edgecolor', 'axes.labelcolor', 'text.color', 'xtick.color', 'ytick.color')
  settings = dict.fromkeys(inks, LIGHT['ink']) | {
    'font.size': 10, 'axes.spines.top': False, 'axes.spines.right': False, 'axes.axisbelow': True,
    'legend.frameon': False, 'grid.color': LIGHT['grid'], 'axes.titlesize': 11}
  # In the legend the strongest comes first.
  names = sorted(curves, key=lambda name: -max(curves[name]['ndcg']))
  others = [name for name in curves if name not in main]
  with matplotlib.rc_context(settings):
    figure = Figure(_SIZE)
    axes = figure.add_axes((.085, .11, .65, .82))
    for name in names:
      if name in main:
        style = {'color': LIGHT[('first', 'second')[main.index(name)]], 'linewidth': 2.8, 'zorder': 3}
      else:
        turn, colour = divmod(others.index(name), len(_COLOURS))
        style = {'color': _COLOURS[colour], 'linewidth': 1.4, 'linestyle': _STYLES[turn % len(_STYLES)]}
      found = curves[name]
      axes.plot(found['coverage'], found['ndcg'], label=name, **style)
      axes.plot(found['coverage'][:1], found['ndcg'][:1], 'o', color=style['color'], markersize=5, zorder=4)
    axes.grid(True)
    axes.set_xlabel('coverage@20 of the warm catalogue')
    axes.set_ylabel('NDCG@20, warm')
    axes.set_title(title, loc='left')
    axes.legend(loc='upper left', bbox_to_anchor=(1.01, 1.03), title='dot: as fitted', alignment='left', fontsize=9,
                labelspacing=.4)
    artifacts.write_atomically(path, lambda file: figure.savefig(file, format='png', dpi=150,
                                                                 metadata={'Software': None}))
