"""Every doubt appears where it should, and none on the healthy sample."""

import dataclasses

import numpy as np
import pytest

from ganrec_jax.report import costs, doubts, facts

from . import worlds

replace = dataclasses.replace


@pytest.fixture(scope='module')
def small():
  return worlds.small()


@pytest.fixture(scope='module')
def healthy(small):
  return worlds.look(small)


def names(found, config=None):
  return {doubt.name for doubt in doubts.find(found, config or worlds.config())}


def test_the_healthy_sample_raises_no_doubt(healthy):
  assert doubts.find(healthy, worlds.config()) == ()


def test_the_sample_of_the_default_config_raises_none_with_its_encoder():
  config = worlds.worlds.config('')
  found = worlds.look(worlds.prepare(config), config)
  assert doubts.find(found, config) == () and found.texts.limit == 64


def repeat(values, length):
  return np.resize(np.array(values), length)


def test_each_doubt_about_columns_and_times(small):
  log = small.dataset.interactions
  n = len(log)
  spoilt = {
    'one value': {'value': np.ones(n, np.float32)},
    'low ratings': {'value': repeat([1, 2, 3, 4, 5], n).astype(np.float32)},
    'one time': {'time': np.full(n, 10**9)},
    'future': {'time': np.append(log.time[1:], worlds.TODAY + 1)},
    'early times': {'time': np.append(log.time[1:], 1000)}}
  for name, columns in spoilt.items():
    assert names(worlds.look(worlds.with_log(small, **columns))) == {name}, name


def test_what_is_now_or_well_rated_is_not_doubtful(small):
  n = len(small.dataset.interactions)
  rated = repeat([5] * 12 + [4, 3.5, 1], n).astype(np.float32)
  now = np.append(small.dataset.interactions.time[1:], worlds.TODAY)
  assert names(worlds.look(worlds.with_log(small, value=rated, time=now))) == set()


def test_each_doubt_about_words(small):
  catalogue = small.dataset.catalogue
  n = len(catalogue)
  spoilt = {
    'little text': {'texts': np.where(np.arange(n) % 2, '', repeat(['12-34', ''], n))},
    'repeated titles': {'titles': np.append(catalogue.titles[4:], ['The Same'] * 4)},
    'repeated texts': {'texts': np.where(np.arange(n) < n // 3, 'one and the same text', catalogue.texts)},
    'broken letters': {'titles': np.append(catalogue.titles[1:], 'Beyonc\u00c3\u00a9')}}
  for name, columns in spoilt.items():
    assert names(worlds.look(worlds.with_catalogue(small, **columns))) == {name}, name


def test_a_few_repeated_titles_and_missing_texts_are_not_doubtful(small):
  catalogue = small.dataset.catalogue
  found = worlds.with_catalogue(small, titles=np.append(catalogue.titles[2:], ['The Same'] * 2),
                                texts=np.where(np.arange(len(catalogue)) % 3, catalogue.texts, ''))
  assert names(worlds.look(found)) == set()


def test_ids_that_lost_zeros_are_doubtful(small):
  ids = np.array([f'{k:04d}' for k in range(small.dataset.users)])
  whole, lost = (replace(small, dataset=replace(small.dataset, user_ids=found)) for found in (
    ids, np.append(ids[:-1], '179')))
  assert names(worlds.look(whole)) == set() and names(worlds.look(lost)) == {'leading zeros'}


@pytest.mark.parametrize(('most', 'found'), [(700, {'few users dominate', 'bots'}), (100, {'bots'}), (90, set())])
def test_one_user_who_does_most_of_all(most, found):
  data = worlds.log_of([5] * 60 + [6] * 60 + [most], 900)
  facts_found = worlds.look(worlds.split_of(data))
  assert names(facts_found) & {'few users dominate', 'bots', 'few items dominate'} == found


def test_one_item_that_takes_most_of_all(healthy):
  dominated = replace(healthy.by_item, number=100, top={.01: .5, .1: .6, .5: .9})
  assert names(replace(healthy, by_item=dominated)) == {'few items dominate'}
  assert names(replace(healthy, by_item=replace(dominated, top=dominated.top | {.01: .49}))) == set()


@pytest.mark.parametrize(('users', 'found'), [(19, {'few test users'}), (20, set())])
def test_a_task_of_few_test_users(healthy, users, found):
  assert names(replace(healthy, tasks=healthy.tasks | {'cold': (100, users)})) == found


def test_a_task_that_is_due_and_missing_is_named(small):
  config = worlds.config()
  config.split.cold_users = .3  # the split has none
  found = doubts.find(worlds.look(small, config), config)
  assert [doubt.found for doubt in found] == ['the task cold_user has 0 users on test']


def test_filters_that_drop_most(healthy):
  dropped = {'k_core': {'users': 1, 'items': 1, 'interactions': healthy.interactions + 1}}
  assert names(replace(healthy, info={**healthy.info, 'dropped': dropped})) == {'most was dropped'}
  assert names(replace(healthy, info={**healthy.info, 'dropped': {'subsample_users': dropped['k_core']}})) == set()


@pytest.mark.parametrize(('length', 'found'), [(12, {'long texts'}), (64, set())])
def test_texts_that_the_encoder_cuts(small, length, found):
  config = worlds.config(encoder={'kind': 'trained', 'max_length': length})
  facts_found = worlds.look(small, config)
  assert names(facts_found, config) == found
  assert facts_found.texts.limit == length and (facts_found.texts.cut > .5) == bool(found)


@pytest.mark.parametrize(('kind', 'german', 'found'), [
  ('pretrained', .3, {'foreign texts'}), ('pretrained', .1, set()), ('trained', .9, set())])
def test_texts_that_minilm_cannot_read(healthy, kind, german, found):
  texts = replace(healthy.texts, languages={'unclear': .1, 'de': german, 'en': .9 - german})
  assert names(replace(healthy, texts=texts), worlds.config(encoder={'kind': kind})) == found


def test_a_machine_that_is_too_small(small):
  needed = worlds.look(small).cost.total_bytes
  for memory, found in ((needed - 1, {'memory'}), (needed + 1, set())):
    assert names(worlds.look(small, machine=costs.Machine(2, memory))) == found


def test_every_doubt_says_what_to_do(healthy, small):
  texts = replace(healthy.texts, share=.1, repeated_titles=(100, '\x1b[31m<b>', 7))
  found = doubts.find(replace(healthy, texts=texts, times=facts.times(np.full(9, 10**18), worlds.TODAY)),
                      worlds.config())
  assert {doubt.name for doubt in found} == {'little text', 'repeated titles', 'one time', 'future'}
  for doubt in found:
    assert doubt.advice and '\n' not in doubt.found + doubt.advice and '\x1b' not in doubt.found
