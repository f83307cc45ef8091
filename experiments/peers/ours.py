"""Ours, by the contract of a peer: the closed-form base model."""

import jax.numpy as jnp

from ganrec_jax.models import closed_form

SPACE = {'dim': (64, 128, 256), 'unobserved': (.05, .003, .01, .1), 'kappa': (3., 1.), 'ridge': (.3, 1.),
         'item_reg': (100., 10., 30.), 'kernel_weight': (50., 30., 100.), 'power': (.5, 0., .6),
         'warm_blend': (.8, .5, 1.2)}


def fit(problem, options, key):
  """The closed form with the content kernel."""
  config = closed_form.ClosedFormConfig(**options)
  params = closed_form.fit(problem.prepared.histories, problem.prepared.dataset.items, problem.prepared.warm,
                           jnp.asarray(problem.kernel()), config, key)
  return closed_form.score, params
