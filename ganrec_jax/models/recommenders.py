"""Neural recommenders: a denoising MLP over the bag of a history, and a GRU and a causal Transformer over its order.

An item's vector is v_j = m_j e_j + P^T t_j, an ID embedding that only items with training interactions have (m_j = 1)
and a projection of the text vector; the score is h(history) . v_j / temperature + m_j b_j. So an item without text
works by its ID, and an item without history by its text (DropoutNet, Volkovs et al. 2017).
"""

import dataclasses
import functools

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from ganrec_jax.data.ragged import pad
from ganrec_jax.errors import ConfigError
from ganrec_jax.models.blocks import Encoder

KINDS = ('mlp', 'gru', 'transformer')
LOSSES = ('full', 'sampled')
DTYPES = ('float32', 'bfloat16')


@dataclasses.dataclass(frozen=True)
class RecommenderConfig:
  """Hyper-parameters of a recommender and of its training.

  Attributes:
    kind: 'mlp', 'gru' or 'transformer'.
    dim: width of item vectors and states.
    layers: residual layers of the MLP, layers of the GRU or blocks of the Transformer.
    heads: attention heads of the Transformer; must divide `dim`.
    hidden: width of the inner layers of MLP and Transformer.
    max_history: how many entries of a history are read: the newest, or the heaviest where `ordered` is false.
    ordered: whether histories run from the oldest to the newest; else GRU and Transformer see a new order each step.
    input_share: the share of a history that the MLP reads; the rest are its targets.
    places: how many places of a history, drawn anew each step, GRU and Transformer predict; all of a long one would
      make the softmax the whole cost.
    id_dropout: the chance that a step trains an item without its ID.
    loss: 'full' softmax over the warm items, or 'sampled'.
    negatives: warm items that a step draws for the sampled softmax; no more than there are.
    negative_power: they are drawn in proportion to (1 + interactions)^power.
    temperature: divides the products of states and item vectors.
    learning_rate: of AdamW, after a warm-up of a twentieth of the steps, falling to a tenth by a cosine.
    weight_decay: of AdamW.
    batch: histories a step.
    steps: the most steps.
    chunk: steps between two looks at validation.
    patience: looks without a better value before training stops; 0 never stops early.
    dtype: of the computation, 'float32' or 'bfloat16'; parameters and scores are float32.

  Raises:
    ConfigError: for a field out of its range.
  """
  kind: str = 'mlp'
  dim: int = 64
  layers: int = 1
  heads: int = 2
  hidden: int = 256
  max_history: int = 256
  ordered: bool = False
  input_share: float = .8
  places: int = 16
  id_dropout: float = .5
  loss: str = 'full'
  negatives: int = 1024
  negative_power: float = .5
  temperature: float = 1.
  learning_rate: float = .001
  weight_decay: float = .1
  batch: int = 128
  steps: int = 1500
  chunk: int = 100
  patience: int = 5
  dtype: str = 'float32'

  def __post_init__(self):
    for name, allowed in (('kind', KINDS), ('loss', LOSSES), ('dtype', DTYPES)):
      if getattr(self, name) not in allowed:
        raise ConfigError(f'{name} is {getattr(self, name)!r}; allowed are {", ".join(allowed)}')
    for name in ('dim', 'layers', 'heads', 'hidden', 'max_history', 'places', 'negatives', 'batch', 'steps', 'chunk',
                 'patience'):
      value, least = getattr(self, name), 0 if name == 'patience' else 1
      if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ConfigError(f'{name} is {value!r}; allowed are whole numbers from {least} on')
    for name, low, high in (('input_share', 0, 1), ('id_dropout', 0, 1), ('negative_power', 0, 1)):
      if not low <= getattr(self, name) <= high:
        raise ConfigError(f'{name} is {getattr(self, name)!r}; allowed are numbers from {low} to {high}')
    for name in ('temperature', 'learning_rate'):
      if not 0 < getattr(self, name) < float('inf'):
        raise ConfigError(f'{name} is {getattr(self, name)!r}; allowed are finite numbers above 0')
    if not 0 <= self.weight_decay < float('inf'):
      raise ConfigError(f'weight_decay is {self.weight_decay!r}; allowed are finite numbers from 0 on')
    if self.kind == 'transformer' and self.dim % self.heads:
      raise ConfigError(f'dim is {self.dim} with heads {self.heads}; dim must be a multiple of heads')


@flax.struct.dataclass
class Recommender:
  """A trained recommender with all that scoring needs.

  Attributes:
    params: what `init` makes.
    vectors: float32 `[items, dim]`, the item vectors.
    bias: float32 `[items]`, 0 for items without training interactions.
    items: int32 `[users, length]`, the training histories.
    weights: float32 `[users, length]`, 0 where padded.
    config: its `RecommenderConfig`.
  """
  params: dict
  vectors: jax.Array
  bias: jax.Array
  items: jax.Array
  weights: jax.Array
  config: RecommenderConfig = flax.struct.field(pytree_node=False)

  def folded(self, histories):
    """The same model with users known by `histories`, a `Ragged` over them, instead of those it was trained on."""
    items, weights = pad(histories, np.arange(len(histories)), int(histories.lengths.max(initial=1)) or 1, 0)
    return self.replace(items=jnp.asarray(items), weights=jnp.asarray(weights))


class _Bag(nn.Module):
  """Residual layers over the bag of a history, `[batch, dim]` to `[batch, dim]`."""
  config: RecommenderConfig

  @nn.compact
  def __call__(self, x):
    config, dtype = self.config, jnp.dtype(self.config.dtype)
    for i in range(config.layers):
      up = jnp.tanh(nn.Dense(config.hidden, dtype=dtype, name=f'up_{i}')(x))
      x = x + nn.Dense(config.dim, dtype=dtype, name=f'down_{i}')(up)
    return x


class _Sequence(nn.Module):
  """A GRU (Cho et al. 2014) or causal Transformer over item vectors, after a learned start token.

  Reads `x [batch, length, dim]` and `mask [batch, length]`, true for the first entries of a row; returns the states
  `[batch, length + 1, dim]`: state k knows the first k entries.
  """
  config: RecommenderConfig

  @nn.compact
  def __call__(self, x, mask):
    config, dtype = self.config, jnp.dtype(self.config.dtype)
    start = self.param('start', nn.initializers.normal(1.), (config.dim,))
    x = nn.LayerNorm(dtype=dtype, name='input_norm')(x)
    x = jnp.concatenate([jnp.broadcast_to(start.astype(dtype), (len(x), 1, config.dim)), x], 1)
    mask = jnp.concatenate([jnp.ones((len(x), 1), bool), mask], 1)
    if config.kind == 'gru':
      for i in range(config.layers):
        cell = nn.GRUCell(config.dim, dtype=dtype, parent=None)
        x = nn.RNN(cell, name=f'gru_{i}')(x)
    else:
      positions = self.param('positions', nn.initializers.normal(.02), (config.max_history + 1, config.dim))
      x = x + positions[:x.shape[1]].astype(dtype)
      x = Encoder(config.layers, config.dim, config.heads, config.hidden, True, dtype, name='encoder')(x, mask)
    return nn.Dense(config.dim, dtype=dtype, name='out')(x)


@functools.partial(jax.jit, static_argnames=('config', 'items', 'text_dim'))
def init(key, config, items, text_dim):
  """The initial parameters: `id [items, dim]`, `bias [items]`, `text [text_dim, dim]` and the `net`'s own."""
  ids, text, net = jax.random.split(key, 3)
  x = jnp.zeros((1, 1, config.dim))
  variables = _Bag(config).init(net, x[:, 0]) if config.kind == 'mlp' else _Sequence(config).init(
    net, x, jnp.ones((1, 1), bool))
  return {'id': jax.random.normal(ids, (items, config.dim)) * config.dim ** -.5,
          'bias': jnp.zeros(items),
          'text': jax.random.normal(text, (text_dim, config.dim)) * config.dim ** -.5,
          'net': variables['params']}


def item_vectors(params, item_texts, has_id, id_mask):
  """The item vectors m_j e_j + P^T t_j, float32 `[items, dim]`.

  Args:
    params: what `init` makes.
    item_texts: float32 `[items, text_dim]`; a row of zeros says that the item has no text.
    has_id: bool `[items]`, whether the item has training interactions.
    id_mask: bool `[items]`, false where a training step drops the ID; m_j is both.
  """
  return (has_id & id_mask)[:, None] * params['id'] + item_texts @ params['text']


def compact(items, weights, length):
  """Moves entries of weight 0 to the end, in the order of the others, and keeps the last `length` of the others.

  Args:
    items: int `[batch, any]`.
    weights: float `[batch, any]`.
    length: the most entries.

  Returns:
    items and weights `[batch, min(any, length)]`.
  """
  order = jnp.argsort(weights <= 0, axis=1, stable=True)
  skipped = jnp.maximum((weights > 0).sum(1, keepdims=True) - length, 0)
  order = jnp.take_along_axis(order, skipped + jnp.arange(min(items.shape[1], length)), 1)
  return jnp.take_along_axis(items, order, 1), jnp.maximum(jnp.take_along_axis(weights, order, 1), 0)


@functools.partial(jax.jit, static_argnames='config')
def states(params, config, items, weights, vectors):
  """The states of GRU or Transformer after each prefix of compacted histories.

  Args:
    params: what `init` makes.
    config: `RecommenderConfig`.
    items: int `[batch, length]`, at most `max_history` long, entries of weight 0 last.
    weights: float `[batch, length]`.
    vectors: float `[items, dim]`.

  Returns:
    float32 `[batch, length + 1, dim]`; state k knows the first k entries.
  """
  x = vectors[items].astype(config.dtype)
  return _Sequence(config).apply({'params': params['net']}, x, weights > 0).astype(jnp.float32)


@functools.partial(jax.jit, static_argnames='config')
def represent(params, config, items, weights, vectors):
  """The state of each history, float32 `[batch, dim]`; entries of weight 0 are as if absent.

  The MLP reads the bag sum_i w_i v_i / |w|, so weights count; GRU and Transformer read all entries of weight above 0
  alike.

  Args: as in `states`, but for any length and any place of the entries of weight 0.
  """
  items, weights = compact(items, weights, config.max_history)
  if config.kind == 'mlp':
    square = (weights ** 2).sum(1, keepdims=True)
    weights = weights / jnp.sqrt(jnp.where(square > 0, square, 1))
    bag = jnp.einsum('bl,bld->bd', weights, vectors[items]).astype(config.dtype)
    return _Bag(config).apply({'params': params['net']}, bag).astype(jnp.float32)
  count = (weights > 0).sum(1)
  return jnp.take_along_axis(states(params, config, items, weights, vectors), count[:, None, None], 1)[:, 0]


def user_states(params, users):
  """What scores take of training users `[batch]`: the states of their training histories, float32 `[batch, dim]`."""
  return _history_states(params, params.items[users], params.weights[users])


def item_columns(params, items=None):
  """What scores take of `items [n]`, or of all of them: float32 vectors `[n, dim]` and biases `[n]`."""
  return (params.vectors, params.bias) if items is None else (params.vectors[items], params.bias[items])


def products(states, columns):
  """The scores float32 `[batch, n]` of the states `[batch, dim]` of users for the columns of items."""
  vectors, bias = columns
  with jax.default_matmul_precision('highest'):
    return states @ vectors.T + bias


@jax.jit
def score(params, users):
  """The scores float32 `[batch, items]` of training users `[batch]`, by their training histories."""
  return products(user_states(params, users), item_columns(params))


@jax.jit
def score_history(params, items, weights):
  """The scores float32 `[batch, items]` of new users, by their histories `[batch, length]`; weight 0 is padding."""
  return products(_history_states(params, items, weights), item_columns(params))


def _history_states(params, items, weights):
  with jax.default_matmul_precision('highest'):
    return represent(params.params, params.config, items, weights, params.vectors) / params.config.temperature
