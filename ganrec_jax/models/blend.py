"""Two models on one scale: S / sd(S) + b N / sd(N), and cold scores calibrated for competing with warm ones."""

from collections.abc import Callable
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

# The weights of the network that are tried; 0 leaves the base model alone.
WEIGHTS = (0., .1, .2, .35, .5, .75, 1., 1.5)
FACTORS = (.5, .65, .8, 1., 1.25, 1.5, 2.)
# In standard deviations of the base model's scores; the last ones put new items before all known ones, as in news.
OFFSETS = (*(np.arange(-16, 13) / 4).tolist(), 6., 12., 24.)
NEVER = (0., -np.inf)
AS_IT_IS = (1., 0.)

_ROWS = 64


@flax.struct.dataclass
class Blend:
  """A base model S and a network N, both known by their `score(params, users [b]) -> [b, items]`.

  Attributes:
    base: parameters of the base model.
    net: parameters of the network.
    scale: float32 `[2]`, 1 / sd(S) and 1 / sd(N).
    weight: float32 `[2]`, b for warm and for cold items.
    warm: bool `[items]`.
    base_score: score function of the base model.
    net_score: score function of the network.
  """
  base: Any
  net: Any
  scale: jax.Array
  weight: jax.Array
  warm: jax.Array
  base_score: Callable = flax.struct.field(pytree_node=False)
  net_score: Callable = flax.struct.field(pytree_node=False)

  def folded(self, histories):
    """The same two models with users known by `histories`, a `Ragged` over them, instead of those of the training."""
    return self.replace(base=self.base.folded(histories), net=self.net.folded(histories))


def make(base_score, base, net_score, net, users, warm):
  """A `Blend` with weights 0.

  Args:
    base_score: `base_score(params, users int32 [b]) -> float32 [b, items]`.
    base: its first argument.
    net_score: the same for the network.
    net: its first argument.
    users: int `[m]`, the training users from whose scores of warm items the standard deviations are taken.
    warm: bool `[items]`.

  Raises:
    FloatingPointError: where a score is not finite.
  """
  scale = [1 / deviation(base_score, base, users, warm), 1 / deviation(net_score, net, users, warm)]
  return Blend(base, net, jnp.asarray(scale, jnp.float32), jnp.zeros(2), jnp.asarray(warm), base_score, net_score)


def deviation(score_fn, params, users, warm):
  """The standard deviation of the scores of `users [m]` for the items of `warm`, bool `[items]`; 1 where it is 0.

  Raises:
    FloatingPointError: where a score is not finite.
  """
  count, mean, square = 0, 0., 0.
  for first in range(0, len(users), _ROWS):
    scores = np.asarray(score_fn(params, jnp.asarray(users[first:first + _ROWS])), np.float64)[:, np.asarray(warm)]
    if not np.isfinite(scores).all():
      raise FloatingPointError(f'scores of users {first} to {first + len(scores) - 1} of the sample are not all finite')
    # Chan, Golub and LeVeque (1983): squares about the mean, since scores may lie far from 0.
    total = count + scores.size
    delta = scores.mean() - mean if scores.size else 0.
    square += ((scores - scores.mean()) ** 2).sum() + delta ** 2 * count * scores.size / total if scores.size else 0.
    mean, count = mean + delta * scores.size / max(total, 1), total
  return float(np.sqrt(square / count)) if square > 0 else 1.


@jax.jit
def score(params, users):
  """The blended scores float32 `[batch, items]` of users `[batch]`, cold ones not calibrated."""
  return combine(params, params.base_score(params.base, users), params.net_score(params.net, users))


def combine(params, base, net):
  """S / sd(S) + b_j N / sd(N) from scores `[batch, items]` of both models, for known and new users alike."""
  return params.scale[0] * base + jnp.where(params.warm, *params.weight) * params.scale[1] * net


@flax.struct.dataclass
class Calibrated:
  """Any model with its cold scores s replaced by factor s + offset, for lists in which they compete with warm ones.

  Attributes:
    model: the model's parameters.
    factor: float32 scalar.
    offset: float32 scalar; -inf says that cold items are never recommended.
    warm: bool `[items]`.
    score: the model's score function.
  """
  model: Any
  factor: jax.Array
  offset: jax.Array
  warm: jax.Array
  score: Callable = flax.struct.field(pytree_node=False)


@jax.jit
def score_calibrated(params, users):
  """The scores float32 `[batch, items]` of a `Calibrated` model for users `[batch]`."""
  scores = params.score(params.model, users)
  return jnp.where(params.warm, scores, params.factor * scores + params.offset)


def tune(params, ndcg, weights=WEIGHTS):
  """Chooses b for warm and b for cold items, each on its own validation task; of equal values the smaller.

  Args:
    params: a `Blend`.
    ndcg: `ndcg(score_fn, params, task) -> float` on validation, for the tasks 'warm' and 'cold'; NaN where the split
      has no such task, which leaves the base model alone.
    weights: what is tried, in rising order.

  Returns:
    (`Blend`, {task: {weight: value}}).
  """
  chosen, tried = [], {}
  for task in ('warm', 'cold'):
    values = [float(ndcg(score, params.replace(weight=jnp.full(2, b, jnp.float32)), task)) for b in weights]
    tried[task] = dict(zip(weights, values, strict=True))
    chosen.append(0. if np.isnan(values).any() else weights[int(np.argmax(values))])
  return params.replace(weight=jnp.asarray(chosen, jnp.float32)), tried


def calibrate(warm_lists, cold_lists, targets, k=20, factors=FACTORS, offsets=OFFSETS, errors=1.):
  """Chooses factor and offset of cold scores by NDCG@k on validation, 'never recommend a cold item' included.

  Hundreds of choices tried on one validation part find some gain by luck. So a choice is worth its gain over the
  scores as they are, factor 1 and offset 0, less `errors` standard errors of that gain over users (one such error is
  what Breiman et al. 1984 prune by); where none is worth anything the scores stay as they are. What caution pays was
  measured on halves of validation parts, see experiments/calibration.py.

  Args:
    warm_lists: (scores float `[n, >= k]`, each user's best warm candidates, best first, -inf where there are fewer;
      hits bool of the same shape, which of them are targets).
    cold_lists: the same for cold candidates.
    targets: int `[n]`, the number of targets of each user, at least 1.
    k: the cut.
    factors: what is tried, above 0.
    offsets: what is tried.
    errors: how many; 0 takes the best choice wherever it beats the scores as they are.

  Returns:
    ((factor, offset), its value, {'best': the best choice, 'best_value', 'never_value', 'as_it_is_value'}): of equal
    ones the first, 'never' before all others; it is factor 0 and offset -inf.
  """
  grid = [NEVER, *((float(factor), float(offset)) for factor in factors for offset in offsets)]
  before = merged_ndcg(warm_lists, cold_lists, targets, AS_IT_IS, k)
  gains, worths = np.empty((2, len(grid)))
  for i, point in enumerate(grid):
    gain = merged_ndcg(warm_lists, cold_lists, targets, point, k) - before
    gains[i], worths[i] = gain.mean(), gain.mean() - errors * gain.std() / np.sqrt(len(gain))
  best, most = int(np.argmax(gains)), int(np.argmax(worths))
  chosen, gain = (grid[most], gains[most]) if worths[most] > 0 else (AS_IT_IS, 0.)
  stays = float(before.mean())
  return chosen, stays + float(gain), {'best': grid[best], 'best_value': stays + float(gains[best]),
                                       'never_value': stays + float(gains[0]), 'as_it_is_value': stays}


def merged_ndcg(warm_lists, cold_lists, targets, point, k=20):
  """NDCG@k of each user, float64 `[n]`, of the best of both kinds together where cold scores are calibrated by `point`.

  A factor above 0 and an offset keep the order within the cold items, so the best k of both kinds together are among
  the best k of each: two ranked lists a user hold all that any choice needs, and the scores of whole catalogues are
  never kept. Arguments are those of `calibrate`.
  """
  factor, offset = point
  gain = 1 / np.log2(np.arange(k) + 2)
  (warm, warm_hits), (cold, cold_hits) = (
    (np.asarray(scores, np.float64)[:, :k], np.asarray(hits, bool)[:, :k]) for scores, hits in (warm_lists, cold_lists))
  cold = np.where(np.isfinite(cold), factor * np.where(np.isfinite(cold), cold, 0) + offset, -np.inf)
  scores, hits = np.concatenate([warm, cold], 1), np.concatenate([warm_hits, cold_hits], 1)
  order = np.argsort(-scores, axis=1, kind='stable')[:, :k]
  found = np.take_along_axis(hits & (scores > -np.inf), order, 1)
  return (found * gain[:found.shape[1]]).sum(1) / np.cumsum(gain)[np.minimum(targets, k) - 1]
