"""Ours, by the contract of a peer: the closed-form base model with its knobs turned on validation."""

import dataclasses

from ganrec_jax.models import closed_form
from ganrec_jax.stages import recommend, tune

SPACE = {}


def fit(problem, options, key):
  """The closed form of the data set's config with the content kernel of the config's encoder."""
  del options
  return fit_kernel(problem, problem.own_kernel(), key)


def fit_kernel(problem, kernel, key, fields=None, held=None):
  """The closed form with any content kernel or None, regime and knobs chosen as a run of the pipeline chooses them.

  Args:
    problem: `Problem`.
    kernel: float32 `[items, items]`, a `LowRankKernel` beyond base.dense_items, or None.
    key: of the initial factors.
    fields: of config.base that differ, name -> value.
    held: knobs that stay at these values, name -> value.
  """
  config, judge = problem.config.copy_and_resolve_references().unlock(), recommend.Judge(problem.tasks('valid'))
  config.base.update(fields or {})
  found = []
  for regime in recommend.regimes(config):
    options = recommend.closed(config, regime)
    flat = {'item_reg': options.item_reg, 'kernel_weight': options.kernel_weight, 'dense_items': options.dense_items,
            'rank': options.rank, **dataclasses.asdict(options.factors), **dataclasses.asdict(options.knobs),
            **(fields or {}), **(held or {})}
    own = {name: value for name, value in flat.items() if name not in recommend.OF_STAGES}
    params = closed_form.fit(problem.prepared.strengths(config.base.strength), problem.prepared.dataset.items,
                             problem.prepared.warm, kernel, closed_form.flat_config(**own), key)
    if config.base.turn_knobs:
      params = params.turned(tune.search(judge, params, held or ()))
    found.append((tune.value(judge, params), params))
  return closed_form.score, max(found, key=lambda one: one[0])[1]
