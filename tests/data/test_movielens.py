"""MovieLens in both of its formats; the frozen splits of the small one are honoured."""

import dataclasses
import zipfile

import pytest

from ganrec_jax.data import clean, movielens, published, splits
from ganrec_jax.errors import DataError

CSV = {
  'ratings.csv': 'userId,movieId,rating,timestamp\r\n1,29,4.0,964982703\r\n1,3,0.5,964981247\r\n10,29,5.0,847434962\r\n'
                 '1,29,2.5,964982704\r\n1,29,3.5,1\r\n2,40697,3.0,1445714835\r\n2,58842,3.0,1445714835\r\n'
                 '2,171749,3.0,1445714835\r\n2,147250,3.0,1445714835\r\n',
  'movies.csv': 'movieId,title,genres\r\n3,Grumpier Old Men (1995),Comedy|Romance\r\n'
                '29,"City of Lost Children, The (Cité des enfants perdus, La) (1995)",Drama|Sci-Fi\r\n'
                '40697,Babylon 5,Sci-Fi\r\n58842,Assembly (Ji jie hao) (2007) ,Drama|War\r\n'
                '147250,"The ""Sherlock"" Holmes",(no genres listed)\r\n'
                '171749,Death Note: Desu nôto (2006–2007),(no genres listed)\r\n7,Unrated (1999),Drama\r\n',
}
DAT = {
  'ratings.dat': '1::3::5::978300760\n1::11::3::978302109\n2::11::4::978299026\n',
  'movies.dat': '3::Grumpier Old Men (1995)::Comedy|Romance\n11::Misérables, Les: "1" (1995)::Drama|Musical\n',
}


def _zip(folder, name, members, encoding):
  folder.mkdir(parents=True, exist_ok=True)
  with zipfile.ZipFile(folder / f'{name}.zip', 'w') as archive:
    for member, text in members.items():
      archive.writestr(f'{name}/{member}', text.encode(encoding))
  return folder


def _small(tmp_path, changed=()):
  folder = _zip(tmp_path / 'manual', 'ml-latest-small', {**CSV, **dict(changed)}, 'utf-8')
  return published.load(movielens.SMALL, folder, tmp_path / 'data')


def _million(tmp_path, changed=()):
  folder = _zip(tmp_path / 'manual', 'ml-1m', {**DAT, **dict(changed)}, 'latin-1')
  return published.load(dataclasses.replace(movielens.ONE_MILLION, published={}), folder, tmp_path / 'data')


def _rows(data):
  log = data.interactions
  return [(str(data.user_ids[u]), str(data.catalogue.ids[i]), float(v), int(t))
          for u, i, v, t in zip(log.user, log.item, log.value, log.time, strict=True)]


def test_the_latest_rating_counts(tmp_path):
  data = _small(tmp_path)
  assert _rows(data)[:3] == [('1', '29', 2.5, 964982704), ('1', '3', .5, 964981247), ('10', '29', 5., 847434962)]
  assert data.info['counts'] == {'users': 3, 'ratings': 9, 'movies': 7}
  assert data.info['rows']['were_merged'] == 2 and data.info['catalogue']['rows_of_items_without_interaction'] == 1
  assert data.info['name'] == 'movielens_small' and 'Konstan' in data.info['citation']


def test_a_title_loses_its_year_and_gains_a_decade(tmp_path):
  items = _small(tmp_path).catalogue
  found = {str(i): (str(title), str(text), phrases)
           for i, title, text, phrases in zip(items.ids, items.titles, items.texts, items.phrases, strict=True)}
  assert found == {
    '3': ('Grumpier Old Men', 'Grumpier Old Men: Comedy, Romance, 1995, 1990s',
          ('Comedy', 'Romance', '1995', '1990s', 'Grumpier Old Men')),
    '29': ('City of Lost Children, The (Cité des enfants perdus, La)',
           'City of Lost Children, The (Cité des enfants perdus, La): Drama, Sci-Fi, 1995, 1990s',
           ('Drama', 'Sci-Fi', '1995', '1990s', 'City of Lost Children The (Cité des enfants perdus La)')),
    '40697': ('Babylon 5', 'Babylon 5: Sci-Fi', ('Sci-Fi', 'Babylon 5')),
    '58842': ('Assembly (Ji jie hao)', 'Assembly (Ji jie hao): Drama, War, 2007, 2000s',
              ('Drama', 'War', '2007', '2000s', 'Assembly (Ji jie hao)')),
    '147250': ('The "Sherlock" Holmes', 'The "Sherlock" Holmes', ('The "Sherlock" Holmes',)),
    '171749': ('Death Note: Desu nôto', 'Death Note: Desu nôto: 2006, 2000s',
               ('2006', '2000s', 'Death Note: Desu nôto')),
  }


def test_the_format_of_the_million_with_colons_and_latin_1(tmp_path):
  data = _million(tmp_path)
  assert _rows(data) == [('1', '11', 3., 978302109), ('1', '3', 5., 978300760), ('2', '11', 4., 978299026)]
  assert data.catalogue.titles.tolist() == ['Misérables, Les: "1"', 'Grumpier Old Men']
  assert data.catalogue.phrases[0] == ('Drama', 'Musical', '1995', '1990s', 'Misérables Les: "1"')
  assert data.info['counts'] == {'users': 2, 'ratings': 3, 'movies': 2} and data.info['name'] == 'movielens_1m'


@pytest.mark.parametrize(('load', 'member', 'old', 'new', 'message'), [
  (_small, 'ratings.csv', '0.5', '-1', r"ratings.csv, row 2, column rating: '-1'; allowed are finite numbers"),
  (_small, 'ratings.csv', '0.5', 'NaN', "ratings.csv, row 2, column rating: 'NaN'"),
  (_small, 'ratings.csv', '964981247', 'soon', "ratings.csv, row 2, column timestamp: 'soon'"),
  (_small, 'ratings.csv', '1,3,', ',3,', "ratings.csv, row 2, column userId"),
  (_small, 'ratings.csv', '1,3,0.5', '1,3', '^ratings.csv, line 3: 3 columns where 4 are due'),
  (_small, 'ratings.csv', 'rating,', 'stars,', "ratings.csv: no column 'rating'; there are userId, movieId, stars"),
  (_small, 'movies.csv', '40697,', '3,', "column id: '3' occurs before with other words"),
  (_small, 'movies.csv', 'movieId,', 'movie,', 'movies.csv.*movieId.*not found'),
  (_million, 'ratings.dat', '1::11::3', '1::11::x', "ratings.dat.csv, row 2, column rating: 'x'"),
  (_million, 'ratings.dat', '1::11::3', '1::11', '^ratings.dat.csv, line 2: 3 columns where 4 are due'),
  (_million, 'movies.dat', '3::Grumpier', '3:Grumpier', 'movies.dat.csv.*Line: 1'),
])
def test_refuses_a_bad_row_and_writes_nothing(tmp_path, load, member, old, new, message):
  text = {**CSV, **DAT}[member]
  assert old in text
  with pytest.raises(DataError, match=message) as found:
    load(tmp_path, {member: text.replace(old, new, 1)})
  assert not (tmp_path / 'data').exists()
  assert '\n' not in str(found.value) and 'grouplens.org' in str(found.value)


@pytest.mark.parametrize('load, member', [(_small, 'movies.csv'), (_million, 'ratings.dat')])
def test_refuses_an_archive_without_a_member(tmp_path, load, member, monkeypatch):
  monkeypatch.delitem(CSV if load is _small else DAT, member)
  with pytest.raises(DataError, match=f'no {member} among its members'):
    load(tmp_path)


def test_refuses_counts_that_are_not_the_published_ones(tmp_path):
  folder = _zip(tmp_path / 'manual', 'ml-1m', DAT, 'latin-1')
  with pytest.raises(DataError, match='2 users where 6040 are published; 3 ratings where 1000209 are published'):
    published.load(movielens.ONE_MILLION, folder, tmp_path / 'data')


def test_the_frozen_draws_are_honoured(real_data, tmp_path):
  full = published.load(movielens.SMALL, real_data, tmp_path)
  assert (full.users, full.items, len(full.interactions)) == (610, 9724, 100836)
  core = clean.k_core(clean.at_least(full, 3.5), 5, 3)
  for name in ('movielens', *(f'movielens-{k}' for k in range(1, 5))):
    dataset, split = splits.read_split(real_data / 'splits' / f'{name}.csv.gz', core)
    numbers = splits.describe(split, dataset)
    assert dataset.sha256() == core.sha256() and numbers['cold_items'] == 674
    if name == 'movielens':
      assert numbers['rows'] == {'train': 35397, 'valid': 4391, 'test': 4370, 'cold_valid': 6113, 'cold_test': 6372}
