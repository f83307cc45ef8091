"""One alternating step of generator and discriminator: configuration, state, objectives, and the batch it reads."""

import dataclasses
import functools
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import optax

from ganrec_jax.adversarial import monitors
from ganrec_jax.adversarial.losses import LOSSES, PENALTIES
from ganrec_jax.errors import ConfigError
from ganrec_jax.models.discriminator import Discriminator
from ganrec_jax.models.generator import Generator
from ganrec_jax.training.update import gradient_update, slowable

DESIGNS = ('embedding', 'interaction')
SUPERVISED = ('squared', 'softmax')
DTYPES = ('float32', 'bfloat16')


@dataclasses.dataclass(frozen=True)
class AdversarialConfig:
  """Hyper-parameters of training.

  Attributes:
    design: 'embedding' (an item's text and z to its vector) or 'interaction' (a user and z to item vectors).
    loss: a name in `LOSSES`.
    adversarial_weight: lambda in L = L_D + lambda L_G; 0 is the generator without its adversary.
    supervised: 'squared' (error to the true item's vector) or 'softmax' (over all training items).
    supervised_weight: of that term; 5/3 to lambda .5 is 1 to .3.
    penalty: a name in `PENALTIES`; 'wasserstein' needs 'gradient'.
    penalty_weight: of the penalty; 10 is usual for 'gradient'.
    instance_noise: standard deviation of what is added to D's standardised inputs.
    samples: fakes a draw.
    noise: width of z.
    dim: width of the tokens.
    layers: Transformer blocks of each player.
    heads: attention heads.
    d_steps: steps of D for each one of G.
    batch: rows of the global batch.
    steps: the most steps of G.
    chunk: steps between two looks at the held-out samples.
    patience: looks without a lower Frechet distance after which training stops; 0 never stops.
    g_rate: G's learning rate.
    d_rate: D's learning rate.
    average: decay of the exponential average of G.
    held_out: share of the items or pairs that neither player sees.
    least_distinct: distinct items reached, relative to held-out real samples, below which a run has collapsed.
    least_precision: share of fakes on the manifold of held-out real samples below which a run has collapsed.
    most_accuracy: ranked accuracy of D from which on a run has collapsed.
    dtype: of the players' blocks, 'float32' or 'bfloat16'; parameters, samples, logits and losses are float32.

  Raises:
    ConfigError: for values out of range.
  """
  design: str = 'embedding'
  loss: str = 'cross_entropy'
  adversarial_weight: float = .5
  supervised: str = 'squared'
  supervised_weight: float = 5 / 3
  penalty: str = 'r1_r2'
  penalty_weight: float = .25
  instance_noise: float = .1
  samples: int = 1
  noise: int = 32
  dim: int = 64
  layers: int = 2
  heads: int = 4
  d_steps: int = 2
  batch: int = 256
  steps: int = 2000
  chunk: int = 100
  patience: int = 5
  g_rate: float = 5e-4
  d_rate: float = 5e-4
  average: float = .995
  held_out: float = .1
  least_distinct: float = .2
  least_precision: float = .05
  most_accuracy: float = .995
  dtype: str = 'float32'

  def __post_init__(self):
    for name, allowed in (('design', DESIGNS), ('loss', tuple(LOSSES)), ('supervised', SUPERVISED),
                          ('penalty', tuple(PENALTIES)), ('dtype', DTYPES)):
      if getattr(self, name) not in allowed:
        raise ConfigError(f'{name} is {getattr(self, name)!r}; allowed are {", ".join(allowed)}')
    for name in ('samples', 'noise', 'dim', 'layers', 'heads', 'd_steps', 'batch', 'steps', 'chunk'):
      if getattr(self, name) < 1:
        raise ConfigError(f'{name} is {getattr(self, name)}; allowed are whole numbers from 1 on')
    for name in ('adversarial_weight', 'supervised_weight', 'penalty_weight', 'instance_noise', 'patience'):
      if not getattr(self, name) >= 0:
        raise ConfigError(f'{name} is {getattr(self, name)}; allowed are numbers from 0 on')
    for name in ('g_rate', 'd_rate'):
      if not getattr(self, name) > 0:
        raise ConfigError(f'{name} is {getattr(self, name)}; allowed are numbers above 0')
    for name in ('average', 'least_distinct', 'least_precision', 'most_accuracy'):
      if not 0 <= getattr(self, name) <= 1:
        raise ConfigError(f'{name} is {getattr(self, name)}; allowed are numbers from 0 to 1')
    if not 0 < self.held_out < 1:
      raise ConfigError(f'held_out is {self.held_out}; allowed are numbers between 0 and 1')
    if self.dim % self.heads:
      raise ConfigError(f'dim is {self.dim}; allowed are multiples of heads, {self.heads}')
    if self.loss == 'wasserstein' and self.penalty != 'gradient':
      raise ConfigError(f'penalty is {self.penalty!r}; allowed with the loss wasserstein is gradient')


@flax.struct.dataclass
class GanState:
  """All that a step changes."""
  generator: Any
  discriminator: Any
  generator_opt: Any
  discriminator_opt: Any
  average: Any
  step: jax.Array


def networks(config, width):
  """G and D for item vectors `[width]`."""
  shared = {'dim': config.dim, 'layers': config.layers, 'heads': config.heads, 'dtype': jnp.dtype(config.dtype)}
  return Generator(config.samples, width, **shared), Discriminator(**shared)


def fakes(config, generator, params, z, condition):
  """Fake samples `[batch, samples, size]`: vectors, followed by the strength where D reads one."""
  vectors, strengths = generator.apply(params, z, condition)
  return vectors if config.design == 'embedding' else jnp.concatenate([vectors, strengths[..., None]], -1)


def user_tokens(config, condition):
  """The tokens of `condition` that D may read: none where it is the item's own text, which D reads as v_j."""
  return condition if config.design == 'interaction' else condition[:, :0]


def _optimizers(config):
  return slowable(optax.adam(config.g_rate, .5, .99)), slowable(optax.adam(config.d_rate, .5, .99))


def _supervised(config, fake, part, vectors):
  """-log mean over the samples of the likelihood of the true item, `[batch]` (the error itself where m = 1)."""
  if config.supervised == 'squared':
    log_likelihood = -jnp.square(fake - part['x'][:, None]).mean(-1)
  else:
    width = vectors.shape[1]
    distances = monitors.squared_distances(fake[..., :width].reshape(-1, width), vectors)
    logs = jax.nn.log_softmax(-distances / width**.5).reshape(*fake.shape[:2], -1)
    log_likelihood = jnp.take_along_axis(logs, part['item'][:, None, None], 2)[..., 0]
  return jnp.log(fake.shape[1]) - jax.nn.logsumexp(log_likelihood, 1)


def make_step(config, vectors, texts, rows=0):
  """Makes `step(state, batch, axis=None) -> (state, metrics)`: `d_steps` updates of D, one of G, one average.

  A batch holds for each row `d_steps` + 1 draws, the last one G's: `x [batch, draws, size]`, `item`, `text`,
  `condition`, `z`, `mix`, `real_noise`, `fake_noise`; and `weight [batch]`.

  Args:
    config: `AdversarialConfig`.
    vectors: standardised item vectors `[items, d]` of the training items.
    texts: their text vectors `[items, e]`.
    rows: the most that a device holds at once, see `gradient_update`.
  """
  generator, discriminator = networks(config, vectors.shape[1])
  loss, penalty, samples = LOSSES[config.loss], PENALTIES[config.penalty], config.samples

  def judge(fake, part):
    """Flat rows `[batch samples, ...]` of real and fake samples and D's view of each."""
    flat = fake.reshape(-1, fake.shape[-1])
    real, text, user, weight = (jnp.repeat(part[name], samples, 0) for name in ('x', 'text', 'user', 'weight'))
    light = text
    if config.design == 'interaction':
      near, _ = monitors.nearest(jax.lax.stop_gradient(flat[:, :vectors.shape[1]]), vectors)
      light = texts[near]
    fake_noise = part['fake_noise'].reshape(flat.shape)
    real_noise = jnp.repeat(part['real_noise'], samples, 0)
    views = [lambda params, x, v=v: discriminator.apply(params, x, user, v) for v in (text, light)]
    return real + real_noise, flat + fake_noise, views, weight

  def d_objective(params, g_params, part):
    fake = jax.lax.stop_gradient(fakes(config, generator, g_params, part['z'], part['condition']))
    real, fake, views, weight = judge(fake, part)
    score, score_fake = (lambda x, view=view: view(params, x) for view in views)
    real_logits, fake_logits = score(real), score_fake(fake)
    value = loss.d_loss(real_logits, fake_logits, weight)
    mix = jnp.repeat(part['mix'], samples, 0)
    slopes = penalty(score, score_fake, real, fake, mix, weight) if config.penalty_weight else 0.
    right = ((real_logits > 0) * 1. + (fake_logits <= 0)) / 2
    return value + config.penalty_weight * slopes, {'adversarial': value, 'accuracy': (weight * right).mean(),
                                                    'penalty': jnp.float32(slopes)}

  def g_objective(params, d_params, part):
    fake = fakes(config, generator, params, part['z'], part['condition'])
    supervised = (part['weight'] * _supervised(config, fake, part, vectors)).mean()
    real, fake, views, weight = judge(fake, part)
    adversarial = loss.g_loss(views[1](d_params, fake), views[0](d_params, real), weight)
    total = config.adversarial_weight * adversarial + config.supervised_weight * supervised
    return total, {'adversarial': adversarial, 'supervised': supervised}

  g_optimizer, d_optimizer = _optimizers(config)
  update_d = gradient_update(d_objective, d_optimizer, rows)
  update_g = gradient_update(g_objective, g_optimizer, rows)

  def step(state, batch, axis=None):
    weight = batch['weight']
    draws = {name: jnp.moveaxis(leaf, 1, 0) for name, leaf in batch.items() if name != 'weight'}
    draws['user'] = jax.vmap(lambda condition: user_tokens(config, condition))(draws['condition'])

    def d_step(carry, draw):
      params, opt, metrics = update_d(*carry, state.generator, draw | {'weight': weight}, axis=axis)
      return (params, opt), metrics

    (d_params, d_opt), d_metrics = jax.lax.scan(
      d_step, (state.discriminator, state.discriminator_opt), {name: leaf[:-1] for name, leaf in draws.items()})
    part = {name: leaf[-1] for name, leaf in draws.items()} | {'weight': weight}
    g_params, g_opt, g_metrics = update_g(state.generator, state.generator_opt, d_params, part, axis=axis)
    # The average forgets the random start: its decay grows with the steps.
    decay = jnp.minimum(config.average, (1. + state.step) / (10. + state.step))
    average = optax.incremental_update(g_params, state.average, 1 - decay)
    metrics = {f'd_{name}': values.mean() for name, values in d_metrics.items()}
    metrics |= {f'g_{name}': value for name, value in g_metrics.items()}
    metrics |= {'loss': g_metrics['loss'],
                'objective': config.adversarial_weight * g_metrics['adversarial'] - metrics['d_adversarial']}
    return GanState(g_params, d_params, g_opt, d_opt, average, state.step + 1), metrics

  return step


@functools.partial(jax.jit, static_argnums=(0, 1, 2, 3))
def init_state(config, width, condition, text, key):
  """The first state, for item vectors `[width]`, conditions `[tokens, w]` and texts `[e]` of the given shapes."""
  generator, discriminator = networks(config, width)
  g_key, d_key = jax.random.split(key)
  condition, text = jnp.zeros((1, *condition)), jnp.zeros((1, *text))
  g_params = generator.init(g_key, jnp.zeros((1, config.noise)), condition)
  size = width + (config.design == 'interaction')
  d_params = discriminator.init(d_key, jnp.zeros((1, size)), user_tokens(config, condition), text)
  g_optimizer, d_optimizer = _optimizers(config)
  # The average is a copy: a donated state may not hold one buffer twice.
  return GanState(g_params, d_params, g_optimizer.init(g_params), d_optimizer.init(d_params),
                  jax.tree.map(jnp.copy, g_params), jnp.int32(0))


def make_sample(config):
  """Makes `sample(key, rows) -> batch` over `rows`, a dict of real samples as `real_samples` gives it."""
  def sample(key, rows):
    draws = (config.batch, config.d_steps + 1)
    keys = jax.random.split(key, 5)
    index = jax.random.randint(keys[0], draws, 0, len(rows['x']))
    found = {name: leaf[index] for name, leaf in rows.items() if name != 'conditions'}
    size = rows['x'].shape[1]
    return {
      'x': found['x'], 'item': found['item'], 'text': found['text'],
      'condition': rows['conditions'][found['owner']] if 'owner' in found else found['text'][..., None, :],
      'z': jax.random.normal(keys[1], (*draws, config.noise)), 'mix': jax.random.uniform(keys[2], draws),
      'real_noise': config.instance_noise * jax.random.normal(keys[3], (*draws, size)),
      'fake_noise': config.instance_noise * jax.random.normal(keys[4], (*draws, config.samples, size)),
      'weight': jnp.ones(config.batch)}
  return sample
