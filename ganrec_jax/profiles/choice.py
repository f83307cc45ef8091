"""Which point of the training and which temperature: what completes held-out profiles best within a leakage budget."""

import dataclasses
import functools

import jax
from absl import logging

from ganrec_jax.data.ragged import select
from ganrec_jax.profiles import generator, privacy
from ganrec_jax.profiles.completion import completion

TEMPERATURES = (.45, .6, .8, 1.)
# Generated users for each real one when candidates are compared; where fewer are asked for, as many.
_FOR_EACH = 3
# Regularisation of the judge's EASE for each generated user.
_REG = .5


@dataclasses.dataclass(frozen=True)
class Candidate:
  """A generator at a temperature, and what was found of its profiles.

  Attributes:
    steps: of the critic.
    temperature: of the draws.
    auc: of membership inference.
    completion: NDCG@20 of what held-out profiles hide.
  """
  steps: int
  temperature: float
  auc: float
  completion: float


def choose(generators, members, held_out, num_items, number, max_auc, key, seed, light=None):
  """The candidate that completes held-out profiles best among those within the budget; the least leaking without any.

  First the temperatures at the end of the training, then its other points at the best of them. Where none is within
  the budget all pairs are tried.

  Args:
    generators: steps -> `Generator`.
    members: `Ragged` over the users that they were trained on.
    held_out: `Ragged` over those that they never saw.
    num_items: of the catalogue.
    number: of users that will be generated.
    max_auc: the budget.
    key: of the draws.
    seed: of what is hidden.
    light: what is asked for of the items, see `generator.stream`, or None.

  Returns:
    (the chosen `Candidate`, all that were tried).
  """
  number = min(number, _FOR_EACH * (len(members) + len(held_out)))

  @functools.cache
  def tried(steps, temperature):
    profiles = known(generators[steps], generator.draw(generators[steps], temperature, key, number, light))
    auc = privacy.membership(members, held_out, profiles, num_items, seed, resamples=1)['auc']
    value = completion(profiles, held_out, num_items, _REG * number, seed).mean()
    found = Candidate(steps, temperature, auc, float(value))
    logging.info('profiles: critic %d steps, temperature %g: completes %.4f, AUC %.3f', *dataclasses.astuple(found)[:2],
                 found.completion, found.auc)
    return found

  def best(candidates):
    return max((one for one in candidates if one.auc <= max_auc), key=lambda one: one.completion, default=None)

  last = max(generators)
  found = [tried(last, temperature) for temperature in TEMPERATURES]
  if best(found):
    found += [tried(steps, best(found).temperature) for steps in generators if steps != last]
  else:
    found += [tried(steps, temperature) for steps in generators if steps != last for temperature in TEMPERATURES]
  return best(found) or min(found, key=lambda one: one.auc), found


def known(fitted, profiles):
  """The warm items of profiles: new ones give nothing away, and an attacker would leave them out."""
  return select(profiles, jax.device_get(fitted.warm)[profiles.values])
