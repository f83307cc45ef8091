"""Catalogues: lists, attributes by size, ready vectors from a column or a file."""

import json
import pathlib
import re

import duckdb
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ganrec_jax.data import catalogue, tables
from ganrec_jax.errors import DataError


def _load(folder, items, suffix='.csv', **fields):
  pathlib.Path(folder, 'log.csv').write_text('user,item\nu,a\nu,b\nu,c\n')
  if items is not None:
    pathlib.Path(folder, f'items{suffix}').write_text(items)
  return tables.load(tables.TablesConfig(f'{folder}/log.csv', f'{folder}/items{suffix}', **fields)).catalogue


@given(st.one_of(st.integers(-10**9, 10**9), st.floats(1e-6, 1e12), st.floats(-1e12, -1e-6)))
def test_a_size_class_holds_its_number(number):
  found = catalogue.size_class(repr(number))
  if not number:
    assert found == '0'
    return
  low, high = map(float, re.fullmatch(r'-?(.+?(?:e-\d+)?)-(.+)', found).groups())
  assert low * (1 - 1e-9) <= abs(number) < high * (1 + 1e-9) and found.startswith('-') == (number < 0)
  assert high / low in (pytest.approx(2), pytest.approx(2.5))


@pytest.mark.parametrize(('text', 'expected'), [
  ('7.5', '5-10'), ('$1,299.00', '1000-2000'), ('0', '0'), ('1', '1-2'), ('.2', '0.2-0.5'), ('-3', '-2-5'), ('', None),
  ('cheap', None), ('nan', None), ('inf', None), (None, None)])
def test_size_classes(text, expected):
  assert catalogue.size_class(text) == expected


def test_numbers_and_phrases_are_attributes_beside_the_text(tmp_path):
  found = _load(tmp_path, 'id,title,price,tags\na,Lamp,7.5,home|light\nb,Desk,,"wood; home"\n',
                phrases='tags', numbers='price')
  assert found.phrases == (('home', 'light', 'price 5-10'), ('wood', 'home'), ())
  assert found.texts.tolist() == ['Lamp. home|light. price 5-10', 'Desk. wood; home', '']
  assert found.titles.tolist() == ['Lamp', 'Desk', 'c']


def test_lists_of_json_lines_and_parquet_are_the_same(tmp_path):
  rows = [{'id': 'a', 'title': 'Lamp', 'tags': ['home, garden', 'light'], 'vector': [.5, 1.]},
          {'id': 'b', 'title': 'Desk', 'tags': [], 'vector': None}]
  (tmp_path / 'items.jsonl').write_text(''.join(json.dumps(row) + '\n' for row in rows))
  found = _load(tmp_path, None, '.jsonl', phrases='tags', vectors='vector', template='{title}: {tags}')
  assert found.phrases == (('home, garden', 'light'), (), ())
  assert found.texts.tolist() == ['Lamp: home, garden. light', 'Desk:', '']
  np.testing.assert_array_equal(found.vectors, [[.5, 1], [0, 0], [0, 0]])
  duckdb.read_json(f'{tmp_path}/items.jsonl').write_parquet(f'{tmp_path}/items.parquet')
  again = _load(tmp_path, None, '.parquet', phrases='tags', vectors='vector', template='{title}: {tags}')
  assert again.phrases == found.phrases and again.texts.tolist() == found.texts.tolist()
  np.testing.assert_array_equal(again.vectors, found.vectors)


def test_vectors_of_a_file_belong_to_the_rows_of_the_catalogue(tmp_path):
  path, items = str(tmp_path / 'vectors.npy'), 'id,title\nc,C\nunheard,X\na,A\n'
  np.save(path, np.arange(6, dtype=np.float64).reshape(3, 2))
  found = _load(tmp_path, items, vectors=path)
  np.testing.assert_array_equal(found.vectors, [[4, 5], [0, 0], [0, 1]])
  assert found.vectors.dtype == np.float32
  for wrong, words in ((np.zeros((2, 2)), 'allowed are floats of shape'), (np.zeros((3, 2), int), 'int64 of shape'),
                       (np.full((3, 2), np.nan), 'row 3: holds a number that is not finite')):
    np.save(path, wrong)
    with pytest.raises(DataError, match=words):
      _load(tmp_path, items, vectors=path)
