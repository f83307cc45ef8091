"""The adversarial step of `torch_step.py` in the form that torch.compile takes whole, penalty and updates included.

torch.compile has no second derivative of what it compiled ("torch.compile with aot_autograd does not currently support
double backward"), so R1 and R2 cannot be had by compiling the modules. Here all derivatives are taken by `torch.func`
within the compiled function: the compiler sees one graph without autograd, which Inductor fuses.
"""

import torch
from torch.nn import functional as F
from torch.utils import _pytree as pytree

from experiments.torch_step import discriminator, generator, tensors

_DECAYS = .5, .99


def _adam(params, grads, first, second, count, rate):
  """Adam (Kingma and Ba 2015) on trees of tensors; returns new trees."""
  first = pytree.tree_map(lambda m, g: m + (1 - _DECAYS[0]) * (g - m), first, grads)
  second = pytree.tree_map(lambda v, g: v + (1 - _DECAYS[1]) * (g * g - v), second, grads)
  scale = [1 - decay ** count for decay in _DECAYS]
  params = pytree.tree_map(lambda p, m, v: p - rate * (m / scale[0]) / (torch.sqrt(v / scale[1]) + 1e-8), params, first,
                           second)
  return params, first, second


class Step:
  """`step(batch) -> metrics`, changing its own state; arguments as for `torch_step.Step`."""

  def __init__(self, config, state, vectors, texts):
    self._config = config
    plain = lambda tree: pytree.tree_map(lambda leaf: leaf.detach(), tensors(tree))  # noqa: E731
    zeros = lambda tree: pytree.tree_map(torch.zeros_like, tree)  # noqa: E731
    self._g, self._d, self._average = plain(state.generator), plain(state.discriminator), plain(state.generator)
    self._g_moments, self._d_moments = ([zeros(tree), zeros(tree)] for tree in (self._g, self._d))
    self._counts = [torch.tensor(0.), torch.tensor(0.)]
    self._vectors, self._texts = torch.tensor(vectors), torch.tensor(texts)
    self._d_step, self._g_step = (torch.compile(step, fullgraph=True) for step in (self._plain_d, self._plain_g))

  def __call__(self, batch):
    draws = [{name: leaf[:, draw] for name, leaf in batch.items() if name not in ('weight', 'mix')}
             for draw in range(self._config.d_steps + 1)]
    found = []
    with torch.no_grad():
      for part in draws[:-1]:
        self._counts[0] += 1
        self._d, *self._d_moments, loss = self._d_step(self._d, *self._d_moments, self._counts[0], self._g, part)
        found.append(loss.item())
      self._counts[1] += 1
      self._g, *self._g_moments, self._average, loss = self._g_step(self._g, *self._g_moments, self._counts[1],
                                                                    self._average, self._d, draws[-1])
      return {'d_adversarial': sum(found) / len(found), 'g_adversarial': loss.item()}

  def _light(self, fake):
    return self._texts[torch.cdist(fake[:, :self._vectors.shape[1]], self._vectors).argmin(1)]

  def _plain_d(self, d, first, second, count, g, part):
    heads, user = self._config.heads, part['condition']
    fake = generator(g, part['z'], user, heads)
    light, fake, real = self._light(fake), fake + part['fake_noise'][:, 0], part['x'] + part['real_noise']

    def objective(d):
      scored = []
      for x, text in ((real, part['text']), (fake, light)):
        def total(x, text=text):
          score = discriminator(d, x, user, text, heads)
          return score.sum(), score
        scored.append(torch.func.grad(total, has_aux=True)(x))
      (slope, score), (fake_slope, fake_score) = scored
      adversarial = (F.softplus(-score) + F.softplus(fake_score)).mean()
      penalty = slope.square().sum(-1).mean() + fake_slope.square().sum(-1).mean()
      return adversarial + self._config.penalty_weight * penalty, adversarial

    grads, adversarial = torch.func.grad(objective, has_aux=True)(d)
    return *_adam(d, grads, first, second, count, self._config.d_rate), adversarial

  def _plain_g(self, g, first, second, count, average, d, part):
    heads, user = self._config.heads, part['condition']

    def objective(g):
      fake = generator(g, part['z'], user, heads)
      supervised = (fake - part['x']).square().mean()
      score = discriminator(d, fake + part['fake_noise'][:, 0], user, self._light(fake.detach()), heads)
      adversarial = F.softplus(-score).mean()
      return self._config.adversarial_weight * adversarial + self._config.supervised_weight * supervised, adversarial

    grads, adversarial = torch.func.grad(objective, has_aux=True)(g)
    g, first, second = _adam(g, grads, first, second, count, self._config.g_rate)
    decay = torch.clamp(count / (9 + count), max=self._config.average)
    average = pytree.tree_map(lambda mean, leaf: mean + (1 - decay) * (leaf - mean), average, g)
    return g, first, second, average, adversarial
