"""Values follow fondness in the steps of their kind, and the chance of a large one is the share that is drawn."""

import numpy as np
import pytest

from ganrec_jax.data.worlds.domain import Values

KINDS = [Values('count', .3, .2, .8), Values('hours', .6, .3, 1.4), Values('rating', 2.7, .2, .8)]


@pytest.mark.parametrize('values', KINDS, ids=lambda values: values.kind)
@pytest.mark.parametrize('least', [.5, 1., 1.2, 2., 3.5, 3.7, 5.])
def test_the_chance_of_a_value_is_the_share_that_is_drawn(values, least):
  noise = np.random.default_rng(0).standard_normal(100_000)
  for fondness in (-2., 0., 3.):
    drawn = values.draw(np.full(100_000, fondness), noise).astype(np.float32)  # as in the log
    assert values.chance(np.array([fondness]), least)[0] == pytest.approx((drawn >= least).mean(), abs=.006)


def test_values_are_monotone_and_of_their_steps():
  fondness, noise = np.array([-9., 0., 1., 5., 40.]), np.zeros(5)
  count, hours, rating = (values.draw(fondness, noise) for values in KINDS)
  np.testing.assert_array_equal(count[:4], np.ceil(np.exp(.3 + .2 * fondness[:4])))
  np.testing.assert_array_equal(hours[:3], [.1, 1.8, 2.5])
  np.testing.assert_array_equal(rating, [1., 2.5, 3., 3.5, 5.])
  assert count[0] == 1


@pytest.mark.parametrize(('least', 'expected'), [(.5, 1.), (0., 1.), (5.1, 0.)])
def test_ratings_end_at_half_a_star_and_at_five(least, expected):
  np.testing.assert_array_equal(KINDS[2].chance(np.array([-30., 0., 30.]), least), expected)
