"""The whole config is looked at before any work is done."""

import pytest

from ganrec_jax import pipeline
from ganrec_jax.errors import ConfigError
from tests.stages import worlds


@pytest.mark.parametrize(('section', 'field', 'value'), [
  ('encoder', 'kind', 'magic'), ('encoder', 'pooling', 'max'), ('encoder', 'dtype', 'float64'),
  ('encoder', 'share', 1.5), ('encoder', 'max_length', 0), ('encoder', 'adapt_rate', 0.),
  ('base', 'kappa', -1.), ('base', 'item_reg', 0.), ('base', 'cold_blend', -1.),
  ('recommender', 'kind', 'forest'), ('recommender', 'dim', 0),
  ('adversarial', 'loss', 'magic'), ('adversarial', 'layers', 0),
  ('expand', 'weights', (0., .1)), ('expand', 'weights', (2.,)), ('expand', 'cold_share', 2.),
  ('evaluation', 'resamples', 0)])
def test_a_value_out_of_range_is_named(section, field, value, tmp_path):
  config = worlds.config(**{section: {field: value}})
  with pytest.raises(ConfigError, match=field):
    pipeline.run(config, str(tmp_path / 'work'))
  assert not (tmp_path / 'work').exists()


@pytest.mark.parametrize('variant', ['', 'testing', 'lastfm', 'lastfm_testing'])
def test_every_variant_is_right(variant):
  pipeline.check(worlds.config(variant))
