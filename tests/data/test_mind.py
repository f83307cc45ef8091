"""MIND as it is published: clicks and histories become interactions, impressions are counted, bad rows are named."""

import collections
import datetime
import zipfile

import mind_files
import numpy as np
import pytest

from ganrec_jax.data import clean, mind, splits
from ganrec_jax.errors import DataError

ENTITY = '[{"Label": "Prince, Philip", "Type": "P", "WikidataId": "Q1", "SurfaceForms": ["Prince"]}, {"Label": "UK"}]'
NEWS = [('N1', 'lifestyle', 'royals', 'A "quoted title', 'An abstract', 'https://x', ENTITY, '[]'),
        ('N2', 'news', 'world', 'Second', '', 'https://x', '[]', ''),
        ('N3', 'news', 'world', 'Old', '', 'https://x', '', '[]')]
TRAIN = [('1', 'U1', '11/9/2019 12:00:19 AM', 'N3 N1', 'N1-1 N2-0'),
         ('2', 'U1', '11/14/2019 11:59:13 PM', 'N3 N1', 'N2-1'),
         ('3', 'U2', '11/11/2019 12:05:58 PM', '', 'N1-0 N2-0 N3-1')]
DEV = [('1', 'U3', '11/15/2019 9:05:58 AM', 'N3', 'N9-1 N1-1'), ('2', 'U1', '11/15/2019 9:05:58 AM', 'N3 N1', 'N2-0')]


def _text(rows):
  return ''.join('\t'.join(row) + '\n' for row in rows)


def _read(folder, train=TRAIN, dev=DEV, news=NEWS, dev_news=NEWS[:1]):
  paths = {f'MINDsmall_{part}.zip': mind_files.archive(folder / f'MINDsmall_{part}.zip', _text(rows), _text(items))
           for part, rows, items in (('train', train, news), ('dev', dev, dev_news))}
  (folder / 'scratch').mkdir()
  return mind.SMALL.read(paths, folder / 'scratch')


def _seconds(*moment):
  return int(datetime.datetime(*moment, tzinfo=datetime.UTC).timestamp())


def test_clicks_and_histories(tmp_path):
  data = _read(tmp_path)
  log = data.interactions
  before = _seconds(2019, 11, 9, 0, 0, 18)
  found = {(str(data.user_ids[u]), str(data.catalogue.ids[i])): t
           for u, i, t in zip(log.user, log.item, log.time.tolist(), strict=True)}
  assert found == {('U1', 'N3'): before, ('U1', 'N1'): before + 1, ('U1', 'N2'): _seconds(2019, 11, 14, 23, 59, 13),
                   ('U2', 'N3'): _seconds(2019, 11, 11, 12, 5, 58), ('U3', 'N3'): before,
                   ('U3', 'N9'): _seconds(2019, 11, 15, 9, 5, 58), ('U3', 'N1'): _seconds(2019, 11, 15, 9, 5, 58)}
  assert set(log.value.tolist()) == {1.}
  assert data.info['counts'] == {
    'impressions': 5, 'news_shown': 9, 'clicks': 5, 'shown_without_click': 4, 'clicks_of_histories': 3,
    'news_rows': 4, 'repeated_news_rows': 1, 'repeated_with_other_words': 0}
  assert data.info['catalogue']['items_without_row'] == 1  # N9
  assert data.info['name'] == 'mind_small' and not data.info['simulated']


def test_texts_and_attributes(tmp_path):
  items = _read(tmp_path, dev_news=[NEWS[0][:3] + ('Another title',) + NEWS[0][4:]])
  catalogue = items.catalogue
  assert catalogue.ids.tolist() == ['N1', 'N2', 'N3', 'N9']
  assert catalogue.titles.tolist() == ['A "quoted title', 'Second', 'Old', 'N9']
  assert catalogue.texts.tolist() == ['A "quoted title. An abstract', 'Second', 'Old', '']
  assert catalogue.phrases[0] == ('lifestyle', 'royals', 'Prince, Philip', 'UK')
  assert catalogue.phrases[1:] == (('news', 'world'), ('news', 'world'), ())
  assert items.info['counts']['repeated_with_other_words'] == 1


@pytest.mark.parametrize(('part', 'row', 'words'), [
  ('train', ('4', '', '11/9/2019 1:00:00 AM', '', 'N1-1'), ['train.zip: behaviors.tsv, row 4, column user_id']),
  ('dev', ('4', 'U1', '2019-11-15 01:00', '', 'N1-1'), ['dev.zip: behaviors.tsv, row 3, column time', '9:05:58 AM']),
  ('dev', ('4', 'U1', '11/15/2019 1:00:00 AM', '', 'N1'), ["column impressions: 'N1'", '-1 where it was clicked']),
  ('dev', ('4', 'U1', '11/15/2019 1:00:00 AM', '', 'N1-2 N2-1'), ['column impressions']),
  ('dev', ('4', 'U1', '11/15/2019 1:00:00 AM', '', ''), ['column impressions']),
  ('train', ('4', 'U1', '11/9/2019 1:00:00 AM', 'N1-1'),
   ['MINDsmall_train/behaviors.tsv, line 4: 4 columns where 5 are due']),
  ('news', ('', 'news', 'world', 't', '', '', '[]', '[]'), ['train.zip: news.tsv, row 4, column news_id']),
  ('news', ('N4', 'news', 'world', 't', '', '', '[{', '[]'), ['row 4, column title_entities', 'JSON list'])])
def test_what_is_wrong_is_named(tmp_path, part, row, words):
  given = {'train': TRAIN, 'dev': DEV, 'news': NEWS}
  with pytest.raises(DataError) as caught:
    _read(tmp_path, **{part: [*given[part], row]})
  for word in words:
    assert word in str(caught.value), str(caught.value)
  assert '\n' not in str(caught.value)


def test_a_wrong_archive_is_named(tmp_path):
  paths = mind_files.write(tmp_path, users=4, news=20)
  with zipfile.ZipFile(paths['MINDsmall_dev.zip'], 'w') as file:
    file.writestr('news.tsv', 'N1')
  (tmp_path / 'scratch').mkdir()
  with pytest.raises(DataError, match='MINDsmall_dev.zip: no behaviors.tsv'):
    mind.SMALL.read(paths, tmp_path / 'scratch')


def test_simulated_files_against_a_plain_reading(tmp_path):
  paths = mind_files.write(tmp_path)
  (tmp_path / 'scratch').mkdir()
  data = mind.SMALL.read(paths, tmp_path / 'scratch')
  expected, counts, first = collections.defaultdict(int), collections.Counter(), np.inf
  for path in paths.values():
    with zipfile.ZipFile(path) as file:
      lines = file.read('behaviors.tsv').decode().splitlines()
    for _, user, time, history, impressions in (line.split('\t') for line in lines):
      time = datetime.datetime.strptime(time + ' +0000', '%m/%d/%Y %I:%M:%S %p %z').timestamp()
      first = min(first, time)
      for news in history.split():
        expected[user, news] += 0
      for news, click in (shown.rsplit('-', 1) for shown in impressions.split()):
        counts[click] += 1
        if click == '1':
          expected[user, news] = max(expected[user, news], int(time))
  log = data.interactions
  times = np.where(log.time == first - 1, 0, log.time)
  assert dict(expected) == {(str(data.user_ids[u]), str(data.catalogue.ids[i])): t
                            for u, i, t in zip(log.user, log.item, times.tolist(), strict=True)}
  assert (times == 0).any()  # clicks of histories alone
  assert data.info['counts']['clicks'] == counts['1'] and data.info['counts']['shown_without_click'] == counts['0']


def test_the_simulated_files_are_the_same_each_time(tmp_path):
  folders = [tmp_path / name for name in ('a', 'b')]
  for folder in folders:
    folder.mkdir()
    mind_files.write(folder, users=20, news=40)
  for name in ('MINDsmall_train.zip', 'MINDsmall_dev.zip'):
    assert (folders[0] / name).read_bytes() == (folders[1] / name).read_bytes()


def test_the_dev_day_brings_news_that_nobody_knew(tmp_path):
  (tmp_path / 'scratch').mkdir()
  data = clean.k_core(mind.SMALL.read(mind_files.write(tmp_path), tmp_path / 'scratch'), 3, 3)
  dev = data.interactions.time >= _seconds(2019, 11, 15)
  new = ~np.isin(data.interactions.item, data.interactions.item[~dev])
  assert dev.any() and new.any()
  split = splits.make_split(data.interactions, data.users, data.items, kind='temporal', cold_items=0., cold_users=0.,
                            seed=0)
  assert splits.describe(split, data)['rows']['cold_test'] > 0
