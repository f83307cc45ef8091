"""The mixture: its density against SciPy's, EM finds planted components, draws have its moments."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from ganrec_jax.models import mixture


def _planted(n=4000):
  rng = np.random.default_rng(0)
  component = rng.choice(3, n, p=[.5, .3, .2])
  means = np.array([[-4., 0.], [4., 1.], [0., 5.]])
  sds = np.array([[1., .5], [.5, 1.], [.7, .7]])
  return (means[component] + sds[component] * rng.standard_normal((n, 2))).astype(np.float32), means, sds


def test_log_joint_is_the_sum_of_normal_densities():
  rng = np.random.default_rng(1)
  fitted = mixture.Mixture(*(jnp.asarray(part, jnp.float32) for part in (
    np.log([.7, .3]), rng.standard_normal((2, 3)), rng.uniform(.2, 2, (2, 3)))))
  x = rng.standard_normal((5, 3)).astype(np.float32)
  due = [[np.log(w) + stats.norm.logpdf(row, mean, np.sqrt(variance)).sum() for w, mean, variance in
          zip([.7, .3], fitted.mean, fitted.variance, strict=True)] for row in x]
  np.testing.assert_allclose(mixture.log_joint(fitted, x), due, rtol=1e-4)


def test_em_finds_planted_components():
  x, means, sds = _planted()
  best = max((mixture.fit(jnp.asarray(x), 3, jax.random.key(seed), 1e-3) for seed in range(5)),
             key=lambda one: float(jax.nn.logsumexp(mixture.log_joint(one, x), 1).mean()))
  order = [int(np.argmin(((best.mean - mean) ** 2).sum(1))) for mean in means]
  assert sorted(order) == [0, 1, 2]
  np.testing.assert_allclose(best.mean[np.array(order)], means, atol=.15)
  np.testing.assert_allclose(np.sqrt(best.variance[np.array(order)]), sds, atol=.1)
  np.testing.assert_allclose(np.exp(best.log_weight[np.array(order)]), [.5, .3, .2], atol=.03)


def test_draws_have_the_moments_of_the_mixture():
  x, _, _ = _planted()
  fitted = mixture.fit(jnp.asarray(x), 8, jax.random.key(0))
  drawn = np.asarray(mixture.draw(fitted, jax.random.key(1), 40000))
  np.testing.assert_allclose(drawn.mean(0), x.mean(0), atol=.1)
  np.testing.assert_allclose(np.cov(drawn.T), np.cov(x.T), atol=.4)


@pytest.mark.parametrize('rows', [1, 2, 5])
def test_more_components_than_rows_stay_finite(rows):
  fitted = mixture.fit(jnp.asarray(_planted()[0][:rows]), 8, jax.random.key(0))
  assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(fitted))
