"""Search finds what a plain look at every title finds, best first; unknown names are told their nearest."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ganrec_jax.serving.search import Names, Titles, UnknownName, folded, nearest

WORDS = st.sampled_from(['the', 'Broken', 'beacon', 'Beacons', 'be', 'Sigur', 'Rós', "O'Hara", '木', 'a-ha', 'b2b'])
TITLES = st.lists(st.lists(WORDS, min_size=1, max_size=4).map(' '.join), min_size=1, max_size=20)


def brute(titles, popularity, query):
  tokens = re.findall(r'\w+', folded(query))
  found = [item for item, title in enumerate(titles)
           if all(any(word.startswith(token) for word in re.findall(r'\w+', folded(title))) for token in tokens)]
  return sorted(found, key=lambda item: (folded(titles[item]) != folded(query),
                                         not folded(titles[item]).startswith(folded(query)), -popularity[item], item))


@settings(max_examples=200, deadline=None)
@given(TITLES, st.lists(WORDS, min_size=1, max_size=3).map(' '.join), st.integers(1, 12), st.data())
def test_it_finds_what_a_look_at_every_title_finds(titles, query, cut, data):
  query = query[:cut]
  popularity = data.draw(st.lists(st.integers(0, 3), min_size=len(titles), max_size=len(titles)))
  due = brute(titles, popularity, query)
  found = Titles.of(np.array(titles), np.array(popularity)).find(query, 8).tolist()
  if due:
    assert found == due[:8]
  else:
    assert len(found) <= 8


def test_accents_and_case_do_not_matter_and_misspelt_titles_are_found():
  titles = np.array(['Sigur Rós', 'Björk', 'The Beatles', 'Beach Boys'])
  index = Titles.of(titles, np.arange(4))
  for query, title in (('sigur ros', 'Sigur Rós'), ('BJORK', 'Björk'), ('beatels', 'The Beatles'),
                       ('boys be', 'Beach Boys')):
    assert titles[index.find(query)[0]] == title


@pytest.mark.parametrize('query', ['', ' ', '-', '\U0010ffff', 'a' * 10_000, '\x00', '木' * 50])
def test_odd_queries_are_no_error(query):
  for titles in (np.array(['one', 'two', '?']), np.array(['', '!'])):
    assert len(Titles.of(titles, np.zeros(len(titles))).find(query)) <= 3


def test_the_nearest_names_are_told():
  names = Names.of('item', np.array([f'a{number:04d}' for number in range(3000)]))
  assert names.place('a0042') == 42
  with pytest.raises(UnknownName, match="unknown item 'b0042'; the nearest ids are a0042,"):
    names.place('b0042')
  with pytest.raises(UnknownName) as error:
    names.place('x' * 100_000)
  assert len(str(error.value)) < 300
  assert nearest('anything', np.zeros(0, str)) == []
