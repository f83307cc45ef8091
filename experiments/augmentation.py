"""Real and generated users together: what further users are worth to recommenders, and what of it is the critic's.

    python experiments/augmentation.py --dataset=movielens --data=DIR --workdir=DIR

For each draw a generator of profiles learns from the training histories, without its critic ('no critic') and with it
('critic'); generated users join the training, each weighing as much as validation likes best (a grid that has 0, real
users alone). With ', new items' they are the same users with the new items that their texts put among what they would
have taken. 'bootstrap' are as many copies of real users. The regularisation is chosen along with the weight, for real
users alone likewise; who is asked for new items as well is chosen by the mean of both tasks. Stated is NDCG@20 on test,
and the difference to real users alone and of critic to no critic, paired over users and draws, Holm's correction over
all cells.

Recommenders: EASE and CEASE (EASE with the content kernel of frozen texts), with 10 generated users for each real one,
and ours, the closed form with that kernel and its knobs turned, with 3, which weigh as much together. 'ours + CEASE'
adds to the scores of ours among new items a share of CEASE's, both standardised over these; 0 is among the shares. A
row of generated users stands for as many users as its weight says. What is done is kept in the work directory. It
leaves `augmentation.NAME.json` beside this file.
"""

import dataclasses
import functools
import itertools
import pathlib
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
from tqdm import tqdm

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))  # a script sees only its own folder

from experiments.bench import rows
from experiments.bench.learned import HELD_OUT, keys, learn, people, played
from experiments.bench.options import parser_of
from experiments.peers import problem
from ganrec_jax import artifacts, pipeline
from ganrec_jax.data.ragged import Ragged, select, take
from ganrec_jax.evaluation import ranking
from ganrec_jax.models import cease, closed_form
from ganrec_jax.profiles import controls, generator
from ganrec_jax.profiles.config import ProfileConfig
from ganrec_jax.profiles.utility import applied, score_linear
from ganrec_jax.stages import recommend, tune

_HERE = pathlib.Path(__file__).resolve().parent
NEW = ', new items'
SOURCES = ('bootstrap', 'no critic', 'critic', f'no critic{NEW}', f'critic{NEW}')
TEMPERATURE = .6
# What generated users weigh together, in real logs.
WEIGHTS = (.1, .3, 1., 3.)
REGS = {'EASE': (30., 100., 300., 1000.), 'CEASE': (30., 100., 300., 1000.)}
# Regularisation of CEASE beside ours, and its shares.
BLENDED, BLENDED_REG, SHARES = 'ours + CEASE', 300., (.1, .25, .5)
# Generated users for each real one.
SIZES = {'EASE': 10, 'CEASE': 10, 'ours': 3, BLENDED: 10}
TASKS = {'EASE': ('warm', 'tail', 'sparse'), 'CEASE': ('warm', 'cold', 'tail', 'sparse'),
         'ours': ('warm', 'cold', 'tail', 'sparse'), BLENDED: ('cold',)}


def generated(one, seed, size, config):
  """source -> `Ragged` over `size` generated users for each real one, values are items; and the seconds of training."""
  warm, some, start = one.prepared.warm, people(one.prepared, seed), time.perf_counter()
  number = size * len(some.everybody)
  learned = learn(some, config, seed, jnp.asarray(one.whitened[warm]))
  copies = controls.bootstrap(some.everybody, some.columns, number, seed)
  found = {'bootstrap': dataclasses.replace(copies, values=warm[copies.values].astype(np.int32))}
  for source in ('no critic', 'critic'):
    share = config.adversarial_share * (source == 'critic')
    params = played(learned, some, dataclasses.replace(config, adversarial_share=share), seed)
    fitted = generator.make(params, learned.prior, warm, one.prepared.dataset.items, one.kernel())
    found[source + NEW] = generator.draw(fitted, TEMPERATURE, keys(seed)[3], number)
    found[source] = select(found[source + NEW], one.warm[found[source + NEW].values])
  return found, time.perf_counter() - start


def asked(recommender, source):
  """Whether the table has the cell: EASE knows of no new items, and 'ours + CEASE' is asked for nothing else."""
  return source is None or recommender not in ('EASE', BLENDED) or (recommender == BLENDED) == source.endswith(NEW)


def gram(one, log):
  """The co-occurrences float32 `[items, items]` of a `Ragged` over users."""
  return cease.cooccurrences(log, len(one.warm), np.ones(len(log), np.float32))


def linear(one, kernel_weight, real, extra, weight, reg):
  """EASE or CEASE by the co-occurrences of real users and, of some weight, of generated ones: (score, params)."""
  kernel, histories = one.kernel() if kernel_weight else None, one.prepared.histories
  fitted = cease.solve(real + weight * extra, len(histories), kernel, reg, kernel_weight * reg)
  return score_linear, applied(histories, fitted.weights)


def ours(one, judge, extra, weight):
  """The closed form with its knobs turned, on real users and generated ones of some weight: (score, params)."""
  real = one.prepared.strengths(one.config.base.strength)
  number = len(real)
  if extra is not None:
    # Real users without generated pairs, generated ones without real pairs.
    empty = Ragged(np.append(real.offsets, np.full(len(extra), real.offsets[-1])), real.values, real.weights)
    extra = Ragged(np.concatenate([np.zeros(number, np.int64), extra.offsets]), extra.values,
                   np.full(len(extra.values), weight, np.float32))
    real = empty
  fitted = closed_form.fit(real, len(one.warm), one.prepared.warm, one.kernel(), recommend.closed(one.config),
                           jax.random.key(one.config.seed), extra)
  if extra is not None:
    fitted = fitted.folded(one.prepared.strengths(one.config.base.strength))
  return closed_form.score, fitted.turned(tune.search(judge, fitted))


@jax.jit
def score_blended(params, users):
  """The scores of ours plus a share of CEASE's, float32 `[batch, items]`, each standardised over the new items."""
  mine, theirs, new, share = params

  def standard(scores):
    return (scores - scores[:, new].mean(1, keepdims=True)) / jnp.maximum(scores[:, new].std(1, keepdims=True), 1e-9)
  return standard(closed_form.score(mine, users)) + share * standard(score_linear(theirs, users))


def choices(one, base, judge, name, extra):
  """The models that validation chooses from, made one at a time: (what it is, (score, params)).

  Args:
    one: `Problem`.
    base: `base() -> (score, params)`, ours on real users alone.
    judge: `recommend.Judge` of validation.
    name: of the recommender.
    extra: the generated users, or None.
  """
  size = SIZES[name]
  weights = (0.,) if extra is None else tuple(weight / size for weight in WEIGHTS)
  if extra is not None:
    extra = take(extra, np.arange(size * (one.prepared.histories.lengths > 0).sum()))
  if name == 'ours':
    for weight in weights:
      yield {'weight': weight}, ours(one, judge, extra, weight) if weight else base()
    return
  real, more = gram(one, one.prepared.histories), 0. if extra is None else gram(one, extra)
  if name == BLENDED:
    new = jnp.asarray(np.flatnonzero(~one.warm))
    for weight in weights:
      theirs = linear(one, .5, real, more, weight, BLENDED_REG)[1]
      for share in (*SHARES, 0.) if extra is None else SHARES:
        yield {'weight': weight, 'share': share}, (score_blended, (base()[1], theirs, new, jnp.float32(share)))
    return
  for weight, reg in itertools.product(weights, REGS[name]):
    yield {'weight': weight, 'reg': reg}, linear(one, .5 * (name == 'CEASE'), real, more, weight, reg)


def measured(one, base, name, extra, before):
  """NDCG@20 on test of each user of each task, as arrays for an artifact, of what validation likes best.

  Args:
    one: `Problem`.
    base: `base() -> (score, params)`, ours on real users alone.
    name: of the recommender.
    extra: the generated users, or None.
    before: the arrays of real users alone, which stay where no weight is better on validation.
  """
  judge, tasks = recommend.Judge(one.tasks('valid')), [task for task in ('warm', 'cold') if task in TASKS[name]]
  best, model = -np.inf if before is None else float(before['valid']), None
  for option, found in choices(one, base, judge, name, extra):
    value = np.mean([judge(*found, task) for task in tasks])
    if value > best:
      best, model, chosen = value, found, option
  if model is None:
    return before
  return ranked(one, name, *model) | {'valid': np.float64(best)} | {
    f'option.{field}': np.float64(number) for field, number in chosen.items()}


def ranked(one, name, score, params):
  """NDCG@20 on test of each user, task -> float64, and his id, task.users -> str."""
  tasks, out = one.tasks('test'), {}
  for task in TASKS[name]:
    lists, _ = ranking.top_k(score, params, tasks[task], k=20)
    out[task] = ranking.metrics_per_user(lists, tasks[task].targets)['ndcg@20']
    out[f'{task}.users'] = one.prepared.dataset.user_ids[tasks[task].users].astype(str)
  return out


def run(name, draws, load, workdir):
  """The whole table of a data set, as a dict for JSON."""
  start, found, hashes, seconds = time.perf_counter(), {}, [], []
  cells = [(recommender, source) for recommender in TASKS for source in (None, *SOURCES) if asked(recommender, source)]
  with tqdm(total=draws * len(cells), unit='cell', mininterval=5) as bar:
    for draw in range(draws):
      one = load(draw)
      hashes.append(one.prepared.sha256())
      make = functools.cache(lambda one=one, draw=draw: generated(one, draw, max(SIZES.values()), ProfileConfig()))
      base = functools.cache(lambda one=one: ours(one, recommend.Judge(one.tasks('valid')), None, 0.))
      for recommender, source in cells:
        bar.set_description(f'{name}, draw {draw}: {recommender}, {source or "real"}')
        before = found[recommender, None][draw] if source else None

        def compute(one=one, base=base, recommender=recommender, source=source, before=before, make=make):
          return measured(one, base, recommender, make()[0][source] if source else None, before)

        key = artifacts.digest(hashes[-1], one.config.to_dict(), dataclasses.asdict(ProfileConfig()), recommender,
                               source, SIZES, TEMPERATURE, HELD_OUT, WEIGHTS, REGS, BLENDED_REG,
                               SHARES)
        file = workdir / f'{name}-{draw}' / f'{recommender}.{(source or "real").replace(", ", "_")}.npz'
        found.setdefault((recommender, source), []).append(artifacts.cached(str(file), key, compute)[0])
        bar.update()
      seconds.append(make()[1] if make.cache_info().currsize else None)
  return {'name': name, 'seeds': list(range(draws)), 'data_sha256': hashes, 'git_revision': pipeline.revision(),
          'device': jax.devices()[0].device_kind, 'jax': jax.__version__, 'generator_seconds': seconds,
          'wall_seconds': time.perf_counter() - start, 'sizes': SIZES, 'weights': WEIGHTS, 'regs': REGS,
          'cells': [{'recommender': recommender, 'source': source or 'real',
                     **{task: [float(one[task].mean()) for one in those] for task in TASKS[recommender]},
                     'weight': [SIZES[recommender] * float(one['option.weight']) for one in those],
                     'share': [float(one.get('option.share', 0.)) for one in those]}
                    for (recommender, source), those in found.items()],
          'differences': differences(found)}


def differences(found, resamples=10000):
  """Each source less real users alone, and critic less no critic: mean, interval, p value and Holm's correction."""
  out, critics = [], [(f'critic{kind}', f'no critic{kind}') for kind in ('', NEW)]
  for recommender, tasks in TASKS.items():
    for mine, other in (*((source, None) for source in SOURCES), *critics):
      for task in tasks if asked(recommender, mine) else ():
        cell = rows.difference(found[recommender, mine], found[recommender, other], task, resamples)
        due = np.mean([one[task].mean() for one in found[recommender, None]])
        out.append({'recommender': recommender, 'source': mine, 'to': other or 'real', 'task': task,
                    'percent': 100 * cell['mean'] / due if due > 0 else None} | cell)
  return rows.corrected(out)


def table(result):
  """The differences in per cent as Markdown; *: significant after Holm's correction."""
  lines = ['| recommender | users beside the real ones | warm | cold | tail | sparse | weights |', '|---' * 7 + '|']
  for cell in result['cells']:
    parts = []
    for task in ('warm', 'cold', 'tail', 'sparse'):
      told = [one for one in result['differences'] if (one['recommender'], one['source'], one['to'], one['task'])
              == (cell['recommender'], cell['source'], 'real', task)]
      parts.append('' if task not in cell else f'{np.mean(cell[task]):.4f}' + (
        f' ({told[0]["percent"]:+.1f}%{"*" * (told[0]["p_holm"] < .05)})' if told and told[0]['percent'] is not None
        else ''))
    weights = '' if cell['source'] == 'real' else ', '.join(f'{weight:g}' for weight in cell['weight'])
    if cell['recommender'] == BLENDED:
      weights += f'; shares {", ".join(f"{share:g}" for share in cell["share"])}'
    lines.append(f'| {cell["recommender"]} | {"none" if cell["source"] == "real" else cell["source"]} | '
                 + ' | '.join(parts) + f' | {weights} |')
  lines += ['', 'the critic itself (critic less no critic): ' + ', '.join(
    f'{one["recommender"]}{NEW * one["to"].endswith(NEW)} {one["task"]} {one["percent"]:+.1f}%'
    f'{"*" * (one["p_holm"] < .05)}'
    for one in result['differences'] if one['to'].startswith('no critic') and one['percent'] is not None)]
  return '\n'.join(lines)


def main():
  """Runs what the command line asks for."""
  options = parser_of(__doc__, 'augmentation').parse_args()
  name, workdir = options.dataset, pathlib.Path(options.workdir)
  result = run(name, options.draws,
               lambda draw: problem.load(name, draw, options.data, str(workdir / 'problems')), workdir)
  artifacts.write_json(_HERE / f'augmentation.{name}.json', result)
  print(table(result))


if __name__ == '__main__':
  main()
