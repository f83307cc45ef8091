"""Hyper-parameters of the generator of user profiles."""

import dataclasses

from ganrec_jax.adversarial.losses import LOSSES, PENALTIES
from ganrec_jax.errors import ConfigError

# How the decoder's gradient gets through the draw of a profile, see `models/profiles.py`.
ESTIMATORS = ('straight_through', 'gumbel_softmax', 'score_function')


@dataclasses.dataclass(frozen=True)
class ProfileConfig:
  """Hyper-parameters of training, in the order in which they are used.

  Attributes:
    latent: width of z.
    hidden: width of the inner layers of encoder and decoder.
    dropout: share of a profile that the encoder does not see.
    beta: weight of the divergence from N(0, I), reached half-way.
    vae_rate: learning rate.
    vae_batch: profiles a step.
    vae_steps: the most steps of the likelihood's training.
    vae_chunk: steps between two looks at held-out profiles.
    vae_patience: looks without a better one after which it stops; 0 never stops.
    components: of the mixture over the latents.
    loss: a name in `LOSSES`.
    adversarial_share: of the decoder's gradient on its last layer; 0 trains it on by its likelihood alone.
    penalty: a name in `PENALTIES`.
    penalty_weight: of the penalty.
    estimator: of the decoder's gradient through the draw of a profile, a name in `ESTIMATORS`.
    temperature: at which profiles are drawn for the critic.
    thinning: the most that is left out of a profile, real or generated, before the critic sees it.
    batch: profiles a step.
    warm_up: steps of the critic alone.
    steps: the most steps.
    chunk: steps between two looks at held-out profiles.
    g_rate: the decoder's learning rate.
    d_rate: the critic's.

  Raises:
    ConfigError: for values out of range.
  """
  latent: int = 64
  hidden: int = 400
  dropout: float = .3
  beta: float = .3
  vae_rate: float = .0005
  vae_batch: int = 128
  vae_steps: int = 2000
  vae_chunk: int = 50
  vae_patience: int = 5
  components: int = 32
  loss: str = 'relativistic'
  adversarial_share: float = .5
  penalty: str = 'r1_r2'
  penalty_weight: float = .25
  estimator: str = 'straight_through'
  temperature: float = .8
  thinning: float = .2
  batch: int = 64
  warm_up: int = 50
  steps: int = 350
  chunk: int = 50
  g_rate: float = 3e-4
  d_rate: float = 5e-4

  def __post_init__(self):
    for name, allowed in (('loss', tuple(LOSSES)), ('penalty', tuple(PENALTIES)), ('estimator', ESTIMATORS)):
      if getattr(self, name) not in allowed:
        raise ConfigError(f'{name} is {getattr(self, name)!r}; allowed are {", ".join(allowed)}')
    for name in ('latent', 'hidden', 'vae_batch', 'vae_steps', 'vae_chunk', 'components', 'batch', 'chunk'):
      if getattr(self, name) < 1:
        raise ConfigError(f'{name} is {getattr(self, name)}; allowed are whole numbers from 1 on')
    for name in ('beta', 'vae_patience', 'penalty_weight', 'warm_up', 'steps'):
      if not getattr(self, name) >= 0:
        raise ConfigError(f'{name} is {getattr(self, name)}; allowed are numbers from 0 on')
    for name in ('vae_rate', 'temperature', 'g_rate', 'd_rate'):
      if not getattr(self, name) > 0:
        raise ConfigError(f'{name} is {getattr(self, name)}; allowed are numbers above 0')
    for name in ('dropout', 'thinning', 'adversarial_share'):
      if not 0 <= getattr(self, name) < 1:
        raise ConfigError(f'{name} is {getattr(self, name)}; allowed are numbers from 0 on, below 1')
