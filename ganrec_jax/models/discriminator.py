"""The discriminator D(x, v) = Transformer(x, v): real or fake, for a sample in the light of the item's text."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from ganrec_jax.models.blocks import Encoder


class Discriminator(nn.Module):
  """Reads [sample | user tokens, if any | item text] and judges by the sample's token.

  Attributes:
    dim: width of the tokens.
    layers: Transformer blocks.
    heads: attention heads.
    dtype: of the computation; parameters and logits are float32.
  """
  dim: int = 64
  layers: int = 2
  heads: int = 4
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x, user, text):
    """The logits float32 `[batch]` that samples are real.

    Args:
      x: item vector, and its strength where the design has one, `[batch, size]`.
      user: `[batch, tokens, width]`; tokens may be 0.
      text: v_j, the text vector of the item `[batch, width]`.
    """
    tokens = [nn.Dense(self.dim, dtype=self.dtype, name='encode_sample')(x)[:, None]]
    if user.shape[1]:
      tokens.append(nn.Dense(self.dim, dtype=self.dtype, name='encode_user')(user))
    tokens.append(nn.Dense(self.dim, dtype=self.dtype, name='encode_text')(text)[:, None])
    tokens = jnp.concatenate(tokens, 1)
    tokens += self.param('position', nn.initializers.normal(.02), tokens.shape[1:])
    read = Encoder(self.layers, self.dim, self.heads, 2 * self.dim, dtype=self.dtype, name='encoder')(
      tokens, jnp.ones(tokens.shape[:2], bool), 1)[:, 0].astype(jnp.float32)
    return nn.Dense(1, name='logit')(read)[:, 0]
