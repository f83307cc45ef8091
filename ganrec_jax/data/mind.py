"""MIND, Microsoft's news clicks (Wu et al. 2020): the small and the large set.

A click is an interaction of value 1. The impressions of train are from 2019-11-09 to 2019-11-14, those of dev from
2019-11-15; user ids and news ids mean the same in both. A user's history, the clicks of the four weeks before, has no
times; its clicks get the second before the first impression of train, so that they come before everything else and
have no order among themselves. What was shown and not clicked is counted and not used. News have title and abstract as
text, category, subcategory and the names of the entities in both as attributes.
"""

import functools
from pathlib import Path

from ganrec_jax.data import files, staging
from ganrec_jax.data.published import Archive, Source

HOMEPAGE = 'https://msnews.github.io/'
LICENCE = 'Microsoft Research Licence Terms: non-commercial research; the home page asks to agree to them'
CITATION = """@inproceedings{Wu:ACL2020,
  author = {Wu, Fangzhao and Qiao, Ying and Chen, Jiun-Hung and Wu, Chuhan and Qi, Tao and Lian, Jianxun and
    Liu, Danyang and Xie, Xing and Gao, Jianfeng and Wu, Winnie and Zhou, Ming},
  title = {{MIND}: A Large-scale Dataset for News Recommendation},
  booktitle = {Proceedings of the 58th Annual Meeting of the Association for Computational Linguistics},
  year = {2020},
}"""
PARTS = ('train', 'dev')
NEWS = ('news_id', 'category', 'subcategory', 'title', 'abstract', 'url', 'title_entities', 'abstract_entities')
BEHAVIORS = ('impression_id', 'user_id', 'time', 'history', 'impressions')
_MOMENT = "try_strptime(trim(time), '%m/%d/%Y %I:%M:%S %p')"


def _source(size):
  name, archives = f'mind_{size}', tuple(f'MIND{size}_{part}.zip' for part in PARTS)
  return Source(name, HOMEPAGE, CITATION, LICENCE, tuple(Archive(archive) for archive in archives),
                functools.partial(_read, name, archives), verb='read')


def _read(name, archives, paths, scratch):
  """The `Dataset` of both archives, as `Source.read` has it."""
  with staging.database(scratch) as connection:
    for part, archive in zip(PARTS, archives, strict=True):
      folder = Path(scratch, Path(archive).stem)
      folder.mkdir()
      found = files.unpack(paths[archive], ('behaviors.tsv', 'news.tsv'), folder)
      _stage(connection, part, paths[archive], found)
      for path in found.values():
        path.unlink()
    log, shown = _log(connection, scratch)
    items, news = _news(connection, scratch)
  return staging.load(name, CITATION, shown | news, interactions=log, items=items, merge='max', template='{text}',
                      phrases='category,subcategory,entities')


def _stage(connection, part, archive, found):
  """Makes the tables `behaviors_PART` and `news_PART`."""
  for table, columns, rules in (('behaviors', BEHAVIORS, _behavior_rules()), ('news', NEWS, _news_rules())):
    member = f'{table}.tsv'
    staging.stage(connection, f'{table}_{part}', f'{archive}: {member}',
                  'select * from ' + staging.csv(found[member], columns, delimiter='\t', quote=''), rules)


def _behavior_rules():
  return (staging.not_empty('user_id'),
          staging.Rule('time', f'{_MOMENT} between timestamp \'1970-01-02\' and timestamp \'2100-01-01\'',
                       'a time such as 11/11/2019 9:05:58 AM'),
          staging.Rule('impressions', r"regexp_full_match(trim(impressions), '\S+-[01]( +\S+-[01])*')",
                       'news ids divided by blanks, each with -1 where it was clicked or -0 where not'))


def _news_rules():
  entities = (staging.Rule(column, f"coalesce(trim({column}), '') = '' or try_cast({column} as json) is not null",
                           'a JSON list of entities') for column in ('title_entities', 'abstract_entities'))
  return (staging.not_empty('news_id'), *entities)


def _log(connection, scratch):
  """Writes the clicks; returns the path and counts of what was shown and clicked."""
  connection.execute('create view behaviors as select * from behaviors_train union all select * from behaviors_dev')
  clicked = "list_filter(string_split_regex(trim(impressions), ' +'), lambda shown: ends_with(shown, '-1'))"
  # All impressions of a user repeat his history.
  connection.execute('create table histories as select distinct trim(user_id) as user_id, unnest(string_split_regex('
                     "trim(history), ' +')) as item_id from (select distinct user_id, history from behaviors) "
                     "where trim(history) <> ''")
  connection.execute(f'create table clicks as select trim(user_id) as user_id, unnest({clicked}) as item_id, '
                     f'epoch({_MOMENT})::bigint as time from behaviors')
  path = staging.write(connection, "select user_id, regexp_replace(item_id, '-1$', '') as item_id, time from clicks "
                       f'union all select user_id, item_id, (select min(epoch({_MOMENT}))::bigint - 1 '
                       'from behaviors_train) from histories', Path(scratch, 'interactions.parquet'))
  impressions, shown, clicks, history = connection.execute(
    "select count(*), sum(len(string_split_regex(trim(impressions), ' +'))), (select count(*) from clicks), "
    '(select count(*) from histories) from behaviors').fetchone()
  return path, {'impressions': impressions, 'news_shown': int(shown), 'clicks': clicks,
                'shown_without_click': int(shown) - clicks, 'clicks_of_histories': history}


def _news(connection, scratch):
  """Writes the news, the first row of each; returns the path and counts."""
  columns = ', '.join(NEWS[1:])
  connection.execute("create table news as select trim(news_id) as news_id, row_number() over () as place, "
                     f'{columns} from (select * from news_train union all select * from news_dev)')
  rows, ids, kinds = connection.execute(
    f'select count(*), count(distinct news_id), (select count(*) from (select distinct news_id, {columns} from news)) '
    'from news').fetchone()
  names = ', '.join(f"coalesce(json_extract_string(nullif(trim({column}), ''), '$[*].Label'), [])"
                    for column in ('title_entities', 'abstract_entities'))
  path = staging.write(
    connection, "select news_id, title, concat_ws('. ', nullif(trim(title), ''), nullif(trim(abstract), '')) as text, "
    f'to_json([category])::varchar as category, to_json([subcategory])::varchar as subcategory, '
    f'to_json(list_concat({names}))::varchar as entities from news '
    'qualify row_number() over (partition by news_id order by place) = 1',
    Path(scratch, 'items.parquet'))
  return path, {'news_rows': rows, 'repeated_news_rows': rows - ids, 'repeated_with_other_words': kinds - ids}


SMALL, LARGE = _source('small'), _source('large')
