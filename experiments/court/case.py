"""What every row stands on: one draw, the base model fitted to it, the budget, and how an offer enters the model."""

import dataclasses
import functools
import zlib
from collections.abc import Callable

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments.peers import ours
from experiments.peers.problem import Problem
from ganrec_jax.adversarial import controls, expand, monitors
from ganrec_jax.data.ragged import Ragged
from ganrec_jax.evaluation import leaks
from ganrec_jax.models import closed_form, regression
from ganrec_jax.models.closed_form import ClosedFormParams
from ganrec_jax.stages import encode, recommend, tune
from ganrec_jax.training import loop
from ganrec_jax.training.update import gradient_update

# What validation chooses from for every row (beside 0, nothing of the offer), and the weight at which all are shown.
WEIGHTS, FIXED = (.03, .1, .3), .3
# The budget: pairs a user, and the chance that one is of a cold item.
PER_USER, COLD_SHARE = 10, .5
# Draws of z for each item.
SAMPLES = 8
# Of a row's pairs, profiles or vectors: distinct items reached, relative to real ones, below which it has collapsed.
LEAST_REACH = .2
_QUICK = 4


@dataclasses.dataclass(frozen=True, eq=False)
class Case:
  """One draw, opened.

  Attributes:
    problem: `Problem`.
    kernel: float32 `[items, items]`, the content kernel of frozen texts.
    base: the fitted `ClosedFormParams` without any offer, its knobs turned on validation; they stay as they are.
    key: of its initial factors.
    judge: `recommend.Judge` of validation.
    data: `ExpandData`.
    budget: `Generated`, of which only the number of warm and cold items a user counts.
    prior: float32 `[items, dim]`, what texts say of each item's factor; a warm one is left out of its own prediction.
    quick: whether networks get a quarter of their steps and validation fewer weights.
  """
  problem: Problem
  kernel: jax.Array
  base: ClosedFormParams
  key: jax.Array
  judge: recommend.Judge
  data: expand.ExpandData
  budget: expand.Generated
  prior: jax.Array
  quick: bool = False

  @property
  def warm(self):
    """int `[m]`, the warm items."""
    return self.problem.prepared.warm

  @property
  def factors(self):
    """float32 `[m, dim]`, the factors of the warm items."""
    return np.asarray(self.base.factors.items)[self.warm]

  @functools.cached_property
  def warm_budget(self):
    """The same number of pairs a user, all of warm items, for what cannot speak of cold ones."""
    return dataclasses.replace(self.budget, item=np.full(len(self.budget), self.warm[0], np.int32))

  def steps(self, number):
    """How many steps a network is trained that gets `number` of them in a full run."""
    return max(1, number // _QUICK) if self.quick else number


@dataclasses.dataclass(frozen=True)
class Offer:
  """What a row offers to the base model.

  Attributes:
    at: `at(weight) -> ClosedFormParams`, the model with the offer taken in.
    report: for JSON: `way` ('interactions', 'vectors' or 'users'), `status` ('converged', 'collapsed' or 'diverged'),
      `reason`, and what else there is to say.
  """
  at: Callable
  report: dict


def open_case(problem, quick=False):
  """Fits the base model to a draw as the benchmark does, with the kernel of frozen texts; returns the `Case`."""
  key = jax.random.fold_in(jax.random.key(problem.config.seed), problem.draw)
  kernel = problem.own_kernel(adapted=False)
  _, base = ours.fit_kernel(problem, kernel, key)
  return assemble(problem, kernel, base, key, quick)


def assemble(problem, kernel, base, key, quick=False):
  """The `Case` of a base model that is fitted already."""
  prepared, warm = problem.prepared, problem.prepared.warm
  histories, cold = prepared.histories, ~problem.warm
  users = np.flatnonzero(histories.lengths)
  data = expand.ExpandData(histories, users, cold, np.asarray(base.factors.users), np.asarray(base.factors.items),
                           problem.whitened, encode.attend(problem.whitened, histories)[:, None])
  user = np.repeat(users, PER_USER)
  share = COLD_SHARE if cold.any() else 0.
  chilled = np.asarray(jax.random.bernoulli(jax.random.fold_in(key, 1), share, user.shape))
  item = np.where(chilled, np.argmax(cold), warm[0])
  budget = expand.made(user, item, 1., 'budget', np.full(len(user), np.nan), {})
  texts = regression.fit(kernel, warm, np.flatnonzero(cold), base.config.factors.ridge)
  prior = base.factors.items.at[warm].set(texts.leave_one_out(base.factors.items[warm]))
  return Case(problem, kernel, base, key, recommend.Judge(problem.tasks('valid')), data, budget, prior, quick)


def key_of(purpose, seed):
  """The random key of a purpose, a str, and a seed."""
  return jax.random.fold_in(jax.random.key(seed), zlib.crc32(purpose.encode()))


@flax.struct.dataclass
class Player:
  """All that a step of a single network changes."""
  params: dict
  opt: tuple


def stepping(objective, rate):
  """`step(state, batch, axis=None) -> (state, metrics)`: Adam leads a `Player` down `objective(params, batch)`."""
  update = gradient_update(objective, optax.adam(rate))

  def step(state, batch, axis=None):
    params, opt, metrics = update(state.params, state.opt, batch, axis=axis)
    return Player(params, opt), metrics

  return step


def trained(case, name, step, sample, state, data, key, steps, keep=lambda state: state):
  """The last state of `loop.run`, or None where a number is not finite; and a report."""
  around = loop.Surroundings(f'{case.problem.name}-{case.problem.draw}: {name}', (jax.devices()[0],))
  number = case.steps(steps)
  try:
    kept, _ = loop.run(step, sample, state, data, key, loop.Schedule(number, max(1, number // 4)), around, keep)
  except loop.Diverged as error:
    return None, {'status': 'diverged', 'reason': str(error)}
  return kept, {'status': 'converged', 'reason': ''}


@flax.struct.dataclass
class Sampled:
  """A model of several vectors for each item, of which a user sees the one his number falls on.

  Attributes:
    users: float32 `[users, dim]`.
    items: float32 `[samples, items, dim]`.
  """
  users: jax.Array
  items: jax.Array


@jax.jit
def score_sampled(params, users):
  """The scores float32 `[batch, items]` of `users [batch]` by `Sampled`."""
  with jax.default_matmul_precision('highest'):
    scores = jnp.einsum('bd,kjd->bkj', params.users[users], params.items)
  return scores[jnp.arange(len(users)), users % len(params.items)]


def drawn(case, vectors, key, users=None, budget=None):
  """Pairs that meet the budget, drawn by the scores of item `vectors [samples, items, dim]`, see `self_labelled`.

  Args:
    case: `Case`.
    vectors: the items' vectors.
    key: of the draws.
    users: float32 `[users, dim]`; the base model's factors where none are given.
    budget: `case.budget` where none is given.
  """
  params = Sampled(case.base.factors.users if users is None else users, vectors)
  return controls.self_labelled(budget or case.budget, case.data, key, score_sampled, params)


def within_budget(case, made, key):
  """Of the pairs `made`, as many warm and cold ones of each user as the budget has, at random."""
  cold, users = case.data.cold, len(case.data.histories)
  due = np.bincount(case.budget.user + users * cold[case.budget.item], minlength=2 * users)
  order = np.asarray(jax.random.permutation(key, len(made)))
  kind = (made.user + users * cold[made.item])[order]
  by_kind = np.argsort(kind, kind='stable')
  first = np.searchsorted(kind[by_kind], np.arange(2 * users))
  rank = np.arange(len(kind)) - first[kind[by_kind]]
  kept = order[by_kind][rank < due[kind[by_kind]]]
  return expand.made(made.user[kept], made.item[kept], 1., str(made.source[0]) if len(made) else '',
                     made.realness[kept], made.counts | {'kept': len(kept)})


def of_pairs(case, generated, name, report=None):
  """The offer of generated pairs: the base model is fitted again with them, each of the weight that is asked for."""
  prepared, report = case.problem.prepared, report or {}
  found = leaks.check_generated(prepared.dataset, prepared.split, generated.user, generated.item, name)

  def at(weight):
    return _fitted(case, recommend.as_histories(generated, prepared.dataset.users, weight))

  return Offer(at, _judged(case, 'interactions', generated.item, report) | {
    'pairs': len(generated), 'counts': generated.counts, 'leaks': found})


def of_vectors(case, items, report=None, users=None):
  """The offer of item vectors `[items, dim]`, and of users' where given: the factors go a share of the way to them."""
  factors, chilled = case.base.factors, np.flatnonzero(case.data.cold)
  users = factors.users if users is None else users

  def at(weight):
    moved = factors.replace(items=factors.items + weight * (items - factors.items),
                            users=factors.users + weight * (users - factors.users))
    return case.base.replace(factors=moved)

  reached, due = (np.asarray(monitors.nearest(jnp.asarray(rows)[chilled], jnp.asarray(case.factors))[0])
                  for rows in (items, factors.items))
  moved = float(jnp.sqrt(jnp.square(items - factors.items).sum(1)[chilled].mean())) if len(chilled) else 0.
  return Offer(at, _verdict('vectors', len(np.unique(reached)), len(np.unique(due)), report or {}) | {'moved': moved})


def of_users(case, profiles, report=None):
  """The offer of generated users, a `Ragged` over them: further rows, each of the weight that is asked for."""
  strengths = case.problem.prepared.strengths(case.problem.config.base.strength)
  number = len(strengths)
  # Real users without generated pairs, generated ones without real pairs.
  real = Ragged(np.append(strengths.offsets, np.full(len(profiles), strengths.offsets[-1])), strengths.values,
                strengths.weights)

  def at(weight):
    extra = Ragged(np.concatenate([np.zeros(number, np.int64), profiles.offsets]), profiles.values,
                   np.full(len(profiles.values), weight, np.float32))
    return _fitted(case, extra, real).folded(strengths)

  return Offer(at, _judged(case, 'users', profiles.values, report or {}) | {'pairs': len(profiles.values)})


def nothing(case, way, report):
  """The offer of a row that has diverged: the base model as it is."""
  return Offer(lambda weight: case.base, {'way': way, 'pairs': 0} | report)


def _fitted(case, generated, histories=None):
  problem = case.problem
  if histories is None:
    histories = problem.prepared.strengths(problem.config.base.strength)
  found = closed_form.fit(histories, len(problem.warm), problem.prepared.warm, case.kernel, case.base.config, case.key,
                          generated)
  return found.replace(knobs=case.base.knobs)


def _judged(case, way, items, report):
  """The report of generated pairs: their warm items are held against as many real pairs, drawn evenly."""
  warm = items[~case.data.cold[items]]
  real = np.random.default_rng(0).choice(case.data.histories.values, len(warm))
  return _verdict(way, len(np.unique(warm)), len(np.unique(real)), report)


def _verdict(way, reached, due, report):
  report = {'status': 'converged', 'reason': ''} | report | {'way': way, 'reached': reached, 'reached_real': due}
  if report['status'] == 'converged' and reached < LEAST_REACH * due:
    report |= {'status': 'collapsed', 'reason': f'{reached} distinct items reached where real ones reach {due}'}
  return report


def weights(quick):
  """What validation chooses from beside 0."""
  return WEIGHTS[1:] if quick else WEIGHTS


def decide(case, offer):
  """The weight that validation likes best (0 takes nothing), its model and the one at `FIXED`, and all values.

  The value of a model is that by which its knobs were turned, `tune.value`; of equal ones the smallest weight counts.
  """
  values, best, chosen, fixed = {0.: tune.value(case.judge, case.base)}, 0., case.base, None
  for weight in weights(case.quick):
    model = offer.at(weight)
    values[weight] = tune.value(case.judge, model)
    if values[weight] > values[best] + 1e-9:
      best, chosen = weight, model
    fixed = model if weight == FIXED else fixed
  return best, chosen, fixed, values
