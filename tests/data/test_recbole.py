"""Atomic files hold what the split holds, as a reader of tab-separated values sees it."""

import dataclasses
import re

import numpy as np
import pytest

from ganrec_jax.data import recbole
from ganrec_jax.data.types import PARTS, Catalogue, Dataset, Interactions, Split
from ganrec_jax.errors import DataError

USERS, ITEMS = 7, 9


def _world(timed=True, rows=50):
  rng = np.random.default_rng(0)
  pairs = rng.permutation(USERS * ITEMS)[:rows]
  log = Interactions((pairs // ITEMS).astype(np.int32), (pairs % ITEMS).astype(np.int32),
                     rng.choice([1, .5, .1, 1234567.], rows).astype(np.float32),
                     rng.integers(10**9, 2 * 10**9, rows) if timed else None)
  ids = np.array([f'i\t{k}' for k in range(ITEMS)])
  titles, texts = np.array([f'"Title"\n{k}' for k in range(ITEMS)]), np.array([f'a\r\ntext {k}' for k in range(ITEMS)])
  phrases = tuple((('indie rock', 'folk') if k % 2 else ()) for k in range(ITEMS))
  dataset = Dataset(log, Catalogue(ids, titles, texts, phrases), np.array([f'\u00fc{k}' for k in range(USERS)]), {})
  return dataset, Split(rng.integers(0, 9, rows).astype(np.int8), rng.random(rows) < .5)


def _read(path):
  header, *lines = path.read_text(encoding='utf-8').split('\n')[:-1]
  return header.split('\t'), [line.split('\t') for line in lines]


@pytest.mark.parametrize('timed', [True, False])
def test_every_row_is_in_the_file_of_its_part(tmp_path, timed):
  dataset, split = _world(timed)
  log = dataset.interactions
  recbole.write(tmp_path, 'x', dataset, split)
  for part, code in zip(PARTS[1:], range(1, 9), strict=True):
    header, lines = _read(tmp_path / 'x' / f'x.{part}.inter')
    assert header == ['user_id:token', 'item_id:token', 'rating:float', 'timestamp:float'][:3 + timed]
    rows = np.flatnonzero(split.part == code)
    assert [line[:2] for line in lines] == [[f'\u00fc{log.user[r]}', f'i {log.item[r]}'] for r in rows]
    assert [np.float32(line[2]) for line in lines] == log.value[rows].tolist()
    assert {line[2] for line in lines} <= {'1', '0.5', '0.1', '1234567'}
    if timed:
      assert [int(line[3]) for line in lines] == log.time[rows].tolist()
  for held_out in ('valid', 'test'):
    _, lines = _read(tmp_path / 'x' / f'x.all_{held_out}.inter')
    rows = [r for r in range(len(log)) if split.in_all[r] and PARTS[split.part[r]] in (held_out, f'cold_{held_out}')]
    assert [line[:2] for line in lines] == [[f'\u00fc{log.user[r]}', f'i {log.item[r]}'] for r in rows]


def test_the_catalogue_is_a_file_of_tokens(tmp_path):
  recbole.write(tmp_path, 'x', *_world())
  header, lines = _read(tmp_path / 'x' / 'x.item')
  assert header == ['item_id:token', 'title:token_seq', 'text:token_seq', 'phrases:token_seq']
  assert lines == [[f'i {k}', f"'Title' {k}", f'a text {k}', 'indie_rock folk' if k % 2 else ''] for k in range(ITEMS)]


@pytest.mark.parametrize('start', '=+-@')
def test_no_title_or_text_is_a_formula(tmp_path, start):
  dataset, split = _world()
  catalogue = dataset.catalogue
  words = np.array([f'{start}HYPERLINK(1)', *catalogue.titles[1:]])
  dangerous = dataclasses.replace(dataset, catalogue=dataclasses.replace(catalogue, titles=words, texts=words))
  recbole.write(tmp_path, 'x', dangerous, split)
  _, lines = _read(tmp_path / 'x' / 'x.item')
  assert lines[0][1] == lines[0][2] == f"'{start}HYPERLINK(1)" and lines[1][1] == "'Title' 1"


def test_pandas_reads_what_recbole_reads_by_it(tmp_path):
  pandas = pytest.importorskip('pandas')
  dataset, split = _world()
  recbole.write(tmp_path, 'x', dataset, split)
  train = pandas.read_csv(tmp_path / 'x' / 'x.train.inter', delimiter='\t', dtype={'user_id:token': str})
  assert len(train) == len(split.rows('train')) and not train.isnull().any().any()
  assert len(pandas.read_csv(tmp_path / 'x' / 'x.item', delimiter='\t')) == ITEMS


def test_files_of_parts_that_are_gone_are_removed(tmp_path):
  dataset, split = _world()
  recbole.write(tmp_path, 'x', dataset, split)
  warm = Split(np.where(np.isin(split.part, [4, 5, 6, 7, 8]), 1, split.part).astype(np.int8), split.in_all)
  recbole.write(tmp_path, 'x', dataset, warm)
  assert {path.name for path in (tmp_path / 'x').iterdir()} == {
    'x.train.inter', 'x.valid.inter', 'x.test.inter', 'x.item'}


def test_ids_that_become_the_same_are_refused(tmp_path):
  dataset, split = _world()
  ids = dataset.catalogue.ids.copy()
  ids[1] = 'i 2'
  catalogue = Catalogue(ids, ids, ids, ((),) * ITEMS)
  with pytest.raises(DataError, match=re.escape(r"the item ids 'i 2' and 'i\t2' are the same")):
    recbole.write(tmp_path, 'x', Dataset(dataset.interactions, catalogue, dataset.user_ids, {}), split)
