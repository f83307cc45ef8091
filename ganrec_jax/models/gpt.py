"""GPT-2 (Radford et al. 2019) as an encoder: its configuration, and the decoder without its output layer."""

import dataclasses
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from ganrec_jax.errors import DataError
from ganrec_jax.models import blocks
from ganrec_jax.models.bert import read_fields


@dataclasses.dataclass(frozen=True)
class GptConfig:
  """The shape of a GPT-2.

  Attributes:
    vocab_size: rows of the word embedding.
    dim: width of the hidden states.
    layers: number of blocks.
    heads: attention heads of a block; divides `dim`.
    hidden: width of the feed-forward nets' inner layer.
    positions: the most tokens that a text may have.
    epsilon: added to the variance by the layer norms.
  """
  vocab_size: int
  dim: int
  layers: int
  heads: int
  hidden: int
  positions: int = 1024
  epsilon: float = 1e-5


# Radford et al. (2019) and, distilled, Sanh et al. (2019).
VARIANTS = {
    'distilgpt2': GptConfig(50257, 768, 6, 12, 3072),
    'gpt2': GptConfig(50257, 768, 12, 12, 3072),
    'gpt2-medium': GptConfig(50257, 1024, 24, 16, 4096),
}

_FIELDS = {'vocab_size': 'vocab_size', 'n_embd': 'dim', 'n_layer': 'layers', 'n_head': 'heads',
           'n_positions': 'positions'}
_ONLY = {'model_type': 'gpt2', 'activation_function': 'gelu_new', 'scale_attn_weights': True,
         'scale_attn_by_inverse_layer_idx': False}


def read_config(path):
  """Reads a Hugging Face `config.json`.

  Raises:
    DataError: where the file cannot be read, a field is missing or out of range, or the model is no GPT-2 with GELU by
      tanh and attention scaled by the size of a head.
  """
  raw, fields = read_fields(path, _FIELDS, _ONLY, ('n_embd', 'n_head'), 'layer_norm_epsilon', 1e-5)
  hidden = raw.get('n_inner') or 4 * fields['dim']
  if not isinstance(hidden, int) or hidden < 1:
    raise DataError(f'{path}, field n_inner: {hidden!r}; a positive whole number or null is due')
  return GptConfig(**fields, hidden=hidden)


class Gpt(nn.Module):
  """Embeddings, causal pre-norm blocks and a final layer norm."""
  config: GptConfig
  dtype: Any = jnp.float32
  remat: bool = False

  @nn.compact
  def __call__(self, ids, mask):
    """Reads `ids` int `[batch, length]` and `mask [batch, length]`; returns hidden states `[batch, length, dim]`."""
    c = self.config

    def embedding(rows, name):
      return nn.Embed(rows, c.dim, embedding_init=nn.initializers.normal(.02), dtype=self.dtype, name=name)

    x = embedding(c.vocab_size, 'word')(ids) + embedding(c.positions, 'position')(jnp.arange(ids.shape[1]))
    block = blocks.block_class(self.remat)(c.dim, c.heads, c.hidden, causal=True, epsilon=c.epsilon, tanh=True,
                                           dtype=self.dtype, name='blocks')
    x = blocks.repeated(block, c.layers, mask, x)
    return nn.LayerNorm(epsilon=c.epsilon, use_fast_variance=False, dtype=self.dtype, name='norm')(x)


def init(key, config):
  """Fresh parameters, a tree of float32 arrays."""
  ids = jnp.zeros((1, 2), jnp.int32)
  return jax.jit(Gpt(config).init)(key, ids, jnp.ones_like(ids))['params']


def apply(params, config, ids, mask, dtype=jnp.float32, remat=False):
  """The hidden states `[batch, length, dim]` of `ids [batch, length]`; those at masked positions mean nothing.

  With `remat` the backward pass computes what is inside the blocks once more instead of keeping it.
  """
  return Gpt(config, dtype, remat).apply({'params': params}, ids, mask)


def parameter_count(config):
  """The number of parameters; the output layer shares the word embedding's."""
  shapes = jax.eval_shape(lambda: init(jax.random.key(0), config))
  return sum(leaf.size for leaf in jax.tree.leaves(shapes))
