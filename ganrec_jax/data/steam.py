"""Steam, twice: Steam-200k, hours played by title, and the reviews and games of Kang and McAuley 2018.

Steam-200k. A (user, game) pair's value is the hours played; hours of two games of one title, which the log cannot tell
apart, are added. A purchase has no hours and is not used: purchases of games that were never played are counted. The
title is id and text. It is read from steam-200k.csv, from Kaggle's archive.zip around it, or from interactions.csv, an
extract of its plays with a header line.

Reviews. Value is the hours on record, at least .1, the smallest that Steam shows: who reviews a game has played it. Of
several reviews of one game by one user, the most hours count. Users are user names, as in the paper: all have one, few
have an id. A game's text is title, developer, genres, tags and specs; all but the title are its attributes, and the
size of its price.
"""

import functools
import json
from pathlib import Path

from ganrec_jax.data import files, literals, relations, staging
from ganrec_jax.data.published import Archive, Source
from ganrec_jax.errors import ConfigError, DataError

LEAST_HOURS = .1
_MOST_HOURS = 10**6  # a century has fewer
_KAGGLE = 'https://www.kaggle.com/datasets/tamber/steam-video-games'
_MCAULEY = 'https://cseweb.ucsd.edu/~jmcauley/datasets.html#steam_data'
_URL = 'https://mcauleylab.ucsd.edu/public_datasets/data/steam'
CITATION_200K = """@misc{Tamber:Steam200k,
  author = {Tamber},
  title = {Steam Video Games: 200k user interactions},
  year = {2017},
  howpublished = {https://www.kaggle.com/datasets/tamber/steam-video-games},
}"""
CITATION_REVIEWS = """@inproceedings{Kang:ICDM2018,
  author = {Kang, Wang-Cheng and McAuley, Julian},
  title = {Self-Attentive Sequential Recommendation},
  booktitle = {Proceedings of the IEEE International Conference on Data Mining},
  year = {2018},
}"""
_LICENCE_REVIEWS = 'None is stated; published for research, whose authors ask to be cited'
_PLAIN, _ZIPPED, _EXTRACT = 'steam-200k.csv', 'archive.zip', 'interactions.csv'
_REVIEWS, _GAMES = 'steam_reviews.json.gz', 'steam_games.json.gz'


def source(name, folder=''):
  """The `Source` of 'steam' or 'steam_reviews'; Steam-200k in the form in which `folder` holds it.

  Raises:
    ConfigError: for another name.
  """
  if name not in SOURCES:
    raise ConfigError(f'data.source is {name!r}; allowed are {", ".join(SOURCES)}')
  return staging.choose(SOURCES[name], folder)


def _read_200k(paths, scratch):
  """The `Dataset` of Steam-200k as a CSV file or in an archive, as `Source.read` has it."""
  (archive, path), = paths.items()
  file = path if archive == _PLAIN else f'{path}: {_PLAIN}'
  member = path if archive == _PLAIN else files.unpack(path, (_PLAIN,), scratch)[_PLAIN]
  with staging.database(scratch) as connection:
    staging.stage(connection, 'rows', file, 'select * from ' + staging.csv(
      member, ('user_id', 'game', 'behaviour', 'hours', 'zero')), (
      staging.not_empty('user_id'), staging.not_empty('game'),
      staging.Rule('behaviour', "behaviour in ('purchase', 'play')", 'purchase or play'), _hours_rule('hours')))
    purchases, alone = connection.execute(
      "select count(*), count(*) filter (not exists (select 1 from rows as plays where plays.behaviour = 'play' and "
      "plays.user_id = rows.user_id and plays.game = rows.game)) from rows where behaviour = 'purchase'").fetchone()
    log = staging.write(connection, 'select user_id, game as item_id, hours as value from rows '
                        "where behaviour = 'play' order by _line", Path(scratch, 'interactions.parquet'))
  return staging.load('steam', CITATION_200K, {'purchases': purchases, 'purchases_of_games_never_played': alone},
                      interactions=log)


def _read_extract(paths, scratch):
  """The `Dataset` of the extract, as `Source.read` has it."""
  path, columns = paths[_EXTRACT], ('user_id', 'game', 'hours_played')
  with staging.database(scratch) as connection:
    found = relations.of_files(connection, str(path), delimiter=',')
    missing = [column for column in columns if column not in found.columns]
    if missing:
      raise DataError(f'{path}: no column {", ".join(missing)}; there are {", ".join(found.columns)}')
    staging.stage(connection, 'rows', path, f'select *, row_number() over () as _line from {found.sql}', (
      staging.not_empty('user_id'), staging.not_empty('game'), _hours_rule('hours_played')))
    log = staging.write(connection, 'select user_id, game as item_id, hours_played as value from rows order by _line',
                        Path(scratch, 'interactions.parquet'))
  return staging.load('steam_hours', CITATION_200K, {}, interactions=log)


def _hours_rule(column):
  return staging.Rule(column, f'try_cast({column} as double) between 0 and {_MOST_HOURS}',
                      f'a number from 0 to {_MOST_HOURS}')


def _read_reviews(paths, scratch):
  """The `Dataset` of reviews and games, as `Source.read` has it."""
  counts = dict.fromkeys(('reviews', 'reviews_without_user_name', 'reviews_without_hours', 'reviews_of_fewer_hours',
                          'games', 'games_without_id', 'repeated_games'), 0)
  log, items = Path(scratch, 'interactions.jsonl'), Path(scratch, 'items.jsonl')
  _convert(paths[_REVIEWS], log, functools.partial(_review, counts))
  _convert(paths[_GAMES], items, functools.partial(_game, counts, set()))
  return staging.load('steam_reviews', CITATION_REVIEWS, counts, interactions=str(log), items=str(items), merge='max',
                      phrases='genres,tags,specs,developer', numbers='price')


def _convert(path, target, row_of):
  """Writes `row_of(record)` of each line of a file of literals as a line of JSON, without those that are None."""
  with open(target, 'w', encoding='utf-8') as file:
    for record in literals.records(path):
      row = row_of(record)
      if row is not None:
        file.write(json.dumps(row) + '\n')


def _review(counts, record):
  """The row of a review, or None where its user has no name."""
  user, game, hours = record.text('username'), record.text('product_id'), record.number('hours', _MOST_HOURS)
  counts['reviews'] += 1
  if not (game or '').strip():
    record.refuse('product_id', 'a text that is not empty')
  if not (user or '').strip():
    counts['reviews_without_user_name'] += 1
    return None
  counts['reviews_without_hours'] += hours is None
  counts['reviews_of_fewer_hours'] += hours is not None and hours < LEAST_HOURS
  return {'user_id': user, 'item_id': game, 'value': max(hours or 0, LEAST_HOURS), 'time': record.day('date')}


def _game(counts, known, record):
  """The row of a game, or None where it has no id or a row before."""
  game = (record.text('id') or '').strip()
  counts['games'] += 1
  counts['games_without_id'] += not game
  counts['repeated_games'] += game in known
  if not game or game in known:
    return None
  known.add(game)
  # A list, since a developer's name may hold commas.
  developer = [record.text('developer')] if record.text('developer') else []
  return {'item_id': game, 'title': record.text('title') or record.text('app_name') or '', 'developer': developer,
          **{field: record.texts(field) for field in ('genres', 'tags', 'specs')}, 'price': _price(record)}


def _price(record):
  """The price as a text; of words such as 'Free to Play' 0 where they begin with free, else ''."""
  price = record.fields.get('price')
  if isinstance(price, str):
    return '0' if price.lower().startswith('free') else ''
  found = record.number('price', _MOST_HOURS)
  return '' if found is None else str(found)


def _source_200k(name, archive, read):
  return Source(name, _KAGGLE, CITATION_200K, 'As stated at the home page', (Archive(archive),), read, verb='played')


# The published forms of each data set, the usual one first.
SOURCES = {
  'steam': (_source_200k('steam', _PLAIN, _read_200k), _source_200k('steam', _ZIPPED, _read_200k),
            _source_200k('steam_hours', _EXTRACT, _read_extract)),
  'steam_reviews': (Source(
    'steam_reviews', _MCAULEY, CITATION_REVIEWS, _LICENCE_REVIEWS,
    tuple(Archive(archive, f'{_URL}/{archive}') for archive in (_REVIEWS, _GAMES)), _read_reviews, verb='played'),),
}
