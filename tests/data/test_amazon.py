"""Amazon reviews: both editions as they are published, the mess in them counted, every bad row named."""

import gzip
import json

import pytest

from ganrec_jax.data import amazon
from ganrec_jax.errors import ConfigError, DataError

REVIEWS_2018 = [
  {'overall': 5.0, 'verified': True, 'reviewTime': '01 1, 2018', 'reviewerID': 'A1', 'asin': '0001',
   'style': {'Size:': ' 1'}, 'reviewText': 'good', 'unixReviewTime': 1514764800},
  {'overall': 2.0, 'reviewerID': 'A1', 'asin': '0001', 'unixReviewTime': 1514851200},
  {'overall': 3.0, 'reviewerID': 'A1', 'asin': '0001', 'unixReviewTime': 1514764800},
  {'overall': 4.0, 'reviewerID': 'A2', 'asin': 'B2', 'unixReviewTime': 1514764800},
  {'overall': 1.0, 'reviewerID': 'A2', 'asin': 'B3', 'unixReviewTime': 1514764800}]
META_2018 = [
  {'category': ['Tools &amp; Home', 'Saws, Hand'], 'description': ['<b>Cuts</b> &amp; grips', 'Twice'],
   'title': 'Saw &amp; File', 'brand': 'by\n    Foo, Inc.', 'feature': ['Steel'], 'price': '$1,299.99',
   'asin': '0001', 'imageURL': ['https://x/y.jpg'], 'also_buy': []},
  {'category': [], 'title': 'Saw again', 'asin': '0001'},
  {'category': ['Tools'], 'title': 'var aPageStart = (new Date()).getTime();', 'brand': '', 'price': '.a-box-inner{x}',
   'description': [], 'asin': 'B2'},
  {'title': 'Nobody has it', 'asin': 'B9'}]
REVIEWS_2023 = [
  {'rating': 4.0, 'title': 'ok', 'text': 'x', 'images': [], 'asin': 'C1', 'parent_asin': 'P1', 'user_id': 'U1',
   'timestamp': 1588687728923, 'helpful_vote': 0, 'verified_purchase': True},
  {'rating': 5.0, 'asin': 'C2', 'parent_asin': 'P1', 'user_id': 'U2', 'timestamp': 1588615855070}]
META_2023 = [{'main_category': 'All Beauty', 'title': 'Howard &#34;Mist&#34;', 'average_rating': 4.8,
              'rating_number': 10, 'features': ['Soft'], 'description': ['A mist.'], 'price': 14.98,
              'images': [{'thumb': 'https://x'}], 'store': 'Howard', 'categories': ['Hair', 'Mist'],
              'details': {'Weight': '1'}, 'parent_asin': 'P1', 'bought_together': None}]


def _write(path, rows):
  lines = (row if isinstance(row, str) else json.dumps(row) for row in rows)
  path.write_bytes(gzip.compress(''.join(f'{line}\n' for line in lines).encode()))
  return path


def _read(folder, source, reviews, meta):
  paths = {archive.name: _write(folder / archive.name, rows)
           for archive, rows in zip(source.archives, (reviews, meta), strict=True)}
  (folder / 'scratch').mkdir()
  return source.read(paths, folder / 'scratch')


def _rows(data):
  log = data.interactions
  return {(str(data.user_ids[u]), str(data.catalogue.ids[i])): (float(v), t)
          for u, i, v, t in zip(log.user, log.item, log.value, log.time.tolist(), strict=True)}


@pytest.mark.parametrize('complete', [False, True])
def test_the_edition_of_2018(tmp_path, complete):
  source = amazon.source_2018('Software', complete)
  assert [archive.name for archive in source.archives] == ['Software.json.gz' if complete else 'Software_5.json.gz',
                                                           'meta_Software.json.gz']
  data = _read(tmp_path, source, REVIEWS_2018, META_2018)
  # The last rating by time, not by row.
  assert _rows(data) == {('A1', '0001'): (2., 1514851200), ('A2', 'B2'): (4., 1514764800),
                         ('A2', 'B3'): (1., 1514764800)}
  assert data.catalogue.titles.tolist() == ['Saw & File', 'B2', 'B3']
  assert data.catalogue.texts.tolist() == [
    'Saw & File. Foo, Inc.. Tools & Home. Saws, Hand. Cuts & grips. Twice. Steel. price 1000-2000', 'Tools', '']
  assert data.catalogue.phrases == (('Tools & Home', 'Saws, Hand', 'Foo, Inc.', 'price 1000-2000'), ('Tools',), ())
  assert data.info['name'] == source.name and data.info['simulated'] is False and 'Ni, Jianmo' in data.info['citation']
  assert data.info['counts'] == {'metadata_rows': 4, 'metadata_rows_of_items_without_reviews': 1,
                                 'repeated_metadata_rows': 1, 'titles_that_are_scripts': 1, 'texts_cut': 0}
  assert data.info['rows']['read'] == 5 and data.info['rows']['were_merged'] == 2
  assert data.info['catalogue']['items_without_row'] == 1 and data.info['catalogue']['items_without_text'] == 1


def test_the_edition_of_2023(tmp_path):
  data = _read(tmp_path, amazon.source_2023('All_Beauty'), REVIEWS_2023, META_2023)
  assert _rows(data) == {('U1', 'P1'): (4., 1588687728), ('U2', 'P1'): (5., 1588615855)}
  assert data.catalogue.texts.tolist() == ['Howard "Mist". Howard. Hair. Mist. A mist.. Soft. price 10-20']
  assert data.catalogue.phrases == (('Hair', 'Mist', 'Howard', 'price 10-20'),)


def test_long_texts_and_titles_in_brackets(tmp_path):
  meta = META_2023[0] | {'title': '[Renewed] Mist', 'description': ['word ' * 400]}
  data = _read(tmp_path, amazon.source_2023('All_Beauty'), REVIEWS_2023, [meta])
  assert data.catalogue.texts[0].startswith('[Renewed] Mist. Howard. Hair. Mist. word word')
  assert len(data.catalogue.texts[0]) < 1030 and data.info['counts']['texts_cut'] == 1


@pytest.mark.parametrize(('price', 'phrase'), [
  ('$5.99 - $12.50', 'price 5-10'), ('from 4.50', 'price 2-5'), ('$0.00', 'price 0'), ('—', None), ('', None),
  ('$1,0', 'price 10-20'), ('Call 5', None)])
def test_prices(tmp_path, price, phrase):
  data = _read(tmp_path, amazon.source_2023('All_Beauty'), REVIEWS_2023, [META_2023[0] | {'price': price}])
  assert data.catalogue.phrases[0][3:] == (() if phrase is None else (phrase,))
  assert 'from' not in data.catalogue.texts[0] and 'Call' not in data.catalogue.texts[0]


@pytest.mark.parametrize(('place', 'row', 'words'), [
  (0, {'reviewerID': '', 'asin': 'B', 'overall': 1, 'unixReviewTime': 1}, ['row 2, column reviewerID', "''"]),
  (0, {'reviewerID': 'A', 'overall': 1, 'unixReviewTime': 1}, ['row 2, column asin', 'None', 'not empty']),
  (0, {'reviewerID': 'A', 'asin': 'B', 'overall': 6, 'unixReviewTime': 1}, ['column overall', "'6'", 'from 0 to 5']),
  (0, {'reviewerID': 'A', 'asin': 'B', 'overall': 'x', 'unixReviewTime': 1}, ['column overall', "'x'"]),
  (0, {'reviewerID': 'A', 'asin': 'B', 'overall': 1, 'unixReviewTime': '01 1, 2018'},
   ['row 2, column unixReviewTime', 'seconds since 1970']),
  (0, '{"reviewerID": "A', ['Software_5.json.gz, row 2', 'JSON object']), (0, '[1]', ['Software_5.json.gz, row 2']),
  (1, {'title': 'x'}, ['meta_Software.json.gz, row 2, column asin']), (1, 'asin', ['meta_Software.json.gz, row 2']),
])
def test_what_is_wrong_is_named(tmp_path, place, row, words):
  files = [REVIEWS_2018[:1], META_2018[:1]]
  files[place] = [*files[place], row]
  with pytest.raises(DataError) as caught:
    _read(tmp_path, amazon.source_2018('Software'), *files)
  for word in words:
    assert word in str(caught.value), str(caught.value)
  assert '\n' not in str(caught.value) and 'Try' not in str(caught.value)


def test_a_truncated_or_empty_archive_is_named(tmp_path):
  source = amazon.source_2018('Software')
  paths = {archive.name: _write(tmp_path / archive.name, rows)
           for archive, rows in zip(source.archives, (REVIEWS_2018, META_2018), strict=True)}
  path = paths['Software_5.json.gz']
  path.write_bytes(path.read_bytes()[:60])
  with pytest.raises(DataError, match='Software_5.json.gz: .*GZIP'):
    source.read(paths, tmp_path)
  (tmp_path / 'again').mkdir()
  _write(path, [])
  with pytest.raises(DataError, match='Software_5.json.gz: holds no row'):
    source.read(paths, tmp_path / 'again')


def test_names_of_sources(tmp_path):
  assert amazon.source('amazon_2023_Video_Games').name == 'amazon_2023_Video_Games'
  assert amazon.source('amazon_2018_Video_Games', tmp_path).archives[0].name == 'Video_Games_5.json.gz'
  for name in ('Video_Games.json.gz', 'meta_Video_Games.json.gz'):
    (tmp_path / name).touch()
  assert amazon.source('amazon_2018_Video_Games', tmp_path).name == 'amazon_2018_Video_Games_complete'
  with pytest.raises(ConfigError, match="'Vidoe_Games'.*did you mean Video_Games"):
    amazon.source('amazon_2023_Vidoe_Games')
  with pytest.raises(ConfigError, match='amazon_2014_Books'):
    amazon.source('amazon_2014_Books')
  assert len(amazon.CATEGORIES_2018) == 29 and len(amazon.CATEGORIES_2023) == 34
