"""The whole config is looked at before any work is done; data of one's own go the whole way."""

import numpy as np
import pytest

from ganrec_jax import pipeline
from ganrec_jax.data import published
from ganrec_jax.data.types import Catalogue, Dataset, Interactions
from ganrec_jax.errors import ConfigError

from . import worlds


@pytest.mark.parametrize(('section', 'field', 'value'), [
  ('encoder', 'kind', 'magic'), ('encoder', 'pooling', 'max'), ('encoder', 'dtype', 'float64'),
  ('encoder', 'share', 1.5), ('encoder', 'max_length', 0), ('encoder', 'adapt_rate', 0.),
  ('base', 'kappa', -1.), ('base', 'item_reg', 0.), ('base', 'cold_blend', -1.),
  ('recommender', 'kind', 'forest'), ('recommender', 'dim', 0), ('recommender', 'dtype', 'float64'),
  ('adversarial', 'loss', 'magic'), ('adversarial', 'layers', 0), ('adversarial', 'dtype', 'float16'),
  ('expand', 'weights', (0., .1)), ('expand', 'weights', (2.,)), ('expand', 'cold_share', 2.),
  ('split', 'history', 0), ('split', 'valid_from', 'May'), ('evaluation', 'resamples', 0)])
def test_a_value_out_of_range_is_named(section, field, value, tmp_path):
  config = worlds.config(**{section: {field: value}})
  with pytest.raises(ConfigError, match=field):
    pipeline.run(config, str(tmp_path / 'work'))
  assert not (tmp_path / 'work').exists()


@pytest.mark.parametrize('name', ['music', 'video'])
def test_every_variant_is_right(name):
  module = worlds.config_file(name)
  for variant in module.VARIANTS:
    config = module.get_config(variant)
    pipeline.check(config)
    assert config.data.source == 'sample' or published.named(config.data.source).name == config.data.source


def test_a_dataset_of_ones_own_goes_the_whole_way(tmp_path, capsys):
  rng = np.random.default_rng(0)
  user, item = np.nonzero(rng.random((60, 50)) < .25)
  genres = np.array(['folk', 'techno', 'jazz'])[np.arange(50) % 3]
  log = Interactions(user.astype(np.int32), item.astype(np.int32), np.ones(len(user), np.float32))
  catalogue = Catalogue(np.array([f'i{i}' for i in range(50)]), np.array([f'Song {i}' for i in range(50)]),
                        np.array([f'a {g} song' for g in genres]), tuple((g,) for g in genres))
  dataset = Dataset(log, catalogue, np.array([f'u{u}' for u in range(60)]), {'name': 'mine', 'simulated': False})
  config = worlds.config(data={'source': 'given'}, encoder={'kind': 'none'}, adversarial={'steps': 4, 'chunk': 2})
  pipeline.run(config, str(tmp_path), dataset)
  told = capsys.readouterr().out
  assert 'Song' in told and 'SIMULATED' not in told and 'oracle' not in told
  with pytest.raises(ConfigError, match='a dataset is given from Python'):
    pipeline.run(worlds.config(), str(tmp_path / 'other'), dataset)
