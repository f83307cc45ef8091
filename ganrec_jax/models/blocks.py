"""Transformer blocks (Vaswani et al. 2017) that BERT, the adversaries and the recommenders share."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp


def attention_mask(mask, causal):
  """Which positions each position may read.

  Args:
    mask: bool or 0/1 `[batch, length]`, true where a position holds something.
    causal: whether a position reads only itself and what comes before it.

  Returns:
    bool, `[batch, 1, 1, length]`, or `[batch, 1, length, length]` where causal; axes are (batch, head, reader, read).
  """
  mask = mask.astype(bool)[:, None, None, :]
  if causal:
    length = mask.shape[-1]
    mask = mask & jnp.tril(jnp.ones((length, length), bool))
  return mask


class SelfAttention(nn.Module):
  """Multi-head self-attention: softmax(Q K^T / sqrt(dim / heads)) V, with one product for Q, K and V.

  Where a position may read nothing, it reads all positions alike, so that nothing becomes NaN.
  """
  dim: int
  heads: int
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x, mask, wanted=None):
    """Reads `x [batch, length, dim]` under `mask [batch, 1, 1 or length, length]`; returns `[batch, wanted, dim]`.

    Only the first `wanted` positions are computed; all where None.
    """
    if self.dim % self.heads:
      raise ValueError(f'dim {self.dim} is not a multiple of heads {self.heads}')
    batch, length, _ = x.shape
    size = self.dim // self.heads
    qkv = nn.Dense(3 * self.dim, dtype=self.dtype, name='qkv')(x).reshape(batch, length, 3, self.heads, size)
    query, key, value = qkv[:, :wanted, 0], qkv[:, :, 1], qkv[:, :, 2]
    logits = jnp.einsum('bqhd,bkhd->bhqk', query * size ** -.5, key).astype(jnp.float32)
    weights = jax.nn.softmax(jnp.where(mask[:, :, :wanted], logits, jnp.finfo(jnp.float32).min)).astype(self.dtype)
    read = jnp.einsum('bhqk,bkhd->bqhd', weights, value).reshape(batch, -1, self.dim)
    return nn.Dense(self.dim, dtype=self.dtype, name='out')(read)


class FeedForward(nn.Module):
  """Dense, GELU (the exact one, by the error function, or GPT-2's, by tanh), dense; position by position."""
  dim: int
  hidden: int
  tanh: bool = False
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x):
    """Maps `[..., dim]` to `[..., dim]`."""
    x = jax.nn.gelu(nn.Dense(self.hidden, dtype=self.dtype, name='up')(x), approximate=self.tanh)
    return nn.Dense(self.dim, dtype=self.dtype, name='down')(x)


class TransformerBlock(nn.Module):
  """Self-attention and a feed-forward net, each with a residual and a layer norm.

  Attributes:
    dim: width.
    heads: attention heads; must divide `dim`.
    hidden: width of the feed-forward net's inner layer.
    causal: whether a position reads only itself and what comes before it.
    pre_norm: norm before each sublayer (Xiong et al. 2020), or after each residual sum as in the original and BERT.
    epsilon: added to the variance by the layer norms.
    tanh: whether GELU is the approximation by tanh.
    dtype: of the computation; parameters are float32.
  """
  dim: int
  heads: int
  hidden: int
  causal: bool = False
  pre_norm: bool = True
  epsilon: float = 1e-6
  tanh: bool = False
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x, mask, wanted=None):
    """Reads `x [batch, length, dim]` and `mask [batch, length]`; returns `[batch, wanted, dim]`.

    Only the first `wanted` positions are computed; all where None. What comes out at masked positions is finite and
    means nothing.
    """
    norms = [nn.LayerNorm(epsilon=self.epsilon, use_fast_variance=False, dtype=self.dtype, name=name)
             for name in ('attention_norm', 'feed_norm')]
    attention = SelfAttention(self.dim, self.heads, self.dtype, name='attention')
    feed = FeedForward(self.dim, self.hidden, self.tanh, self.dtype, name='feed')
    readable = attention_mask(mask, self.causal)
    if self.pre_norm:
      x = x[:, :wanted] + attention(norms[0](x), readable, wanted)
      return x + feed(norms[1](x))
    x = norms[0](x[:, :wanted] + attention(x, readable, wanted))
    return norms[1](x + feed(x))


def repeated(block, layers, mask, x):
  """`x [batch, length, dim]` after `layers` blocks, of which one is compiled; parameters have a leading axis [layers].

  Args:
    block: a `TransformerBlock` of the calling module, or the same under `nn.remat`.
    layers, mask, x: how many, and what the first one reads.
  """
  scanned = nn.scan(lambda module, x, _: (module(x, mask), None), variable_axes={'params': 0},
                    split_rngs={'params': True}, length=layers)
  return scanned(block, x, None)[0]


def block_class(remat):
  """`TransformerBlock`, whose inner values the backward pass computes once more where `remat` is true."""
  # Within a scan nothing needs to be kept from being computed only once.
  return nn.remat(TransformerBlock, prevent_cse=False) if remat else TransformerBlock


class Encoder(nn.Module):
  """A stack of pre-norm blocks with a final layer norm; positions are the caller's to add.

  Attributes: as in `TransformerBlock`, and `layers`, the number of blocks.
  """
  layers: int
  dim: int
  heads: int
  hidden: int
  causal: bool = False
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x, mask, wanted=None):
    """Reads `x [batch, length, dim]` and `mask [batch, length]`; returns `[batch, wanted, dim]`, all where None."""
    for i in range(self.layers):
      block = TransformerBlock(self.dim, self.heads, self.hidden, self.causal, dtype=self.dtype, name=f'block_{i}')
      x = block(x, mask, wanted if i == self.layers - 1 else None)
    return nn.LayerNorm(use_fast_variance=False, dtype=self.dtype, name='norm')(x)
