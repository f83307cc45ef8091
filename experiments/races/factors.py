"""Alternating least squares: ours against implicit's solver, at equal recall on held-out pairs."""

import jax
import numpy as np

from experiments.races.turns import OURS, Skipped, missing, races
from ganrec_jax.data.ragged import group
from ganrec_jax.models import als

USERS, ITEMS, EACH, DIM, SWEEPS, K = 2000, 1500, 40, 64, 10, 20
_PLANTED, _CLARITY = 16, 2.
# An observed pair weighs 1 / unobserved times an unobserved one in both; regularisations are each one's best by recall.
_UNOBSERVED, _REG, _IMPLICIT_REG = .05, .04, 100.
_WORK = 'alternating least squares'


def log(seed=0):
  """(users, items) of training and of held-out pairs, a fifth of all: what people like best by planted factors."""
  rng = np.random.default_rng(seed)
  tastes, traits = (rng.standard_normal((many, _PLANTED)) for many in (USERS, ITEMS))
  scores = tastes @ traits.T / _PLANTED ** .5 * _CLARITY + rng.gumbel(size=(USERS, ITEMS)) + rng.standard_normal(ITEMS)
  taken = np.argpartition(-scores, EACH, 1)[:, :EACH]  # a draw without replacement from a softmax
  held = rng.random(taken.shape) < .2
  owner = np.repeat(np.arange(USERS), EACH).reshape(taken.shape)
  return [(owner[rows], taken[rows]) for rows in (~held, held)]


def recall(users, items, known, held):
  """Recall@20 of factors on held-out pairs, known ones ruled out, with the denominator min(20, targets)."""
  scores = users @ items.T
  scores[known] = -np.inf
  best = np.argpartition(-scores, K, 1)[:, :K]
  targets = np.zeros(scores.shape, bool)
  targets[held] = True
  count = targets.sum(1)
  found = np.take_along_axis(targets, best, 1).sum(1)
  return float((found[count > 0] / np.minimum(count[count > 0], K)).mean())


def solvers(options):
  """The races of alternating least squares."""
  reason = missing('implicit') or missing('scipy')
  if reason:
    return [Skipped(_WORK, 'implicit', reason)]
  import implicit
  import scipy.sparse
  import threadpoolctl
  known, held = log()
  histories, warm = group(*known, USERS), np.unique(known[1])
  config = als.AlsConfig(DIM, SWEEPS, _UNOBSERVED, _REG, kappa=0.)
  matrix = scipy.sparse.csr_matrix((np.ones(len(known[0]), np.float32), known), (USERS, ITEMS))
  made = {}

  def ours():
    params = als.fit(histories, ITEMS, warm, None, config, jax.random.key(0))
    made[OURS] = np.asarray(params.users), np.asarray(params.items)

  def theirs(cg):
    name = _name(cg)

    def fit():
      model = implicit.als.AlternatingLeastSquares(DIM, _IMPLICIT_REG, alpha=1 / _UNOBSERVED, iterations=SWEEPS,
                                                   use_cg=cg, use_gpu=False, random_state=0)
      with threadpoolctl.threadpool_limits(1, 'blas'):  # it brings its own threads and warns of two kinds
        model.fit(matrix, show_progress=False)
      made[name] = model.user_factors, model.item_factors
    return fit

  functions = {OURS: ours, **{_name(cg): theirs(cg) for cg in (True, False)}}
  found = races(_WORK, 'sweeps', SWEEPS, functions, {_name(True): .8, _name(False): .8}, '', options.runs)
  words = ', '.join(f'{name} {recall(*made[name], known, held):.4f}' for name in functions)
  note = f'{USERS} users, {ITEMS} items, {len(known[0])} pairs, {DIM} factors, {SWEEPS} sweeps; recall@{K}: {words}'
  return [type(one)(**vars(one) | {'note': note}) for one in found]


def _name(cg):
  return f'implicit, {"conjugate gradients" if cg else "exact"}'
