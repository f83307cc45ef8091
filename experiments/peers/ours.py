"""Ours, by the contract of a peer: the closed-form base model with its knobs turned on validation."""

import jax.numpy as jnp

from experiments.peers.classic import STRENGTH
from ganrec_jax.models import closed_form
from ganrec_jax.stages import knobs, recommend

SPACE = {'dim': (64, 128), 'unobserved': (.05, .003, .1), 'kappa': (3., 1.), 'ridge': (.3, 1.),
         'item_reg': (100., 10., 30.), 'kernel_weight': (50., 30., 100.), 'share': (.5, .7), 'strength': STRENGTH[::-1]}


def fit(problem, options, key):
  """The closed form with the content kernel; the knobs are chosen as a run of the pipeline chooses them."""
  rest = {name: value for name, value in options.items() if name not in ('share', 'strength')}
  params = closed_form.fit(problem.prepared.strengths(options['strength']), problem.prepared.dataset.items,
                           problem.prepared.warm, jnp.asarray(problem.kernel(options['share'])),
                           closed_form.flat_config(**rest), key)
  return closed_form.score, params.turned(knobs.search(recommend.Judge(problem.tasks('valid')), params))
