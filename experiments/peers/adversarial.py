"""GAR (Chen et al. 2022): a generator of embeddings from content, against a recommender as its discriminator."""

import jax
import jax.numpy as jnp
import optax

from experiments.peers import training
from experiments.peers.cold import Mlp, content, preferences

GAR_SPACE = {
  'similarity': (.9, .5, .2),
  'coupling': (.9, .5, .99),
  'weight_decay': (1e-4, 1e-5),
  'unobserved': (.05,),
  'reg': (.02,),
}
_PAIRS, _RATE, _STEPS = 1024, .001, 1200
_DISCRIMINATOR_DROPOUT, _GENERATOR_DROPOUT = .5, .1
_GENERATOR, _TOWER = Mlp((200,), activation='tanh'), Mlp((200,), 200, 'tanh')


def discriminator_loss(real, fake, negative, coupling):
  """-log sigmoid(real - (1 - b) fake - b negative) of the scores `[batch]` of one user's items, `[batch]`.

  The recommender sets what a user has above what is generated for it and above what he has not; `coupling` is b.
  """
  return jax.nn.softplus((1 - coupling) * fake + coupling * negative - real)


def generator_loss(real, fake, embeddings, generated, similarity):
  """(1 - a) -log sigmoid(fake - real), scores `[batch]`, plus a |generated - embeddings|, `[batch, dim]`; `[batch]`."""
  return ((1 - similarity) * jax.nn.softplus(real - fake)
          + similarity * jnp.abs(generated - embeddings).mean(1))


def _penalty(params, weight):
  return .5 * weight * optax.tree.norm(jax.tree.map(lambda x: x * (x.ndim == 2), params), squared=True)


def _judged(params, users, items, rate=0., key=None):
  """The recommender's scores of pairs of embeddings `[batch, dim]`, `[batch]`."""
  drops = (None, None) if key is None else jax.random.split(key)
  found = [_TOWER.apply({'params': params[side]}, x, rate, drop)
           for side, x, drop in zip(('user', 'item'), (users, items), drops, strict=True)]
  return (found[0] * found[1]).sum(1)


def _step(static, state, data, key, number):
  generator, discriminator = state
  chosen, negative, *drops = jax.random.split(key, 6)
  users, items = data['factors']
  pair = jax.random.randint(chosen, (_PAIRS,), 0, len(data['pairs'][0]))
  row, column = (x[pair] for x in data['pairs'])
  user, real, told = users[row], items[column], data['warm_content'][column]
  others = items[jax.random.randint(negative, (_PAIRS,), 0, len(items))]

  def against(params):
    fake = _GENERATOR.apply({'params': generator[0]}, told)
    scores = [_judged(params, user, x, _DISCRIMINATOR_DROPOUT, drop)
              for x, drop in zip((real, fake, others), drops, strict=False)]
    return discriminator_loss(*scores, data['coupling']).mean() + _penalty(params, data['weight_decay'])
  *discriminator, value = training.adam(against, *discriminator, _RATE)

  def fooling(params):
    fake = _GENERATOR.apply({'params': params}, told, _GENERATOR_DROPOUT, drops[3])
    scores = [_judged(discriminator[0], user, x) for x in (real, fake)]
    return (generator_loss(*scores, real, fake, data['similarity']).mean() + _penalty(params, data['weight_decay']))
  *generator, other = training.adam(fooling, *generator, _RATE)
  return (tuple(generator), tuple(discriminator)), value + other


def gar(problem, options, key):
  """GAR on iALS factors: one step of the recommender, one of the generator, in turn.

  Warm items keep their factors, cold ones get the generator's; the recommender's towers score both. Early stopping on
  the mean of warm and cold validation NDCG@20, patience 8 looks of 40 steps.
  """
  first, start, user, item, steps = jax.random.split(key, 5)
  features, warm = content(problem), problem.prepared.warm
  users, items = preferences(problem, options, first)
  generator = jax.jit(_GENERATOR.init)(start, features[:1])['params']
  init = jax.jit(_TOWER.init)
  discriminator = {'user': init(user, users[:1])['params'], 'item': init(item, items[:1])['params']}
  data = {'factors': (users, items), 'pairs': training.pairs(problem), 'warm_content': features[warm],
          **{name: options[name] for name in ('similarity', 'coupling', 'weight_decay')}}

  @jax.jit
  def assemble(state):
    generator, discriminator = (part[0] for part in state)
    embeddings = _GENERATOR.apply({'params': generator}, features).at[warm].set(items)
    return training.Factors(_TOWER.apply({'params': discriminator['user']}, users),
                            _TOWER.apply({'params': discriminator['item']}, embeddings), jnp.zeros(len(features)))
  state = tuple((params, training.moments(params)) for params in (generator, discriminator))
  found = training.train(_step, None, state, data, steps, assemble, training.judge(problem, ('warm', 'cold')),
                         steps=_STEPS, chunk=40, patience=8)
  return training.score, found
