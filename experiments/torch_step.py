"""The adversarial step of `ganrec_jax.adversarial.step` once more in eager torch, the form most GAN code has.

Cross-entropy with R1 and R2, for the design 'interaction' and one sample a draw. It starts from the parameters of the
JAX state, so that both can be held against each other step by step.
"""

import numpy as np
import torch
from torch.nn import functional as F


def tensors(tree):
  """A pytree of dicts as torch tensors that ask for gradients."""
  if isinstance(tree, dict):
    return {name: tensors(leaf) for name, leaf in tree.items()}
  return torch.tensor(np.asarray(tree)).requires_grad_()


def leaves(tree):
  """The tensors of a tree of dicts."""
  return [leaf for part in tree.values() for leaf in (leaves(part) if isinstance(part, dict) else [part])]


def _dense(p, x):
  return x @ p['kernel'] + p['bias']


def _norm(p, x):
  return F.layer_norm(x, x.shape[-1:], p['scale'], p['bias'], 1e-6)


def _attention(p, x, heads):
  batch, length, dim = x.shape
  query, key, value = _dense(p['qkv'], x).reshape(batch, length, 3, heads, dim // heads).permute(2, 0, 3, 1, 4)
  # The fused kernel has no second derivative, which the penalty needs.
  weights = torch.softmax(query @ key.transpose(-1, -2) * (dim // heads) ** -.5, -1)
  return _dense(p['out'], (weights @ value).transpose(1, 2).reshape(batch, length, dim))


def _encoder(p, x, heads):
  for i in range(sum(name.startswith('block_') for name in p)):
    block = p[f'block_{i}']
    x = x + _attention(block['attention'], _norm(block['attention_norm'], x), heads)
    x = x + _dense(block['feed']['down'], F.gelu(_dense(block['feed']['up'], _norm(block['feed_norm'], x))))
  return _norm(p['norm'], x)


def generator(p, z, condition, heads):
  """G(z, u): vectors followed by the strength, `[batch, width + 1]`."""
  p = p['params']
  tokens = torch.cat([_dense(p['encode_noise'], z)[:, None], _dense(p['encode_condition'], condition)], 1)
  read = _encoder(p['encoder'], tokens + p['position'], heads)[:, 0]
  return torch.cat([_dense(p['vector'], read), _dense(p['strength'], read)], -1)


def discriminator(p, x, user, text, heads):
  """D's logits `[batch]`."""
  p = p['params']
  tokens = torch.cat([_dense(p['encode_sample'], x)[:, None], _dense(p['encode_user'], user),
                      _dense(p['encode_text'], text)[:, None]], 1)
  return _dense(p['logit'], _encoder(p['encoder'], tokens + p['position'], heads)[:, 0])[:, 0]


class Step:
  """`step(batch) -> metrics`, changing its own state.

  Args:
    config: `AdversarialConfig`.
    state: the `GanState` to start from.
    vectors, texts: of the training items, as for `make_step`.
  """

  def __init__(self, config, state, vectors, texts):
    self._config, self._g, self._d = config, tensors(state.generator), tensors(state.discriminator)
    self._average, self._steps = [leaf.detach().clone() for leaf in leaves(self._g)], 0
    self._vectors, self._texts = torch.tensor(np.asarray(vectors)), torch.tensor(np.asarray(texts))
    self._g_optimizer = torch.optim.Adam(leaves(self._g), config.g_rate, (.5, .99))
    self._d_optimizer = torch.optim.Adam(leaves(self._d), config.d_rate, (.5, .99))

  def __call__(self, batch):
    found = [self._d_step({name: leaf[:, draw] for name, leaf in batch.items() if name != 'weight'})
             for draw in range(self._config.d_steps)]
    part = {name: leaf[:, -1] for name, leaf in batch.items() if name != 'weight'}
    fake = generator(self._g, part['z'], part['condition'], self._config.heads)
    supervised = (fake - part['x']).square().mean()
    adversarial = F.softplus(-self._judge(fake + part['fake_noise'][:, 0], part, self._light(fake))).mean()
    loss = self._config.adversarial_weight * adversarial + self._config.supervised_weight * supervised
    self._g_optimizer.zero_grad()
    loss.backward()
    self._g_optimizer.step()
    decay = min(self._config.average, (1 + self._steps) / (10 + self._steps))
    with torch.no_grad():
      for mean, leaf in zip(self._average, leaves(self._g), strict=True):
        mean.lerp_(leaf, 1 - decay)
    self._steps += 1
    return {'d_adversarial': sum(found) / len(found), 'g_adversarial': adversarial.item()}

  def _judge(self, x, part, text):
    return discriminator(self._d, x, part['condition'], text, self._config.heads)

  def _light(self, fake):
    with torch.no_grad():
      return self._texts[torch.cdist(fake[:, :self._vectors.shape[1]], self._vectors).argmin(1)]

  def _d_step(self, part):
    with torch.no_grad():
      fake = generator(self._g, part['z'], part['condition'], self._config.heads)
      light, fake = self._light(fake), fake + part['fake_noise'][:, 0]
    real, fake = (part['x'] + part['real_noise']).requires_grad_(), fake.requires_grad_()
    scores = self._judge(real, part, part['text']), self._judge(fake, part, light)
    slopes = [torch.autograd.grad(score.sum(), x, create_graph=True)[0].square().sum(-1).mean()
              for score, x in zip(scores, (real, fake), strict=True)]
    adversarial = (F.softplus(-scores[0]) + F.softplus(scores[1])).mean()
    self._d_optimizer.zero_grad()
    (adversarial + self._config.penalty_weight * sum(slopes)).backward()
    self._d_optimizer.step()
    return adversarial.item()
