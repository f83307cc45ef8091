"""Texts to vectors: fast batched encoding, pooling, the text and the attention of a user, and a cache on disk."""

import functools
import hashlib

import jax
import jax.numpy as jnp
import numpy as np
from flax import jax_utils

from ganrec_jax.encoding import encoder
from ganrec_jax.errors import ConfigError, DataError
from ganrec_jax.training import accumulate

POOLINGS = ('mean', 'cls', 'last')
_SAMPLE = 701  # the purpose of the generator that draws titles for a user's text


def pool(hidden, mask, pooling):
  """One vector a text: the mean of the hidden states at its tokens, the first one (`[CLS]`), or the last one.

  The last one is what a decoder knows at the end of a text, since each position reads only what comes before it.

  Args:
    hidden: `[batch, length, dim]`.
    mask: `[batch, length]`.
    pooling: 'mean', 'cls' or 'last'.

  Returns:
    float32 `[batch, dim]`; zeros for a row without a token under 'mean'.
  """
  if pooling not in POOLINGS:
    raise ConfigError(f'pooling: {pooling!r}; allowed are {POOLINGS}')
  hidden = hidden.astype(jnp.float32)
  if pooling == 'cls':
    return hidden[:, 0]
  if pooling == 'last':
    last = jnp.max(jnp.arange(mask.shape[1]) * mask.astype(bool), 1)
    return jnp.take_along_axis(hidden, last[:, None, None], 1)[:, 0]
  weights = mask.astype(jnp.float32)[..., None]
  return (hidden * weights).sum(1) / jnp.maximum(weights.sum(1), 1)


def embed(params, config, ids, pooling='mean', dtype=jnp.float32, remat=False, rows=0):
  """The vectors float32 `[batch, dim]` of `ids [batch, length]`, -1 where padded, for losses to differentiate.

  Args:
    params, config, ids: the encoder, its shape and the texts.
    pooling: 'mean', 'cls' or 'last'.
    dtype: of the computation.
    remat: whether the blocks are computed again in the backward pass.
    rows: the most texts that are held at once, see `accumulate.in_parts`; 0 is all.
  """
  def read(ids):
    there = ids >= 0  # 0 is a piece like any other in GPT-2's vocabulary
    return pool(encoder.apply(params, config, jnp.maximum(ids, 0), there, dtype, remat), there, pooling)
  return accumulate.in_parts(read, ids, rows)


def batches(lengths, budget):
  """Sorts texts by length into batches of few shapes: padded lengths are multiples of 8 up to 64, then 1.25 apart.

  Args:
    lengths: int `[texts]`.
    budget: padded tokens a batch.

  Yields:
    (row numbers `[b]`, padded length, batch size): `b <= batch size`, fewer only in the last batch of a length.
  """
  lengths = np.maximum(np.asarray(lengths), 1)
  grid = [8]
  while grid[-1] < lengths.max(initial=1):
    grid.append(grid[-1] + 8 * max(1, grid[-1] // 32 if grid[-1] >= 64 else 1))
  padded = np.asarray(grid)[np.searchsorted(grid, lengths)]
  for length in np.unique(padded):
    rows = np.flatnonzero(padded == length)
    # Few texts of a length do not fill the budget; powers of two keep the shapes few.
    size = min(max(1, budget // int(length)), 1 << (len(rows) - 1).bit_length())
    for start in range(0, len(rows), size):
      yield rows[start:start + size], int(length), size


@functools.lru_cache(maxsize=16)
def _compiled(config, pooling, dtype, devices):
  """Compiles `(params, ids [b, length], lengths [b]) -> [b, dim]`; on several devices each argument leads with them."""
  def run(params, ids, lengths):
    mask = jnp.arange(ids.shape[1]) < lengths[:, None]
    return pool(encoder.apply(params, config, ids, mask, dtype), mask, pooling)
  return jax.jit(run) if len(devices) == 1 else jax.pmap(run, devices=devices)


def encode(params, config, token_ids, *, pooling='mean', devices=None, batch_tokens=2048, dtype=jnp.float32):
  """Encodes texts; the result does not depend on their order, nor but for rounding on batches and devices.

  Args:
    params: of an encoder of the shape `config`.
    config: a `BertConfig` or `GptConfig`.
    token_ids: a list of int arrays `[length]`, one a text.
    pooling: 'mean', 'cls' or 'last'.
    devices: each batch is shared among them; all local devices where None.
    batch_tokens: padded tokens in a batch of one device; bounds the memory.
    dtype: of the computation.

  Returns:
    float32 `[texts, dim]`.

  Raises:
    DataError: for a text without tokens, longer than the model's positions, or with an id outside its vocabulary.
  """
  lengths = np.array([len(ids) for ids in token_ids], np.int32)
  _check_tokens(config, token_ids, lengths)
  devices = tuple(jax.local_devices() if devices is None else devices)
  count, run = len(devices), _compiled(config, pooling, dtype, devices)
  params = jax.device_put(params, devices[0]) if count == 1 else jax_utils.replicate(params, devices)
  vectors, pending = np.zeros((len(lengths), config.dim), np.float32), []

  def store(rows, out):
    vectors[rows] = np.asarray(out).reshape(-1, config.dim)[:len(rows)]

  for rows, length, size in batches(lengths, batch_tokens * count):
    size = -(-size // count) * count
    ids = np.zeros((size, length), np.int32)
    for slot, row in enumerate(rows):
      ids[slot, :lengths[row]] = token_ids[row]
    # Rows that only fill up a batch get one token, so that nothing is computed over an empty set.
    there = np.ones(size, np.int32)
    there[:len(rows)] = lengths[rows]
    if count > 1:
      ids, there = ids.reshape(count, -1, length), there.reshape(count, -1)
    pending.append((rows, run(params, ids, there)))
    if len(pending) > 2:  # bounds what waits in the queue
      store(*pending.pop(0))
  for rows, out in pending:
    store(rows, out)
  return vectors


def _check_tokens(config, token_ids, lengths):
  bad = np.flatnonzero((lengths < 1) | (lengths > config.positions))
  if len(bad):
    raise DataError(f'text {bad[0]}: holds {lengths[bad[0]]} tokens, allowed are 1 to {config.positions}')
  if len(lengths):
    flat = np.concatenate(token_ids)
    bad = np.flatnonzero((flat < 0) | (flat >= config.vocab_size))
    if len(bad):
      text = np.searchsorted(np.cumsum(lengths), bad[0], side='right')
      raise DataError(f'text {text}: token id {flat[bad[0]]}, allowed are 0 to {config.vocab_size - 1}')


def user_text(titles, histories, *, limit, seed=None):
  """The text x_i of each user: the titles of his history, the latest first, joined by ', '.

  Args:
    titles: str `[items]`.
    histories: a `Ragged` of items, `[users]` rows in the order of time.
    limit: the most titles a user.
    seed: where given, `limit` titles are drawn from longer histories instead of the latest ones; their order stays.

  Returns:
    A list of str, one a user; '' where the history is empty.
  """
  rng = None if seed is None else np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, _SAMPLE])))
  texts = []
  for user in range(len(histories)):
    items = histories.row(user)
    if rng is not None and len(items) > limit:
      items = items[np.sort(rng.choice(len(items), limit, replace=False))]
    texts.append(', '.join(str(titles[item]) for item in items[::-1][:limit]))
  return texts


def user_attention(vectors, mask, params=None):
  """u_i as attention over the vectors of a user's items: sum_j softmax_j(q . k_j / sqrt(dim)) v_j, q from their mean.

  Args:
    vectors: `[batch, length, dim]`, v_j of the items of the histories.
    mask: `[batch, length]`.
    params: `{'query': [dim, dim], 'key': [dim, dim]}`, projections to learn; identities where None.

  Returns:
    `[batch, dim]`; zeros for an empty history.
  """
  mask = mask.astype(bool)
  query, key = pool(vectors, mask, 'mean'), vectors
  if params is not None:
    query, key = query @ params['query'], key @ params['key']
  logits = jnp.einsum('bd,bld->bl', query, key) / np.sqrt(key.shape[-1])
  weights = jax.nn.softmax(jnp.where(mask, logits, jnp.finfo(jnp.float32).min)) * mask
  return jnp.einsum('bl,bld->bd', weights, vectors)


def params_sha256(params):
  """The SHA-256 of the parameters' names, shapes and bits, as hex."""
  digest = hashlib.sha256()
  for path, leaf in jax.tree_util.tree_leaves_with_path(params):
    leaf = np.asarray(leaf)
    digest.update(f'{jax.tree_util.keystr(path)} {leaf.dtype} {leaf.shape}\n'.encode())
    digest.update(np.ascontiguousarray(leaf).tobytes())
  return digest.hexdigest()


def key_hash(params, config, token_ids, **options):
  """The SHA-256 of all that vectors depend on: the weights, the model's shape, the tokens, and options such as pooling.

  The tokens stand for both the texts and their tokenizer.
  """
  digest = hashlib.sha256(f'{params_sha256(params)} {config} {sorted(options.items())}'.encode())
  for ids in token_ids:
    digest.update(f'{len(ids)} '.encode() + np.asarray(ids, np.int32).tobytes())
  return digest.hexdigest()
