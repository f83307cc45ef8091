"""Estimates of time and memory, held against what was measured."""

import dataclasses

import pytest

from ganrec_jax.report import costs

from . import worlds

GIB = 2**30
# The sizes of the runs whose time and memory the README gives.
SAMPLE = costs.Sizes(1080, 872, 698, 19_413, 5, 200, 23., 29_623, 500_000)
LASTFM = costs.Sizes(1869, 4607, 3686, 49_495, 5, 50, 21., 77_432, 6_000_000)


def estimate(variant, size, dense_items=10_000, **top):
  config = worlds.worlds.config(variant)
  config.base.dense_items = dense_items
  for name, value in top.items():
    config[name] = value
  return costs.estimate(size, config, worlds.MACHINE)


@pytest.mark.parametrize(('variant', 'size', 'controls', 'seconds', 'memory'), [
  ('', SAMPLE, 'random_pairs', 108, 2.1), ('', SAMPLE, 'all', 108 + 46, 2.1),
  ('lastfm', LASTFM, 'random_pairs', 148, 3.0), ('lastfm', LASTFM, 'all', 148 + 279, 3.0)])
def test_estimates_are_within_a_factor_of_two_of_the_readme(variant, size, controls, seconds, memory):
  found = estimate(variant, size, controls=controls)
  assert seconds / 2 < found.total_seconds < 2 * seconds
  assert memory / 2 < found.total_bytes / GIB < 2 * memory


def test_sizes_are_those_of_the_data():
  prepared, config = worlds.small(), worlds.config()
  found = costs.sizes(prepared, config, 12.)
  data = prepared.dataset
  assert (found.users, found.items, found.interactions) == (data.users, data.items, len(data.interactions))
  assert (found.warm, found.pairs, found.tokens) == (len(prepared.warm), len(prepared.split.rows('train')), 12.)
  assert found.tasks == len(worlds.look(prepared, config).tasks)


def test_many_items_are_dominated_by_their_matrices():
  few, many = (estimate('lastfm', dataclasses.replace(LASTFM, items=items, warm=items * 4 // 5), dense_items=60_000)
               for items in (30_000, 60_000))
  assert costs.dominant(many.bytes)[0] == 'item-item matrices'
  assert many.bytes['item-item matrices'] == 4 * few.bytes['item-item matrices'] == costs.MATRICES * 4 * 60_000**2
  assert many.seconds['closed form'] > 4 * few.seconds['closed form']


def test_beyond_the_limit_memory_is_linear_in_the_items():
  few, many = (estimate('lastfm', dataclasses.replace(LASTFM, items=items, warm=items * 4 // 5))
               for items in (30_000, 60_000))
  assert many.bytes['item factors'] == 2 * few.bytes['item factors'] and 'item-item matrices' not in many.bytes
  assert few.seconds['closed form'] < many.seconds['closed form'] < 2.1 * few.seconds['closed form']


def test_cores_make_work_faster_but_not_compilation():
  two, eight = (costs.estimate(LASTFM, worlds.worlds.config('lastfm'), costs.Machine(cores, GIB)) for cores in (2, 8))
  assert two.total_seconds / 4 < eight.total_seconds < two.total_seconds


@pytest.mark.parametrize('kind', ['mlp', 'gru', 'transformer'])
def test_a_network_costs_more(kind):
  config = worlds.worlds.config('')
  plain = costs.estimate(SAMPLE, config, worlds.MACHINE)
  config.recommender.kind = kind
  found = costs.estimate(SAMPLE, config, worlds.MACHINE)
  assert found.total_seconds > plain.total_seconds and found.total_bytes > plain.total_bytes
  assert found.seconds['network'] > 0


def test_this_machine_has_cores_and_memory():
  found = costs.machine()
  assert found.cores >= 1 and 2**27 < found.memory < 2**50
