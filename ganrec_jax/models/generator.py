"""The generator G(z, u) = Transformer(Encode(z), u): noise and a condition in, fake item vectors out."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from ganrec_jax.models.blocks import Encoder


class Generator(nn.Module):
  """Reads [Encode(z) tokens | condition tokens]; each noise token becomes one fake sample.

  Attributes:
    samples: fake samples m a draw, and noise tokens.
    out: width of an item vector.
    dim: width of the tokens.
    layers: Transformer blocks.
    heads: attention heads.
    dtype: of the computation; parameters and outputs are float32.
  """
  samples: int
  out: int
  dim: int = 64
  layers: int = 2
  heads: int = 4
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, z, condition):
    """Draws fakes for `z [batch, noise]` and `condition [batch, tokens, width]`.

    Returns:
      item vectors `[batch, samples, out]` and strengths `[batch, samples]`, both standardised.
    """
    noise = nn.Dense(self.samples * self.dim, dtype=self.dtype, name='encode_noise')(z)
    noise = noise.reshape(len(z), self.samples, self.dim)
    condition = nn.Dense(self.dim, dtype=self.dtype, name='encode_condition')(condition)
    tokens = jnp.concatenate([noise, condition], 1)
    tokens += self.param('position', nn.initializers.normal(.02), tokens.shape[1:])
    read = Encoder(self.layers, self.dim, self.heads, 2 * self.dim, dtype=self.dtype, name='encoder')(
      tokens, jnp.ones(tokens.shape[:2], bool), self.samples).astype(jnp.float32)
    return nn.Dense(self.out, name='vector')(read), nn.Dense(1, name='strength')(read)[..., 0]
