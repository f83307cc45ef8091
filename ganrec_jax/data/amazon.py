"""Amazon reviews of 2018 (Ni, Li, McAuley 2019) and of 2023 (Hou et al. 2024), a source for each category.

A review is an interaction, its rating the value, the last one where somebody reviewed a product twice. A product's text
is title, brand, categories, description and features, up to 1,000 characters; its attributes are categories, brand and
the size of its price. The products of 2023 are parents: the colours and sizes of one product are one.
"""

import dataclasses
import difflib
import functools
from pathlib import Path

from ganrec_jax.data import staging
from ganrec_jax.data.published import Archive, Source
from ganrec_jax.data.relations import quoted
from ganrec_jax.errors import ConfigError

CATEGORIES_2018 = (
  'AMAZON_FASHION', 'All_Beauty', 'Appliances', 'Arts_Crafts_and_Sewing', 'Automotive', 'Books', 'CDs_and_Vinyl',
  'Cell_Phones_and_Accessories', 'Clothing_Shoes_and_Jewelry', 'Digital_Music', 'Electronics', 'Gift_Cards',
  'Grocery_and_Gourmet_Food', 'Home_and_Kitchen', 'Industrial_and_Scientific', 'Kindle_Store', 'Luxury_Beauty',
  'Magazine_Subscriptions', 'Movies_and_TV', 'Musical_Instruments', 'Office_Products', 'Patio_Lawn_and_Garden',
  'Pet_Supplies', 'Prime_Pantry', 'Software', 'Sports_and_Outdoors', 'Tools_and_Home_Improvement', 'Toys_and_Games',
  'Video_Games')
CATEGORIES_2023 = (
  'All_Beauty', 'Amazon_Fashion', 'Appliances', 'Arts_Crafts_and_Sewing', 'Automotive', 'Baby_Products',
  'Beauty_and_Personal_Care', 'Books', 'CDs_and_Vinyl', 'Cell_Phones_and_Accessories', 'Clothing_Shoes_and_Jewelry',
  'Digital_Music', 'Electronics', 'Gift_Cards', 'Grocery_and_Gourmet_Food', 'Handmade_Products',
  'Health_and_Household', 'Health_and_Personal_Care', 'Home_and_Kitchen', 'Industrial_and_Scientific', 'Kindle_Store',
  'Magazine_Subscriptions', 'Movies_and_TV', 'Musical_Instruments', 'Office_Products', 'Patio_Lawn_and_Garden',
  'Pet_Supplies', 'Software', 'Sports_and_Outdoors', 'Subscription_Boxes', 'Tools_and_Home_Improvement',
  'Toys_and_Games', 'Video_Games', 'Unknown')
_LICENCE = 'None is stated; published for research, whose authors ask to be cited'
_URL = 'https://mcauleylab.ucsd.edu/public_datasets/data'
# A price is '$1,299.99', 'from 4.50' or '$5.99 - $12.50', of which the lower end counts, or what is no price at all.
_PRICE = r'^(?:from )?\$?([0-9][0-9,]*(?:\.[0-9]+)?)(?: ?- ?\$?[0-9.,]+)?$'
_LONGEST_TEXT = 1000  # characters; an encoder reads fewer, and the longest text sets the memory of each
_LATEST = 4102444800  # 2100-01-01, in seconds


@dataclasses.dataclass(frozen=True)
class _Edition:
  """What the edition of a year calls its fields, how many ticks of its clock a second has, and who made it."""
  user: str
  item: str
  rating: str
  time: str
  ticks: int
  brand: str
  categories: str
  features: str
  homepage: str
  citation: str


_EDITIONS = {
  2018: _Edition('reviewerID', 'asin', 'overall', 'unixReviewTime', 1, 'brand', 'category', 'feature',
                 'https://nijianmo.github.io/amazon/', """@inproceedings{Ni:EMNLP2019,
  author = {Ni, Jianmo and Li, Jiacheng and McAuley, Julian},
  title = {Justifying Recommendations using Distantly-Labeled Reviews and Fine-Grained Aspects},
  booktitle = {Proceedings of EMNLP-IJCNLP},
  year = {2019},
}"""),
  2023: _Edition('user_id', 'parent_asin', 'rating', 'timestamp', 1000, 'store', 'categories', 'features',
                 'https://amazon-reviews-2023.github.io/', """@article{Hou:2024,
  author = {Hou, Yupeng and Li, Jiacheng and He, Zhankui and Yan, An and Chen, Xiusi and McAuley, Julian},
  title = {Bridging Language and Items for Retrieval and Recommendation},
  journal = {arXiv preprint arXiv:2403.03952},
  year = {2024},
}"""),
}


def source_2018(category, complete=False):
  """The `Source` of a category of 2018: the 5-core of its reviews, or the complete ones.

  Raises:
    ConfigError: for a category that is not among `CATEGORIES_2018`, naming the nearest ones.
  """
  _check(category, 2018, CATEGORIES_2018)
  folder, reviews = ('categoryFiles', f'{category}.json.gz') if complete else (
    'categoryFilesSmall', f'{category}_5.json.gz')
  meta = f'meta_{category}.json.gz'
  return _source(f'amazon_2018_{category}{"_complete" * complete}', 2018,
                 Archive(reviews, f'{_URL}/amazon_v2/{folder}/{reviews}'),
                 Archive(meta, f'{_URL}/amazon_v2/metaFiles2/{meta}'))


def source_2023(category):
  """The `Source` of a category of 2023.

  Raises:
    ConfigError: for a category that is not among `CATEGORIES_2023`, naming the nearest ones.
  """
  _check(category, 2023, CATEGORIES_2023)
  reviews, meta = f'{category}.jsonl.gz', f'meta_{category}.jsonl.gz'
  return _source(f'amazon_2023_{category}', 2023,
                 Archive(reviews, f'{_URL}/amazon_2023/raw/review_categories/{reviews}'),
                 Archive(meta, f'{_URL}/amazon_2023/raw/meta_categories/{meta}'))


def source(name, folder=''):
  """The `Source` of 'amazon_2018_<category>' or 'amazon_2023_<category>'.

  Of 2018 it is the 5-core, unless `folder` holds the complete reviews and not the 5-core.

  Raises:
    ConfigError: for another name.
  """
  if name.startswith('amazon_2018_'):
    category = name.removeprefix('amazon_2018_')
    return staging.choose((source_2018(category), source_2018(category, complete=True)), folder)
  if name.startswith('amazon_2023_'):
    return source_2023(name.removeprefix('amazon_2023_'))
  raise ConfigError(f'data.source is {name!r}; allowed are amazon_2018_ and amazon_2023_ with a category')


def _check(category, year, known):
  if category not in known:
    near = difflib.get_close_matches(category, known, n=3, cutoff=.4)
    hint = f'; did you mean {" or ".join(near)}?' if near else ''
    raise ConfigError(f'unknown category {category!r} of Amazon reviews {year}{hint} (allowed: {", ".join(known)})')


def _source(name, year, reviews, meta):
  edition = _EDITIONS[year]
  return Source(name, edition.homepage, edition.citation, _LICENCE, (reviews, meta),
                functools.partial(_read, name, edition, reviews.name, meta.name), verb='reviewed')


def _read(name, edition, reviews, meta, paths, scratch):
  """The `Dataset` of a category, as `Source.read` has it."""
  with staging.database(scratch) as connection:
    _stage_reviews(connection, edition, paths[reviews])
    item, user = quoted(edition.item), quoted(edition.user)
    log = staging.write(
      connection, f'select trim({user}) as user_id, trim({item}) as item_id, {quoted(edition.rating)} as value, '
      f'cast({quoted(edition.time)} as bigint) // {edition.ticks} as time from reviews order by _line',
      Path(scratch, 'interactions.parquet'))
    _stage_meta(connection, edition, paths[meta])
    connection.execute(f'create table products as {_products(edition)}')
    # In any order: sorting long texts takes memory, and the catalogue is put into the order of the log anyway.
    catalogue = staging.write(connection, 'select item_id, title, text, categories, brand, price from products',
                              Path(scratch, 'items.parquet'))
    rows, used = connection.execute('select count(*), count(*) filter (used) from meta').fetchone()
    items, scripts, cut = connection.execute(
      'select count(*), count(*) filter (script), count(*) filter (cut) from products').fetchone()
  counts = {'metadata_rows': rows, 'metadata_rows_of_items_without_reviews': rows - used,
            'repeated_metadata_rows': used - items, 'titles_that_are_scripts': scripts, 'texts_cut': cut}
  return staging.load(name, edition.citation, counts, interactions=log, items=catalogue, merge='last',
                      template='{text}', phrases='categories,brand', numbers='price')


def _stage_reviews(connection, edition, path):
  fields = (edition.user, edition.item, edition.rating, edition.time)
  staging.stage(connection, 'reviews', path, f'select * from {staging.json_lines(path, fields)}', (
    staging.not_empty(edition.user), staging.not_empty(edition.item),
    staging.Rule(edition.rating, f'try_cast({quoted(edition.rating)} as double) between 0 and 5',
                 'a number from 0 to 5'),
    staging.Rule(edition.time, f'try_cast({quoted(edition.time)} as bigint) between 0 and {_LATEST * edition.ticks}',
                 f'a whole number, {"milliseconds" if edition.ticks == 1000 else "seconds"} since 1970, up to 2100')))


def _stage_meta(connection, edition, path):
  """Makes the table `meta`; of products that nobody reviewed it keeps the id alone."""
  names = {'title': 'title', 'brand': edition.brand, 'categories': edition.categories, 'description': 'description',
           'features': edition.features, 'price': 'price'}
  kept = ', '.join(f'case when known.id is not null then {quoted(field)} end as {name}'
                   for name, field in names.items())
  item = quoted(edition.item)
  staging.stage(connection, 'meta', path,
                f'select _line, {item}, known.id is not null as used, {kept} '
                f'from {staging.json_lines(path, (edition.item, *names.values()))} as rows '
                f'left join (select distinct trim({item}) as id from reviews) as known on known.id = trim(rows.{item})',
                (staging.not_empty(edition.item),))


def _products(edition):
  """SQL for the first row of each product in `meta`, with a text and a price made of its fields."""
  # JavaScript in place of a title, as the home page of 2018 warns.
  script = "coalesce(contains(title, 'getTime'), false)"
  firsts = (f'select * replace (case when not {script} then title end as title, '
            f"regexp_replace(trim(brand), '^by\\s+', '') as brand), {script} as script from meta "
            f'where used qualify row_number() over (partition by trim({quoted(edition.item)}) order by _line) = 1')
  parts = ', '.join(f"nullif({_joined(field)}, '')" for field in (
    'title', 'brand', 'categories', 'description', 'features'))
  # A brand is a list of one, so that 'Foo, Inc.' stays whole.
  return (f'select script, trim({quoted(edition.item)}) as item_id, title, categories, '
          f'left(words, {_LONGEST_TEXT}) as text, length(words) > {_LONGEST_TEXT} as cut, '
          f"case when brand <> '' then to_json([brand])::varchar end as brand, "
          f"replace(regexp_extract(trim(price), '{_PRICE}', 1), ',', '') as price "
          f"from (select *, concat_ws('. ', {parts}) as words from ({firsts}))")


def _joined(field):
  """SQL for a field as text: the entries of a list, or the text that it is."""
  return (f"case when starts_with({field}, '[') then coalesce(array_to_string(try(json_extract_string({field}, "
          f"'$[*]')), '. '), {field}) else {field} end")
