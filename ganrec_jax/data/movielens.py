"""MovieLens: ratings of movies with titles and genres, in three sizes (Harper and Konstan 2015).

https://files.grouplens.org/datasets/movielens/ has a README of each, with its format.
"""

import dataclasses
import functools

from ganrec_jax.data import files, relations, tables
from ganrec_jax.data.published import Archive, Source

_HOME = 'https://grouplens.org/datasets/movielens/'
_FILES = 'https://files.grouplens.org/datasets/movielens/'
_CITATION = """@article{Harper:TiiS2015,
  author = {Harper, F. Maxwell and Konstan, Joseph A.},
  title = {The {MovieLens} Datasets: History and Context},
  journal = {ACM Transactions on Interactive Intelligent Systems},
  volume = {5},
  number = {4},
  pages = {19:1--19:19},
  year = {2015},
  doi = {10.1145/2827872},
}"""
_LICENCE = 'Research use under the terms of its README; no commercial use without permission of GroupLens'
# The year stands in brackets at the end of a title, maybe with a second one.
_YEAR = r'\s*\((\d{4})[^()]*\)\s*$'
_MOVIES = f"""
  select movieId as id, title, genres, year, decade, regexp_replace(title, '[|;,]', '', 'g') as words,
    concat_ws(': ', title, nullif(concat_ws(', ', replace(genres, '|', ', '), year, decade), '')) as text
  from (select movieId, trim(regexp_replace(title, '{_YEAR}', '')) as title,
          nullif(trim(genres), '(no genres listed)') as genres,
          nullif(regexp_extract(title, '{_YEAR}', 1), '') as year, year[:3] || '0s' as decade
        from movies)"""


@dataclasses.dataclass(frozen=True)
class _Format:
  """How the files of a size are written: names, column names where they have no header line, `TablesConfig` fields."""
  ratings: str
  movies: str
  ratings_header: str
  movies_header: str
  options: dict


_CSV = _Format('ratings.csv', 'movies.csv', '', '', {'delimiter': ','})
_DAT = _Format('ratings.dat', 'movies.dat', 'userId,movieId,rating,timestamp', 'movieId,title,genres',
               {'delimiter': '::', 'encoding': 'latin-1', 'quoting': False})


def read(paths, scratch, form=_CSV):
  """MovieLens as a `Dataset`: value is the latest rating, .5 to 5, a text 'title: genre, genre, year, decade'.

  Args:
    paths: {archive name: path} of one archive.
    scratch: an empty folder; the columns of the log are kept in it.
    form: the `_Format` of its files.

  Raises:
    DataError: for an archive or a row that cannot be used.
  """
  path, = paths.values()
  found = files.unpack(path, (form.ratings, form.movies), scratch)
  # The kind of a file is known by its ending.
  ratings, movies = (p if p.suffix == '.csv' else p.rename(f'{p}.csv') for p in found.values())
  database = f'{movies}.duckdb'
  relations.view(database, 'movies', movies, header=form.movies_header, **form.options)
  dataset = tables.load(tables.TablesConfig(
    interactions=str(ratings), header=form.ratings_header, user='userId', item='movieId', value='rating',
    time='timestamp', merge='last', database=database, items_query=_MOVIES, template='{text}',
    phrases='genres,year,decade,words', **form.options), scratch)
  counts = {'users': dataset.users, 'ratings': dataset.info['rows']['read'],
            'movies': dataset.info['catalogue']['rows']}
  return dataclasses.replace(dataset, info={**dataset.info, 'counts': counts})


def _source(name, archive, form, published):
  return Source(name, _HOME, _CITATION, _LICENCE, (archive,), functools.partial(read, form=form), published, 'watched')


# It may change over time, so that it has neither checksum nor counts.
SMALL = _source('movielens_small', Archive('ml-latest-small.zip', f'{_FILES}ml-latest-small.zip'), _CSV, {})
ONE_MILLION = _source(
  'movielens_1m', Archive('ml-1m.zip', f'{_FILES}ml-1m.zip',
                          'a6898adb50b9ca05aa231689da44c217cb524e7ebd39d264c56e2832f2c54e20'),  # as TFDS has it
  _DAT, {'users': 6040, 'ratings': 1_000_209})
THIRTY_TWO_MILLION = _source('movielens_32m', Archive('ml-32m.zip', f'{_FILES}ml-32m.zip'), _CSV,
                             {'users': 200_948, 'ratings': 32_000_204})
