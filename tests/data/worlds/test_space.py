"""The space of taste: vectors of length one, prices on an arc, attributes that go with genre and subgenre."""

import numpy as np
import pytest

from ganrec_jax.data.worlds import DOMAINS
from ganrec_jax.data.worlds.space import make_space


@pytest.mark.parametrize('domain', DOMAINS)
def test_places_have_values_of_their_genre_and_vectors_of_length_one(domain):
  attributes = DOMAINS[domain].vocabulary.attributes
  space = make_space(np.random.default_rng(0), DOMAINS[domain].vocabulary)
  values = space.draw(np.random.default_rng(1), 2000)
  np.testing.assert_allclose(np.linalg.norm(space.vectors(values), axis=1), 1)
  genre, column = values[:, 0], 0
  np.testing.assert_array_equal(values[:, 1] // 4, genre)
  for attribute in attributes:
    mine = values[:, column:column + len(attribute.weights)]
    column += len(attribute.weights)
    assert mine.min() >= 0 and mine.max() == len(attribute.values) - 1
    assert all(len(set(row)) == mine.shape[1] for row in mine.tolist())
    if attribute.of_genre:
      assert all(set(row) <= set(attribute.of_genre[g]) for g, row in zip(genre, mine.tolist(), strict=True))
  assert column == values.shape[1]


@pytest.mark.parametrize(('domain', 'column'), [('ecommerce', 4), ('video', 4)])
def test_neighbours_on_an_ordered_attribute_are_alike(domain, column):
  vocabulary = DOMAINS[domain].vocabulary
  assert vocabulary.attributes[3].ordered
  space = make_space(np.random.default_rng(0), vocabulary)
  values = np.tile(space.draw(np.random.default_rng(1), 1), (len(vocabulary.attributes[3].values), 1))
  values[:, column] = np.arange(len(values))
  alike = space.vectors(values) @ space.vectors(values).T
  distance = np.abs(np.arange(len(values))[:, None] - np.arange(len(values)))
  means = [alike[distance == d].mean() for d in range(len(values))]
  assert (np.diff(means) < 0).all() and means[0] - means[-1] > .05
