"""Steam in both published forms: hours count, purchases do not, literals are read without running anything."""

import gzip
import zipfile

import numpy as np
import pytest

from ganrec_jax.data import literals, steam
from ganrec_jax.errors import ConfigError, DataError

ROWS = ['151603712,"The Elder Scrolls V Skyrim",purchase,1.0,0', '151603712,"The Elder Scrolls V Skyrim",play,273.0,0',
        '151603712,"Warhammer 40,000 Dawn of War",purchase,1.0,0', '5,Dota 2,purchase,1.0,0', '5,Dota 2,play,0.5,0',
        '5,Dota 2,play,2.0,0']
REVIEWS = [
  "{u'username': u'Chaos Syren', u'hours': 0.1, u'products': 41, u'product_id': u'725280', u'page_order': 0, "
  "u'date': u'2017-12-17', u'text': u'Not \\u2764 it', u'early_access': False, u'page': 1}",
  "{u'username': u'Chaos Syren', u'hours': 7, u'product_id': u'725280', u'date': u'2017-12-18', u'text': u''}",
  "{u'username': u'na\\xefve \\ud83d\\ude00', u'product_id': u'1', u'date': u'2018-01-04', u'text': u\"it's\"}",
  "{u'username': u' ', u'hours': 3.0, u'product_id': u'1', u'date': u'2018-01-04'}"]
GAMES = [
  "{u'publisher': u'Kotoshiro', u'genres': [u'Action', u'Indie'], u'app_name': u'Lost Summoner Kitty', u'title': "
  "u'Lost Summoner Kitty', u'url': u'http://store.steampowered.com/app/725280', u'release_date': u'2018-01-04', "
  "u'tags': [u'Strategy'], u'discount_price': 4.49, u'specs': [u'Single-player'], u'price': 4.99, u'early_access': "
  "False, u'id': u'725280', u'developer': u'Kotoshiro, Inc.'}",
  "{u'genres': [u'Casual'], u'app_name': u'Ironbound', u'price': u'Free To Play', u'id': u'1'}",
  "{u'app_name': u'Ironbound', u'id': u'1'}", "{u'app_name': u'No id'}"]


def _zipped(path, lines):
  path.write_bytes(gzip.compress(''.join(f'{line}\n' for line in lines).encode()))
  return path


def _read_200k(folder, lines=ROWS, form='steam-200k.csv'):
  path, text = folder / form, ''.join(f'{line}\n' for line in lines)
  if form == 'archive.zip':
    with zipfile.ZipFile(path, 'w') as file:
      file.writestr('steam-200k.csv', text)
  else:
    path.write_text(text)
  (folder / 'scratch').mkdir()
  source = steam.source('steam', folder)
  assert [archive.name for archive in source.archives] == [form]
  return source.read({form: path}, folder / 'scratch')


def _read_reviews(folder, reviews=REVIEWS, games=GAMES):
  source = steam.source('steam_reviews')
  paths = {archive.name: _zipped(folder / archive.name, lines)
           for archive, lines in zip(source.archives, (reviews, games), strict=True)}
  (folder / 'scratch').mkdir(exist_ok=True)
  return source.read(paths, folder / 'scratch')


def _rows(data):
  log = data.interactions
  return {(str(data.user_ids[u]), str(data.catalogue.ids[i])): float(v)
          for u, i, v in zip(log.user, log.item, log.value, strict=True)}


@pytest.mark.parametrize('form', ['steam-200k.csv', 'archive.zip'])
def test_hours_count_and_purchases_do_not(tmp_path, form):
  data = _read_200k(tmp_path, form=form)
  assert _rows(data) == {('151603712', 'The Elder Scrolls V Skyrim'): 273., ('5', 'Dota 2'): 2.5}
  assert data.catalogue.texts.tolist() == data.catalogue.ids.tolist() == ['Dota 2', 'The Elder Scrolls V Skyrim']
  assert data.info['counts'] == {'purchases': 3, 'purchases_of_games_never_played': 1}
  assert data.info['name'] == 'steam' and data.info['rows']['were_merged'] == 1 and data.interactions.time is None


def test_the_extract_is_the_same_data(tmp_path):
  data = _read_200k(tmp_path, ['user_id,game,hours_played', '151603712,The Elder Scrolls V Skyrim,273', '5,Dota 2,2.5'],
                    form='interactions.csv')
  assert _rows(data) == {('151603712', 'The Elder Scrolls V Skyrim'): 273., ('5', 'Dota 2'): 2.5}
  assert data.info['name'] == 'steam_hours'


def test_the_extract_as_it_lies_there(real_data, tmp_path):
  source = steam.source('steam', real_data / 'steam')
  data = source.read({'interactions.csv': real_data / 'steam' / 'interactions.csv'}, tmp_path)
  assert data.info['rows']['read'] == 70_489 and data.info['rows']['were_merged'] == 601
  assert len(data.interactions) == 69_888 and np.isfinite(data.interactions.value).all()


@pytest.mark.parametrize(('form', 'lines', 'words'), [
  ('steam-200k.csv', ['1,a,play,x,0'], ['row 2, column hours', "'x'", 'from 0 to']),
  ('steam-200k.csv', ['1,a,rent,1,0'], ['row 2, column behaviour', "'rent'", 'purchase or play']),
  ('steam-200k.csv', [',a,play,1,0'], ['row 2, column user_id']),
  ('steam-200k.csv', ['1,a,play'], ['line 2: 3 columns where 5 are due']),
  ('archive.zip', ['1,a,play,-1,0'], ['archive.zip: steam-200k.csv, row 2, column hours'])])
def test_what_is_wrong_with_the_hours_is_named(tmp_path, form, lines, words):
  with pytest.raises(DataError) as caught:
    _read_200k(tmp_path, [ROWS[0], *lines], form)
  assert all(word in str(caught.value) for word in words), str(caught.value)
  assert '\n' not in str(caught.value)


def test_a_wrong_header_is_named(tmp_path):
  with pytest.raises(DataError, match='interactions.csv: no column hours_played; there are user_id, game, hours'):
    _read_200k(tmp_path, ['user_id,game,hours', '1,a,1'], form='interactions.csv')


def test_reviews(tmp_path):
  data = _read_reviews(tmp_path)
  # The most hours of two reviews; no hours are the least.
  assert _rows(data) == pytest.approx({('Chaos Syren', '725280'): 7., ('naïve 😀', '1'): .1})
  assert data.interactions.time.tolist() == [1513555200, 1515024000]
  assert data.catalogue.titles.tolist() == ['Ironbound', 'Lost Summoner Kitty']
  assert data.catalogue.texts.tolist() == [
    'Ironbound. Casual. price 0',
    'Lost Summoner Kitty. Kotoshiro, Inc.. Action. Indie. Strategy. Single-player. price 2-5']
  assert data.catalogue.phrases == (
    ('Casual', 'price 0'), ('Action', 'Indie', 'Strategy', 'Single-player', 'Kotoshiro, Inc.', 'price 2-5'))
  assert data.info['counts'] == {
    'reviews': 4, 'reviews_without_user_name': 1, 'reviews_without_hours': 1, 'reviews_of_fewer_hours': 0,
    'games': 4, 'games_without_id': 1, 'repeated_games': 1}


@pytest.mark.parametrize(('line', 'words'), [
  ("{u'username': __import__('os').getcwd()}", ['line 2', '__import__', 'dictionary of literals']),
  ("{u'username': u'a'", ['line 2', 'dictionary of literals']), ('[1, 2]', ['line 2', 'dictionary of literals']),
  ('(' * 5000 + ')' * 5000, ['line 2']), ('-' * 100_000 + '1', ['line 2']),
  ("{u'username': u'" + 'a' * literals.LONGEST_LINE + "'}", ['line 2', 'longer than 1,048,576 bytes']),
  ("{u'username': 5, u'product_id': u'1', u'date': u'2017-12-17'}", ['line 2, column username: 5', 'a text']),
  ("{u'username': u'a', u'product_id': u'', u'date': u'2017-12-17'}", ['column product_id', 'not empty']),
  ("{u'username': u'a', u'product_id': u'1', u'hours': 1e999, u'date': u'2017-12-17'}", ['column hours: inf']),
  ("{u'username': u'a', u'product_id': u'1', u'hours': True, u'date': u'2017-12-17'}", ['column hours: True']),
  ("{u'username': u'a', u'product_id': u'1', u'date': u'17 Dec'}", ['column date', '2017-12-17'])])
def test_what_is_wrong_with_a_review_is_named(tmp_path, line, words):
  with pytest.raises(DataError) as caught:
    _read_reviews(tmp_path, [REVIEWS[0], line])
  assert all(word in str(caught.value) for word in ('steam_reviews.json.gz', *words)), str(caught.value)
  assert '\n' not in str(caught.value) and len(str(caught.value)) < 500


def test_what_is_wrong_with_a_game_is_named(tmp_path):
  with pytest.raises(DataError, match='steam_games.json.gz, line 2, column tags: .*a list of texts'):
    _read_reviews(tmp_path, games=[GAMES[0], "{u'id': u'1', u'tags': u'Action'}"])


def test_a_truncated_or_empty_archive_is_named(tmp_path):
  source = steam.source('steam_reviews')
  paths = {archive.name: _zipped(tmp_path / archive.name, REVIEWS) for archive in source.archives}
  content = paths['steam_reviews.json.gz'].read_bytes()
  for damaged, words in ((content[:-20], 'truncated'), (b'{}', 'damaged'), (gzip.compress(b''), 'holds no line')):
    paths['steam_reviews.json.gz'].write_bytes(damaged)
    with pytest.raises(DataError, match=f'steam_reviews.json.gz.*{words}'):
      source.read(paths, tmp_path)


def test_unknown_names_are_refused():
  with pytest.raises(ConfigError, match='allowed are steam, steam_reviews'):
    steam.source('steam_games')
  assert steam.source('steam').archives[0].name == 'steam-200k.csv'
