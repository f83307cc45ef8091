"""The step of `ganrec_jax.profiles.game` once more in eager torch, the form most GAN code has.

The relativistic loss with R1 and R2: an update of the critic of whole profiles, then one of the decoder. It starts from
the parameters of the JAX state, so that both can be held against each other step by step; for the race it draws its own
batches, as the JAX step does.
"""

import jax
import jax.numpy as jnp
import numpy as np
import torch
from torch.nn import functional as F

from experiments.torch_step import leaves, tensors
from ganrec_jax.data.ragged import group
from ganrec_jax.models.mixture import Mixture
from ganrec_jax.models.profiles import ProfileVae
from ganrec_jax.profiles import game, likelihood


def world(config, users, columns, length, seed):
  """Random profiles of `length` items on average, and random parameters of that size: what a game begins with.

  Returns:
    (profiles, parameters of a `ProfileVae`, item vectors, `Prior`).
  """
  rng = np.random.default_rng(seed)
  lengths = np.clip(rng.poisson(length, users), 1, columns // 2)
  values = np.concatenate([rng.choice(columns, many, replace=False) for many in lengths])
  params = ProfileVae(columns, config.latent, config.hidden).init(
    jax.random.key(seed), jnp.zeros((1, columns)), jnp.zeros((1, config.latent)))
  vectors = rng.standard_normal((columns, 64)).astype(np.float32)
  draw = lambda *shape: jnp.asarray(rng.standard_normal(shape), jnp.float32)  # noqa: E731
  share = jnp.linspace(0, 1, 256)
  size = config.components, config.latent + 1
  normals = Mixture(jnp.full(size[0], -jnp.log(size[0])), draw(*size), jnp.ones(size))
  prior = likelihood.Prior(normals, jnp.zeros(config.latent), jnp.eye(config.latent), 6 * share - 3,
                           jnp.quantile(jnp.asarray(lengths, jnp.float32), share))
  return (group(np.repeat(np.arange(users), lengths), values, users), params,
          jnp.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True)), prior)


def _dense(p, x):
  return x @ p['kernel'] + p['bias']


def _norm(tree):
  return torch.sqrt(sum(leaf.square().sum() for leaf in tree))


class Step:
  """`step(batch) -> metrics`, changing its own state.

  Args:
    config: `ProfileConfig` with the loss relativistic and the penalty r1_r2.
    state: the `GameState` to start from.
    encoder: the frozen part of the `ProfileVae`.
    vectors: collaborative item vectors `[columns, dim]`, rows of length 1.
  """

  def __init__(self, config, state, encoder, vectors):
    self._config, self._vectors = config, torch.tensor(np.asarray(vectors))
    self._decoder, self._critic, self._encoder = tensors(state.decoder), tensors(state.critic), tensors(encoder)
    self._g_optimizer = torch.optim.Adam(leaves(self._decoder), config.g_rate, (.5, .9))
    self._d_optimizer = torch.optim.Adam(leaves(self._critic), config.d_rate, (0., .9))

  def __call__(self, batch):
    first, second = ({name: leaf[:, draw] for name, leaf in batch.items() if name != 'weight'} for draw in range(2))
    return self._d_step(first) | self._g_step(second)

  def _score(self, x):
    p = self._critic['params']
    length = x.sum(1, keepdim=True)
    means = 3 * x @ torch.cat([self._vectors, p['items']], 1) / torch.sqrt(length + 1)
    state = torch.cat([means, torch.log1p(length) - 3], 1)
    for layer in ('Dense_0', 'Dense_1'):
      state = F.leaky_relu(_dense(p[layer], state), .2)
    return _dense(p['Dense_2'], state)[:, 0]

  def _decode(self, z):
    return _dense(self._decoder['logits'], torch.tanh(_dense(self._decoder['outer'], z)))

  def _densify(self, items, there):
    return torch.zeros(len(items), len(self._vectors)).scatter_add_(1, items.long(), there)

  def _fakes(self, part):
    scaled = self._decode(part['z']) / self._config.temperature
    scores, number = scaled.detach() + part['gumbel'], part['number'].long()
    least = scores.topk(int(number.max()), 1).values.gather(1, number[:, None] - 1)
    soft = torch.clamp(part['number'][:, None] * torch.softmax(scaled, 1), max=1)
    return (soft + ((scores >= least) * 1. - soft).detach()) * part['fake_keep']

  def _reals(self, part):
    return self._densify(part['items'], part['there'] * part['real_keep'])

  def _d_step(self, part):
    with torch.no_grad():
      fake = self._fakes(part)
    real, fake = self._reals(part).requires_grad_(), fake.requires_grad_()
    scores = [self._score(x) for x in (real, fake)]
    slopes = sum(torch.autograd.grad(score.sum(), x, create_graph=True)[0].square().sum(1).mean()
                 for score, x in zip(scores, (real, fake), strict=True))
    loss = F.softplus(scores[1] - scores[0]).mean()
    self._d_optimizer.zero_grad()
    (loss + self._config.penalty_weight * slopes).backward()
    self._d_optimizer.step()
    return {'d_adversarial': loss.item(), 'd_penalty': slopes.item()}

  def _g_step(self, part):
    x = self._densify(part['items'], part['there'])
    with torch.no_grad():
      code = _dense(self._encoder['code'], torch.tanh(_dense(self._encoder['inner'], F.normalize(x))))
      mean, log_variance = code.chunk(2, 1)
      z = mean + torch.exp(log_variance / 2) * part['noise']
    nll = -(x * torch.log_softmax(self._decode(z), 1)).sum(1).mean()
    against = F.softplus(self._score(self._reals(part)).detach() - self._score(self._fakes(part))).mean()
    tree = leaves(self._decoder)
    pull, push = (torch.autograd.grad(loss, tree) for loss in (nll, against))
    last = [place for place, leaf in enumerate(tree) if any(leaf is one for one in self._decoder['logits'].values())]
    ratio = _norm([pull[place] for place in last]) / _norm([push[place] for place in last])
    share = self._config.adversarial_share
    for leaf, a, b in zip(tree, pull, push, strict=True):
      leaf.grad = (1 - share) * a + share * ratio * b
    self._g_optimizer.step()
    return {'g_nll': nll.item(), 'g_adversarial': against.item(), 'g_ratio': ratio.item()}


def apart(config, state, encoder, vectors, batches):
  """How far the metrics of both steps are apart on `batches` of `game.make_sample`: the largest relative difference."""
  ours, theirs = jax.jit(game.make_step(config, len(vectors), encoder, vectors)), Step(config, state, encoder, vectors)
  largest = 0.
  for batch in batches:
    state, mine = ours(state, batch)
    found = theirs({name: torch.tensor(np.asarray(leaf)) for name, leaf in jax.device_get(batch).items()})
    largest = max(largest, *(abs(float(mine[name]) / value - 1) for name, value in found.items()))
  return largest


class Sampler:
  """`sample() -> batch`, by torch's own random numbers, see `game.make_sample`."""

  def __init__(self, config, profiles, columns, prior):
    self._config, self._columns, self._length = config, columns, int(profiles.lengths.max())
    self._offsets, self._lengths = (torch.tensor(rows) for rows in (profiles.offsets[:-1], profiles.lengths))
    self._values = torch.tensor(profiles.values.astype(np.int64))
    of = prior.mixture
    self._weights, self._mean, self._scale, self._shift, self._turn = (
      torch.tensor(np.asarray(leaf)) for leaf in (np.exp(of.log_weight), of.mean, np.sqrt(of.variance), prior.shift,
                                                  prior.turn))
    self._knots, self._real_lengths = np.asarray(prior.knots), np.asarray(prior.lengths)

  def __call__(self):
    draws = (self._config.batch, 2)
    rows = torch.randint(len(self._lengths), (draws[0] * 2,))
    there = torch.arange(self._length) < self._lengths[rows][:, None]
    items = self._values[torch.where(there, self._offsets[rows][:, None] + torch.arange(self._length), 0)]
    component = torch.multinomial(self._weights, draws[0] * 2, True)
    x = self._mean[component] + self._scale[component] * torch.randn(draws[0] * 2, self._mean.shape[1])
    number = np.interp(x[:, -1].numpy(), self._knots, self._real_lengths).round().astype(np.float32)
    return {'items': torch.where(there, items, 0).reshape(*draws, -1), 'there': (there * 1.).reshape(*draws, -1),
            'z': (self._shift + x[:, :-1] @ self._turn).reshape(*draws, -1),
            'number': torch.tensor(number).reshape(draws),
            'gumbel': -torch.log(-torch.log(torch.rand(*draws, self._columns).clamp(1e-20, 1 - 1e-7))),
            'real_keep': self._keep(self._length), 'fake_keep': self._keep(self._columns),
            'noise': torch.randn(*draws, self._config.latent)}

  def _keep(self, width):
    draws = (self._config.batch, 2)
    return torch.rand(*draws, width) >= self._config.thinning * torch.rand(*draws, 1)
