"""Which point of the training and which temperature: what completes held-out profiles best within a leakage budget."""

import dataclasses
import functools

import jax
from absl import logging

from ganrec_jax.data.ragged import select
from ganrec_jax.errors import DataError
from ganrec_jax.profiles import generator, health, privacy
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
    faults: what is wrong with its profiles, see `health.faults`.
  """
  steps: int
  temperature: float
  auc: float
  completion: float
  faults: tuple[str, ...] = ()


def choose(generators, members, held_out, num_items, number, max_auc, key, seed, light=None):
  """The candidate that completes held-out profiles best among those within the budget; the least leaking without any.

  A candidate with faults is taken only where all within the budget have some.

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

  Raises:
    DataError: where no held-out user has two items.
  """
  if not (held_out.lengths > 1).any():
    raise DataError(f'none of the {len(held_out)} users who judge the generator has two items; at least one must, as '
                    'some of his items are hidden and completed from the others')
  number = min(number, _FOR_EACH * (len(members) + len(held_out)))

  @functools.cache
  def tried(steps, temperature):
    profiles = known(generators[steps], generator.draw(generators[steps], temperature, key, number, light))
    auc = privacy.membership(members, held_out, profiles, num_items, seed, resamples=1)['auc']
    values = completion(profiles, held_out, num_items, _REG * number, seed)
    # Of few users all that is hidden may be unknown to the generated profiles.
    value = values.mean() if len(values) else 0.
    copies = privacy.copies(members, held_out, profiles, num_items, seed)
    found = Candidate(steps, temperature, auc, float(value),
                      health.faults(members, held_out, profiles, auc, copies, num_items, light is not None))
    logging.info('profiles: critic %d steps, temperature %g: completes %.4f, AUC %.3f', *dataclasses.astuple(found)[:2],
                 found.completion, found.auc)
    for fault in found.faults:
      logging.warning('critic %d steps, temperature %g: %s', steps, temperature, fault)
    return found

  def best(candidates):
    within = [one for one in candidates if one.auc <= max_auc]
    return max(within, key=lambda one: (not one.faults, one.completion), default=None)

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
