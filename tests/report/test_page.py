"""The page and the terminal's text: whole, offline, and deaf to what strangers write into their data."""

import base64
import dataclasses
import html.parser
import re
import warnings
import xml.etree.ElementTree

import numpy as np
import pytest

from ganrec_jax.report import doubts, facts, page, plots, sections, words

from . import worlds

EVIL = '</td></style><script>alert(1)</script><img src=http://evil.example/x onerror=alert(2)>&amp;"\'\u202e\x1b[2J'
TAGS = {'html', 'head', 'meta', 'title', 'style', 'body', 'h1', 'h2', 'div', 'b', 'span', 'p', 'ul', 'li', 'dl', 'dt',
        'dd', 'table', 'tr', 'th', 'td', 'section', 'figure', 'picture', 'source', 'img', 'figcaption', 'footer'}


class Reader(html.parser.HTMLParser):
  """Collects tags, attributes and words, and checks that what is opened is closed."""

  def __init__(self, text):
    super().__init__()
    self.tags, self.attributes, self.words, self.open = set(), [], [], []
    self.feed(text)
    self.close()

  def handle_starttag(self, tag, attributes):
    self.tags.add(tag)
    self.attributes += attributes
    if tag not in ('meta', 'img', 'source'):
      self.open.append(tag)

  def handle_endtag(self, tag):
    assert self.open.pop() == tag

  def handle_data(self, words):
    if self.open and self.open[-1] != 'style':
      self.words.append(words)


def report(prepared, config=None, **changed):
  config = config or worlds.config()
  found = dataclasses.replace(worlds.look(prepared, config), **changed)
  told, doubtful = sections.make(found), doubts.find(found, config)
  return page.render(told, doubtful, plots.draw(found), [('1', 'figure')]), words.render(told, doubtful), found


@pytest.fixture(scope='module')
def evil():
  small = worlds.small()
  data, catalogue = small.dataset, small.dataset.catalogue
  users, ids = (np.array([f'{EVIL}{k}' for k in range(n)]) for n in (data.users, data.items))
  catalogue = dataclasses.replace(catalogue, ids=ids, titles=np.full(data.items, EVIL), texts=ids)
  info = {**data.info, 'name': EVIL, 'citation': EVIL, EVIL: {EVIL: EVIL}, 'note': [EVIL]}
  return report(worlds.split_of(dataclasses.replace(data, catalogue=catalogue, user_ids=users, info=info)))


def test_a_script_in_titles_ids_and_notes_is_only_words(evil):
  text, _, _ = evil
  reader = Reader(text)
  assert reader.tags <= TAGS and not reader.open
  assert {name for name, _ in reader.attributes} <= {
    'lang', 'charset', 'http-equiv', 'content', 'name', 'class', 'id', 'alt', 'data-label', 'media', 'srcset', 'src'}
  assert '<script>alert(1)</script>' in ''.join(reader.words)  # shown as it was written
  assert '\u202e' not in text and '\x1b' not in text


def test_a_terminal_is_not_steered(evil):
  _, told, _ = evil
  assert not re.search('[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]', told) and '<script>' in told


def test_the_page_needs_nothing_from_outside(evil):
  reader = Reader(evil[0])
  links = [value for name, value in reader.attributes if name in ('src', 'srcset')]
  assert len(links) == 2 * 4 and all(link.startswith('data:image/svg+xml;base64,') for link in links)
  for link in links:
    picture = xml.etree.ElementTree.fromstring(base64.b64decode(link.partition(',')[2]))
    assert picture.tag == '{http://www.w3.org/2000/svg}svg'
  assert "default-src 'none'" in evil[0] and 'prefers-color-scheme: dark' in evil[0] and 'width=device-width' in evil[0]
  assert 'url(' not in evil[0] and '@import' not in evil[0] and len(evil[0]) < 600_000


def test_dark_plots_differ_in_their_colours_alone():
  for light, dark in plots.draw(worlds.look(worlds.small())).values():
    for role, colour in plots.LIGHT.items():
      assert colour not in dark, role
      light = light.replace(colour, plots.DARK[role])
    assert light == dark


def test_plots_and_page_are_the_same_each_time():
  assert report(worlds.small())[0] == report(worlds.small())[0]


def test_both_tell_the_same():
  text, told, found = report(worlds.small())
  shown = ' '.join(' '.join(Reader(text).words).split())
  for section in sections.make(found):
    assert section.title in shown and section.title in told
    for label, sentence in section.lines:
      assert label in shown and sentence in shown
      assert sentence in ' '.join(told.split())
    assert {len(row) for row in section.rows} <= {len(section.header)}


def test_lines_of_the_terminal_are_at_most_120_wide(evil):
  for told in (evil[1], report(worlds.small())[1]):
    assert max(map(len, told.splitlines())) <= 120


def test_rows_are_told_with_title_value_time_and_first_words():
  _, told, found = report(worlds.small())
  row = found.rows[0]
  line = next(line for line in told.splitlines() if line.startswith(row.user))
  assert row.title in line and f' {row.value:g} ' in line and ' '.join(row.text.split()[:5]) in line
  assert re.search(r' 202\d-\d\d-\d\d ', line) and f' {row.part} ' in line


def test_all_notes_of_a_dataset_are_told_unknown_ones_too():
  info = {'name': 'x', 'simulated': False, 'rows': {'read': 7123, 'were_merged': 12}, 'empty': [], 'new': {'a_b': 3},
          'dropped': {'k_core': {'users': 1, 'interactions': 5}, 'fog': {'users': 2}}, 'deep': {'er': {'st': {'x': 1}}},
          'ignored_columns': [f'c{k}' for k in range(30)], 'nothing': None, 'note': 'hello', 'ok': True, 'part': .25,
          'vector': np.arange(3)}
  lines = dict(sections.make(dataclasses.replace(worlds.look(worlds.small()), info=info))[2].lines)
  assert lines == {
    'rows of the log': 'read 7,123, were merged 12', 'new': 'a b 3', 'dropped, fog': 'users 2',
    'dropped, too few interactions of the user or item (data.min_user, data.min_item)': 'users 1, interactions 5',
    'deep, er, st': 'x 1', 'columns that are not read': ', '.join(f'c{k}' for k in range(12)) + ' and 18 more',
    'note': 'hello', 'ok': 'True', 'part': '0.25', 'vector': '[0 1 2]'}


def test_a_log_without_times_values_or_words_is_told():
  small = worlds.small()
  bare = worlds.with_log(worlds.with_catalogue(small, texts=np.full(small.dataset.items, '')), time=None,
                         value=np.ones(len(small.dataset.interactions), np.float32))
  text, told, _ = report(bare)
  assert text.count('<figure>') == 1 and 'no times' in told and '(no text)' in told
  assert 'all are 1' in told and 'time  ' not in told.split('rows as they')[1].splitlines()[2]


@pytest.mark.parametrize('times', [[0, 1], [0, 86400], [5, 10**9], [0, 4 * 10**9], [10**9, 10**18]])
def test_any_span_of_time_can_be_drawn(times):
  found = dataclasses.replace(worlds.look(worlds.small()), times=facts.times(np.array(times), worlds.TODAY))
  with warnings.catch_warnings():
    warnings.simplefilter('error')
    assert 'times' in plots.draw(found)


def test_nothing_doubtful_is_said_and_doubts_come_last():
  small = worlds.small()
  text, told, _ = report(small)
  assert 'Nothing doubtful' in text and told.endswith('Nothing doubtful was found.\n')
  text, told, _ = report(worlds.with_log(small, value=np.ones(len(small.dataset.interactions), np.float32)))
  assert 'Doubtful (1)' in text and told.rindex('Doubtful (1)') > told.rindex('What a run will take')
