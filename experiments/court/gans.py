"""The package's own generator and discriminator: losses, both designs, and a correction of what texts predict."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from experiments.court import case as court
from ganrec_jax.adversarial import expand, train
from ganrec_jax.adversarial.step import AdversarialConfig, fakes, networks
from ganrec_jax.training import loop

# name -> what differs from the defaults of `AdversarialConfig`, which have a supervised term and R1 + R2.
OPTIONS = {
  'specification': {'supervised_weight': 0., 'penalty': 'none'},
  'cross_entropy': {},
  'saturating': {'loss': 'saturating'},
  'wasserstein': {'loss': 'wasserstein', 'penalty': 'gradient', 'penalty_weight': 10.},
  'hinge': {'loss': 'hinge'},
  'relativistic': {'loss': 'relativistic'},
  'no_adversary': {'adversarial_weight': 0., 'penalty': 'none'},
  'softmax': {'adversarial_weight': 0., 'penalty': 'none', 'supervised': 'softmax'}}
_STEPS = 600
_SMALL = {'layers': 1, 'dim': 32, 'batch': 128}


def configured(case, name, design='embedding'):
  """The `AdversarialConfig` of a name in `OPTIONS`; players are smaller in a quick look."""
  steps, size = case.steps(_STEPS), _SMALL if case.quick else {}
  return AdversarialConfig(design=design, steps=steps, chunk=max(1, steps // 6), **size, **OPTIONS[name])


def _learned(case, config, factors, key):
  log, prepared = case.problem.prepared.dataset.interactions, case.problem.prepared
  log, place = log.take(prepared.split.rows('train')), np.full(len(case.prior), -1, np.int32)
  place[case.warm] = np.arange(len(case.warm))
  data = train.TrainingData(factors, case.data.item_texts[case.warm], log.user, place[log.item], log.value,
                            case.data.user_vectors)
  name = f'{case.problem.name}-{case.problem.draw}: {config.design}, {config.loss}'
  return train.train(data, config, key, loop.Surroundings(name, (jax.devices()[0],)))


@functools.lru_cache(maxsize=2)  # the noise of matched size asks for the same generator
def sampled(case, name, seed, residual=False):
  """Fakes of every item, float32 `[SAMPLES, items, dim]`, or None where training diverged; and how it ended.

  Args:
    case: `Case`.
    name: in `OPTIONS`.
    seed: of all randomness.
    residual: whether what is generated is the difference to what texts predict.
  """
  config, key = configured(case, name), court.key_of(f'{name} {residual}', seed)
  factors = case.factors - (np.asarray(case.prior)[case.warm] if residual else 0.)
  params, report = _learned(case, config, factors, key)
  if params is None:
    return None, report
  generator, texts = networks(config, factors.shape[1])[0], jnp.asarray(case.data.item_texts)[:, None]
  apply = jax.jit(lambda z: fakes(config, generator, params.generator, z, texts)[:, 0])
  noise = jax.random.normal(jax.random.fold_in(key, 1), (court.SAMPLES, len(texts), config.noise))
  found = params.shift + params.scale * jnp.stack([apply(z) for z in noise])
  return found + (case.prior if residual else 0.), report


def embedding(case, seed, name):
  """Pairs drawn by the vectors that G(z, text) makes of items."""
  found, report = sampled(case, name, seed)
  if found is None:
    return court.nothing(case, 'interactions', report)
  return court.of_pairs(case, court.drawn(case, found, court.key_of(f'{name} pairs', seed)), name, report)


def interaction(case, seed, name):
  """Pairs that G(z, user) makes by the package's own expansion, D's judgement included, cut to the budget."""
  config, key = configured(case, name, 'interaction'), court.key_of(f'interaction {name}', seed)
  params, report = _learned(case, config, case.factors, key)
  if params is None:
    return court.nothing(case, 'interactions', report)
  asked = expand.ExpandConfig(per_user=3 * court.PER_USER, temperature=.1, cold_share=court.COLD_SHARE, quantile=.1)
  made = expand.generate(params, case.data, config, asked, jax.random.fold_in(key, 1), name)
  made = court.within_budget(case, made, jax.random.fold_in(key, 2))
  return court.of_pairs(case, made, name, report)


def residual(case, seed, name):
  """Item vectors: what texts predict plus the mean of G's corrections over z."""
  found, report = sampled(case, name, seed, residual=True)
  if found is None:
    return court.nothing(case, 'vectors', report)
  items = case.base.factors.items
  return court.of_vectors(case, jnp.where(case.data.cold[:, None], found.mean(0), items), report)
