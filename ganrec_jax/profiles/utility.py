"""Train on synthetic, test on real: what a recommender that has seen synthetic profiles only is worth to real users.

It is fitted on the profiles, applied to the real training histories, and asked for the real held-out pairs (Esteban,
Hyland and Rath 2017). The measure is that in percent of the same recommender fitted on real profiles, see `ratios`.
"""

import dataclasses
import functools
import itertools

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from ganrec_jax.data.ragged import Ragged, select
from ganrec_jax.errors import DataError
from ganrec_jax.evaluation import ranking
from ganrec_jax.evaluation.significance import percentile_interval, resampled_means
from ganrec_jax.evaluation.tasks import make_tasks
from ganrec_jax.models import als, cease, closed_form
from ganrec_jax.profiles.privacy import sets
from ganrec_jax.stages.prepare import Prepared
from ganrec_jax.stages.recommend import SPARSE


def _grid(**values):
  return tuple(dict(zip(values, some, strict=True)) for some in itertools.product(*values.values()))


# What validation chooses from. Whatever is added to sums over users is meant for as many profiles as there are real
# users, and grows with the profiles: ten copies of a log are the same log. Generated logs are noisier than real ones,
# so the grids reach further up than real logs need.
GRIDS = {
  'ease': _grid(reg=(30., 100., 300., 1000., 3000., 10000.)),
  'ials': _grid(unobserved=(.03, .1, .3), reg=(.003, .02, .1)),
  'item_knn': _grid(neighbours=(20, 100, 500), shrinkage=(0., 10., 50.)),
  'ours': (*_grid(item_reg=(100., 300., 1000.), kernel_weight=(50., 200.), kappa=(3.,)), SPARSE),
}
NAMES = tuple(GRIDS)
# What is asked; the last of those only who reads texts.
TASKS = ('warm', 'tail', 'cold')


@dataclasses.dataclass(frozen=True)
class Outcome:
  """What a recommender that was fitted on some profiles is worth to the real users.

  Attributes:
    option: what validation chose of its grid.
    tried: NDCG@20 of the validation task warm with each option, in their order.
    values: task -> float64 `[users of the task]`, NDCG@20 on test.
  """
  option: dict
  tried: tuple[float, ...]
  values: dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Log:
  """What a recommender may be fitted on, and whom it is applied to.

  Attributes:
    profiles: `Ragged` over synthetic users, the warm items of each.
    new: the cold items of each, likewise; None where nobody has any.
    scale: profiles for each real user.
    kernel: the content kernel of all items, or None.
    prepared: the real data; `histories` and the numbers of items are read.
    key: of all randomness.
  """
  profiles: Ragged
  new: Ragged | None
  scale: float
  kernel: object
  prepared: Prepared
  key: jax.Array


@flax.struct.dataclass
class Applied:
  """A model with the real histories that it is applied to, as in `closed_form.ClosedFormParams`.

  Attributes:
    model: float32 `[items, items]`, or `AlsParams`.
    offsets: int32 `[users + 1]`.
    items: int32 `[n]`.
    weights: float32 `[n]`.
    length: the longest history.
  """
  model: object
  offsets: jax.Array
  items: jax.Array
  weights: jax.Array
  length: int = flax.struct.field(pytree_node=False)


@jax.jit
def score_linear(params, users):
  """The scores float32 `[batch, items]` of real users `[batch]` by an item-item model."""
  with jax.default_matmul_precision('highest'):
    return cease.densify(*closed_form.history(params, users), len(params.model)) @ params.model


@jax.jit
def score_factors(params, users):
  """The scores float32 `[batch, items]` of real users `[batch]`, folded into a factor model by their histories."""
  with jax.default_matmul_precision('highest'):
    return als.fold_in(params.model, *closed_form.history(params, users)) @ params.model.items.T


def ease(log, reg):
  """EASE (Steck 2019) of the warm items: score function and its parameters."""
  warm, items = log.prepared.warm, log.prepared.dataset.items
  place = np.full(items, -1, np.int32)
  place[warm] = np.arange(len(warm))
  among_warm = dataclasses.replace(log.profiles, values=place[log.profiles.values])
  fitted = cease.fit(among_warm, len(warm), None, reg * log.scale, 0.)
  weights = jnp.zeros((items, items)).at[warm[:, None], warm].set(fitted.weights)
  return score_linear, applied(log.prepared.histories, weights)


def ials(log, unobserved, reg):
  """iALS (Rendle et al. 2022), whose regularisation grows with the profiles by itself."""
  config = als.AlsConfig(unobserved=unobserved, reg=reg, kappa=0.)
  prepared = log.prepared
  fitted = als.fit(log.profiles, prepared.dataset.items, prepared.warm, None, config, log.key)
  return score_factors, applied(log.prepared.histories, fitted)


def item_knn(log, neighbours, shrinkage):
  """Item-kNN by cosines n_ij / (sqrt(n_i n_j) + shrinkage) (Deshpande and Karypis 2004)."""
  gram = cease.cooccurrences(log.profiles, log.prepared.dataset.items, np.ones(len(log.profiles), np.float32))
  near = _neighbours(gram, shrinkage * log.scale, min(neighbours, len(gram) - 1))
  return score_linear, applied(log.prepared.histories, near)


def ours(log, **options):
  """The closed form with its content kernel; cold items of profiles train their factors, see `closed_form.fit`."""
  scaled = options | {name: options[name] * log.scale for name in ('item_reg', 'kernel_weight', 'kappa')}
  prepared = log.prepared
  fitted = closed_form.fit(log.profiles, prepared.dataset.items, prepared.warm, log.kernel,
                           closed_form.flat_config(**scaled), log.key, log.new)
  return closed_form.score, fitted.folded(prepared.histories)


_FITS = {'ease': ease, 'ials': ials, 'item_knn': item_knn, 'ours': ours}


def measure(profiles, prepared, kernel, names=NAMES, seed=0, grids=GRIDS, devices=1, tasks=TASKS):
  """Fits recommenders on profiles and ranks for the real users; the real profiles themselves give the reference.

  Args:
    profiles: `Ragged` over users of any number, sets of items; empty ones are left out.
    prepared: `Prepared`, the real data.
    kernel: the content kernel float32 `[items, items]` that `ours` reads, or None; a `LowRankKernel` with many items.
    names: of recommenders, from `NAMES`.
    seed: of the order that breaks ties and of initial factors.
    grids: name -> the options that validation chooses from by NDCG@20 of the task warm, the first best.
    devices: how many share each batch.
    tasks: what is asked on test, of `TASKS`; nothing where validation is all that is wanted.

  Returns:
    name -> `Outcome`, with the tasks warm and tail, as far as the split has them; cold as well for ours with a kernel.

  Raises:
    DataError: for another name, no held-out users, profiles without items, or with items that cannot be.
  """
  unknown = [name for name in names if name not in NAMES]
  if unknown:
    raise DataError(f'recommender {unknown[0]!r}; allowed are {", ".join(NAMES)}')
  valid, test = (make_tasks(prepared.dataset, prepared.split, seed, part) for part in ('valid', 'test'))
  for part, there in (('validation', valid), ('test', test)):
    if 'warm' not in there:
      raise DataError(f'{part}: no held-out users; at least one pair of a warm item must be held out')
  log, found = _log(profiles, prepared, kernel, seed), {}
  for name in names:
    option, tried, model = _choose(functools.partial(_FITS[name], log), grids[name], valid['warm'], devices)
    asked = [task for task in tasks if task in test and (task != 'cold' or name == 'ours' and kernel is not None)]
    found[name] = Outcome(option, tried, {task: _ndcg(*model, test[task], devices) for task in asked})
  return found


def ratios(synthetic, real, seed, resamples=10000):
  """What `measure` found on one log in relation to another, with the 95% paired bootstrap over users.

  The other is the real log for the utility of a generator, or another generator's for a comparison of two.

  Args:
    synthetic: name -> `Outcome`.
    real: likewise, of the same data.
    seed: of the bootstrap.
    resamples: of the bootstrap.

  Returns:
    a dict of `recommender`, `task`, `value` (the ratio of mean NDCG@20), `low`, `high`, `synthetic` and `real` (the
    means) and `users` for each recommender and task that both have. A ratio to nothing is NaN, and so is an interval
    where some resample of the other log's values finds nothing.

  Raises:
    DataError: where the two are not of the same users.
  """
  pairs = [(name, task) for name in synthetic if name in real for task in TASKS
           if task in synthetic[name].values and task in real[name].values]
  return [{'recommender': name, 'task': task} | _ratio(synthetic[name].values[task], real[name].values[task], seed,
                                                      resamples) for name, task in pairs]


def _ratio(synthetic, real, seed, resamples):
  if len(synthetic) != len(real):
    raise DataError(f'{len(synthetic)} synthetic and {len(real)} real values; both must be of the same users')
  both = np.stack([synthetic, real], 1)
  mean, (low, high) = both.mean(0), percentile_interval(_over(resampled_means(both, seed, resamples)))
  return {'value': float(_over(mean)), 'low': float(low), 'high': float(high), 'synthetic': float(mean[0]),
          'real': float(mean[1]), 'users': len(both)}


def _log(profiles, prepared, kernel, seed):
  profiles = sets(profiles, prepared.dataset.items, 'profiles')
  users = (prepared.histories.lengths > 0).sum()
  if not users:
    raise DataError('training: all histories are empty; at least one user with training pairs is needed')
  is_warm = np.isin(profiles.values, prepared.warm)
  return Log(select(profiles, is_warm), None if is_warm.all() else select(profiles, ~is_warm),
             len(profiles) / float(users), kernel, prepared, jax.random.key(seed))


def applied(histories, model):
  """A model with the real `histories` that it is applied to."""
  # One entry more than there are, so that gathers from an empty log are legal.
  return Applied(model, jnp.asarray(histories.offsets, jnp.int32), jnp.asarray(np.append(histories.values, 0)),
                 jnp.asarray(np.append(histories.weights, 0)), int(histories.lengths.max()))


@functools.partial(jax.jit, static_argnames='neighbours')
def _neighbours(gram, shrinkage, neighbours):
  """The shrunk cosines of each item's nearest neighbours in its column, float32 `[items, items]`, 0 elsewhere."""
  counts = jnp.diag(gram)
  norm = jnp.sqrt(counts[:, None] * counts) + shrinkage
  alike = jnp.where(norm > 0, gram / jnp.where(norm > 0, norm, 1), 0).at[jnp.diag_indices(len(gram))].set(0)
  values, places = jax.lax.top_k(alike.T, neighbours)
  return jnp.zeros_like(gram).at[places, jnp.arange(len(gram))[:, None]].set(values)


def _choose(fit, grid, task, devices):
  """The option of the grid whose model validation likes best, what it thinks of each, and that model."""
  best, tried = None, []
  for option in grid:
    model = fit(**option)
    tried.append(float(_ndcg(*model, task, devices).mean()))
    if best is None or tried[-1] > max(tried[:-1]):
      best = option, model
  return best[0], tuple(tried), best[1]


def _ndcg(score, params, task, devices):
  """NDCG@20 of each user of a task, float64 `[users]`."""
  return ranking.metrics_per_user(ranking.top_k(score, params, task, 20, devices=devices)[0], task.targets)['ndcg@20']


def _over(means):
  """The first of `means [..., 2]` over the second, NaN where that is 0."""
  return np.divide(means[..., 0], means[..., 1], out=np.full(means.shape[:-1], np.nan), where=means[..., 1] > 0)
