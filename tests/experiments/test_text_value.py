"""The kernels of the rows, and the table."""

import types

import jax
import numpy as np

from experiments import text_value
from ganrec_jax.models import kernels

RNG = np.random.default_rng(0)
TEXTS = RNG.normal(size=(12, 6)).astype(np.float32)
ALIKE = np.abs(np.corrcoef(RNG.normal(size=(12, 5)))).astype(np.float32)
WARM = np.arange(9)


class Problem:
  """A `Problem` of 12 items without a log."""
  prepared = types.SimpleNamespace(warm=WARM)
  config = types.SimpleNamespace(encoder=types.SimpleNamespace(share=.5))
  texts, alike = TEXTS, ALIKE

  def kernel(self, share):
    z = kernels.whiten(TEXTS, WARM).apply(TEXTS)
    return kernels.with_unit_diagonal(kernels.content_kernel(z @ z.T, [ALIKE], share))

  def own_kernel(self, adapted=True):
    return 7. if adapted else self.kernel(.5)


def _kernel(row):
  return text_value.kernel(row, Problem(), jax.random.key(0))


def test_shuffling_permutes_items_and_keeps_the_spectrum():
  both, shuffled = (np.asarray(_kernel(row)) for row in (text_value.BOTH, text_value.SHUFFLED))
  assert np.abs(both - shuffled).max() > .1
  np.testing.assert_allclose(np.linalg.eigvalsh(both), np.linalg.eigvalsh(shuffled), atol=1e-5)
  np.testing.assert_allclose(np.sort(both.sum(0)), np.sort(shuffled.sum(0)), atol=1e-5)


def test_rows_read_what_their_names_say():
  np.testing.assert_allclose(_kernel(text_value.TERMS), np.exp(ALIKE - 1), atol=1e-6)
  assert _kernel(text_value.TUNED) == 7.
  frozen, terms, both = (np.asarray(_kernel(row)) for row in (text_value.FROZEN, text_value.TERMS, text_value.BOTH))
  np.testing.assert_allclose((frozen + terms) / 2, both, atol=1e-6)
  assert _kernel(text_value.NOTHING) is None
  random = np.asarray(_kernel(text_value.RANDOM))
  off = ~np.eye(12, dtype=bool)
  assert np.isfinite(random).all() and abs(np.corrcoef(random[off], frozen[off])[0, 1]) < .5
