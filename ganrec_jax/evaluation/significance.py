"""Intervals by the bootstrap over users, paired differences, and Holm's correction."""

import numpy as np

_BOOTSTRAP = 0xb007  # the purpose of the bootstrap's random stream
_ENTRIES = 1 << 20  # drawn at once; bounds the memory


def resampled_means(values, seed: int, resamples=10000):
  """Means of bootstrap resamples of the rows (Efron 1979), the same draws for all columns.

  Memory is bounded by 2^20 draws at a time (or `n`, if more) and the result.

  Args:
    values: float `[n, m]`, a row a user.
    seed: of the draws; they depend on it and on `n` only.
    resamples: the number of resamples.

  Returns:
    float64 `[resamples, m]`.

  Raises:
    ValueError: for no rows or values that are not finite.
  """
  values = np.asarray(values, np.float64)
  n = len(values)
  if not n or not np.isfinite(values).all():
    raise ValueError(f'the bootstrap needs at least one row and finite values; given are {n} rows, '
                     f'{np.sum(~np.isfinite(values))} values not finite')
  rng = np.random.default_rng(np.random.SeedSequence([seed, _BOOTSTRAP]))
  means, step = np.empty((resamples, values.shape[1])), max(1, _ENTRIES // n)
  for start in range(0, resamples, step):
    size = min(step, resamples - start)
    draws = rng.integers(0, n, (size, n)) + np.arange(size)[:, None] * n
    means[start:start + size] = np.bincount(draws.ravel(), minlength=size * n).reshape(size, n) @ values / n
  return means


def percentile_interval(means):
  """The 2.5% and 97.5% percentiles of `means [resamples, ...]`."""
  return np.percentile(means, [2.5, 97.5], axis=0)


def two_sided_p(means):
  """The bootstrap's two-sided p value that the mean is zero: twice the smaller tail, counting the sample itself.

  `means [resamples, ...]` are of the difference; ties with zero count on both sides, so equal systems get 1.
  """
  resamples = len(means)
  tail = np.minimum((means <= 0).sum(axis=0), (means >= 0).sum(axis=0))
  return np.minimum(1., 2 * (tail + 1) / (resamples + 1))


def bootstrap_mean(values, seed: int, resamples=10000):
  """The 95% percentile interval (low, high) of the mean of `values [n]`."""
  low, high = percentile_interval(resampled_means(np.asarray(values)[:, None], seed, resamples)[:, 0])
  return float(low), float(high)


def paired_bootstrap(a, b, seed: int, resamples=10000):
  """The mean of `a - b` (float `[n]` each, one entry a user), its 95% interval and its two-sided p value.

  Returns:
    (mean difference, low, high, p); p is at least 2 / (resamples + 1).

  Raises:
    ValueError: where the two are not of the same users (length), are empty or not finite.
  """
  a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
  if a.shape != b.shape:
    raise ValueError(f'paired values must be of the same users, given are {a.shape} and {b.shape}')
  means = resampled_means((a - b)[:, None], seed, resamples)[:, 0]
  low, high = percentile_interval(means)
  return float(np.mean(a - b)), float(low), float(high), float(two_sided_p(means))


def holm(p_values):
  """Holm's (1979) step-down adjustment of `p_values [m]`: reject where the result is below the level.

  Raises:
    ValueError: for values outside [0, 1].
  """
  p = np.asarray(p_values, np.float64)
  if not ((p >= 0) & (p <= 1)).all():
    raise ValueError(f'p values must lie in [0, 1], given are {p}')
  order = np.argsort(p, kind='stable')
  adjusted = np.empty_like(p)
  adjusted[order] = np.minimum(1., np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)))
  return adjusted
