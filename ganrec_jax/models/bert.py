"""BERT (Devlin et al. 2019): its configuration, the encoder, and a table of variants."""

import dataclasses
import json
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from ganrec_jax.errors import DataError
from ganrec_jax.models import blocks


@dataclasses.dataclass(frozen=True)
class BertConfig:
  """The shape of a BERT.

  Attributes:
    vocab_size: rows of the word embedding.
    dim: width of the hidden states.
    layers: number of blocks.
    heads: attention heads of a block; divides `dim`.
    hidden: width of the feed-forward nets' inner layer.
    positions: the most tokens that a text may have.
    types: rows of the token-type embedding.
    epsilon: added to the variance by the layer norms.
  """
  vocab_size: int
  dim: int
  layers: int
  heads: int
  hidden: int
  positions: int = 512
  types: int = 2
  epsilon: float = 1e-12


# Widths and depths: `tiny` is ours, for a vocabulary trained on a few hundred texts; MiniLM is Wang et al. (2020);
# bert-tiny to bert-medium are Turc et al. (2019), bert-base and bert-large Devlin et al. (2019), all uncased.
VARIANTS = {
    'tiny': BertConfig(1500, 96, 2, 4, 384, positions=128),
    'minilm-l6': BertConfig(30522, 384, 6, 12, 1536),
    'minilm-l12': BertConfig(30522, 384, 12, 12, 1536),
    'bert-tiny': BertConfig(30522, 128, 2, 2, 512),
    'bert-mini': BertConfig(30522, 256, 4, 4, 1024),
    'bert-small': BertConfig(30522, 512, 4, 8, 2048),
    'bert-medium': BertConfig(30522, 512, 8, 8, 2048),
    'bert-base': BertConfig(30522, 768, 12, 12, 3072),
    'bert-large': BertConfig(30522, 1024, 24, 16, 4096),
}

_FIELDS = {'vocab_size': 'vocab_size', 'hidden_size': 'dim', 'num_hidden_layers': 'layers',
           'num_attention_heads': 'heads', 'intermediate_size': 'hidden', 'max_position_embeddings': 'positions',
           'type_vocab_size': 'types'}
_ONLY = {'model_type': 'bert', 'hidden_act': 'gelu', 'position_embedding_type': 'absolute'}


def read_config(path):
  """Reads a Hugging Face `config.json`.

  Raises:
    DataError: where the file cannot be read, a field is missing or out of range, or the model is no BERT with exact
      GELU and absolute positions.
  """
  return BertConfig(**read_fields(path, _FIELDS, _ONLY, ('hidden_size', 'num_attention_heads'), 'layer_norm_eps',
                                  1e-12)[1])


def read_fields(path, sizes, only, divided, epsilon, default):
  """Reads and checks the fields of a Hugging Face `config.json`.

  Args:
    path: of the file.
    sizes: name -> our name, of fields that are positive whole numbers.
    only: name -> the only value that is supported, where the field is given.
    divided: the names of the width and of the number of heads, which divides it.
    epsilon: the name of the field of that number, and `default`, where it is not given.

  Returns:
    (all fields as read, those of `sizes` and `epsilon` under our names).

  Raises:
    DataError: where the file cannot be read, or a field is missing or out of range.
  """
  try:
    with open(path, encoding='utf-8') as file:
      raw = json.load(file)
  except (OSError, ValueError) as error:
    raise DataError(f'{path}: cannot be read as a JSON configuration ({error})') from error
  if not isinstance(raw, dict):
    raise DataError(f'{path}: holds {type(raw).__name__} where an object with the fields of an encoder is due')
  for name, due in only.items():
    if raw.get(name, due) != due:
      raise DataError(f'{path}, field {name}: {raw[name]!r}; only {due!r} is supported')
  for name in sizes:
    if not isinstance(raw.get(name), int) or raw[name] < 1:
      raise DataError(f'{path}, field {name}: {raw.get(name)!r}; a positive whole number is due')
  width, heads = divided
  if raw[width] % raw[heads]:
    raise DataError(f'{path}, field {heads}: {raw[heads]} does not divide {width} {raw[width]}')
  small = raw.get(epsilon, default)
  if not isinstance(small, float) or not 0 < small < 1:
    raise DataError(f'{path}, field {epsilon}: {small!r}; a number between 0 and 1 is due')
  return raw, {ours: raw[name] for name, ours in sizes.items()} | {'epsilon': small}


class Bert(nn.Module):
  """The encoder without its pooler: embeddings and post-norm blocks."""
  config: BertConfig
  dtype: Any = jnp.float32
  remat: bool = False

  @nn.compact
  def __call__(self, ids, mask):
    """Reads `ids` int `[batch, length]` and `mask [batch, length]`; returns hidden states `[batch, length, dim]`."""
    c = self.config

    def embedding(rows, name):
      return nn.Embed(rows, c.dim, embedding_init=nn.initializers.normal(.02), dtype=self.dtype, name=name)

    x = embedding(c.vocab_size, 'word')(ids) + embedding(c.positions, 'position')(jnp.arange(ids.shape[1]))
    x = x + embedding(c.types, 'type')(jnp.zeros((), jnp.int32))
    x = nn.LayerNorm(epsilon=c.epsilon, use_fast_variance=False, dtype=self.dtype, name='norm')(x)
    block = blocks.block_class(self.remat)(c.dim, c.heads, c.hidden, pre_norm=False, epsilon=c.epsilon,
                                           dtype=self.dtype, name='blocks')
    return blocks.repeated(block, c.layers, mask, x)


def init(key, config):
  """Fresh parameters, a tree of float32 arrays."""
  ids = jnp.zeros((1, 2), jnp.int32)
  return jax.jit(Bert(config).init)(key, ids, jnp.ones_like(ids))['params']


def apply(params, config, ids, mask, dtype=jnp.float32, remat=False):
  """The hidden states `[batch, length, dim]` of `ids [batch, length]`; those at masked positions mean nothing.

  With `remat` the backward pass computes what is inside the blocks once more instead of keeping it.
  """
  return Bert(config, dtype, remat).apply({'params': params}, ids, mask)


def parameter_count(config):
  """The number of parameters, the pooler of the original (dim x dim + dim) not among them."""
  shapes = jax.eval_shape(lambda: init(jax.random.key(0), config))
  return sum(leaf.size for leaf in jax.tree.leaves(shapes))
