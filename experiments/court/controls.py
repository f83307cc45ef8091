"""Controls: pairs by simple rules, and noise of the size of a generator's instead of the generator."""

import jax
import jax.numpy as jnp
import numpy as np

from experiments.court import case as court
from experiments.court import gans
from ganrec_jax.adversarial import controls
from ganrec_jax.models import closed_form, kernels, regression

_HALVINGS, _LARGEST = 12, 4.


def pairs(case, seed, rule):
  """Pairs of a rule of `ganrec_jax.adversarial.controls` that knows no scores."""
  key = court.key_of(rule, seed)
  return court.of_pairs(case, getattr(controls, rule)(case.budget, case.data, key), rule)


def self_labelled(case, seed):
  """Pairs drawn by the base model's own scores."""
  made = controls.self_labelled(case.budget, case.data, court.key_of('self_labelled', seed), closed_form.score,
                                case.base)
  return court.of_pairs(case, made, 'self_labelled')


def spread(vectors):
  """How far samples of a vector lie from their mean: the root mean square, for `vectors [samples, items, dim]`."""
  return float(jnp.sqrt(jnp.square(vectors - vectors.mean(0)).sum(-1).mean()))


def noisy_texts(case, key):
  """Makes `make(size)`, item vectors by kernel ridge regression from noisy text vectors, `[SAMPLES, items, dim]`.

  A warm item's is what the others' texts say of it, moved by as much as noise moves what all texts say. `size` is the
  root mean square of the noise, relative to a text vector's length of 1.
  """
  fitted = regression.fit(case.kernel, case.warm, np.arange(len(case.prior)), case.base.config.factors.ridge)
  z, weights = jnp.asarray(case.problem.whitened), fitted.inverse @ case.factors
  share = case.problem.config.encoder.share
  return lambda size: case.prior + share * _moved(z, case.warm, weights, key, size)


@jax.jit
def _moved(z, warm, weights, key, size):
  """How far noise on the texts `z [items, e]` moves what their part of the kernel predicts, `[SAMPLES, items, dim]`."""
  def one(noise):
    # Where there is no text there is none to be moved.
    moved = z + size * noise / z.shape[1] ** .5 * (jnp.abs(z).sum(1, keepdims=True) > 0)
    moved = moved / jnp.maximum(jnp.linalg.norm(moved, axis=1, keepdims=True), 1e-12)
    return (jnp.exp(kernels.SHARPNESS * (moved @ z[warm].T - 1)) - before) @ weights

  with jax.default_matmul_precision('highest'):
    before = jnp.exp(kernels.SHARPNESS * (z @ z[warm].T - 1))
    return jax.lax.map(one, jax.random.normal(key, (court.SAMPLES, *z.shape)))


def text_noise(case, seed, way):
  """Noise on the text vectors, of the size that moves their predictions as far as z moves G's fakes."""
  fakes, ended = gans.sampled(case, 'cross_entropy', seed)
  if fakes is None:
    return court.nothing(case, way, ended)
  key, due = court.key_of('text_noise', seed), spread(fakes)
  make, low, high = noisy_texts(case, key), 0., _LARGEST
  for _ in range(_HALVINGS):
    middle = (low + high) / 2
    low, high = (low, middle) if spread(make(middle)) > due else (middle, high)
  found = make(low)
  report = {'noise': low, 'spread': spread(found), 'spread_due': due}
  if way == 'vectors':
    items = case.base.factors.items
    return court.of_vectors(case, jnp.where(case.data.cold[:, None], found.mean(0), items), report)
  return court.of_pairs(case, court.drawn(case, found, jax.random.fold_in(key, 1)), 'text_noise', report)


def vector_noise(case, seed):
  """What texts say of an item's vector, plus Gaussian noise with the covariance of what they leave open."""
  key = court.key_of('vector_noise', seed)
  left = jnp.asarray(case.factors) - case.prior[case.warm]
  noise = jax.random.normal(key, (court.SAMPLES, len(case.prior), len(left))) @ (left / len(left) ** .5)
  made = court.drawn(case, case.prior + noise, jax.random.fold_in(key, 1))
  return court.of_pairs(case, made, 'vector_noise', {'spread': spread(noise)})
