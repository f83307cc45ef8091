"""New words, read as the content kernel has read the catalogue: which items they are like, and their factor."""

import contextlib
import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse

from ganrec_jax.data import text
from ganrec_jax.encoding import vectors
from ganrec_jax.errors import UserError
from ganrec_jax.models import kernels, regression
from ganrec_jax.stages import encode
from ganrec_jax.stages.workspace import Workspace


@dataclasses.dataclass(frozen=True)
class Reader:
  """What is needed to read words; one text at a time, so that few shapes compile.

  Attributes:
    space: the workspace, on one device.
    encoder: the `TextEncoder`, or None.
    phrased: whether the catalogue has attribute phrases.
    terms: (vocabulary, its rows of the known items as a sparse matrix `[terms, known]`, how terms are cut) each.
    whitened: (`Whitening`, float32 `[known, directions]`, what stands for ready features, or None) of each reading.
    dual: float32 `[known, dim]`; a row of the kernel times it is the factor that kernel ridge regression predicts.
    spread: float32 `[known, warm]`; a row of the kernel times it is the likeness to the warm items. None where the
      known items are the warm ones themselves.
    warm: int `[warm]`.
  """
  space: Workspace
  encoder: encode.TextEncoder | None
  phrased: bool
  terms: tuple
  whitened: tuple
  dual: np.ndarray
  spread: np.ndarray | None
  warm: np.ndarray

  def read(self, words):
    """What a text says: (likeness to the warm items float32 `[warm]`, factor float32 `[dim]`).

    What follows its last colon, between commas, are its phrases where the catalogue has any.

    Raises:
      UserError: where nothing reads the words.
    """
    phrases = (tuple(part.strip() for part in words.rpartition(':')[2].split(',') if part.strip()),)
    alike, read = [], False
    for vocabulary, known, cut in self.terms:
      row = text.transform(vocabulary, phrases if self.phrased else ((),), [words], cut)
      read = read or len(row.values) > 0
      alike.append((_sparse(row, len(vocabulary.idf)) @ known).toarray())
    if not read and self.space.config.encoder.kind != 'pretrained':
      raise UserError(f'{words[:100]!r}: none of its words or phrases occurs in the catalogue')
    row = np.asarray(_kernel(tuple(self._vectors(words)), tuple(alike), self.space.config.encoder.share))[0]
    return row if self.spread is None else row @ self.spread, row @ self.dual

  def compile_all(self):
    """Compiles every program that `read` may ask for: one for each padded length of a text."""
    if self.encoder is not None:
      config, shape = self.space.config.encoder, self.encoder.shape
      lengths = np.arange(1, min(config.max_length, shape.positions) + 1)
      for length in {int(lengths[rows[0]]) for rows, _, _ in vectors.batches(lengths, 1)}:
        vectors.encode(self.encoder.params, shape, [np.zeros(length, np.int32)], pooling=config.pooling,
                       devices=self.space.devices, dtype=jnp.dtype(config.dtype))
    with contextlib.suppress(UserError):
      self.read('a')

  def _vectors(self, words):
    """The whitened vector `[1, directions]` of a text beside those of the known items, for each reading."""
    found = encode.readings(self.space, self.encoder, [words]) or [None] * len(self.whitened)
    for row, (whitening, known, ready) in zip(found, self.whitened, strict=True):
      if row is None:
        row = np.zeros((1, len(whitening.mean)), np.float32)
      elif ready is not None:
        row = np.concatenate([row / max(np.linalg.norm(row), 1e-30), ready[None]], 1)
      yield whitening.apply(row), known


def reader(space, prepared, encoder, content, base):
  """The `Reader` of a finished run."""
  space = dataclasses.replace(space, devices=space.devices[:1])
  if encoder is not None:
    encoder = dataclasses.replace(encoder, params=jax.device_put(encoder.params, space.devices[0]),
                                  before=jax.device_put(encoder.before, space.devices[0]))
  catalogue, warm, kernel = prepared.dataset.catalogue, prepared.warm, content.kernel
  ridge, factors = base.config.factors.ridge, base.factors.items
  if isinstance(kernel, kernels.LowRankKernel):
    known = encode.landmarks(space, warm)
    marks = np.asarray(kernel.features)[known]
    # The features of the landmarks are U S^1/2, and those of anything its kernel with the landmarks times U S^-1/2.
    root = marks / np.maximum((marks ** 2).sum(0), np.finfo(np.float32).tiny)
    texts = regression.fit(kernel, warm, known, ridge)
    turn = regression.whitener(kernel.features[warm], texts.noise)
    dual = root @ np.asarray(turn @ (texts.known.T @ (factors[warm] / texts.noise[:, None])))
    spread = root @ np.asarray(kernel.features)[warm].T
  else:
    known, spread = warm, None
    dual = np.asarray(_solve(kernel[warm][:, warm] + ridge * jnp.eye(len(warm)), factors[warm]))
  phrased = any(map(len, catalogue.phrases))
  return Reader(space, encoder, phrased, tuple(_terms(catalogue, warm, known, phrased)),
                tuple(_whitened(space, encoder, catalogue, content.texts, warm, known)), dual, spread, warm)


def _terms(catalogue, warm, known, phrased):
  """The vocabularies of `encode.terms_of`, and what the known items have of them."""
  some = catalogue.take(known)
  kinds = [('texts', text.item_terms)] + ([] if phrased else [('titles', text.letter_terms)])
  for name, cut in kinds:
    vocabulary = text.fit_vocabulary(catalogue.phrases, getattr(catalogue, name), warm, terms_of=cut)
    rows = text.transform(vocabulary, some.phrases, getattr(some, name), cut)
    yield vocabulary, _sparse(rows, len(vocabulary.idf)).T.tocsr(), cut


def _whitened(space, encoder, catalogue, read, warm, known):
  """For each reading of `encode.content` what `Reader.whitened` holds; `read` is the first of them, or None."""
  found = [] if read is None else [read]
  if encoder is not None and encoder.before is not None:
    before = dataclasses.replace(encoder, params=encoder.before, before=None)
    texts = encode.text_vectors(space, before, catalogue.texts, 'encode_before.npz')
    found.append(encode.beside(texts, catalogue.vectors, warm))
  ready = None
  if encoder is not None and catalogue.vectors is not None:
    # What an item has for features that it lacks: the row of one that has a text and nothing else.
    some = np.ones((len(catalogue) + 1, 1), np.float32)
    ready = encode.beside(some, np.pad(catalogue.vectors, ((0, 1), (0, 0))), warm)[-1, 1:]
  for rows in found:
    whitening = kernels.whiten(rows, warm)
    yield whitening, whitening.apply(rows)[known], ready


def _sparse(rows, terms):
  return scipy.sparse.csr_matrix((rows.weights, rows.values, rows.offsets), (len(rows), terms))


@jax.jit
def _kernel(pairs, alike, share):
  if not pairs:
    return kernels.content_kernel(alike[0], alike, 0.)
  return sum(kernels.content_kernel(one @ other.T, alike, share) for one, other in pairs) / len(pairs)


@jax.jit
def _solve(matrix, right):
  with jax.default_matmul_precision('highest'):
    return jax.scipy.linalg.solve(matrix, right, assume_a='pos')
