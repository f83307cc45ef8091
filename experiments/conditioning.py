"""Texts and pairs inside generator and critic of profiles: what they add for known items, and for new ones.

    python experiments/conditioning.py --dataset=movielens --data=DIR --workdir=DIR --seeds=2

In the plain form the critic reads a profile's items by collaborative vectors and by its own, the sums of both; the
decoder has a free vector of each item, and what it has of a new item is a regression on the items' texts. Against that
stand a critic that reads the whitened text vectors as well, one that reads pairs of items, a decoder whose last layer
reads the text vectors beside its free part (the package's), and both players reading texts; the plain form with other
noise and without its critic say what is much.

Of 3 N generated users at one temperature are stated, on VALIDATION (test is not read):

- EASE and iALS that saw nothing else, of known items, in per cent of what real users give.
- new items: NDCG@20 among new items of an EASE that reads no text, so all that it has of them is who takes them in the
  generated profiles; in per cent of CEASE's on real users, which reads the texts.
- their share of the generated profiles, and the AUC of membership inference by the nearest generated user.

What is done is kept in the work directory. It leaves `conditioning.NAME.json` beside this file.
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

from experiments.bench.learned import HELD_OUT, keys, learn, people, played
from experiments.bench.options import parser_of
from experiments.peers import problem
from experiments.peers.profiles import PairCritic
from experiments.sweeps import GRIDS, worth
from ganrec_jax import artifacts, pipeline
from ganrec_jax.data.ragged import select
from ganrec_jax.models import cease
from ganrec_jax.profiles import game, generator, privacy, utility
from ganrec_jax.profiles.config import ProfileConfig
from ganrec_jax.stages import recommend

_HERE = pathlib.Path(__file__).resolve().parent
SIZE, TEMPERATURE, REG = 3, .6, 300.
MEASURES = (*GRIDS, 'new', 'share', 'auc')


@dataclasses.dataclass(frozen=True)
class Run:
  """Who reads what.

  Attributes:
    texts: the players who read texts, of 'generator' and 'critic'.
    critic: its module.
    share: the adversary's, of the decoder's gradient.
    noise: of the game's key.
  """
  texts: tuple = ()
  critic: object = game.CRITIC
  share: float = ProfileConfig.adversarial_share
  noise: int = 0


RUNS = {
  'plain': Run(),
  'plain, other noise': Run(noise=1),
  'no critic': Run(share=0.),
  'critic of pairs': Run(critic=PairCritic()),
  'critic reads texts': Run(('critic',)),
  'generator reads texts': Run(('generator',)),
  'both read texts': Run(('generator', 'critic')),
}


def unit(vectors):
  """The rows with length 1; those of zeros stay."""
  return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)


def generated(one, run, learned, seed):
  """The profiles of a `Run`, `Ragged` over 3 N users, values are items, known and new."""
  warm, some, config = one.prepared.warm, people(one.prepared, seed), ProfileConfig()
  factors = unit(np.asarray(learned.factors))
  vectors = np.concatenate([factors, one.whitened[warm]], 1) if 'critic' in run.texts else factors
  params = played(learned, some, dataclasses.replace(config, adversarial_share=run.share), seed, jnp.asarray(vectors),
                  run.critic, run.noise)
  fitted = generator.make(params, learned.prior, warm, one.prepared.dataset.items, one.kernel())
  return generator.draw(fitted, TEMPERATURE, keys(seed)[3], SIZE * len(some.everybody))


def new(one, profiles, kernel, users):
  """NDCG@20 on validation, of new items, of EASE (CEASE with a kernel) by profiles that stand for as many users."""
  number, histories = one.prepared.dataset.items, one.prepared.histories
  scale = len(profiles) / users
  gram = cease.cooccurrences(profiles, number, np.full(len(profiles), 1 / scale, np.float32))
  fitted = cease.solve(gram, users, kernel, REG, .5 * REG if kernel is not None else 0.)
  return recommend.Judge(one.tasks('valid'))(utility.score_linear, utility.applied(histories, fitted.weights), 'cold')


def measured(one, name, learn_once, seed):
  """`MEASURES` of a run, as arrays for an artifact, and the `seconds` of its game.

  Args:
    one: `Problem`.
    name: of the run.
    learn_once: `learn_once(texts) -> Learned` of this seed, by whether the decoder reads texts.
    seed: of all randomness.
  """
  run, some = RUNS[name], people(one.prepared, seed)
  learned = learn_once('generator' in run.texts)
  start = time.perf_counter()
  drawn = generated(one, run, learned, seed)
  seconds, is_known = time.perf_counter() - start, one.warm[drawn.values]
  place = np.zeros(one.prepared.dataset.items, np.int32)
  place[one.prepared.warm] = np.arange(some.columns)
  familiar = select(drawn, is_known)
  auc = privacy.membership(some.members, some.held_out, dataclasses.replace(familiar, values=place[familiar.values]),
                           some.columns, seed, 1)['auc']
  found = worth(familiar, one.prepared) | {'new': new(one, drawn, None, len(some.everybody)), 'auc': auc,
                                           'share': 1 - is_known.mean(), 'seconds': seconds}
  return {measure: np.float64(value) for measure, value in found.items()}


def cells(found, real):
  """The records of the runs: lists over seeds, utilities over those of real users.

  Args:
    found: run -> what `measured` gave, a list over seeds.
    real: measure -> NDCG@20 on validation by real users.
  """
  out = []
  for name, seeds in found.items():
    record = {measure: [float(one[measure]) / real.get(measure, 1.) for one in seeds]
              for measure in (*MEASURES, 'seconds')}
    out.append({'run': name} | record)
  return out


def table(result):
  """The records as Markdown: the first run's values, and the differences to it of each seed."""
  base = result['cells'][0]
  lines = ['| run | EASE | iALS | new items | their share | AUC | seconds |', '|---' * 7 + '|']
  for cell in result['cells']:
    parts = []
    for measure in MEASURES:
      scale, form = (1, '.3f') if measure == 'auc' else (100, '.1f')
      values = np.array(cell[measure]) if cell is base else np.subtract(cell[measure], base[measure])
      parts.append(', '.join(f'{scale * value:{"" if cell is base else "+"}{form}}' for value in values))
    lines.append(f'| {cell["run"]} | ' + ' | '.join(parts) + f' | {np.mean(cell["seconds"]):.0f} |')
  return '\n'.join(lines)


def _options():
  parser = parser_of(__doc__, 'conditioning', draws=False)
  parser.add_argument('--draw', type=int, default=0, choices=range(5), help='Which draw of the split.')
  parser.add_argument('--seeds', type=int, default=2, choices=range(1, 11), help='Seeds.')
  return parser.parse_args()


def main():
  """Runs what the command line asks for."""
  options, start = _options(), time.perf_counter()
  workdir = pathlib.Path(options.workdir)
  one = problem.load(options.dataset, options.draw, options.data, str(workdir / 'problems'))
  data, histories = one.prepared.sha256(), one.prepared.histories

  def kept(name, seed, compute):
    key = artifacts.digest(data, dataclasses.asdict(ProfileConfig()), SIZE, TEMPERATURE, REG, HELD_OUT, GRIDS,
                           repr(RUNS.get(name)), seed)
    return artifacts.cached(str(workdir / options.dataset / f'{name}.{seed}.npz'), key, compute)[0]

  @functools.cache
  def learned(seed, texts):
    return learn(people(one.prepared, seed), ProfileConfig(), seed,
                 jnp.asarray(one.whitened[one.prepared.warm]) if texts else None)

  users = int((histories.lengths > 0).sum())
  real = kept('real', 0, lambda: {name: np.float64(value) for name, value in (
    worth(histories, one.prepared) | {'new': new(one, histories, one.kernel(), users)}).items()})
  found = {}
  with tqdm(total=len(RUNS) * options.seeds, unit='run', mininterval=5) as bar:
    for name in RUNS:
      for seed in range(options.seeds):
        bar.set_description(f'{options.dataset}, {name}, seed {seed}')
        found.setdefault(name, []).append(
          kept(name, seed, functools.partial(measured, one, name, functools.partial(learned, seed), seed)))
        bar.update()
  result = {'name': options.dataset, 'draw': options.draw, 'seeds': list(range(options.seeds)), 'data_sha256': data,
            'config': dataclasses.asdict(ProfileConfig()), 'held_out': HELD_OUT, 'size': SIZE,
            'temperature': TEMPERATURE, 'reg': REG, 'grids': GRIDS, 'git_revision': pipeline.revision(),
            'device': jax.devices()[0].device_kind, 'jax': jax.__version__,
            'wall_seconds': time.perf_counter() - start, 'real': {name: float(value) for name, value in real.items()},
            'cells': cells(found, {name: float(value) for name, value in real.items()})}
  artifacts.write_json(_HERE / f'conditioning.{options.dataset}.json', result)
  print(table(result))


if __name__ == '__main__':
  main()
