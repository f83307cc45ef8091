"""Generators of whole profiles at equal size: what their profiles are worth, and what they give away.

    python experiments/generators.py --dataset=movielens --data=DIR --workdir=DIR

One draw of the split, several seeds. For each seed a tenth of the users is held out and every generator learns from the
others. Recommenders are then fitted on generated profiles alone, N or 3 N of them for N real users, applied to the real
histories and asked for the real test pairs; their hyper-parameters are chosen on validation, for real profiles and
generated ones alike. Stated are NDCG@20 in per cent of what real profiles give, the AUC of membership inference by the
nearest generated profile, and near copies. Each generator draws at the temperature at which it completes the profiles
of held-out users best, which no evaluated ranking has a part in.

- 'diffusion': order-agnostic autoregressive diffusion, which learns to complete sets and draws them in 32 steps;
  'transformer': the same by a Transformer over items as tokens, whose vectors begin as collaborative ones.
- 'prior': the autoencoder with z from N(0, I); 'mixture': with z from the mixture over its latents.
- 'Gram matching': profiles of the mixture whose items are exchanged until co-occurrences come near to the real ones.
- 'no critic': the mixture's decoder trained on by its likelihood alone, for as many steps: the control of 'critic'.
- The critic's own effect is the difference of the last two, with the paired bootstrap over users; each user's value is
  the mean over seeds.

Seconds are of training beyond the autoencoder, which several have in common. What is done is kept in the work
directory. It leaves `generators.NAME.json` beside this file.
"""

import dataclasses
import functools
import json
import pathlib
import sys
import time

import jax
import numpy as np
from tqdm import tqdm

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))  # a script sees only its own folder

from experiments.bench.learned import HELD_OUT, around, keys, learn, made, people, standard_normal, trained_on
from experiments.bench.options import parser_of
from experiments.peers import problem, profiles
from ganrec_jax import artifacts, pipeline
from ganrec_jax.data.ragged import Ragged
from ganrec_jax.evaluation.significance import holm, paired_bootstrap
from ganrec_jax.profiles import controls, generator, privacy, utility
from ganrec_jax.profiles.completion import completion
from ganrec_jax.profiles.config import ProfileConfig
from ganrec_jax.stages import prepare

_HERE = pathlib.Path(__file__).resolve().parent
CONTROLS = ('bootstrap', 'marginals', 'markov')
# What reads a set in the diffusion.
NETWORKS = {'diffusion': profiles.Remainder, 'transformer': profiles.Tokens}
GENERATORS = (*CONTROLS, *NETWORKS, 'prior', 'mixture', 'Gram matching', 'no critic', 'critic')
SIZES = (1, 3)
TEMPERATURES = (.3, .45, .6, .8)
# Times that Gram matching goes over the profiles; EASE's regularisation for each generated user where held-out profiles
# are completed.
SWEEPS, REG = 2, .5
# What validation chooses from for real profiles and generated ones alike, as in `utility.GRIDS` but fewer.
GRIDS = {
  'ease': tuple({'reg': reg} for reg in (100., 300., 1000.)),
  'ials': tuple({'unobserved': weight, 'reg': .02} for weight in (.1, .3)),
  'item_knn': tuple({'neighbours': 100, 'shrinkage': shrinkage} for shrinkage in (10., 50.))}
RECOMMENDERS = tuple(GRIDS)


def maker(name, some, learned, config, seed):
  """`draw(temperature, number) -> Ragged` of a generator that has learned from the members of `People`.

  `learned()` gives the autoencoder that several have in common. Those without a temperature draw as they do.
  """
  members, columns, draws = some.members, some.columns, keys(seed)[3]
  if name in CONTROLS:
    make = getattr(controls, name)
    return lambda temperature, number: make(members, columns, number, seed)
  if name in NETWORKS:
    model = NETWORKS[name](columns, config.hidden)
    params, _ = profiles.autoregressive(model, members, some.held_out, learned().factors, config, keys(seed)[0],
                                        around(name))
    return lambda temperature, number: profiles.draw_autoregressive(model, params, members, temperature, number, seed)
  if name in ('no critic', 'critic'):
    fitted = trained_on(learned(), some, dataclasses.replace(
      config, adversarial_share=config.adversarial_share * (name == 'critic')), seed)
  else:
    prior = learned().prior
    fitted = made(learned().params, standard_normal(prior, config.latent) if name == 'prior' else prior, columns)
  draw = functools.partial(generator.draw, fitted)
  if name == 'Gram matching':
    return lambda temperature, number: profiles.match_gram(draw(temperature, draws, number), members, columns, SWEEPS,
                                                           seed)
  return lambda temperature, number: draw(temperature, draws, number)


def cooled(draw, name, some, seed):
  """The temperature at which 3 N profiles complete the held-out ones best, from those that a generator may draw at."""
  if name in CONTROLS:
    return 1.
  number = max(SIZES) * len(some.everybody)
  found = [completion(draw(temperature, number), some.held_out, some.columns, REG * number, seed).mean()
           for temperature in TEMPERATURES]
  return TEMPERATURES[int(np.argmax(found))]


def measured(name, prepared, learned, config, seed):
  """What the profiles of a generator are worth and give away, N and 3 N of them, as arrays for an artifact."""
  warm, some = prepared.warm, people(prepared, seed)
  if name not in CONTROLS:
    learned()  # so that what several have in common does not count as the time of the first one
  start = time.perf_counter()
  draw = maker(name, some, learned, config, seed)
  seconds = time.perf_counter() - start
  temperature = cooled(draw, name, some, seed)
  found = {'seconds': np.float64(seconds), 'temperature': np.float64(temperature)}
  for size in SIZES:
    drawn = draw(temperature, size * len(some.everybody))
    found[f'{size}/auc'] = np.float64(
      privacy.membership(some.members, some.held_out, drawn, some.columns, seed, 1)['auc'])
    found[f'{size}/copies'] = np.float64(
      privacy.copies(some.members, some.held_out, drawn, some.columns, seed)['synthetic']['near_0.8'])
    found[f'{size}/completion'] = completion(drawn, some.held_out, some.columns, REG * len(drawn), seed).mean()
    found |= flat(size, utility.measure(Ragged(drawn.offsets, warm[drawn.values].astype(np.int32), drawn.weights),
                                        prepared, None, RECOMMENDERS, grids=GRIDS))
  return found


def flat(size, outcomes):
  """`utility.measure`'s outcomes as arrays by name."""
  return {f'{size}/{name}/{task}': values for name, outcome in outcomes.items()
          for task, values in outcome.values.items()} | {
            f'{size}/{name}/option': np.asarray(json.dumps(outcome.option)) for name, outcome in outcomes.items()}


def summary(real, found, seeds):
  """The records of a table: one for each generator, size, recommender and task, and the critic's own effect."""
  cells, effects = [], []
  for name in GENERATORS:
    for size in SIZES:
      runs = [found[name, seed] for seed in range(seeds)]
      record = {'generator': name, 'size': size, 'seconds': float(np.mean([run['seconds'] for run in runs]))}
      record |= {what: [float(run[f'{size}/{what}']) for run in runs] for what in ('auc', 'copies', 'completion')}
      record['temperature'] = [float(run['temperature']) for run in runs]
      for path in real:
        if path.endswith(('warm', 'tail')):
          due = real[path].mean()
          ratios = [float(run[f'{size}/{path[2:]}'].mean() / due) if due > 0 else None for run in runs]
          record['/'.join(path.split('/')[1:])] = ratios
      cells.append(record)
  for size in SIZES:
    for path in (path for path in real if path.endswith('warm')):
      mean = [np.mean([found[name, seed][f'{size}/{path[2:]}'] for seed in range(seeds)], 0)
              for name in ('critic', 'no critic')]
      value, low, high, p = paired_bootstrap(*mean, 0)
      scale = real[path].mean()
      effects.append({'size': size, 'recommender': path.split('/')[1], 'value': value / scale, 'low': low / scale,
                      'high': high / scale, 'p': p})
  for effect, p in zip(effects, holm([effect['p'] for effect in effects]), strict=True):
    effect['p_holm'] = float(p)
  return cells, effects


def table(result):
  """The records as Markdown."""
  def mean(values):
    return '' if values[0] is None else f'{100 * np.mean(values):.1f}'
  heads = [f'{name} {task}' for name in RECOMMENDERS for task in ('warm', 'tail')]
  lines = ['| generator | profiles | ' + ' | '.join(heads) + ' | AUC | near copies | seconds |',
           '|---' * (len(heads) + 5) + '|']
  for cell in result['cells']:
    lines.append(f'| {cell["generator"]} | {cell["size"]} N | ' + ' | '.join(
      mean(cell[f'{name}/{task}']) for name in RECOMMENDERS for task in ('warm', 'tail'))
      + f' | {np.mean(cell["auc"]):.3f} | {np.mean(cell["copies"]):.1%} | {cell["seconds"]:.0f} |')
  lines += ['', 'the critic itself (critic less no critic, points): ' + ', '.join(
    f'{one["recommender"]} {one["size"]} N {100 * one["value"]:+.1f} [{100 * one["low"]:.1f}, {100 * one["high"]:.1f}]'
    + '*' * (one['p_holm'] < .05) for one in result['effects'])]
  return '\n'.join(lines)


def _options():
  parser = parser_of(__doc__, 'generators', draws=False)
  parser.add_argument('--draw', type=int, default=0, choices=range(5), help='Which draw of the split.')
  parser.add_argument('--seeds', type=int, default=3, choices=range(1, 11), help='Seeds.')
  return parser.parse_args()


def main():
  """Runs what the command line asks for."""
  options, config, start = _options(), ProfileConfig(), time.perf_counter()
  prepared = prepare.prepare(problem.configured(options.dataset, options.draw, options.data))
  data, folder = prepared.sha256(), pathlib.Path(options.workdir) / options.dataset

  def kept(name, seed, compute):
    key = artifacts.digest(data, dataclasses.asdict(config), TEMPERATURES, SWEEPS, REG, HELD_OUT, GRIDS, name, seed)
    return artifacts.cached(str(folder / f'{name}.{seed}.npz'), key, compute)[0]

  real = kept('real', 0, lambda: flat(1, utility.measure(prepared.histories, prepared, None, RECOMMENDERS,
                                                         grids=GRIDS)))
  found = {}
  with tqdm(total=len(GENERATORS) * options.seeds, unit='generator', mininterval=5) as bar:
    for seed in range(options.seeds):
      learned = functools.cache(lambda seed=seed: learn(people(prepared, seed), config, seed))
      for name in GENERATORS:
        bar.set_description(f'{options.dataset}, seed {seed}: {name}')
        found[name, seed] = kept(name, seed, functools.partial(measured, name, prepared, learned, config, seed))
        bar.update()
  cells, effects = summary(real, found, options.seeds)
  result = {'name': options.dataset, 'draw': options.draw, 'seeds': list(range(options.seeds)), 'data_sha256': data,
            'config': dataclasses.asdict(config), 'temperatures': TEMPERATURES, 'held_out': HELD_OUT,
            'git_revision': pipeline.revision(), 'device': jax.devices()[0].device_kind, 'jax': jax.__version__,
            'wall_seconds': time.perf_counter() - start, 'grids': GRIDS,
            'real': {path[2:]: float(values.mean()) for path, values in real.items()
                     if path.endswith(('warm', 'tail'))}, 'cells': cells, 'effects': effects}
  artifacts.write_json(_HERE / f'generators.{options.dataset}.json', result)
  print(table(result))


if __name__ == '__main__':
  main()
