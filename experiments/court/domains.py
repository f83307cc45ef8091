"""Domain-adversarial training (Ganin et al. 2016): features of texts from which warm and cold items look alike."""

import flax.struct
import jax
import jax.numpy as jnp
import optax

from experiments.court import case as court
from experiments.court import vat
from experiments.peers.cold import Mlp
from ganrec_jax.adversarial.losses import LOSSES, r1_r2
from ganrec_jax.training.update import gradient_update

FEATURES, _HIDDEN, _BATCH, _STEPS = 64, (128,), 256, 600
# A judge that learns slowly or has no penalty is outrun, and features go in circles: warm and cold stay as far apart
# as they were.
_RATE, _JUDGE_RATE, _JUDGE_STEPS, _PENALTY = 5e-4, 5e-3, 3, .1
_WEIGHT = 1.


@flax.struct.dataclass
class State:
  """All that a step changes: features with the head that predicts, and the judge of warm and cold."""
  players: dict
  judge: dict
  players_opt: tuple
  judge_opt: tuple


def networks(width):
  """Features of a text, the head that predicts `width` targets from them, and the judge of features."""
  return Mlp(_HIDDEN, FEATURES), Mlp((), width), Mlp((64,), 1)


def init(texts, width, key):
  """The first `State`."""
  features, head, judge = networks(width)
  keys, code = jax.random.split(key, 3), jnp.zeros((1, FEATURES))
  players = {'features': features.init(keys[0], texts[:1]), 'head': head.init(keys[1], code)}
  first = judge.init(keys[2], code)
  return State(players, first, *(optimizer.init(one) for optimizer, one in zip(_optimizers(), (players, first),
                                                                               strict=True)))


def _optimizers():
  return optax.adam(_RATE, 0.), optax.adam(_JUDGE_RATE, 0.)


def unit_deviation(warm, cold):
  """Both sets of features `[batch, dim]` over their common standard deviation, so that shrinking hides nothing."""
  both = jnp.concatenate([warm, cold])
  deviation = jnp.sqrt(jnp.square(both - both.mean(0)).mean())
  return warm / deviation, cold / deviation


def make_step(width, weight):
  """Makes `step(state, batch, axis=None) -> (state, metrics)`: the judge learns warm from cold, then features and head.

  The features descend the squared error of warm items less `weight` times the judge's cross-entropy, which is what a
  reversed gradient does; 0 leaves the judge out.
  """
  features, head, judge = networks(width)
  loss = LOSSES['cross_entropy']

  def seen(players, batch):
    return unit_deviation(*(features.apply(players['features'], batch[name]) for name in ('text', 'cold_text')))

  def told(params, x):
    return judge.apply(params, x)[:, 0]

  def against(params, players, batch):
    warm, cold = jax.lax.stop_gradient(seen(players, batch))
    slopes = r1_r2(lambda x: told(params, x), lambda x: told(params, x), warm, cold, None, batch['weight'])
    return loss.d_loss(told(params, warm), told(params, cold), batch['weight']) + _PENALTY * slopes, {}

  def objective(players, params, batch):
    made = head.apply(players['head'], features.apply(players['features'], batch['text']))
    error = (batch['weight'] * jnp.square(made - batch['x']).mean(1)).mean()
    judged = loss.d_loss(*(told(params, x) for x in seen(players, batch)), batch['weight']) if weight else 0.
    return error - weight * judged, {'error': error}

  update, update_judge = (gradient_update(*pair) for pair in zip((objective, against), _optimizers(), strict=True))

  def step(state, batch, axis=None):
    params, judge_opt = state.judge, state.judge_opt
    if weight:
      (params, judge_opt), _ = jax.lax.scan(
        lambda carry, _: (update_judge(*carry, state.players, batch, axis=axis)[:2], None), (params, judge_opt), None,
        length=_JUDGE_STEPS)
    players, opt, metrics = update(state.players, state.players_opt, params, batch, axis=axis)
    return State(players, params, opt, judge_opt), metrics

  return step


def sample(key, data):
  """A batch of warm items with their targets, and one of cold items, of which nothing but the text is read."""
  chosen, others = jax.random.split(key)
  rows = jax.random.randint(chosen, (_BATCH,), 0, len(data['x']))
  cold = data['cold'][jax.random.randint(others, (_BATCH,), 0, len(data['cold']))]
  return {'x': data['x'][rows], 'text': data['texts'][data['warm'][rows]], 'cold_text': data['texts'][cold],
          'weight': jnp.ones(_BATCH)}


def fit(case, seed, adversarial):
  """Item vectors: what texts predict plus the correction from aligned features."""
  name = 'aligned' if adversarial else 'not aligned'
  keys, (data, scale) = jax.random.split(court.key_of(name, seed)), vat.learned(case)
  width, data = data['x'].shape[1], data | {'cold': jnp.flatnonzero(jnp.asarray(case.data.cold))}
  found, report = court.trained(
    case, name, make_step(width, _WEIGHT * adversarial), sample, init(data['texts'], width, keys[0]), data, keys[1],
    _STEPS, keep=lambda state: state.players)
  if found is None:
    return court.nothing(case, 'vectors', report)
  features, head, _ = networks(width)
  made = head.apply(found['head'], features.apply(found['features'], data['texts']))
  return vat.corrected(case, scale * made, report)
