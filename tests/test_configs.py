"""The variants on published data: each config is right, and its data source is one that there is."""

import importlib.util
import pathlib

import pytest

from ganrec_jax import pipeline
from ganrec_jax.data import amazon, published

ROOT = pathlib.Path(__file__).resolve().parents[1]


def _config_file(name):
  spec = importlib.util.spec_from_file_location(name, ROOT / 'configs' / f'{name}.py')
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  return module


@pytest.mark.parametrize(('domain', 'variant', 'source'), [
  ('ecommerce', 'amazon_Video_Games', 'amazon_2023_Video_Games'), ('news', 'mind_small', 'mind_small'),
  ('ecommerce', 'amazon_2018_AMAZON_FASHION', 'amazon_2018_AMAZON_FASHION'), ('news', 'mind_large', 'mind_large'),
  ('games', 'steam', 'steam'), ('games', 'steam_reviews', 'steam_reviews')])
def test_a_variant_names_its_source(domain, variant, source):
  config = _config_file(domain).get_config(variant)
  pipeline.check(config)
  assert config.data.source == source and published.named(source).name == source


def test_each_category_has_a_variant():
  module = _config_file('ecommerce')
  for variant in [name for name in module.VARIANTS if name.startswith('amazon_')]:
    source = module.get_config(variant).data.source
    assert published.named(source).name == source
  assert sum(name.startswith('amazon_') for name in module.VARIANTS) == len(
    amazon.CATEGORIES_2018 + amazon.CATEGORIES_2023)
  with pytest.raises(ValueError, match='did you mean amazon_Books'):
    module.get_config('amazon_Boks')


def test_news_are_split_by_the_published_days():
  split = _config_file('news').get_config('mind_small').split
  assert (split.kind, split.valid_from, split.test_from) == ('temporal', '2019-11-14', '2019-11-15')
  assert split.cold_items == 0.
