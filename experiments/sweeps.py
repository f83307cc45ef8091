"""Training of the profile GAN that converges: sweeps around its default, and criteria that pick without any ranking.

    python experiments/sweeps.py --dataset=movielens --data=DIR --workdir=DIR --seeds=2

Each run changes one thing of the default, see `RUNS`; runs of a seed start from the same autoencoder, those that change
it from one of their own. A point is a run after some steps of the critic at a temperature of its draws. Of each
are stated:

- utility: NDCG@20 of EASE and iALS that saw 3 N generated users and nothing else, on real pairs of VALIDATION, in per
  cent of what real users give; the mean of both. Test is not read.
- AUC of membership inference by the nearest generated user.
- criteria that know no ranking: how well held-out users' hidden items are completed; the Frechet distance of profile
  embeddings and the correlation of co-occurrences, each against held-out users and against those trained on.

Their worth is Spearman's correlation with utility over the points of a seed, mean over seeds, with an interval by the
bootstrap over points; and the utility that is lost where the criterion picks one of a seed's points. Distances count
with their sign turned, so that more is better throughout.

'default, other noise' is the default once more: a run that differs from it by no more than this does nothing. Runs are
kept in the work directory. It leaves `sweeps.NAME.json` and, of all data sets, `sweeps.png` beside this file, anew
after each run that all seeds have done.
"""

import dataclasses
import functools
import pathlib
import sys
import tempfile
import time

import jax
import jax.numpy as jnp
import numpy as np
from scipy.stats import rankdata
from tqdm import tqdm

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))  # a script sees only its own folder

from experiments.bench.learned import HELD_OUT, keys, learn, made, people
from experiments.bench.options import parser_of
from experiments.peers import problem
from ganrec_jax import artifacts, pipeline
from ganrec_jax.data.ragged import Ragged
from ganrec_jax.evaluation.significance import percentile_interval
from ganrec_jax.profiles import fidelity, game, generator, privacy, utility
from ganrec_jax.profiles.completion import completion
from ganrec_jax.profiles.config import ProfileConfig
from ganrec_jax.report.plots import LIGHT
from ganrec_jax.stages import prepare
from ganrec_jax.training.loop import Diverged, Surroundings

_HERE = pathlib.Path(__file__).resolve().parent
SIZE, TEMPERATURE = 3, .6
# EASE's regularisation for each generated user where held-out profiles are completed.
REG = .5
GRIDS = {'ease': ({'reg': 300.}, {'reg': 1000.}), 'ials': ({'unobserved': .1, 'reg': .02},)}
DEFAULT, AGAIN, AVERAGED = 'default', 'default, other noise', 'averaged decoder'
# The decoder whose parameters are the mean over these looks.
LAST_LOOKS = (250, 300, 350)
# Fields of `ProfileConfig` on which the autoencoder depends.
LIKELIHOOD = ('latent', 'hidden', 'dropout', 'beta', 'vae_rate', 'vae_batch', 'vae_steps', 'vae_chunk', 'vae_patience',
              'components')
CRITERIA = ('completion', 'frechet, held out', 'pairs, held out', 'frechet, seen', 'pairs, seen')
MEASURES = (*CRITERIA, 'auc', *GRIDS)


@dataclasses.dataclass(frozen=True)
class Run:
  """One training of the decoder, and the points of it that are measured.

  Attributes:
    sweep: what it belongs to.
    changes: fields of `ProfileConfig` that are not the default's.
    points: (steps, temperature) of each; None stands for all steps of the config.
  """
  sweep: str
  changes: dict = dataclasses.field(default_factory=dict)
  points: tuple = ((None, TEMPERATURE),)


# In the order in which they are wanted: a command that is stopped has told the most important things.
RUNS = {
  DEFAULT: Run('default', points=((None, TEMPERATURE), (None, .45), (None, .8), (0, TEMPERATURE), (200, TEMPERATURE))),
  # What the default was before.
  'likelihood four times as fast': Run('likelihood', {'vae_rate': .002, 'vae_steps': 1000},
                                       ((0, TEMPERATURE), (None, TEMPERATURE))),
  'share 0': Run('adversarial share', {'adversarial_share': 0.}),
  AGAIN: Run('default'),
  'share .75': Run('adversarial share', {'adversarial_share': .75}),
  'Gumbel-softmax': Run('estimator', {'estimator': 'gumbel_softmax'}),
  'score function': Run('estimator', {'estimator': 'score_function'}),
  'no penalty': Run('left out', {'penalty': 'none', 'penalty_weight': 0.}),
  'no warm-up': Run('left out', {'warm_up': 0}),
  'one rate': Run('left out', {'d_rate': ProfileConfig.g_rate}),
  AVERAGED: Run('averaging'),
  'z of 32': Run('width of z', {'latent': 32}),
  'z of 128': Run('width of z', {'latent': 128}),
  '700 steps': Run('steps', {'steps': 700}),
  'share .25': Run('adversarial share', {'adversarial_share': .25}),
  'warm-up 150': Run('warm-up', {'warm_up': 150}),
}


def configured(run):
  """The `ProfileConfig` of a `Run`."""
  return dataclasses.replace(ProfileConfig(), **run.changes)


def likelihood_of(config):
  """The `ProfileConfig` of which only what the autoencoder depends on differs from the default's."""
  return dataclasses.replace(ProfileConfig(), **{name: getattr(config, name) for name in LIKELIHOOD})


def trained(learned, some, config, looks, key):
  """The parameters after each of `looks` steps, rising: steps -> of a `ProfileVae`; none from a divergence on."""
  found = {0: learned.params}
  with tempfile.TemporaryDirectory() as folder:
    around = Surroundings('game', (jax.devices()[0],), folder)
    for steps in sorted(set(looks) - {0}):
      try:
        found[steps], _ = game.train(learned.params, learned.prior, some.members, learned.factors,
                                     dataclasses.replace(config, steps=steps), key, around)
      except Diverged:
        break
  return found


def averaged(trees):
  """The mean of trees of parameters (Izmailov et al. 2018)."""
  return jax.tree.map(lambda *leaves: jnp.stack(leaves).mean(0), *trees)


def judged(drawn, some, vectors, prepared, seed):
  """`MEASURES` of generated profiles over the warm items, a dict of floats; utilities are NDCG@20 on validation."""
  found = {'completion': float(completion(drawn, some.held_out, some.columns, REG * len(drawn), seed).mean()),
           'auc': privacy.membership(some.members, some.held_out, drawn, some.columns, seed, 1)['auc']}
  for name, real in (('held out', some.held_out), ('seen', some.members)):
    alike = fidelity.compare(real, drawn, vectors, some.columns)
    found |= {f'frechet, {name}': -alike['frechet'], f'pairs, {name}': alike['pair_correlation']}
  profiles = Ragged(drawn.offsets, prepared.warm[drawn.values].astype(np.int32), drawn.weights)
  return found | worth(profiles, prepared)


def worth(profiles, prepared):
  """NDCG@20 on validation of each recommender of `GRIDS` that was fitted on the profiles."""
  outcomes = utility.measure(profiles, prepared, None, tuple(GRIDS), grids=GRIDS, tasks=())
  return {name: max(outcome.tried) for name, outcome in outcomes.items()}


def measured(name, prepared, learn_once, seed):
  """The points of a run, as arrays for an artifact: `seconds` of its training and `MEASURES [points]`.

  Args:
    name: of the run.
    prepared: `Prepared`.
    learn_once: `learn_once(config) -> Learned` of this seed.
    seed: of all randomness.
  """
  run, some = RUNS[name], people(prepared, seed)
  config, key = configured(run), keys(seed)[2]
  learned = learn_once(likelihood_of(config))
  points = [(config.steps if steps is None else steps, temperature) for steps, temperature in run.points]
  start, looks = time.perf_counter(), LAST_LOOKS if name == AVERAGED else [steps for steps, _ in points]
  params = trained(learned, some, config, looks, jax.random.fold_in(key, 1) if name == AGAIN else key)
  if name == AVERAGED and LAST_LOOKS[-1] in params:
    params[config.steps] = averaged([params[steps] for steps in LAST_LOOKS])
  seconds = time.perf_counter() - start
  vectors = np.asarray(learned.factors)
  vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
  found = []
  for steps, temperature in points:
    if steps in params:
      drawn = generator.draw(made(params[steps], learned.prior, some.columns), temperature, keys(seed)[3],
                             SIZE * len(some.everybody))
      found.append(judged(drawn, some, vectors, prepared, seed))
    else:  # diverged: counted, and worth nothing
      found.append(dict.fromkeys(MEASURES, np.nan))
  return {'seconds': np.float64(seconds), 'steps': np.array([steps for steps, _ in points]),
          'temperature': np.array([temperature for _, temperature in points])} | {
            name: np.array([one[name] for one in found]) for name in MEASURES}


def cells(found, real):
  """The records of the points that all seeds have: `run`, `sweep`, `steps`, `temperature`, and lists over seeds.

  Args:
    found: run -> what `measured` gave, a list over seeds.
    real: recommender -> NDCG@20 on validation by real profiles.
  """
  out = []
  for name, seeds in found.items():
    for point in range(len(RUNS[name].points)):
      record = {'run': name, 'sweep': RUNS[name].sweep, 'steps': int(seeds[0]['steps'][point]),
                'temperature': float(seeds[0]['temperature'][point]),
                'seconds': [float(one['seconds']) for one in seeds]}
      record |= {measure: [float(one[measure][point]) for one in seeds] for measure in MEASURES}
      record |= {recommender: [value / due for value in record[recommender]] for recommender, due in real.items()}
      record['utility'] = np.mean([record[recommender] for recommender in real], 0).tolist()
      out.append(record)
  return out


def spearman(x, y):
  """Spearman's correlation of the last axes `[..., n]`, NaN where one does not vary."""
  x, y = (rankdata(values, axis=-1) for values in (x, y))
  x, y = (values - values.mean(-1, keepdims=True) for values in (x, y))
  norm = np.sqrt((x * x).sum(-1) * (y * y).sum(-1))
  return np.divide((x * y).sum(-1), norm, out=np.full(norm.shape, np.nan), where=norm > 0)


def criteria(points, resamples=10000):
  """What each criterion is worth: criterion -> `spearman`, `low`, `high` and `lost`, over the points that are finite.

  Args:
    points: of `cells`.
    resamples: of the bootstrap over points, the same for all seeds: a point's seeds are no further points.

  Returns:
    `lost` is the utility that is given away by taking the criterion's favourite of a seed's points, mean over seeds.
  """
  points = [point for point in points if np.isfinite([point[name] for name in (*CRITERIA, 'utility')]).all()]
  if len(points) < 3:
    return {}
  goal = np.array([point['utility'] for point in points]).T
  drawn = np.random.default_rng(0).integers(0, len(points), (resamples, len(points)))
  out = {}
  for name in CRITERIA:
    values = np.array([point[name] for point in points]).T
    resampled = spearman(values[:, drawn], goal[:, drawn]).mean(0)
    low, high = percentile_interval(resampled[np.isfinite(resampled)])
    taken = np.take_along_axis(goal, values.argmax(1)[:, None], 1)[:, 0]
    out[name] = {'spearman': float(spearman(values, goal).mean()), 'low': float(low), 'high': float(high),
                 'lost': float((goal.max(1) - taken).mean())}
  return out


def table(result):
  """The points and the criteria as Markdown."""
  points = result['cells']
  base = points[0]
  lines = ['| run | steps | T | EASE | iALS | utility less the default\'s, each seed | AUC less the default\'s | '
           'completion | seconds |', '|---' * 9 + '|']
  for point in points:
    gain, leak = (np.subtract(point[name], base[name]) for name in ('utility', 'auc'))
    lines.append(f'| {point["run"]} | {point["steps"]} | {point["temperature"]} | ' + ' | '.join(
      f'{100 * np.mean(point[name]):.1f}' for name in GRIDS) + ' | '
      + ', '.join(f'{100 * one:+.1f}' for one in gain) + ' | ' + ', '.join(f'{one:+.3f}' for one in leak)
      + f' | {np.mean(point["completion"]):.4f} | {np.mean(point["seconds"]):.0f} |')
  lines += ['', '| criterion | Spearman with utility | lost where it picks, points |', '|---|---|---|']
  for name, one in result['criteria'].items():
    lines.append(f'| {name} | {one["spearman"]:.2f} [{one["low"]:.2f}, {one["high"]:.2f}] | {100 * one["lost"]:.1f} |')
  return '\n'.join(lines)


def draw_picture(path, results):
  """Utility against each criterion, both less the seed's mean, a row for each data set, a colour a seed, as PNG."""
  import matplotlib  # takes a second
  from matplotlib.figure import Figure
  with matplotlib.rc_context({'font.size': 9, 'axes.spines.top': False, 'axes.spines.right': False,
                              'grid.color': LIGHT['grid']}):
    figure = Figure((13, .6 + 2.6 * len(results)), layout='constrained')
    for row, result in zip(figure.subplots(len(results), len(CRITERIA), sharey='row', squeeze=False), results,
                           strict=True):
      ours = np.array([point['run'] in (DEFAULT, AGAIN) for point in result['cells']])
      values = {name: np.array([point[name] for point in result['cells']]) for name in (*CRITERIA, 'utility')}
      values = {name: some - np.nanmean(some, 0) for name, some in values.items()}
      row[0].set_ylabel(f'{result["name"]}\nutility, points above the mean')
      for axes, name in zip(row, CRITERIA, strict=True):
        for seed in result['seeds']:
          for marker, some, kind in (('o', ours, 'default'), ('x', ~ours, 'other runs')):
            axes.plot(values[name][some, seed], 100 * values['utility'][some, seed], marker, color=f'C{seed}',
                      markersize=5, label=f'seed {seed}, {kind}')
        one = result['criteria'].get(name)
        axes.set_title(one and f'Spearman {one["spearman"]:.2f} [{one["low"]:.2f}, {one["high"]:.2f}]', fontsize=9)
        axes.set_xlabel(f'{"- " * name.startswith("frechet")}{name}')
        axes.locator_params(axis='x', nbins=4)
        axes.grid(True)
    figure.legend(*figure.axes[0].get_legend_handles_labels(), loc='outside lower center', ncols=6, frameon=False)
    artifacts.write_atomically(path, lambda file: figure.savefig(file, format='png', dpi=150,
                                                                 metadata={'Software': None}))


def _options():
  parser = parser_of(__doc__, 'sweeps', draws=False)
  parser.add_argument('--draw', type=int, default=0, choices=range(5), help='Which draw of the split.')
  parser.add_argument('--seeds', type=int, default=2, choices=range(1, 11), help='Seeds.')
  return parser.parse_args()


def main():
  """Runs what the command line asks for."""
  options, start = _options(), time.perf_counter()
  prepared = prepare.prepare(problem.configured(options.dataset, options.draw, options.data))
  data, folder = prepared.sha256(), pathlib.Path(options.workdir) / options.dataset

  def kept(name, seed, *made_by, compute):
    key = artifacts.digest(data, SIZE, REG, HELD_OUT, GRIDS, LAST_LOOKS, name, seed, *made_by)
    return artifacts.cached(str(folder / f'{name}.{seed}.npz'), key, compute)[0]

  @functools.cache
  def learned(seed, config):
    return learn(people(prepared, seed), config, seed)

  reference = kept('real', 0, compute=lambda: {
    name: np.float64(value) for name, value in worth(prepared.histories, prepared).items()})
  real, found = {name: float(reference[name]) for name in GRIDS}, {}
  with tqdm(total=len(RUNS) * options.seeds, unit='run', mininterval=5) as bar:
    for name, run in RUNS.items():
      found[name] = []
      for seed in range(options.seeds):
        bar.set_description(f'{options.dataset}, {name}, seed {seed}')
        found[name].append(kept(
          name, seed, dataclasses.asdict(configured(run)), run.points,
          compute=functools.partial(measured, name, prepared, functools.partial(learned, seed), seed)))
        bar.update()
      points = cells(found, real)
      result = {'name': options.dataset, 'draw': options.draw, 'seeds': list(range(options.seeds)), 'data_sha256': data,
                'config': dataclasses.asdict(ProfileConfig()), 'held_out': HELD_OUT, 'size': SIZE, 'grids': GRIDS,
                'git_revision': pipeline.revision(), 'device': jax.devices()[0].device_kind, 'jax': jax.__version__,
                'wall_seconds': time.perf_counter() - start, 'real': real, 'cells': points,
                'criteria': criteria(points)}
      artifacts.write_json(_HERE / f'sweeps.{options.dataset}.json', result)
      draw_picture(_HERE / 'sweeps.png', [artifacts.read_json(one) for one in sorted(_HERE.glob('sweeps.*.json'))])
  print(table(result))


if __name__ == '__main__':
  main()
