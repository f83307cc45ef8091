"""Ways to more varied lists: greedy ones against brute force, turns without repeats, and what is told at equal loss."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import diversity


@pytest.mark.parametrize('weight', [0., .3, .8])
def test_mmr_takes_the_best_by_what_was_taken_before(weight):
  rng = np.random.default_rng(0)
  scores = rng.standard_normal((3, 40)).astype(np.float32)
  scores[:, :4] = -np.inf
  vectors = rng.standard_normal((40, 3))
  vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
  alike = (vectors @ vectors.T).astype(np.float32)
  lists = np.asarray(diversity.mmr(jnp.asarray(scores), jnp.asarray(alike), weight))
  for row, found in zip(scores, lists, strict=True):
    due = []
    for _ in range(diversity.CUT):
      near = np.maximum(alike[due].max(0), 0) if due else np.zeros(40)
      value = (1 - weight) * row - weight * near
      value[due] = -np.inf
      due.append(int(value.argmax()))
    assert found.tolist() == due and not set(due) & {0, 1, 2, 3}


def test_turns_take_as_many_by_each_and_none_twice():
  scores = jax.random.normal(jax.random.key(0), (diversity.TASTES, 5, 60))
  lists = np.asarray(diversity.by_turns(scores))
  each = diversity.CUT // diversity.TASTES
  assert lists.shape == (5, diversity.CUT) and all(len(set(row)) == diversity.CUT for row in lists)
  first = np.argsort(-np.asarray(scores[0]), 1)[:, :each]
  np.testing.assert_array_equal(lists[:, :each], first)
  for taste, row in itertools.product(range(1, diversity.TASTES), range(5)):
    order = [item for item in np.argsort(-np.asarray(scores[taste, row])) if item not in lists[row, :taste * each]]
    assert lists[row, taste * each:(taste + 1) * each].tolist() == order[:each]


def test_every_way_leaves_out_what_was_seen_and_its_knob_at_nothing_is_the_base():
  rng = np.random.default_rng(0)
  there = jnp.asarray(rng.random((6, 50)) < .8)
  scores = diversity.standardised(jnp.asarray(rng.standard_normal((6, 50)), jnp.float32), there)
  logits = jnp.asarray(rng.standard_normal((diversity.TASTES, 6, 50)), jnp.float32)
  case = diversity.Case(lambda users: scores[users], {way: lambda users, key: logits[:, users] for way in
                                                      diversity.KNOBS if way.startswith('several')},
                        jnp.asarray(rng.standard_normal(50), jnp.float32), jnp.eye(50))
  users, base = np.arange(6), None
  for way in (None, *diversity.KNOBS):
    none = np.asarray(case.lists(way, 0., users, jax.random.key(0)))
    base = none if base is None else base
    assert [set(row) for row in none] == [set(row) for row in base]
    lists = np.asarray(case.lists(way, 3. if way != 'MMR' else .9, users, jax.random.key(0)))
    assert np.take_along_axis(np.asarray(there), lists, 1).all()
    assert way is None or [set(row) for row in lists] != [set(row) for row in base] or way == 'MMR'


def test_what_is_told_at_equal_loss_lies_between_the_knobs():
  base = np.array([.2, .3, .1, .5])
  curve = np.array([[.2, .4, .1, .5], [.18, .6, .3, .5], [.1, .9, .5, .5]])
  np.testing.assert_allclose(diversity.at_loss(base, curve, .05), [.5, .2, .5])
  assert np.isnan(diversity.at_loss(base, curve[:1], .05)).all()
  told, ways = diversity.summary([{'base': base[None]} | dict.fromkeys(diversity.KNOBS, curve)] * 2)
  assert told['coverage'] == .3 and ways['MMR']['5%']['coverage'] == pytest.approx(.5)
  assert '| MMR | 5% | 0.500 | 0.200 | 0.500 |' in diversity.table({'base': told, 'ways': ways})
