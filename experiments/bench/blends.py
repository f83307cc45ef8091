"""The best blend of two or three peers: each user's scores standardised, weights chosen on validation for each task."""

import itertools
import json
import os
from collections.abc import Callable

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
from tqdm import tqdm

from experiments.bench import trials
from ganrec_jax import artifacts
from ganrec_jax.evaluation import ranking

POOL = 5  # peers of which a task's blend is made
PAIRS = (.1, .2, .35, .5, .65, .8, .9)  # the second peer's weight
THIRDS = (.1, .2, .3, .45)  # the third's, beside the best pair
TASKS = ('warm', 'cold', 'tail', 'sparse')


@flax.struct.dataclass
class Mixed:
  """Fitted peers with their weights.

  Attributes:
    params: of each peer.
    weights: float32 `[peers, 2]`, for warm and for cold items.
    warm: bool `[items]`.
    scores: the peers' score functions.
  """
  params: tuple
  weights: jax.Array
  warm: jax.Array
  scores: tuple[Callable, ...] = flax.struct.field(pytree_node=False)


@jax.jit
def score(params, users):
  """The scores float32 `[batch, items]` of a `Mixed` for users `[batch]`."""
  parts = [standardise(one(p, users), params.warm) for one, p in zip(params.scores, params.params, strict=True)]
  return sum(jnp.where(params.warm, *weight) * part for weight, part in zip(params.weights, parts, strict=True))


@jax.jit
def score_stack(params, users):
  """The scores float32 `[batch, items]` from `params`: standardised `[peers, users, items]` and `[peers]` weights."""
  stack, weights = params
  return jnp.einsum('p,pbi->bi', weights, stack[:, users])


def standardise(scores, warm):
  """Each row of `scores [batch, items]` with mean 0 and deviation 1, warm and other items by themselves."""
  return jnp.where(warm, _standardise(scores, warm), _standardise(scores, ~warm))


def _standardise(scores, which):
  mean = jnp.mean(scores, 1, keepdims=True, where=which)
  sd = jnp.std(scores, 1, keepdims=True, where=which)
  return (scores - mean) / jnp.where(sd > 0, sd, 1)


def peer(parts):
  """The blend as a `Peer`.

  Args:
    parts: (`Peer`, options, warm weight, cold weight) of each.
  """
  def fit(problem, options, key):
    del options, key
    fitted = [trials.fit(part, chosen, problem) for part, chosen, *_ in parts]
    weights = jnp.asarray([part[2:] for part in parts], jnp.float32)
    return score, Mixed(tuple(params for _, params in fitted), weights, jnp.asarray(problem.warm),
                        tuple(one for one, _ in fitted))
  return trials.Peer('blend', fit, {}, any(part[0].cold and part[3] for part in parts), True)


def options(parts):
  """The parts as JSON has them, with the revisions of their sources, so that they tell one blend from another."""
  return {'parts': [{'peer': part.name, 'options': chosen, 'warm': warm, 'cold': cold,
                     'revision': trials.revision(part)} for part, chosen, warm, cold in parts]}


def tune(tuned, problem, data, workdir):
  """The best blend of each task by validation, from the work directory where it was found before.

  A task's pool are the `POOL` peers that are best at it on validation, each at its best trial; for tail, of which the
  blend may lose 1% of the best blend's warm value, half of them are the best at warm. All pairs are tried at the
  weights `PAIRS`, then every third peer beside the best pair at `THIRDS`. The task `all` takes the weights of warm for
  warm items and those of cold for cold ones.

  Args:
    tuned: [(`Peer`, its points, validation values of each)], without ours.
    problem: `Problem`.
    data: its `data_hash`.
    workdir: the work directory.

  Returns:
    {task: (parts as for `peer`, validation NDCG@20, blends tried)}; the parts of 'never' are those of warm.
  """
  peers = {p.name: (p, points) for p, points, _ in tuned}
  pools = {task: pool(tuned, task) for task in TASKS}
  pools = {task: members for task, members in pools.items() if len(members) > 1}
  described = {task: [(name, peers[name][1][k], trials.revision(peers[name][0])) for name, k in members]
               for task, members in pools.items()}
  key = artifacts.digest(trials.VERSION, described, PAIRS, THIRDS, data)

  def compute():
    found, limit = {}, -np.inf
    wanted = tqdm(sorted({member for members in pools.values() for member in members}),
                  f'{problem.name}: fits to blend', unit='fit', mininterval=5)
    fitted = {(name, k): _all_scores(*trials.fit(peers[name][0], peers[name][1][k], problem), problem)
              for name, k in wanted}
    for task, members in tqdm(pools.items(), f'{problem.name}: blends', unit='task', mininterval=5):
      stack = jnp.stack([fitted[member] for member in members])
      weights, value, tried = _search(stack, problem.tasks('valid'), task, limit)
      limit = .99 * value if task == 'warm' else limit
      found[task] = {'weights': weights, 'value': value, 'tried': tried}
    return {'found': np.asarray(json.dumps(found))}

  found = json.loads(str(artifacts.cached(os.path.join(workdir, f'blend.{key[:16]}.npz'), key, compute)[0]['found']))
  out = {}
  for task, best in found.items():
    parts = [(*peers[name], k, weight) for (name, k), weight in zip(pools[task], best['weights'], strict=True)
             if weight > 0]
    out[task] = [(p, points[k], weight * (task != 'cold'), weight * (task == 'cold')) for p, points, k, weight in parts]
  if 'warm' in out:
    out['never'] = out['warm']
    out['all'] = out['warm'] + out.get('cold', [])
  return {task: (parts, found.get(task, {}).get('value'), found.get(task, {}).get('tried', 0))
          for task, parts in out.items()}


def pool(tuned, task):
  """[(peer's name, number of its trial)] from which the blend of a task is made, see `tune`."""
  def best(task, number):
    ranked = [(max((value.get(task, -np.inf), -k) for k, value in enumerate(values)), p.name)
              for p, _, values in tuned]
    ranked = sorted((r for r in ranked if r[0][0] > -np.inf), reverse=True)[:number]
    return [(name, -k) for (_, k), name in ranked]
  if task != 'tail':
    return best(task, POOL)
  first = best('warm', POOL - POOL // 2)
  return first + [member for member in best('tail', POOL) if member not in first][:POOL // 2]


def _all_scores(score_fn, params, problem):
  """The standardised scores of all users, float32 `[users, items]`."""
  users = jnp.arange(problem.prepared.dataset.users)
  return jnp.concatenate([standardise(score_fn(params, users[start:start + 256]), problem.warm)
                          for start in range(0, len(users), 256)])


def _search(stack, tasks, task, limit):
  """(weights, validation NDCG@20, number of blends tried) of the best blend of `stack [peers, users, items]`.

  For tail only what keeps warm at `limit` counts.
  """
  asked = tasks['warm' if task == 'tail' else task]
  tried = {}

  def value(weights):
    lists, _ = ranking.top_k(score_stack, (stack, jnp.asarray(weights, jnp.float32)), asked, k=20)
    found = ranking.metrics_per_user(lists, asked.targets)['ndcg@20'].mean()
    if task == 'tail':
      rows = np.searchsorted(asked.users, tasks['tail'].users)
      tail = ranking.metrics_per_user(lists[rows], tasks['tail'].targets)['ndcg@20'].mean()
      found = tail if found >= limit else found - 1  # of blends that lose too much, the one that loses least
    tried[weights] = float(found)

  numbers = range(len(stack))
  for i, j in itertools.combinations(numbers, 2):
    for weight in PAIRS:
      value(tuple(1 - weight if n == i else weight if n == j else 0. for n in numbers))
  pair = max(tried, key=tried.get)
  for third in (n for n in numbers if not pair[n]):
    for weight in THIRDS:
      value(tuple(weight if n == third else (1 - weight) * pair[n] for n in numbers))
  best = max(tried, key=tried.get)
  return best, tried[best], len(tried)
