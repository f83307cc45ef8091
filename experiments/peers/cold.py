"""Peers that reach new items by their texts: a two-tower model, DropoutNet and CLCRec."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse
from sklearn.decomposition import TruncatedSVD

from experiments.peers import training
from experiments.peers.autoencoders import unit_rows
from ganrec_jax.models import als
from ganrec_jax.models.cease import densify

TWO_TOWER_SPACE = {
  'user': ('history', 'embedding'),
  'loss': ('full', 'sampled'),
  'dropout': (.2, .5),
  'weight_decay': (.1, 1.),
}
DROPOUTNET_SPACE = {
  'dropout': (.5, .3, .8),
  'hidden': (400, 200),
  'unobserved': (.05, .02, .1),
  'reg': (.02,),
}
CLCREC_SPACE = {
  'temperature': (1., .5, 2.),
  'share': (.5, .1),
  'replaced': (.3, .5),
  'weight_decay': (.03, .1),
}
_TASKS = 'warm', 'cold'
_DIM, _RATE, _CONTRAST_RATE, _STEPS = 64, .001, .003, 800
_PAIRS, _NEGATIVES, _USERS = 1024, 1024, 256


class Mlp(nn.Module):
  """Hidden layers with dropout after each, and a linear last one: `[batch, any]` to `[batch, dim]`."""
  hidden: tuple
  dim: int = _DIM
  activation: str = 'leaky_relu'

  @nn.compact
  def __call__(self, x, rate=0., key=None):
    for i, width in enumerate(self.hidden):
      x = getattr(nn, self.activation)(nn.Dense(width)(x))
      if key is not None:
        x = x * jax.random.bernoulli(jax.random.fold_in(key, i), 1 - rate, x.shape) / (1 - rate)
    return nn.Dense(self.dim)(x)


def content(problem):
  """What the peers read of the items: whitened MiniLM vectors and 128 directions of the TF-IDF rows, `[items, dim]`.

  Both are scaled to a mean square of 1 a coordinate; the directions are fitted on warm items.
  """
  terms, warm = problem.terms, problem.prepared.warm
  rows = scipy.sparse.csr_matrix((terms.weights, terms.values, terms.offsets), (len(terms), problem.num_terms))
  svd = TruncatedSVD(min(128, problem.num_terms - 1), random_state=0).fit(rows[warm])
  parts = (np.asarray(x, np.float32) for x in (problem.whitened, svd.transform(rows)))
  return jnp.asarray(np.concatenate([x / np.sqrt((x[warm] ** 2).mean()) for x in parts], 1))


def matrix(problem):
  """The training pairs as a dense matrix, float32 `[users, warm]`."""
  return densify(*training.padded(problem), len(problem.prepared.warm))


def in_batch_softmax(users, items, ids, log_chance):
  """Cross-entropy of a row's own item against all items of the batch, `[batch]` (Yi et al. 2019).

  Args:
    users: float32 `[batch, dim]`.
    items: float32 `[batch, dim]`, their items.
    ids: int `[batch]`, of the items; another row with the same item is no negative.
    log_chance: float32 `[batch]`, the log of the chance that a row holds this item, which corrects the logits.
  """
  logits = users @ items.T - log_chance
  same = (ids[:, None] == ids) & ~jnp.eye(len(ids), dtype=bool)
  logits = jnp.where(same, -jnp.inf, logits)
  return jax.nn.logsumexp(logits, axis=1) - jnp.diag(logits)


def bag(rows, vectors):
  """The sum of the vectors in each row `[batch, items]`, over the root of their number, `[batch, dim]`."""
  return rows @ vectors / jnp.sqrt(jnp.maximum(rows.sum(1, keepdims=True), 1))


def _draw_pairs(key, data, batch):
  chosen = jax.random.randint(key, (batch,), 0, len(data['pairs'][0]))
  return tuple(x[chosen] for x in data['pairs'])


def _two_tower_step(static, state, data, key, number):
  model, by_history, full = static
  chosen, drop = jax.random.split(key)
  user, item = _draw_pairs(chosen, data, _PAIRS)
  # The target is no part of the history that has to tell it.
  rows = data['matrix'][user] * (jnp.arange(data['matrix'].shape[1]) != item[:, None]) if by_history else None

  def loss(params):
    users = bag(rows, params['embedding']) if by_history else params['embedding'][user]
    vectors = model.apply({'params': params['tower']}, data['warm_content'] if full else data['warm_content'][item],
                          data['dropout'], drop)
    if full:
      return -jnp.take_along_axis(jax.nn.log_softmax(users @ vectors.T), item[:, None], 1).mean()
    return in_batch_softmax(users, vectors, item, data['log_chance'][item]).mean()
  params, moments, value = training.adam(loss, *state, _RATE, data['weight_decay'])
  return (params, moments), value


def two_tower(problem, options, key):
  """Two towers: a user's embedding, or the bag of his items' embeddings, and an MLP over an item's content.

  Softmax over all warm items, or over the batch with the logQ correction. Early stopping on the mean of warm and cold
  validation NDCG@20, patience 5 looks of 40 steps.
  """
  start, tower, steps = jax.random.split(key, 3)
  model, features, rows = Mlp((256,)), content(problem), matrix(problem)
  by_history = options['user'] == 'history'
  data = {'matrix': rows, 'pairs': training.pairs(problem), 'warm_content': features[problem.prepared.warm],
          'log_chance': jnp.log(jnp.maximum(rows.sum(0), 1) / rows.sum()),
          **{name: options[name] for name in ('dropout', 'weight_decay')}}
  params = {'embedding': jax.random.normal(start, (rows.shape[by_history], _DIM)) * _DIM ** -.5,
            'tower': jax.jit(model.init)(tower, features[:1])['params']}

  @jax.jit
  def assemble(state):
    items = model.apply({'params': state[0]['tower']}, features)
    users = bag(rows, state[0]['embedding']) if by_history else state[0]['embedding']
    return training.Factors(users, items, jnp.zeros(len(items)))
  found = training.train(_two_tower_step, (model, by_history, options['loss'] == 'full'),
                         (params, training.moments(params)), data, steps, assemble, training.judge(problem, _TASKS),
                         steps=_STEPS, chunk=40, patience=5)
  return training.score, found


def preferences(problem, options, key):
  """iALS factors of users `[users, dim]` and warm items `[warm, dim]`, scaled to a mean square of 1 a coordinate."""
  config = als.AlsConfig(dim=_DIM, unobserved=options['unobserved'], reg=options['reg'], kappa=0.)
  fitted = als.fit(problem.prepared.histories, len(problem.warm), problem.prepared.warm, None, config, key)
  return tuple(x / jnp.sqrt((x ** 2).mean()) for x in (fitted.users, fitted.items[problem.prepared.warm]))


def _dropoutnet_step(static, state, data, key, number):
  chosen, drop = jax.random.split(key)
  rows = jax.random.choice(chosen, data['users'], (_USERS,))
  users, items = data['factors']
  kept = jax.random.bernoulli(drop, 1 - data['dropout'], (len(items), 1))
  target = users[rows] @ items.T / _DIM ** .5

  def loss(params):
    found = [static.apply({'params': params[side]}, x) for side, x in (
      ('user', users[rows]), ('item', jnp.concatenate([items * kept, data['warm_content']], 1)))]
    return jnp.square(found[0] @ found[1].T / _DIM ** .5 - target).mean()
  params, moments, value = training.adam(loss, *state, _RATE)
  return (params, moments), value


def dropoutnet(problem, options, key):
  """DropoutNet: towers over iALS factors and content reproduce the factors' products, items' factors often missing.

  A step sees all warm items for `_USERS` users; a missing factor is 0, as a cold item's is. Early stopping on the
  mean of warm and cold validation NDCG@20, patience 5 looks of 40 steps.
  """
  first, user, item, steps = jax.random.split(key, 4)
  model, features, warm = Mlp((options['hidden'],), activation='tanh'), content(problem), problem.prepared.warm
  users, items = preferences(problem, options, first)
  inputs = jnp.concatenate([jnp.zeros((len(features), _DIM)).at[warm].set(items), features], 1)
  init = jax.jit(model.init)
  params = {'user': init(user, users[:1])['params'], 'item': init(item, inputs[:1])['params']}
  data = {'factors': (users, items), 'warm_content': features[warm], 'users': training.active(problem),
          'dropout': options['dropout']}

  @jax.jit
  def assemble(state):
    found = [model.apply({'params': state[0][side]}, x) for side, x in (('user', users), ('item', inputs))]
    return training.Factors(*found, jnp.zeros(len(inputs)))
  found = training.train(_dropoutnet_step, model, (params, training.moments(params)), data, steps, assemble,
                         training.judge(problem, _TASKS), steps=_STEPS, chunk=40, patience=5)
  return training.score, found


def contrastive_loss(anchors, own, others, temperature):
  """-log exp(a.p / t) / (exp(a.p / t) + sum_n exp(a.n / t)) of each anchor, `[batch]` (Wei et al. 2021).

  Args:
    anchors: float32 `[batch, dim]`.
    own: float32 `[batch, dim]`, the positives p.
    others: float32 `[negatives, dim]`, the negatives n, shared by the batch.
    temperature: t.
  """
  positive = (anchors * own).sum(1, keepdims=True) / temperature
  logits = jnp.concatenate([positive, anchors @ others.T / temperature], 1)
  return jax.nn.logsumexp(logits, axis=1) - positive[:, 0]


def _clcrec_step(static, state, data, key, number):
  chosen, negative, replace = jax.random.split(key, 3)
  user, item = _draw_pairs(chosen, data, _PAIRS)
  count = data['warm_content'].shape[0]
  items = jnp.concatenate([item, jax.random.choice(negative, count, (min(_NEGATIVES, count),), replace=False)])
  replaced = jax.random.bernoulli(replace, data['replaced'], (len(items), 1))

  def loss(params):
    users, own = params['users'][user], params['items'][items]
    told = static.apply({'params': params['encoder']}, data['warm_content'][items])
    mixed = jnp.where(replaced, told, own)
    by_item = contrastive_loss(unit_rows(own[:_PAIRS]), *jnp.split(unit_rows(told), [_PAIRS]), data['temperature'])
    by_user = contrastive_loss(users, *jnp.split(mixed, [_PAIRS]), data['temperature'])
    norms = .5 * (jnp.linalg.norm(users, axis=1).mean() + jnp.linalg.norm(own, axis=1).mean())
    return (data['share'] * by_item + (1 - data['share']) * by_user).mean() + data['weight_decay'] * norms
  params, moments, value = training.adam(loss, *state, _CONTRAST_RATE)
  return (params, moments), value


def clcrec(problem, options, key):
  """CLCRec: contrasts of users with items and of items' embeddings with their encoded content.

  In the first an item's embedding is replaced by its content at random; negatives are shared by a batch. Warm items
  score by their embedding, cold ones by their content. Early stopping on the mean of warm and cold validation
  NDCG@20, patience 5 looks of 40 steps.
  """
  keys = jax.random.split(key, 4)
  model, features, warm = Mlp((256,)), content(problem), problem.prepared.warm
  params = {name: jax.random.normal(k, (n, _DIM)) * .1
            for name, k, n in (('users', keys[0], len(problem.prepared.histories)), ('items', keys[1], len(warm)))}
  params['encoder'] = jax.jit(model.init)(keys[2], features[:1])['params']
  data = {'pairs': training.pairs(problem), 'warm_content': features[warm],
          **{name: options[name] for name in ('temperature', 'share', 'replaced', 'weight_decay')}}

  @jax.jit
  def assemble(state):
    told = model.apply({'params': state[0]['encoder']}, features)
    return training.Factors(state[0]['users'], told.at[warm].set(state[0]['items']), jnp.zeros(len(told)))
  found = training.train(_clcrec_step, model, (params, training.moments(params)), data, keys[3], assemble,
                         training.judge(problem, _TASKS), steps=_STEPS, chunk=40, patience=5)
  return training.score, found
