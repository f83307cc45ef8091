"""Simulated users: what a policy is worth in the true world that was tuned on users who do not exist.

    python experiments/simulated_users.py --domain=music --workdir=DIR

In a sample world the truth is known: whether a person would take what is recommended. A recommender (EASE) learns from
the training histories of nine tenths of the people. Its policy, regularisation and how far popularity is taken out of
the scores, is tuned on simulated users: a part of each one's profile is shown, and the policy is worth what it finds of
the rest (NDCG@20). Simulated users are people it has never seen ('real'), copies of those it has ('bootstrap'), or
come from generators that have learned from the same nine tenths: popularity alone ('marginals'), the autoencoder with
its mixture trained on without critic ('no critic') and with it ('critic').

Stated are, for each, the rank correlation of what policies seem to be worth with what they are worth to the people
(the mean probability that the twenty are taken), the true worth of the chosen policy in per cent of the best one's, and
how much is found, in per cent of what is found for people. Mean and range over the seeds, each another world. It leaves
`simulated_users.DOMAIN.json` beside this file.
"""

import argparse
import dataclasses
import functools
import itertools
import pathlib
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
from scipy import stats
from tqdm import tqdm

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))  # a script sees only its own folder

from experiments.bench.learned import keys, learn, people, trained_on
from experiments.peers import problem
from ganrec_jax import artifacts, pipeline
from ganrec_jax.data import sample
from ganrec_jax.data.ragged import pad, take
from ganrec_jax.data.worlds import DOMAINS
from ganrec_jax.evaluation.ranking import metrics_per_user
from ganrec_jax.models import adventure, cease
from ganrec_jax.profiles import controls, generator
from ganrec_jax.profiles.completion import hide
from ganrec_jax.profiles.config import ProfileConfig
from ganrec_jax.stages import prepare

_HERE = pathlib.Path(__file__).resolve().parent
SOURCES = ('real', 'bootstrap', 'marginals', 'no critic', 'critic')
# (regularisation, gamma of `adventure.damp`) of each policy.
POLICIES = tuple(itertools.product((1., 10., 100., 1000., 10000.), (0., .1, .3, 1.)))
TEMPERATURE, CUT = .6, 20


@jax.jit
def best(weights, popular, gamma, items, there):
  """The 20 items int32 `[batch, 20]` beyond padded histories `[batch, length]` that a policy recommends."""
  x = cease.densify(items, there, len(popular))
  scores = adventure.damp(x @ weights, popular, jnp.ones(len(popular), bool), gamma)
  return jax.lax.top_k(jnp.where(x > 0, -jnp.inf, scores), CUT)[1]


@dataclasses.dataclass(frozen=True)
class Policies:
  """Recommenders that were fitted once, to be asked with any gamma.

  Attributes:
    weights: reg -> float32 `[items, items]`.
    popular: float32 `[items]`, log popularity, standardised.
  """
  weights: dict
  popular: jax.Array

  def lists(self, policy, histories):
    """int32 `[users, 20]` for a `Ragged` of histories."""
    reg, gamma = policy
    return np.asarray(best(self.weights[reg], self.popular, gamma,
                           *map(jnp.asarray, pad(histories, np.arange(len(histories)),
                                                 max(1, int(histories.lengths.max())), 0))))


def policies(members, columns):
  """The `Policies` of profiles, a `Ragged` over users."""
  gram = cease.cooccurrences(members, columns, np.ones(len(members), np.float32))
  popular = jnp.log1p(jnp.diag(gram))
  return Policies({reg: cease.solve(gram, len(members), None, reg, 0.).weights for reg, _ in POLICIES},
                  (popular - popular.mean()) / jnp.maximum(popular.std(), 1e-6))


def found(fitted, profiles, seed):
  """What each of `POLICIES` finds of the hidden parts of profiles, NDCG@20, float64 `[policies]`."""
  shown, hidden = hide(profiles, seed)
  users = np.flatnonzero((shown.lengths > 0) & (hidden.lengths > 0))
  shown, hidden = take(shown, users), take(hidden, users)
  return np.array([metrics_per_user(fitted.lists(policy, shown), hidden)[f'ndcg@{CUT}'].mean() for policy in POLICIES])


def true_worth(fitted, prepared, everybody):
  """The mean probability that people take what each of `POLICIES` recommends them, float64 `[policies]`."""
  world, data = prepared.world, prepared.dataset
  users = np.searchsorted(world.dataset.user_ids, data.user_ids[np.flatnonzero(prepared.histories.lengths)])
  items = np.searchsorted(world.dataset.catalogue.ids, data.catalogue.ids[prepared.warm])
  return np.array([sample.acceptance(world, users, items[fitted.lists(policy, everybody)]).mean()
                   for policy in POLICIES])


def simulated(some, config, seed):
  """source -> `Ragged` over its users, as many as people; those held out for 'real'."""
  number, learned = len(some.everybody), learn(some, config, seed)
  made = {'real': some.held_out} | {name: getattr(controls, name)(some.members, some.columns, number, seed)
                                    for name in ('bootstrap', 'marginals')}
  for source in ('no critic', 'critic'):
    share = config.adversarial_share * (source == 'critic')
    fitted = trained_on(learned, some, dataclasses.replace(config, adversarial_share=share), seed)
    made[source] = generator.draw(fitted, TEMPERATURE, keys(seed)[3], number)
  return made


def measured(domain, seed, config):
  """What each of `POLICIES` is worth in the world of a seed, and what it seems worth, as arrays for an artifact."""
  about = problem.config_of(domain, '')
  about.seed = seed
  prepared = prepare.prepare(about)
  some = people(prepared, seed)
  fitted = policies(some.members, some.columns)
  return {'truth': true_worth(fitted, prepared, some.everybody)} | {
    source: found(fitted, profiles, seed) for source, profiles in simulated(some, config, seed).items()}


def summary(worlds):
  """source -> for each world the rank correlation, the chosen policy's true worth and how much is found, in per cent.

  Args:
    worlds: for each, the dict of `measured`.
  """
  out = {}
  for source in SOURCES:
    chosen = [int(world[source].argmax()) for world in worlds]
    out[source] = {
      'correlation': [float(stats.spearmanr(world[source], world['truth']).statistic) for world in worlds],
      'worth': [float(world['truth'][k] / world['truth'].max()) for world, k in zip(worlds, chosen, strict=True)],
      'found': [float(world[source].max() / world['real'].max()) for world in worlds],
      'policy': [POLICIES[k] for k in chosen]}
  return out


def table(result):
  """The summary as Markdown: mean [least, most] over the worlds."""
  def told(values, scale=1., digits=2):
    return (f'{scale * np.mean(values):.{digits}f} [{scale * np.min(values):.{digits}f}, '
            f'{scale * np.max(values):.{digits}f}]')
  lines = ['| users | rank correlation with the truth | true worth of the chosen policy, % of the best '
           '| found, % of real |', '|---|---|---|---|']
  for source, one in result['sources'].items():
    lines.append(f'| {source} | {told(one["correlation"])} | {told(one["worth"], 100, 1)} | '
                 f'{told(one["found"], 100, 0)} |')
  return '\n'.join(lines)


def _options():
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('--domain', choices=list(DOMAINS), default='music', help='Which sample world.')
  parser.add_argument('--workdir', default='runs/simulated_users', help='Where results are kept.')
  parser.add_argument('--seeds', type=int, default=5, choices=range(1, 21), help='Worlds.')
  return parser.parse_args()


def main():
  """Runs what the command line asks for."""
  options, config, start, worlds = _options(), ProfileConfig(), time.perf_counter(), []
  for seed in tqdm(range(options.seeds), 'worlds', mininterval=5):
    key = artifacts.digest(options.domain, seed, dataclasses.asdict(config), POLICIES, TEMPERATURE)
    path = pathlib.Path(options.workdir) / f'{options.domain}.{seed}.npz'
    worlds.append(artifacts.cached(str(path), key, functools.partial(measured, options.domain, seed, config))[0])
  result = {'domain': options.domain, 'simulated': True, 'seeds': list(range(options.seeds)),
            'config': dataclasses.asdict(config), 'policies': POLICIES, 'temperature': TEMPERATURE,
            'git_revision': pipeline.revision(), 'device': jax.devices()[0].device_kind, 'jax': jax.__version__,
            'wall_seconds': time.perf_counter() - start, 'sources': summary(worlds)}
  artifacts.write_json(_HERE / f'simulated_users.{options.domain}.json', result)
  print(table(result))


if __name__ == '__main__':
  main()
