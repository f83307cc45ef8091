"""A small case for tests of the court: a sample world with its base model, whose networks take a few steps."""

import functools

import jax

from experiments.court import case as court
from ganrec_jax.models import als, closed_form
from tests.experiments import problems


class Short(court.Case):
  """A `Case` in which every network takes six steps."""

  def steps(self, number):
    return 6


@functools.cache
def small():
  """The `Case` of `problems.small`."""
  one, key = problems.small(0), jax.random.key(0)
  kernel = one.kernel()
  config = closed_form.ClosedFormConfig(als.AlsConfig(dim=4, sweeps=5), 5., 2.)
  base = closed_form.fit(one.prepared.strengths(one.config.base.strength), len(one.warm), one.prepared.warm, kernel,
                         config, key)
  found = court.assemble(one, kernel, base, key)
  return Short(**{name: getattr(found, name) for name in found.__dataclass_fields__})
