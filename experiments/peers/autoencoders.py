"""Autoencoders of a user's items: MultVAE (Liang et al. 2018) and CFGAN (Chae et al. 2018)."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp

from experiments.peers import training
from ganrec_jax.models.cease import densify
from ganrec_jax.models.profiles import ProfileVae, negative_elbo

MULTVAE_SPACE = {
  'dropout': (.5, .7, .3),
  'beta': (.3, 1., .1),
  'latent': (128, 64),
}
CFGAN_SPACE = {
  'zero_share': (.5, .1),
  'masked_share': (.1, .03),
  'zero_weight': (.03, .1, .01),
}
_HIDDEN, _BATCH, _RATE, _STEPS = 256, 128, .001, 1000
# A discriminator that learns as fast as the generator is sure at once, and training swings.
_CFGAN_STEPS, _DISCRIMINATOR_RATE = 2500, .0003


def unit_rows(x):
  """Rows of length 1; rows of zeros stay."""
  return x / jnp.maximum(jnp.linalg.norm(x, axis=1, keepdims=True), 1e-12)


def _multvae_step(static, state, data, key, number):
  model, batch = static
  chosen, drop, noise = jax.random.split(key, 3)
  rows = jax.random.choice(chosen, data['users'], (batch,))
  x = densify(data['items'][rows], data['weights'][rows], model.items)
  kept = jax.random.bernoulli(drop, 1 - data['dropout'], x.shape)
  noise = jax.random.normal(noise, (batch, model.latent))
  beta = data['beta'] * jnp.minimum(1, number / data['annealing'])

  def loss(params):
    out = model.apply({'params': params}, unit_rows(x) * kept / (1 - data['dropout']), noise)
    return negative_elbo(out[0], x, *out[1:], beta).mean()
  params, moments, value = training.adam(loss, *state, _RATE)
  return (params, moments), value


@functools.partial(jax.jit, static_argnames='model')
def _states(model, params, items, weights):
  mean, _ = model.apply({'params': params}, unit_rows(densify(items, weights, model.items)), method='encode')
  return model.apply({'params': params}, mean, method='states')


def multvae(problem, options, key):
  """MultVAE: multinomial likelihood, input dropout, and a KL weight that rises to beta over the first half of training.

  Early stopping on warm validation NDCG@20, patience 5 looks of 50 steps.
  """
  start, steps = jax.random.split(key)
  items, weights = training.padded(problem)
  model = ProfileVae(len(problem.prepared.warm), options['latent'], _HIDDEN)
  params = jax.jit(model.init)(start, jnp.zeros((1, model.items)), jnp.zeros((1, model.latent)))['params']
  data = {'items': items, 'weights': weights, 'users': training.active(problem), 'annealing': _STEPS / 2,
          **{name: options[name] for name in ('dropout', 'beta')}}

  def assemble(state):
    last = state[0]['logits']
    return training.factors(problem, _states(model, state[0], items, weights), last['kernel'].T, last['bias'])
  found = training.train(_multvae_step, (model, _BATCH), (params, training.moments(params)), data, steps, assemble,
                         training.judge(problem), steps=_STEPS, chunk=50, patience=5)
  return training.score, found


class _Generator(nn.Module):
  """Purchase vectors in (0, 1) from purchase vectors as the condition; the last layer is `logits`."""
  columns: int
  hidden: int = _HIDDEN

  def setup(self):
    self.inner = nn.Dense(self.hidden)
    self.logits = nn.Dense(self.columns)

  def states(self, x):
    return nn.sigmoid(self.inner(x))

  def __call__(self, x):
    return nn.sigmoid(self.logits(self.states(x)))


class _Discriminator(nn.Module):
  """The logit `[batch]` of a purchase vector being real, given the condition."""
  hidden: int = _HIDDEN

  @nn.compact
  def __call__(self, purchases, condition):
    x = nn.sigmoid(nn.Dense(self.hidden)(jnp.concatenate([purchases, condition], 1)))
    return nn.Dense(1)(x)[:, 0]


def zero_reconstruction(generated, chosen):
  """The sum of squares of a row's generated entries that are chosen among those not bought, mean over rows."""
  return (chosen * generated ** 2).sum(1).mean()


def _cfgan_step(static, state, data, key, number):
  """One step of the discriminator, then one of the generator, on the same rows (CFGAN_ZP)."""
  nets, (generator, discriminator) = static, state
  rows, *draws = jax.random.split(key, 3)
  x = data['matrix'][jax.random.choice(rows, data['users'], (_BATCH,))]
  # Of what a row has not, some entries should be 0, and some are seen by the discriminator besides what it has.
  zeros, masked = ((x == 0) & jax.random.bernoulli(draw, data[share], x.shape)
                   for draw, share in zip(draws, ('zero_share', 'masked_share'), strict=True))
  shown = x + masked

  def against(params):
    fake = nets[0].apply({'params': generator[0]}, x) * shown
    real, told = (nets[1].apply({'params': params}, purchases, x) for purchases in (x, fake))
    return (jax.nn.softplus(-real) + jax.nn.softplus(told)).mean()
  *discriminator, value = training.adam(against, *discriminator, _DISCRIMINATOR_RATE)

  def fooling(params):
    fake = nets[0].apply({'params': params}, x)
    told = nets[1].apply({'params': discriminator[0]}, fake * shown, x)
    # The non-saturating form: a sure discriminator would leave the generator no gradient.
    return jax.nn.softplus(-told).mean() + data['zero_weight'] * zero_reconstruction(fake, zeros)
  *generator, other = training.adam(fooling, *generator, _RATE)
  return (tuple(generator), tuple(discriminator)), value + other


def cfgan(problem, options, key):
  """CFGAN with zero reconstruction and partial masking over users' purchase vectors.

  Early stopping on warm validation NDCG@20, patience 10 looks of 50 steps.
  """
  first, second, steps = jax.random.split(key, 3)
  matrix = densify(*training.padded(problem), len(problem.prepared.warm))
  nets = _Generator(matrix.shape[1]), _Discriminator()
  generator = jax.jit(nets[0].init)(first, matrix[:1])['params']
  discriminator = jax.jit(nets[1].init)(second, matrix[:1], matrix[:1])['params']
  data = {'matrix': matrix, 'users': training.active(problem),
          **{name: options[name] for name in ('zero_share', 'masked_share', 'zero_weight')}}
  states = jax.jit(functools.partial(nets[0].apply, method='states'))

  def assemble(state):
    params = state[0][0]
    hidden, last = states({'params': params}, matrix), params['logits']
    return training.factors(problem, hidden, last['kernel'].T, last['bias'])
  state = tuple((params, training.moments(params)) for params in (generator, discriminator))
  found = training.train(_cfgan_step, nets, state, data, steps, assemble, training.judge(problem), steps=_CFGAN_STEPS,
                         chunk=50, patience=10)
  return training.score, found
