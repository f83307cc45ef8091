import numpy as np
import pytest

from ganrec_jax.data.types import PARTS, Catalogue, Dataset, Interactions, Split
from ganrec_jax.errors import DataError


def _log(user=(0, 0, 1), item=(0, 1, 1), value=(1, 2, 3), time=None):
  return Interactions(np.array(user, np.int32), np.array(item, np.int32), np.array(value, np.float32),
                      None if time is None else np.array(time, np.int64))


def _catalogue(ids=('a', 'b')):
  ids = np.array(ids)
  return Catalogue(ids, ids, ids, ((),) * len(ids))


def _dataset(log=None, ids=('a', 'b'), users=('u', 'v')):
  return Dataset(_log() if log is None else log, _catalogue(ids), np.array(users), {'name': 'tiny'})


@pytest.mark.parametrize('columns, message', [
  ({'item': (0, 1)}, 'item has 2 rows where 3 are due'),
  ({'user': (0, -1, 1)}, 'row 1, column user: -1 is negative'),
  ({'value': (1, 2, np.nan)}, 'row 2, column value: nan'),
  ({'value': (1, 0, 1)}, 'row 1, column value: 0.0'),
  ({'value': (np.inf, 1, 1)}, 'row 0, column value: inf'),
  ({'value': (1, 1, -2)}, 'row 2, column value: -2.0'),
  ({'time': (1, 2)}, 'time has 2 rows'),
])
def test_interactions_refuse(columns, message):
  with pytest.raises(DataError, match=message):
    _log(**columns)


def test_interactions_refuse_float_indices():
  with pytest.raises(DataError, match='user has dtype float64'):
    Interactions(np.zeros(1), np.zeros(1, np.int32), np.ones(1, np.float32))


def test_take_keeps_all_columns():
  log = _log(time=(5, 6, 7)).take(np.array([False, True, True]))
  assert log.user.tolist() == [0, 1] and log.item.tolist() == [1, 1]
  assert log.value.tolist() == [2, 3] and log.time.tolist() == [6, 7]
  assert len(log) == 2 and _log().take([0]).time is None


def test_catalogue_refuses():
  with pytest.raises(DataError, match="item id .*'a'.* occurs 2 times"):
    _catalogue(('b', 'a', 'a'))
  with pytest.raises(DataError, match='phrases has 0 rows where 1 are due'):
    Catalogue(np.array(['a']), np.array(['a']), np.array(['']), ())


@pytest.mark.parametrize('arguments, message', [
  ({'users': ('u',)}, 'row 2, column user: index 1, allowed are 0 to 0'),
  ({'ids': ('a',)}, 'row 1, column item: index 1, allowed are 0 to 0'),
  ({'users': ('u', 'u')}, 'user_ids must be unique'),
  ({'log': _log((0, 0), (1, 1), (1, 1))}, 'occurs more than once'),
  ({'log': _log((), (), ())}, 'no interactions left'),
])
def test_dataset_refuses(arguments, message):
  with pytest.raises(DataError, match=message):
    _dataset(**arguments)


def test_sha256_depends_on_every_part():
  different = [_dataset(), _dataset(_log(value=(1, 2, 4))), _dataset(_log(time=(1, 2, 3))), _dataset(ids=('a', 'c')),
               _dataset(users=('u', 'w')), _dataset(_log((0, 1, 1), (0, 0, 1)))]
  assert len({d.sha256() for d in different}) == len(different)
  assert _dataset().sha256() == _dataset().sha256()


def test_split_rows_and_refusals():
  split = Split(np.array([1, 2, 1, 0], np.int8), np.array([False, True, False, False]))
  assert split.rows('train').tolist() == [0, 2] and split.rows('train', 'valid').tolist() == [0, 1, 2]
  assert split.sha256() != Split(split.part, ~split.in_all).sha256()
  for code in (-1, len(PARTS)):
    with pytest.raises(DataError, match='allowed are 0 to 8'):
      Split(np.array([0, code], np.int8), np.zeros(2, bool))
  with pytest.raises(DataError, match='in_all has 1 rows where 2 are due'):
    Split(np.zeros(2, np.int8), np.zeros(1, bool))
