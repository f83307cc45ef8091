"""How much a synthetic log is like the real one: popularity, co-occurrence, lengths, concentration, embeddings."""

import dataclasses

import jax.numpy as jnp
import numpy as np
from scipy import sparse
from scipy.special import entr
from scipy.stats import rankdata

from ganrec_jax.adversarial import monitors
from ganrec_jax.data.ragged import select
from ganrec_jax.errors import DataError
from ganrec_jax.evaluation import beyond
from ganrec_jax.models.cease import cooccurrences
from ganrec_jax.profiles.privacy import sets

# Items among which co-occurrences are compared, and how many of the most frequent pairs should be the same.
ITEMS, PAIRS = 500, 1000
# The most popular share of the items; the others are the tail.
HEAD = .2


def compare(real, synthetic, item_vectors, num_items):
  """All measures of a synthetic log against the real one; none depends on how many profiles there are but by noise.

  A second real log in place of the synthetic one says what noise alone does. Empty profiles are left out.

  Args:
    real: profiles, a `Ragged` over users, sets of items.
    synthetic: likewise.
    item_vectors: float32 `[num_items, dim]`.
    num_items: of the catalogue.

  Returns:
    a dict of floats, see `popularity`, `co_occurrence`, `lengths`, `concentration`; and `frechet`, the squared Frechet
    distance (Heusel et al. 2017) of Gaussians fitted to profile embeddings, a profile's being the mean of its vectors.

  Raises:
    DataError: where a log has no items, or items that cannot be; for vectors of another shape or not finite.
  """
  vectors = np.asarray(item_vectors, np.float32)
  if vectors.ndim != 2 or len(vectors) != num_items or not np.isfinite(vectors).all():
    raise DataError(f'item_vectors is of shape {vectors.shape}, allowed are finite numbers of shape ({num_items}, dim)')
  real, synthetic = sets(real, num_items, 'real'), sets(synthetic, num_items, 'synthetic')
  moments = (monitors.moments(jnp.asarray(embeddings(part, vectors))) for part in (real, synthetic))
  mean_cov = [value for pair in moments for value in pair]
  return (popularity(real, synthetic, num_items) | co_occurrence(real, synthetic, num_items)
          | lengths(real, synthetic) | concentration(real, synthetic, num_items)
          | {'frechet': float(monitors.frechet(*mean_cov))})


def popularity(real, synthetic, num_items):
  """Agreement of the counts of items.

  Returns:
    `spearman`: rank correlation over the items that occur in either, NaN where one does not vary;
    `jensen_shannon`: divergence in bits of the items' shares of the interactions, 0 to 1 (Lin 1991).
  """
  counts = np.stack([_counts(part, num_items) for part in (real, synthetic)])
  counts = counts[:, counts.any(0)]
  p, q = counts / counts.sum(1, keepdims=True)
  divergence = (entr((p + q) / 2) - (entr(p) + entr(q)) / 2).sum() / np.log(2)
  return {'spearman': _correlation(*rankdata(counts, axis=1)), 'jensen_shannon': float(max(divergence, 0))}


def co_occurrence(real, synthetic, num_items):
  """Agreement of the shares of users who have both items of a pair, over pairs of the `ITEMS` most popular real items.

  Returns:
    `pair_correlation`: Pearson's, NaN where one does not vary;
    `pair_error`: the norm of the difference over that of the real shares, NaN where no real user has two such items;
    `pair_overlap`: how many of the `PAIRS` most frequent real pairs are among as many of the synthetic, as a share.
  """
  counts = _counts(real, num_items)
  top = np.argsort(-counts, kind='stable')[:min(ITEMS, np.count_nonzero(counts))]
  place = np.full(num_items, -1, np.int32)
  place[top] = np.arange(len(top))
  first, second = (_pair_shares(part, place, len(top)) for part in (real, synthetic))
  norm, most = np.linalg.norm(first), min(PAIRS, int((first > 0).sum()))
  common = np.intersect1d(*(_most_frequent(shares, most) for shares in (first, second)))
  return {'pair_correlation': _correlation(first, second),
          'pair_error': float(np.linalg.norm(second - first) / norm) if norm > 0 else float('nan'),
          'pair_overlap': len(common) / most if most else float('nan')}


def lengths(real, synthetic):
  """Agreement of how many items profiles have.

  Returns:
    `length_ks`: the Kolmogorov-Smirnov distance, 0 to 1;
    `length_real`, `length_synthetic`: the means.
  """
  a, b = np.sort(real.lengths), np.sort(synthetic.lengths)
  at = np.concatenate([a, b])
  distance = np.abs(np.searchsorted(a, at, 'right') / len(a) - np.searchsorted(b, at, 'right') / len(b)).max()
  return {'length_ks': float(distance), 'length_real': float(a.mean()), 'length_synthetic': float(b.mean())}


def concentration(real, synthetic, num_items):
  """How widely both spread.

  Returns:
    `coverage`: the share of the items of the real log that occur in the synthetic one;
    `gini_real`, `gini_synthetic`: of the counts of the items that occur in either;
    `tail_real`, `tail_synthetic`: the share of interactions outside the round(.2 x items) most popular real items.
  """
  counts = _counts(real, num_items)
  known = np.flatnonzero(counts)
  either = np.flatnonzero(counts + _counts(synthetic, num_items))
  tail = np.ones(num_items, bool)
  tail[np.argsort(-counts, kind='stable')[:round(HEAD * len(known))]] = False
  out = {'coverage': beyond.coverage(synthetic.values, known)}
  for name, part in (('real', real), ('synthetic', synthetic)):
    out |= {f'gini_{name}': beyond.gini(part.values, either), f'tail_{name}': float(tail[part.values].mean())}
  return out


def embeddings(profiles, item_vectors):
  """The mean of the `item_vectors [items, dim]` of each profile, float32 `[users, dim]`; no profile is empty."""
  shares = np.repeat(1 / profiles.lengths.astype(np.float32), profiles.lengths)
  rows = sparse.csr_array((shares, profiles.values, profiles.offsets), (len(profiles), len(item_vectors)))
  return rows @ item_vectors


def _counts(profiles, num_items):
  return np.bincount(profiles.values, minlength=num_items)


def _pair_shares(profiles, place, size):
  """The share of users who have both items of each pair, float64 `[size (size - 1) / 2]`; place -1 leaves items out."""
  kept = select(profiles, place[profiles.values] >= 0)
  kept = dataclasses.replace(kept, values=place[kept.values])
  gram = np.asarray(cooccurrences(kept, size, np.ones(len(kept), np.float32)), np.float64)
  return gram[np.triu_indices(size, 1)] / len(profiles)


def _most_frequent(shares, most):
  """The places of the `most` largest of `shares [pairs]`, of fewer where the others are 0."""
  places = np.argsort(-shares, kind='stable')[:most]
  return places[shares[places] > 0]


def _correlation(x, y):
  # The spread tells whether a column varies: rounding leaves its variance above 0 all the same.
  if not (len(x) and np.ptp(x) > 0 and np.ptp(y) > 0):
    return float('nan')
  x, y = x - x.mean(), y - y.mean()
  return float(x @ y / np.sqrt((x @ x) * (y @ y)))
