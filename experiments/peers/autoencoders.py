"""Autoencoders of a user's items: MultVAE (Liang et al. 2018) and CFGAN (Chae et al. 2018)."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp

from experiments.peers import training
from ganrec_jax.models.cease import densify

MULTVAE_SPACE = {
  'dropout': (.3, .5, .7),
  'beta': (.1, .3, 1.),
  'latent': (64, 128),
  'learning_rate': (.001, .003),
}
_HIDDEN, _BATCH, _STEPS = 256, 128, 1000


class MultVae(nn.Module):
  """The variational autoencoder n - hidden - latent - hidden - n of tanh layers; its last layer is `logits`."""
  items: int
  latent: int
  hidden: int = _HIDDEN

  def setup(self):
    self.inner = nn.Dense(self.hidden)
    self.code = nn.Dense(2 * self.latent)
    self.outer = nn.Dense(self.hidden)
    self.logits = nn.Dense(self.items)

  def encode(self, x):
    """Mean and log-variance `[batch, latent]` of q(z | x) for rows `x [batch, items]`."""
    return jnp.split(self.code(nn.tanh(self.inner(x))), 2, axis=-1)

  def decode(self, z):
    """The last hidden layer `[batch, hidden]`."""
    return nn.tanh(self.outer(z))

  def __call__(self, x, noise):
    mean, log_variance = self.encode(x)
    return self.logits(self.decode(mean + jnp.exp(log_variance / 2) * noise)), mean, log_variance

  def states(self, x):
    """The last hidden layer at the mean of q(z | x)."""
    return self.decode(self.encode(x)[0])


def unit_rows(x):
  """Rows of length 1; rows of zeros stay."""
  return x / jnp.maximum(jnp.linalg.norm(x, axis=1, keepdims=True), 1e-12)


def negative_elbo(logits, x, mean, log_variance, beta):
  """Minus sum_i x_i log softmax(logits)_i plus beta KL(q(z | x) || N(0, I)), mean over rows (equations 2 and 7)."""
  likelihood = (x * jax.nn.log_softmax(logits)).sum(1)
  divergence = .5 * (mean ** 2 + jnp.exp(log_variance) - 1 - log_variance).sum(1)
  return (beta * divergence - likelihood).mean()


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
    return negative_elbo(out[0], x, *out[1:], beta)
  params, moments, value = training.adam(loss, *state, data['learning_rate'])
  return (params, moments), value


@functools.partial(jax.jit, static_argnames='model')
def _states(model, params, items, weights):
  return model.apply({'params': params}, unit_rows(densify(items, weights, model.items)), method='states')


def multvae(problem, options, key):
  """MultVAE: multinomial likelihood, input dropout, and a KL weight that rises to beta over the first half of training.

  Early stopping on warm validation NDCG@20, patience 5 looks of 50 steps.
  """
  start, steps = jax.random.split(key)
  items, weights = training.padded(problem)
  model = MultVae(len(problem.prepared.warm), options['latent'])
  params = jax.jit(model.init)(start, jnp.zeros((1, model.items)), jnp.zeros((1, model.latent)))['params']
  data = {'items': items, 'weights': weights, 'users': training.active(problem), 'annealing': _STEPS / 2,
          **{name: options[name] for name in ('dropout', 'beta', 'learning_rate')}}

  def assemble(state):
    last = state[0]['logits']
    return training.factors(problem, _states(model, state[0], items, weights), last['kernel'].T, last['bias'])
  found = training.train(_multvae_step, (model, _BATCH), (params, training.moments(params)), data, steps, assemble,
                         training.judge(problem), steps=_STEPS, chunk=50, patience=5)
  return training.score, found
