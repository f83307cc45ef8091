"""The game of profiles against the same step in torch: what the race is between."""

import jax
import pytest

from ganrec_jax.profiles import game, likelihood
from ganrec_jax.profiles.config import ProfileConfig


@pytest.mark.slow
def test_both_steps_measure_the_same():
  pytest.importorskip('torch', reason='parity needs torch')
  from experiments import torch_profile_step
  config = ProfileConfig(latent=5, hidden=12, components=3, batch=16, warm_up=0, g_rate=.003, d_rate=.005)
  real, params, vectors, prior = torch_profile_step.world(config, 50, 40, 6, 0)
  decoder, encoder = game.parted(params)
  state = game.init_state(decoder, vectors, config, jax.random.key(0))
  sample, rows = game.make_sample(config, 40, int(real.lengths.max()), prior), likelihood.flat(real)
  batches = [jax.jit(sample)(key, rows) for key in jax.random.split(jax.random.key(1), 4)]
  # From the second step on the gradients of the one before are in it.
  assert torch_profile_step.apart(config, state, encoder, vectors, batches) < 1e-3
  drawn = torch_profile_step.Sampler(config, real, 40, prior)()
  assert {name: tuple(leaf.shape) for name, leaf in drawn.items()} == {
    name: leaf.shape for name, leaf in batches[0].items() if name not in ('mix', 'weight')}
