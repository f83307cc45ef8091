"""Ours, by the contract of a peer: the closed-form base model with its knobs turned on validation."""

from ganrec_jax.models import closed_form
from ganrec_jax.stages import recommend, tune

SPACE = {}


def fit(problem, options, key):
  """The closed form of the data set's config with the content kernel of the config's encoder."""
  del options
  return fit_kernel(problem, problem.own_kernel(), key)


def fit_kernel(problem, kernel, key):
  """The closed form with any content kernel or None, regime and knobs chosen as a run of the pipeline chooses them."""
  config, judge = problem.config, recommend.Judge(problem.tasks('valid'))
  regimes = ('dense', 'sparse') if config.base.regime == 'auto' else (config.base.regime,)
  found = []
  for regime in regimes:
    params = closed_form.fit(problem.prepared.strengths(config.base.strength), problem.prepared.dataset.items,
                             problem.prepared.warm, kernel, recommend.closed(config, regime), key)
    params = params.turned(tune.search(judge, params))
    found.append((tune.value(judge, params), params))
  return closed_form.score, max(found, key=lambda one: one[0])[1]
