"""The table of generators: the prior that ignores the data, and the critic's own effect."""

import jax
import jax.numpy as jnp
import numpy as np

from experiments import generators
from experiments.bench import learned
from ganrec_jax.models import mixture
from ganrec_jax.profiles.likelihood import Prior, draw_latents


def test_the_standard_normal_prior_keeps_the_lengths():
  share = jnp.linspace(0, 1, 256)
  fitted = Prior(mixture.Mixture(jnp.zeros(1), jnp.full((1, 4), 7.), jnp.ones((1, 4))), jnp.full(3, 9.), 5 * jnp.eye(3),
                 share, jnp.quantile(jnp.asarray([2., 3., 3., 8.]), share))
  z, number = draw_latents(learned.standard_normal(fitted, 3), jax.random.key(0), 20000)
  np.testing.assert_allclose(z.mean(0), 0, atol=.03)
  np.testing.assert_allclose(z.std(0), 1, atol=.03)
  np.testing.assert_allclose(number.mean(), np.interp(np.linspace(0, 1, 999), share, fitted.lengths).mean(), rtol=.02)


def _found(gain):
  rng, out = np.random.default_rng(0), {}
  base = rng.random(80)
  for name in generators.GENERATORS:
    for seed in range(2):
      values = base + gain * (name == 'critic') + .01 * rng.standard_normal(80)
      out[name, seed] = {'seconds': 1., 'temperature': .6} | {f'{size}/{what}': .5 for size in (1, 3)
                                           for what in ('auc', 'copies', 'completion')}
      out[name, seed] |= {f'{size}/{recommender}/{task}': values for size in (1, 3)
                          for recommender in generators.RECOMMENDERS for task in ('warm', 'tail')}
  real = {f'1/{recommender}/{task}': 2 * base * (task == 'warm') for recommender in generators.RECOMMENDERS
          for task in ('warm', 'tail')}
  return real, out


def test_the_critics_effect_is_its_difference_to_the_control_in_points_of_real_data():
  cells, effects = generators.summary(*_found(.1), 2)
  due = .1 / (2 * np.random.default_rng(0).random(80).mean())
  assert len(effects) == 6
  for effect in effects:
    np.testing.assert_allclose(effect['value'], due, atol=.01)
    assert effect['low'] < effect['value'] < effect['high'] and effect['p_holm'] < .05
  by_name = {(cell['generator'], cell['size']): cell for cell in cells}
  np.testing.assert_allclose(by_name['markov', 3]['ease/warm'], .5, atol=.02)
  # Nothing can be said in relation to a real value of nothing.
  assert by_name['markov', 3]['ease/tail'] == [None, None]
  told = generators.table({'cells': cells, 'effects': effects})
  assert told.count('\n| ') == 2 * len(generators.GENERATORS) and 'critic less no critic' in told


def test_no_effect_is_not_significant():
  assert all(effect['p_holm'] > .05 for effect in generators.summary(*_found(0.), 2)[1])
