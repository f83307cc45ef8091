"""The variants on published data: each config is right, and its data source is one that there is."""

import pytest

from ganrec_jax import pipeline
from ganrec_jax.data import amazon, published
from tests.stages import worlds


@pytest.mark.parametrize(('domain', 'variant', 'source'), [
  ('ecommerce', 'amazon_Video_Games', 'amazon_2023_Video_Games'), ('news', 'mind_small', 'mind_small'),
  ('ecommerce', 'amazon_2018_AMAZON_FASHION', 'amazon_2018_AMAZON_FASHION'), ('news', 'mind_large', 'mind_large'),
  ('games', 'steam', 'steam'), ('games', 'steam_reviews', 'steam_reviews')])
def test_a_variant_names_its_source(domain, variant, source):
  config = worlds.config_file(domain).get_config(variant)
  pipeline.check(config)
  assert config.data.source == source and published.named(source).name == source


def test_each_category_has_a_variant():
  module = worlds.config_file('ecommerce')
  for variant in [name for name in module.VARIANTS if name.startswith('amazon_')]:
    source = module.get_config(variant).data.source
    assert published.named(source).name == source
  assert sum(name.startswith('amazon_') for name in module.VARIANTS) == len(
    amazon.CATEGORIES_2018 + amazon.CATEGORIES_2023)
  with pytest.raises(ValueError, match='did you mean amazon_Books'):
    module.get_config('amazon_Boks')


def test_news_are_split_by_the_published_days():
  split = worlds.config_file('news').get_config('mind_small').split
  assert (split.kind, split.valid_from, split.test_from) == ('temporal', '2019-11-14', '2019-11-15')
  assert split.cold_items == 0.
