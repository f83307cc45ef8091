"""Last.fm 1K: the whole listening histories of 992 listeners until May 2009, with times (Celma 2010)."""

import dataclasses

from ganrec_jax.data import files, relations, tables
from ganrec_jax.data.published import Archive, Source

ARCHIVE = 'lastfm-dataset-1K.tar.gz'
MEMBER = 'userid-timestamp-artid-artname-traid-traname.tsv'
_HEADER = 'user_id,timestamp,artist_id,artist,track_id,track'
# An artist is known by a MusicBrainz id, or where there is none by the name.
_LISTENS = """(select user_id, coalesce(nullif(trim(artist_id), ''), trim(artist)) as item_id, artist, timestamp
  from log)"""
# An artist's name is spelt in several ways; the most frequent is taken, ties by the letters.
_ARTISTS = f"""
  select item_id as id, artist as title from (select item_id, artist, count(*) as n from {_LISTENS} group by all)
  qualify row_number() over (partition by item_id order by n desc, artist) = 1"""


def read(paths, scratch):
  """Last.fm 1K as a `Dataset`: an item is an artist, value is the number of listens, time that of the last one.

  Listens whose artist has no usable id, such as a name of more than 200 characters, are dropped and counted.

  Args:
    paths: {ARCHIVE: path}.
    scratch: an empty folder; the columns of the log are kept in it.

  Raises:
    DataError: for an archive or a row that cannot be used.
  """
  found = files.unpack(paths[ARCHIVE], (MEMBER,), scratch)[MEMBER]
  database = f'{found}.duckdb'
  relations.view(database, 'log', found, header=_HEADER, delimiter='\t', quoting=False)
  dataset = tables.load(tables.TablesConfig(
    database=database, query=f'select user_id, item_id, timestamp from {_LISTENS}', items_query=_ARTISTS,
    template='{title}', bad_rows='drop'), scratch)
  counts = {'users': dataset.users, 'listens': dataset.info['rows']['read']}
  return dataclasses.replace(dataset, info={**dataset.info, 'counts': counts})


SOURCE = Source(
  name='lastfm1k',
  homepage='http://ocelma.net/MusicRecommendationDataset/lastfm-1K.html',
  citation="""@book{Celma:Springer2010,
  author = {Celma, {\\`O}scar},
  title = {Music Recommendation and Discovery: The Long Tail, Long Fail, and Long Play in the Digital Music Space},
  publisher = {Springer},
  year = {2010},
}""",
  licence='Non-commercial use, distributed with permission of Last.fm (https://www.last.fm)',
  archives=(Archive(ARCHIVE, f'http://mtg.upf.edu/static/datasets/last.fm/{ARCHIVE}'),),
  read=read,
  published={'users': 992, 'listens': 19_150_868},
  verb='listened to')
