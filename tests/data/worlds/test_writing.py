"""Texts of the sample worlds: readable, different, sometimes missing or misleading, and of known words."""

import re

import numpy as np
import pytest

from ganrec_jax.data.worlds import DOMAINS


@pytest.mark.parametrize('domain', DOMAINS)
def test_texts_are_readable_different_and_sometimes_missing(world_of, domain):
  catalogue, vocabulary = world_of(domain, 'default').dataset.catalogue, DOMAINS[domain].vocabulary
  words = np.array([len(text.split()) for text in catalogue.texts.tolist()])
  assert words.max() <= vocabulary.words[1]
  assert (words == 0).sum() == 36 and all(catalogue.phrases[i] == () for i in np.flatnonzero(words == 0))
  assert .75 < (words >= vocabulary.words[0]).mean() < .95
  assert len(np.unique(catalogue.titles)) == 900
  texts = catalogue.texts[words > 0]
  assert len(np.unique(texts)) == len(texts)
  bodies = [text.replace(title, '') for title, text in zip(catalogue.titles, catalogue.texts, strict=True)]
  assert len(set(bodies)) > 750
  for text in (*texts, *catalogue.titles):
    assert not re.search(r'[{}]|\.\.|  |, ,|\b[aA] [AEIOUaeiou]|^[a-z]|[.] [a-z]', text), text
  assert all(len(set(phrases)) == len(phrases) for phrases in catalogue.phrases)
  assert 3 < np.mean([len(phrases) for phrases in catalogue.phrases]) < 5.5


@pytest.mark.parametrize('domain', DOMAINS)
def test_a_few_texts_mislead(world_of, domain):
  """Subgenres are the plainest attribute: most phrases tell the true one, a few another."""
  world = world_of(domain, 'default')
  ways = {way: i for i, names in enumerate(DOMAINS[domain].vocabulary.attributes[1].values) for way in names}
  told = [(ways[p], world.attributes[item, 1]) for item, phrases in enumerate(world.dataset.catalogue.phrases)
          for p in phrases if p in ways]
  wrong = np.mean([said != true for said, true in told])
  assert len(told) > 600
  assert .03 < wrong < .12


@pytest.mark.parametrize('domain', DOMAINS)
def test_wordings_name_one_attribute_only(domain):
  ways = [way for attribute in DOMAINS[domain].vocabulary.attributes for names in attribute.values for way in names]
  assert len(set(ways)) == len(ways)


@pytest.mark.parametrize('domain', DOMAINS)
def test_templates_name_known_attributes_and_every_text_its_item(domain):
  vocabulary = DOMAINS[domain].vocabulary
  keys = {'name', 'title'}
  for attribute in vocabulary.attributes:
    keys |= set(attribute.forms) or {attribute.key + str(i or '') for i in (0, 2, 3)[:len(attribute.weights)]}
  for template in (*vocabulary.titles, *vocabulary.leads, *vocabulary.clauses, *vocabulary.fillers):
    assert set(re.findall('{(.*?)}', template)) <= keys, template
  assert all('{name}' in title for title in vocabulary.titles)
  assert all('{name}' in lead or '{title}' in lead for lead in vocabulary.leads)
  assert all('{' not in filler for filler in vocabulary.fillers)
  assert {key for key, _ in vocabulary.tags} | set(vocabulary.hints) <= keys - {'name', 'title'}


@pytest.mark.parametrize('domain', DOMAINS)
def test_there_are_names_for_the_largest_catalogue(domain):
  names = DOMAINS[domain].vocabulary.names(np.random.default_rng(0), 20_000)
  assert len(set(names)) == 20_000


def test_a_text_tells_nothing_twice(world_of):
  """Studios are what games' texts name in one way only."""
  studios = [names[0] for names in DOMAINS['games'].vocabulary.attributes[-1].values]
  for text in world_of('games', 'default').dataset.catalogue.texts.tolist():
    assert sum(text.count(studio) for studio in studios) <= 1, text
