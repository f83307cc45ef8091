"""encode: texts become vectors by a BERT or GPT-2, pretrained or trained here, and the content kernel between items."""

import dataclasses
import functools
import hashlib
import json

import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np
import tokenizers
from absl import logging

from ganrec_jax import artifacts
from ganrec_jax.data import ragged, text
from ganrec_jax.encoding import adapt, distil, pretrain, tokenizer, vectors, weights
from ganrec_jax.encoding import encoder as encoders
from ganrec_jax.errors import ConfigError
from ganrec_jax.models import als, bert, gpt, kernels
from ganrec_jax.stages.workspace import VERSION
from ganrec_jax.training import loop

KINDS = ('none', 'pretrained', 'trained')
ADAPTATIONS = ('contrastive', 'distil')
_USERS_A_BATCH = 256
_PROJECTIONS = 256
_ITEMS_A_BLOCK = 4096
# Landmarks of a low-rank kernel for each of its features: as many features as landmarks would be no better than a
# random choice of them, of four times as many the best are kept.
LANDMARKS = 4


@dataclasses.dataclass(frozen=True)
class TextEncoder:
  """A BERT or GPT-2 and its tokenizer.

  Attributes:
    params: its parameters.
    shape: its `BertConfig` or `GptConfig`.
    words: its tokenizer.
    summary: how its training went, by stage; empty where there was none.
    before: its parameters before the adaptation where it was pretrained; None where it was not, or is not adapted.
  """
  params: dict
  shape: bert.BertConfig | gpt.GptConfig
  words: tokenizers.Tokenizer
  summary: dict
  before: dict | None = None


@dataclasses.dataclass(frozen=True)
class Content:
  """All that texts say.

  Attributes:
    kernel: the content kernel, float32 `[items, items]`, or a `LowRankKernel` of more items than base.dense_items.
    items: v_j, float32 `[items, width]`, whitened text vectors.
    users: u_i, float32 `[users, tokens, width]`: attention over the vectors of a user's items and, with a BERT, the
      vector of his history's text; None where the adversary's design reads no users.
    texts: float32 `[items, dim]`, the text vectors as the encoder gives them with the catalogue's ready vectors beside
      them, or None without either.
  """
  kernel: jax.Array | kernels.LowRankKernel
  items: np.ndarray
  users: np.ndarray | None
  texts: np.ndarray | None


def check(config):
  """Raises a `ConfigError` where the config's section `encoder` cannot be used."""
  encoder = config.encoder
  if encoder.kind not in KINDS:
    raise ConfigError(f'encoder.kind is {encoder.kind!r}; allowed are {", ".join(KINDS)}')
  if encoder.pooling not in vectors.POOLINGS:
    raise ConfigError(f'encoder.pooling is {encoder.pooling!r}; allowed are {", ".join(vectors.POOLINGS)}')
  if encoder.adapt_kind not in ADAPTATIONS:
    raise ConfigError(f'encoder.adapt_kind is {encoder.adapt_kind!r}; allowed are {", ".join(ADAPTATIONS)}')
  if encoder.dtype not in ('float32', 'bfloat16'):
    raise ConfigError(f'encoder.dtype is {encoder.dtype!r}; allowed are float32, bfloat16')
  if not 0 <= encoder.share <= 1:
    raise ConfigError(f'encoder.share is {encoder.share}; allowed are numbers from 0 to 1')
  for name, least in (('max_length', 3), ('user_titles', 1), ('steps', 1), ('adapt_steps', 0),
                      ('lora_rank', 0)):
    if encoder[name] < least:
      raise ConfigError(f'encoder.{name} is {encoder[name]}; allowed are whole numbers from {least} on')
  if not encoder.adapt_rate > 0:
    raise ConfigError(f'encoder.adapt_rate is {encoder.adapt_rate}; allowed are numbers above 0')


def text_encoder(workspace, prepared):
  """The encoder that the config asks for, adapted where it asks for that; None where it asks for none.

  What is trained sees the texts of warm items and the training pairs only.

  Raises:
    DataError: where pretrained weights cannot be found.
    ConfigError: where the first token of a GPT-2, which reads itself only, is to stand for the text.
  """
  config = workspace.config.encoder
  if config.kind == 'none':
    return None
  if config.kind == 'pretrained':
    found = weights.load(weights.find(config.weights))
    encoder, known = TextEncoder(found.params, found.config, tokenizer.load(found.folder), {}), found.sha256
    if config.pooling == 'cls' and isinstance(found.config, gpt.GptConfig):
      raise ConfigError("encoder.pooling is 'cls'; allowed are mean, last for a GPT-2")
    if not config.adapt_steps:
      return encoder
  else:
    encoder, known = None, 'trained'
  # What is computed once more in the backward pass changes what training takes, not what it ends in.
  relevant = {name: value for name, value in config.to_dict().items()
              if name not in ('share', 'user_titles', 'remat')}
  factors = _factors(workspace.config) if config.adapt_steps and config.adapt_kind == 'distil' else None
  key = artifacts.digest(VERSION, known, relevant, workspace.config.seed, prepared.sha256(), repr(factors))
  arrays, there = artifacts.cached(workspace.artifact('encoder.npz'), key,
                                   lambda: _train(workspace, prepared, encoder, key))
  if there:
    logging.info('encoder: taken from the work directory')
  params = {name: jnp.asarray(value) for name, value in arrays.items() if '/' in name}
  return TextEncoder(flax.traverse_util.unflatten_dict(params, sep='/'),
                     encoders.from_json(str(arrays['shape'])), tokenizer.from_json(str(arrays['words'])),
                     json.loads(str(arrays['summary'])), None if encoder is None else encoder.params)


def _train(workspace, prepared, encoder, key):
  """Trains a BERT from scratch where `encoder` is None, adapts the encoder where asked for; returns it as arrays."""
  config, catalogue, summary = workspace.config.encoder, prepared.dataset.catalogue, {}
  if encoder is None:
    texts = [str(catalogue.texts[item]) for item in prepared.warm]
    words = tokenizer.train_wordpiece(texts, bert.VARIANTS['tiny'].vocab_size)
    shape = dataclasses.replace(bert.VARIANTS['tiny'], vocab_size=words.get_vocab_size())
    params, summary['mlm'] = pretrain.masked_language_model(
      tokenizer.encode(words, texts, config.max_length), shape, workspace.key('mlm'),
      workspace.surroundings('mlm', key), loop.Schedule(config.steps, min(config.steps, 50)),
      dtype=jnp.dtype(config.dtype), remat=config.get('remat', False))
    encoder = TextEncoder(params, shape, words, {})
  params = encoder.params
  if config.adapt_steps:
    params, summary['adapt'] = _adapt(workspace, prepared, encoder, key)
  flat = flax.traverse_util.flatten_dict(params, sep='/')
  return {name: np.asarray(value) for name, value in flat.items()} | {
    'shape': np.asarray(encoders.to_json(encoder.shape)), 'words': np.asarray(encoder.words.to_str()),
    'summary': np.asarray(json.dumps(summary))}


def _adapt(workspace, prepared, encoder, key):
  """The encoder's parameters adapted to the task, and how that went."""
  config, texts = workspace.config.encoder, prepared.dataset.catalogue.texts
  rest = (workspace.key('adapt'), workspace.surroundings('adapt', key),
          loop.Schedule(config.adapt_steps, min(config.adapt_steps, 50)))
  options = {'learning_rate': config.adapt_rate, 'rank': config.lora_rank, 'pooling': config.pooling,
             'dtype': jnp.dtype(config.dtype), 'remat': config.get('remat', False), 'max_length': config.max_length}
  if config.adapt_kind == 'contrastive':
    # Items without a training pair, cold ones among them, are in no pair and so are never looked at.
    return adapt.contrastive(encoder.params, encoder.shape, tokenizer.encode(encoder.words, texts, config.max_length),
                             prepared.histories, *rest, **options)
  heard = np.intersect1d(prepared.warm[texts[prepared.warm] != ''], prepared.histories.values)
  factors = als.fit(prepared.histories, prepared.dataset.items, prepared.warm, None, _factors(workspace.config),
                    workspace.key('distil'))
  return distil.distil(encoder.params, encoder.shape, tokenizer.encode(encoder.words, texts[heard], config.max_length),
                       np.asarray(factors.items)[heard], *rest, **options)


def _factors(config):
  """The `AlsConfig` of the factors that are distilled: those of the base without texts."""
  base = config.base
  return als.AlsConfig(base.dim, base.sweeps, base.unobserved, base.reg, kappa=0.)


def text_vectors(workspace, encoder, texts, name=None):
  """The vectors float32 `[texts, dim]` of any texts; kept in the artifact `name` where one is given."""
  config = workspace.config.encoder
  ids = tokenizer.encode(encoder.words, texts, min(config.max_length, encoder.shape.positions))
  options = {'pooling': config.pooling, 'dtype': jnp.dtype(config.dtype)}

  def compute():
    return {'vectors': vectors.encode(encoder.params, encoder.shape, ids, devices=workspace.local, **options)}

  if name is None:
    return compute()['vectors']
  key = vectors.key_hash(encoder.params, encoder.shape, ids, **options)
  return artifacts.cached(workspace.artifact(name), key, compute)[0]['vectors']


def readings(workspace, encoder, texts, name=None):
  """The vectors of any texts as an encoder reads them, and as it did before it was adapted: a list of `[texts, dim]`.

  Without an encoder the list is empty. Half the kernel is left to a pretrained encoder as it was, since what it knows
  of the world helps with items unlike the known ones.
  """
  found = [] if encoder is None else [text_vectors(workspace, encoder, texts, name and f'{name}.npz')]
  if encoder is not None and encoder.before is not None:
    before = dataclasses.replace(encoder, params=encoder.before, before=None)
    found.append(text_vectors(workspace, before, texts, name and f'{name}_before.npz'))
  return found


def content(workspace, prepared, encoder):
  """What the texts say of items and users; whitening and vocabulary are fitted on warm items only."""
  catalogue, warm, histories = prepared.dataset.catalogue, prepared.warm, prepared.histories
  read = readings(workspace, encoder, catalogue.texts, 'encode') or [None]
  read = [beside(texts, catalogue.vectors, warm) for texts in read]
  kernel, found = content_kernel(workspace, catalogue, warm, read), read[0]
  rows = projections(workspace, kernel, warm) if found is None else found
  whitening = kernels.whiten(rows, warm)
  items, users = np.asarray(whitening.apply(rows)), None
  if workspace.config.adversarial.design == 'interaction':
    users = attend(items, histories)[:, None]
    if encoder is not None:
      told = vectors.user_text(catalogue.titles, histories, limit=workspace.config.encoder.user_titles)
      read = np.asarray(whitening.apply(text_vectors(workspace, encoder, told, 'encode_users.npz')))
      users = np.concatenate([users, read[:, None]], 1)
  return Content(kernel, items, users, found)


def projections(workspace, kernel, warm):
  """Random projections of each item's row of the content kernel, float32 `[items, up to 256]`; see `content`."""
  directions = jax.random.normal(workspace.key('projection'), (len(warm), min(_PROJECTIONS, len(warm))))
  if isinstance(kernel, kernels.LowRankKernel):
    return np.asarray(kernel.times(warm, directions))
  return np.asarray(kernel[:, warm]) @ np.asarray(directions)


def features(workspace, kernel, warm):
  """What a network reads of the items: whitened projections of the content kernel, float32 `[items, up to 128]`.

  Texts and phrases are in them as they weigh in the kernel.
  """
  rows = projections(workspace, kernel, warm)
  return np.asarray(kernels.whiten(rows, warm).apply(rows))


def beside(texts, ready, warm):
  """Text vectors and ready ones (of images, sounds) side by side, each row of length 1 in both halves.

  Where an item has one half only, the other is the mean of the warm items that have it; where it has none, zeros.

  Args:
    texts: float32 `[items, dim]` or None.
    ready: float32 `[items, more]` or None.
    warm: int `[m]`, the warm items.

  Returns:
    float32 `[items, dim + more]`; the other one as it is where one is None.
  """
  if texts is None or ready is None:
    return texts if ready is None else ready
  there = [np.abs(half).sum(1) > 0 for half in (texts, ready)]
  halves = []
  for half, has in zip((texts, ready), there, strict=True):
    unit = half / np.maximum(np.linalg.norm(half, axis=1, keepdims=True), np.finfo(np.float32).tiny)
    known = warm[has[warm]]
    halves.append(np.where(has[:, None], unit, unit[known].mean(0) if len(known) else 0))
  return np.where((there[0] | there[1])[:, None], np.concatenate(halves, 1), 0).astype(np.float32)


def content_kernel(workspace, catalogue, warm, read):
  """The content kernel from phrases and text vectors, the mean over all that were `read`.

  Up to config.base.dense_items it is float32 `[items, items]`; beyond it is a `LowRankKernel` by the Nystroem method
  (Williams and Seeger 2001), from kernels between all items and landmarks alone, warm items drawn evenly, of whose
  eigenpairs the top base.rank are kept. What the features leave of the diagonal is kept there (Snelson and Ghahramani
  2006).

  Args:
    workspace, catalogue: the surroundings and the items.
    warm: int `[m]`, the items that whitening and vocabulary are fitted on.
    read: a list of float32 `[items, dim]`, or of None where there are no vectors.
  """
  terms = terms_of(catalogue, warm)
  whitened = [] if read[0] is None else [kernels.whiten(found, warm).apply(found) for found in read]
  base, share = workspace.config.base, workspace.config.encoder.share
  if len(catalogue) <= base.dense_items:
    return kernels.with_unit_diagonal(_between(terms, terms, [(z, z) for z in whitened], share))
  marks = landmarks(workspace, warm)
  known = _rows(terms, marks)

  def block(items):
    found = _between(_rows(terms, items), known, [(z[items], z[marks]) for z in whitened], share)
    return jnp.where(items[:, None] == marks, 1., found)

  root = kernels.inverse_root(block(marks), base.rank)
  features = np.zeros((len(catalogue), root.shape[1]), np.float32)
  for items in np.array_split(np.arange(len(catalogue)), -(-len(catalogue) // _ITEMS_A_BLOCK)):
    features[items] = block(items) @ root
  return kernels.LowRankKernel(jnp.asarray(features))


def landmarks(workspace, warm):
  """The landmarks of a low-rank kernel, see `content_kernel`: int `[up to LANDMARKS x base.rank]`, ascending."""
  drawn = np.asarray(jax.random.permutation(workspace.key('landmarks'), warm))
  return np.sort(drawn[:LANDMARKS * workspace.config.base.rank])


def _rows(terms, items):
  return [(ragged.take(rows, items), num_terms) for rows, num_terms in terms]


def _between(left, right, pairs, share):
  """The kernel float32 `[left, right]` between two sets of `terms_of` and the `pairs` of their whitened vectors."""
  alike = [text.similarities(one, other, num_terms)
           for (one, num_terms), (other, _) in zip(left, right, strict=True)]
  if not pairs:
    return kernels.content_kernel(alike[0], alike, 0.)
  total = 0.
  for one, other in pairs:
    total += kernels.content_kernel(one @ other.T, alike, share)
  return total / len(pairs)


def terms_of(catalogue, warm):
  """A list of (TF-IDF rows of all items, a `Ragged`; number of terms), vocabularies fitted on the items `warm [m]`.

  One by attribute phrases and their words; where no item has any, one by the texts' words and one by the letters of
  the titles, which tell products apart.
  """
  found = [text.tfidf(catalogue.phrases, catalogue.texts, warm)]
  if not any(map(len, catalogue.phrases)):
    found.append(text.tfidf(catalogue.phrases, catalogue.titles, warm, text.letter_terms))
  return found


_attention = jax.jit(vectors.user_attention)


def attend(items, histories):
  """The attention of each user over the vectors `items [items, width]` of his history, float32 `[users, width]`."""
  length, found = max(1, int(histories.lengths.max(initial=1))), []
  for start in range(0, len(histories), _USERS_A_BATCH):
    rows = np.minimum(np.arange(start, start + _USERS_A_BATCH), len(histories) - 1)
    places, there = ragged.pad(histories, rows, length, 0)
    found.append(np.asarray(_attention(items[places], there > 0)))
  return np.concatenate(found)[:len(histories)]


@functools.singledispatch
def sha256(value):
  """The SHA-256 of an array's, a `LowRankKernel`'s or a `Content`'s bits, as hex."""
  return hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest()


@sha256.register
def _(value: kernels.LowRankKernel):
  return artifacts.digest('features', sha256(value.features))


@sha256.register
def _(value: Content):
  return artifacts.digest(*(sha256(part) for part in (value.kernel, value.items, value.users) if part is not None))
