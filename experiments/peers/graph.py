"""LightGCN (He et al. 2020) on the graph of users and warm items."""

import jax
import jax.numpy as jnp

from experiments.peers import training
from ganrec_jax.models.cease import densify

LIGHTGCN_SPACE = {
  'loss': ('softmax', 'bpr'),
  'layers': (2, 1, 3),
  'weight_decay': (1e-3, 1e-2),
  'learning_rate': (.01, .02),
}
_DIM, _USERS, _PAIRS, _STEPS = 64, 256, 4096, 600


def edge_weights(users, items, num_users, num_items):
  """1 / sqrt(|N_u| |N_i|) of each edge, float32 `[edges]`, for its user and its item, int32 `[edges]` each."""
  return (jnp.bincount(users, length=num_users)[users] * jnp.bincount(items, length=num_items)[items]) ** -.5


def propagate(edges, users, items, layers):
  """The mean of the embeddings and of their propagations over 1 to `layers` hops (equations 3 and 4).

  Args:
    edges: users int32 `[edges]`, items int32 `[edges]` and `edge_weights`.
    users: float32 `[users, dim]`.
    items: float32 `[items, dim]`.
    layers: hops.
  """
  row, column, weight = edges
  total = users, items
  for _ in range(layers):
    users, items = (jnp.zeros_like(users).at[row].add(weight[:, None] * items[column]),
                    jnp.zeros_like(items).at[column].add(weight[:, None] * users[row]))
    total = total[0] + users, total[1] + items
  return tuple(x / (layers + 1) for x in total)


_final = jax.jit(propagate, static_argnames='layers')


def bpr_loss(user, positive, negative):
  """-log sigmoid(user . positive - user . negative) of each row `[batch, dim]` (Rendle et al. 2009), `[batch]`."""
  return jax.nn.softplus(((negative - positive) * user).sum(1))


def _squares(*rows):
  return .5 * sum((x ** 2).sum(-1) for x in rows)


def _bpr(data, key, users, items, first_users, first_items):
  """BPR over drawn pairs; a negative that the user has does not count."""
  pair, negative = jax.random.split(key)
  row, column, _ = data['edges']
  pair = jax.random.randint(pair, (_PAIRS,), 0, len(row))
  user, item = row[pair], column[pair]
  other = jax.random.randint(negative, (_PAIRS,), 0, len(items))
  counts = ~((data['items'][user] == other[:, None]) & (data['weights'][user] > 0)).any(1)
  loss = bpr_loss(users[user], items[item], items[other])
  penalty = _squares(first_users[user], first_items[item], first_items[other])
  return (counts * (loss + data['weight_decay'] * penalty)).sum() / counts.sum()


def _softmax(data, key, users, items, first_users, first_items):
  """Cross-entropy over all warm items of the pairs of drawn users."""
  rows = jax.random.choice(key, data['users'], (_USERS,))
  x = densify(data['items'][rows], data['weights'][rows], len(items))
  loss = -(x * jax.nn.log_softmax(users[rows] @ items.T)).sum()
  penalty = (x.sum(1) * _squares(first_users[rows])).sum() + (x.sum(0) * _squares(first_items)).sum()
  return (loss + data['weight_decay'] * penalty) / x.sum()


def _step(static, state, data, key, number):
  sampled, layers = static

  def loss(params):
    return sampled(data, key, *propagate(data['edges'], *params, layers), *params)
  params, moments, value = training.adam(loss, *state, data['learning_rate'])
  return (params, moments), value


def lightgcn(problem, options, key):
  """LightGCN with embeddings of 64 and BPR or a full softmax as its loss; L2 is on the embeddings before propagation.

  Early stopping on warm validation NDCG@20, patience 5 looks of 40 steps.
  """
  start, steps = jax.random.split(key)
  items, weights = training.padded(problem)
  sizes = len(items), len(problem.prepared.warm)
  row, column = training.pairs(problem)
  edges = row, column, edge_weights(row, column, *sizes)
  data = {'edges': edges, 'items': items, 'weights': weights, 'users': training.active(problem),
          **{name: options[name] for name in ('weight_decay', 'learning_rate')}}
  params = tuple(.1 * jax.random.normal(k, (n, _DIM)) for k, n in zip(jax.random.split(start), sizes, strict=True))
  static = {'bpr': _bpr, 'softmax': _softmax}[options['loss']], options['layers']

  def assemble(state):
    return training.factors(problem, *_final(edges, *state[0], options['layers']))
  found = training.train(_step, static, (params, training.moments(params)), data, steps, assemble,
                         training.judge(problem), steps=_STEPS, chunk=40, patience=5)
  return training.score, found
