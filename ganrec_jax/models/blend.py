"""Two models on one scale: S / sd(S) + b N / sd(N), and cold scores calibrated for competing with warm ones."""

import statistics
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


def calibrate(warm_scores, warm_hits, cold_scores, cold_hits, targets, k=20, factors=FACTORS, offsets=OFFSETS,
              level=.05):
  """Chooses factor and offset of cold scores by NDCG@k on validation, 'never recommend a cold item' included.

  A factor above 0 and an offset keep the order within the cold items, so the best k of both kinds together are among
  the best k of each: two ranked lists a user hold all that any choice needs, and the scores of whole catalogues are
  never kept.

  Hundreds of choices tried on one validation part find some gain by luck. So the scores stay as they are, factor 1 and
  offset 0, unless the gain of the best choice, paired over users, is significant at `level` by a normal test with
  Bonferroni's correction for the number of choices.

  Args:
    warm_scores: float `[n, >= k]`, each user's best warm candidates, best first; -inf where there are fewer.
    warm_hits: bool of the same shape, which of them are targets.
    cold_scores: the same for cold candidates.
    cold_hits: the same for cold candidates.
    targets: int `[n]`, the number of targets of each user, at least 1.
    k: the cut.
    factors: what is tried, above 0.
    offsets: what is tried.
    level: of the test; 1 takes the best choice in any case.

  Returns:
    ((factor, offset), its value, {'best': the best choice, 'best_value', 'never_value', 'as_it_is_value'}): of equal
    values the first, 'never' before all others; it is factor 0 and offset -inf.
  """
  gain = 1 / np.log2(np.arange(k) + 2)
  ideal = np.cumsum(gain)[np.minimum(targets, k) - 1]
  warm_scores, warm_hits = _cut(warm_scores, warm_hits, k)
  cold_scores, cold_hits = _cut(cold_scores, cold_hits, k)
  hits = np.concatenate([warm_hits, cold_hits], 1)

  def value(factor, offset):
    cold = np.where(np.isfinite(cold_scores), factor * np.where(np.isfinite(cold_scores), cold_scores, 0) + offset,
                    -np.inf)
    scores = np.concatenate([warm_scores, cold], 1)
    order = np.argsort(-scores, axis=1, kind='stable')[:, :k]
    found = np.take_along_axis(hits & (scores > -np.inf), order, 1)
    return (found * gain[:found.shape[1]]).sum(1) / ideal

  grid = [NEVER] + [(factor, offset) for factor in factors for offset in offsets]
  values = [value(*point).mean() for point in grid]
  best = tuple(map(float, grid[int(np.argmax(values))]))
  before, after = value(*AS_IT_IS), value(*best)
  errors = (after - before).mean() / max((after - before).std() / np.sqrt(len(before)), 1e-12)
  proven = level >= 1 or errors > statistics.NormalDist().inv_cdf(1 - level / len(grid))
  chosen = best if proven else AS_IT_IS
  return chosen, float(value(*chosen).mean()), {
    'best': best, 'best_value': float(max(values)), 'never_value': float(values[0]),
    'as_it_is_value': float(before.mean())}


def _cut(scores, hits, k):
  return np.asarray(scores, np.float64)[:, :k], np.asarray(hits, bool)[:, :k]
