import dataclasses
import sys
import zipfile

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from ganrec_jax.data import lastfm, published
from ganrec_jax.errors import DataError

FILES = {
  'artists.dat': 'id\tname\turl\tpictureURL\n7\tBjörk\tx\ty\n3\tAir\tx\ty\n12\tNobody\tx\ty\n',
  'tags.dat': 'tagID\ttagValue\r\n1\trock\r\n2\tespañol\r\n5\tambient\r\n',
  'user_artists.dat': 'userID\tartistID\tweight\r\n20\t7\t10\r\n20\t3\t5\r\n4\t7\t1\r\n',
  'user_friends.dat': 'userID\tfriendID\r\n20\t4\r\n4\t20\r\n',
  'user_taggedartists.dat': 'userID\tartistID\ttagID\tday\tmonth\tyear\n20\t7\t1\t1\t4\t2009\n4\t7\t1\t1\t4\t2009\n'
                            '4\t7\t5\t1\t4\t2009\n20\t7\t2\t1\t4\t2009\n20\t3\t5\t1\t4\t2009\n20\t99\t5\t1\t4\t2009\n',
}


def _write(folder, changed=()):
  """An archive in `folder`, with the texts of the members `changed`; None leaves a member out."""
  folder.mkdir(parents=True, exist_ok=True)
  with zipfile.ZipFile(folder / lastfm.ARCHIVE, 'w', zipfile.ZIP_DEFLATED) as archive:
    for name, text in {**FILES, **dict(changed)}.items():
      if text is not None:
        archive.writestr(name, text.encode('iso-8859-1' if name == 'tags.dat' else 'utf-8'))
  return folder / lastfm.ARCHIVE


def _read(tmp_path, changed=()):
  (tmp_path / 'scratch').mkdir(parents=True, exist_ok=True)
  return lastfm.read({lastfm.ARCHIVE: _write(tmp_path, changed)}, tmp_path / 'scratch')


def _triples(dataset):
  log = dataset.interactions
  return list(zip(dataset.user_ids[log.user].tolist(), dataset.catalogue.ids[log.item].tolist(), log.value.tolist(),
                  strict=True))


def test_reads_ids_titles_texts_and_tags_by_frequency_then_text(tmp_path):
  dataset = _read(tmp_path)
  assert _triples(dataset) == [('4', '7', 1), ('20', '3', 5), ('20', '7', 10)]
  assert dataset.catalogue.ids.tolist() == ['3', '7', '12']
  assert dataset.catalogue.titles.tolist() == ['Air', 'Björk', 'Nobody']
  assert dataset.catalogue.phrases == (('ambient',), ('rock', 'ambient', 'español'), ())
  assert dataset.catalogue.texts.tolist() == ['Air: ambient', 'Björk: rock, ambient, español', 'Nobody']
  assert dataset.interactions.time is None
  assert dataset.info['counts']['dropped tag assignments to unknown artists'] == 1


def test_only_the_ten_most_frequent_tags_are_kept():
  # Tag k is given 12 - k // 2 times: pairs of ties, which the text decides.
  artist, tag = np.zeros(0, int), np.repeat(np.arange(12), [12 - k // 2 for k in range(12)])
  artist = np.zeros(len(tag), int)
  labels = np.array([f'{"ba"[k % 2]}{k // 2}' for k in range(12)])
  tags = lastfm._top_tags(artist, tag + 100, np.arange(12) + 100, labels, 2)
  assert tags == (tuple(f'{letter}{k}' for k in range(5) for letter in 'ab'), ())


def test_line_ends_headers_blanks_and_folders_make_no_difference(tmp_path):
  expected = _read(tmp_path / 'a')
  changed = {name: text.replace('\r\n', '\n').replace('\n', '\r\n').rstrip('\r\n') for name, text in FILES.items()}
  changed['user_artists.dat'] = '20\t7  \t 10\n20\t3\t5\n4\t7\t1'
  assert _read(tmp_path / 'b', changed).sha256() == expected.sha256()
  ascii_tags = {**FILES, 'tags.dat': FILES['tags.dat'].replace('ñ', 'n')}
  inside = dict.fromkeys(FILES) | {f'folder/{name}': text for name, text in ascii_tags.items()}
  assert _read(tmp_path / 'c', inside).sha256() == _read(tmp_path / 'd', ascii_tags).sha256()


def test_repeated_pairs_are_summed_and_counted(tmp_path):
  dataset = _read(tmp_path, {'user_artists.dat': FILES['user_artists.dat'] + '20\t7\t4\n'})
  assert _triples(dataset) == [('4', '7', 1), ('20', '3', 5), ('20', '7', 14)]
  assert dataset.info['counts']['merged user_artists rows'] == 1


@pytest.mark.parametrize('member, old, new, message', [
  ('user_artists.dat', '20\t3\t5', '20\t3', r"user_artists.dat, row 3: 2 columns in \['20', '3'\], allowed are 3"),
  ('user_artists.dat', '20\t3\t5', '', 'user_artists.dat, row 3: 1 columns'),
  ('artists.dat', 'Air\t', 'Air\tx\t', 'artists.dat, row 3: 5 columns'),
  ('user_artists.dat', '\t5', '\tfive', "user_artists.dat, row 3, column weight: 'five', allowed is a whole number"),
  ('user_artists.dat', '\t5', '\tNaN', "row 3, column weight: 'NaN'"),
  ('user_artists.dat', '\t5', '\t-5', "row 3, column weight: '-5', allowed is a whole number from 1"),
  ('user_artists.dat', '\t5', '\t0', "row 3, column weight: '0'"),
  ('user_artists.dat', '\t5', '\t' + '9' * 5000, "row 3, column weight: '9{5000}'"),
  ('user_artists.dat', '20\t3', '20\t8', "user_artists.dat, row 3, column artistID: '8', allowed is an id of artists"),
  ('user_taggedartists.dat', '20\t3', '21\t3', "row 6, column userID: '21', allowed is a userID of user_artists.dat"),
  ('user_taggedartists.dat', '20\t3\t5', '20\t3\t6', "row 6, column tagID: '6', allowed is an id of tags.dat"),
  ('user_friends.dat', '4\t20', '4\t21', "user_friends.dat, row 3, column friendID: '21'"),
  ('artists.dat', '3\tAir', '7\tAir', "artists.dat, row 3, column id: '7', allowed is each id once"),
  ('artists.dat', 'Air', ' ', "artists.dat, row 3, column name: ' ', allowed is a name"),
  ('tags.dat', '2\tesp', '1\tesp', "tags.dat, row 3, column tagID: '1'"),
  ('tags.dat', 'tagID\ttagValue', 'wrong\theader', "tags.dat, row 1, column tagID: 'wrong'"),
])
def test_refuses_a_bad_row(tmp_path, member, old, new, message):
  assert old in FILES[member]
  with pytest.raises(DataError, match=message):
    _read(tmp_path, {member: FILES[member].replace(old, new, 1)})


def test_refuses_bytes_that_are_not_utf8(tmp_path):
  with pytest.raises(DataError, match='artists.dat, row 2: byte 0xf6, allowed is UTF-8'):
    lastfm._parse('artists.dat', FILES['artists.dat'].encode('iso-8859-1'))


@pytest.mark.parametrize('member', FILES)
def test_refuses_a_missing_or_empty_member(tmp_path, member):
  with pytest.raises(DataError, match=f'no {member} among its members'):
    _read(tmp_path, {member: None})
  with pytest.raises(DataError, match=f'{member}: no rows after the header'):
    _read(tmp_path, {member: FILES[member].splitlines()[0]})


def test_refuses_counts_that_are_not_the_published_ones(tmp_path):
  _write(tmp_path / 'manual')
  with pytest.raises(DataError, match='2 users where 1892 are published; 3 artists where 17632 are .*grouplens.org'):
    published.load(lastfm.SOURCE, str(tmp_path / 'manual'), str(tmp_path / 'data'))
  assert not (tmp_path / 'data').exists()


def test_the_prepared_copy_holds_what_was_read(tmp_path):
  expected = _read(tmp_path)
  source = dataclasses.replace(lastfm.SOURCE, published={})
  dataset = published.load(source, str(tmp_path), str(tmp_path / 'data'))
  assert dataset.sha256() == expected.sha256() and dataset.info['counts'] == expected.info['counts']
  assert dataset.info['name'] == 'lastfm' and dataset.info['simulated'] is False
  assert 'Cantador' in dataset.info['citation'] and str(tmp_path) not in repr(dataset.info)
  assert 'tensorflow' not in sys.modules


@pytest.mark.parametrize('share', [0, .1, .5, .99])
def test_refuses_a_truncated_archive(tmp_path, share):
  path = _write(tmp_path)
  path.write_bytes(path.read_bytes()[:int(share * path.stat().st_size)])
  with pytest.raises(DataError, match='damaged, truncated or encrypted archive'):
    lastfm.read({lastfm.ARCHIVE: path}, tmp_path)


@example(place=.87890625, mask=100)  # A line break in the name of a member.
@settings(deadline=None, max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.floats(0, 1, exclude_max=True), st.integers(1, 255))
def test_a_changed_byte_is_refused_or_changes_nothing(tmp_path, place, mask):
  path = _write(tmp_path)
  expected = lastfm.read({lastfm.ARCHIVE: path}, tmp_path).sha256()
  content = bytearray(path.read_bytes())
  content[int(place * len(content))] ^= mask
  path.write_bytes(content)
  try:
    assert lastfm.read({lastfm.ARCHIVE: path}, tmp_path).sha256() == expected
  except DataError as error:
    assert '\n' not in str(error)


def test_the_published_archive(real_data, tmp_path):
  dataset = published.load(lastfm.SOURCE, str(real_data), str(tmp_path))
  assert (dataset.users, dataset.items, len(dataset.interactions)) == (1892, 17632, 92834)
  assert dataset.catalogue.titles[0] == 'MALICE MIZER' and _triples(dataset)[0] == ('2', '51', 13883)
  assert max(map(len, dataset.catalogue.phrases)) == 10
  # What the archive has always been read as.
  assert dataset.sha256() == '61bdd0225a679f04968c94d3b282cf65556ce22bd6a9ba82fdd2a48dc6c9b8f6'
  assert published.load(lastfm.SOURCE, None, str(tmp_path)).sha256() == dataset.sha256()
