"""InfoNCE against loops, its gradient on 1, 2 and 8 devices, its pairs, and a value that rises on unseen items."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from ganrec_jax.data.ragged import group
from ganrec_jax.encoding import adapt
from ganrec_jax.errors import DataError
from ganrec_jax.models import bert
from ganrec_jax.training import devices
from ganrec_jax.training.loop import Schedule, Surroundings
from ganrec_jax.training.update import gradient_update

CONFIG = bert.BertConfig(30, 16, 1, 2, 24, positions=16)
PARAMS = bert.init(jax.random.key(0), CONFIG)
HISTORIES = np.array([[0, 1, 2, -1], [3, 4, -1, -1], [0, 5, 6, 7]])


def _data(seed=0):
  ids = np.random.default_rng(seed).integers(5, 30, (8, 6)).astype(np.int32)
  counts = np.array([3, 2, 4], np.int32)
  return {'ids': jnp.asarray(ids), 'histories': jnp.asarray(HISTORIES), 'counts': jnp.asarray(counts),
          'cumulative': jnp.asarray(np.cumsum(counts) / counts.sum(), jnp.float32)}


def test_false_negatives_are_what_the_listener_knows():
  left, right, users = np.array([0, 3, 5, 0]), np.array([1, 4, 0, 2]), np.array([0, 1, 2, 0])
  got = adapt.false_negatives(jnp.asarray(left), jnp.asarray(right), jnp.asarray(HISTORIES[users]))
  for p in range(4):
    for q in range(4):
      known = {*HISTORIES[users[p]], left[p], right[p]}
      assert bool(got[p, q]) == (p != q and right[q] in known)


def test_info_nce_matches_loops():
  rng = np.random.default_rng(0)
  left, right = rng.normal(size=(2, 5, 3))
  hidden = rng.random((5, 5)) < .3
  hidden[np.arange(5), np.arange(5)] = False
  got, _ = adapt.info_nce(jnp.asarray(left), jnp.asarray(right), jnp.asarray(hidden), jnp.arange(5), .2)
  unit = [x / np.linalg.norm(x, axis=1, keepdims=True) for x in (left, right)]
  for p in range(5):
    e = {q: np.exp(unit[0][p] @ unit[1][q] / .2) for q in range(5) if not hidden[p, q]}
    assert abs(got[p] + np.log(e[p] / sum(e.values()))) < 1e-5


def test_pairs_are_two_items_of_one_history():
  batch = jax.jit(adapt.draw_pairs, static_argnames='batch')(jax.random.key(0), _data(), batch=500)
  ids = np.asarray(_data()['ids'])
  pairs = {tuple(int(np.flatnonzero((ids == row).all(1))[0]) for row in pair)
           for pair in zip(np.asarray(batch['left']), np.asarray(batch['right']), strict=True)}
  assert pairs == {(int(a), int(b)) for h in HISTORIES for a in h for b in h if a != b and a >= 0 <= b}


@pytest.mark.parametrize('size', [7, pytest.param(8, marks=pytest.mark.slow)])
def test_gradient_is_the_same_on_1_2_and_8_devices(size):
  batch = adapt.draw_pairs(jax.random.key(3), _data(), size)
  optimizer = optax.sgd(1.)

  def grads(count):
    axis = devices.AXIS if count > 1 else None
    update = gradient_update(lambda p, b: adapt.contrastive_loss(p, b, CONFIG, temperature=.1, axis=axis), optimizer)

    def step(params, batch):
      batch = devices.share(batch, count) if axis else batch
      new, _, metrics = update(params, optimizer.init(params), batch, axis=axis)
      return jax.tree.map(jnp.subtract, params, new), metrics['loss']

    if axis is None:
      return jax.jit(step)(PARAMS, batch)
    return jax.block_until_ready(jax.pmap(lambda params, batch, _: step(params, batch), axis_name=axis,
                                          in_axes=(None, None, 0), out_axes=None, devices=jax.devices()[:count])(
                                              PARAMS, batch, np.arange(count)))

  want, loss = grads(1)
  assert max(float(jnp.abs(g).max()) for g in jax.tree.leaves(want)) > .01
  for count in (2, 8):
    got, other = grads(count)
    assert abs(other - loss) < 1e-5
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), got, want)


def test_value_rises_on_held_out_items_and_the_given_parameters_stay():
  # Two words of an item say its kind; listeners keep to one kind.
  rng = np.random.default_rng(0)
  kind = np.arange(60) % 4
  ids = [np.array([2, 5 + kind[i], *rng.integers(10, 30, 3), 3]) for i in range(60)]
  users = np.repeat(np.arange(40), 8)
  items = np.concatenate([rng.choice(np.flatnonzero(kind == u % 4), 8, replace=False) for u in range(40)])
  before = jax.tree.map(np.array, PARAMS)
  params, summary = adapt.contrastive(
      PARAMS, CONFIG, ids, group(users, items, 40), jax.random.key(0), Surroundings('adapt', tuple(jax.devices()[:1])),
      Schedule(60, 30), learning_rate=3e-3, batch=16)
  assert summary['best'] > summary['first'] + .1
  assert all((a == b).all() for a, b in zip(jax.tree.leaves(before), jax.tree.leaves(PARAMS), strict=True))
  assert jax.tree.map(np.shape, params) == jax.tree.map(np.shape, PARAMS)


def test_held_out_items_are_in_no_training_table_and_in_every_validation_pair():
  rng = np.random.default_rng(0)
  histories = group(np.repeat(np.arange(9), 5), rng.permuted(np.tile(np.arange(12), (9, 1)), axis=1)[:, :5].ravel(), 9)
  held = np.zeros(12, bool)
  held[[1, 4, 7]] = True
  table, counts = adapt._tables(histories, ~held, 4, rng)
  assert not held[table[table >= 0]].any() and (counts == (table >= 0).sum(1)).all() and counts.min() >= 2
  left, right, known = adapt._held_out_pairs(histories, held, 5, 100, rng)
  assert held[left].all() and (left != right).all() and len(left) == held[histories.values].sum()
  assert all(a in row and b in row for a, b, row in zip(left, right, known, strict=True))


def test_histories_that_give_no_pairs_are_refused():
  around = Surroundings('adapt', tuple(jax.devices()[:1]))
  with pytest.raises(DataError, match='0 listeners with two items'):
    adapt.contrastive(PARAMS, CONFIG, [[5]] * 3, group(np.arange(3), np.arange(3), 3), jax.random.key(0), around,
                      Schedule(1, 1))
  with pytest.raises(DataError, match='item 2, allowed are 0 to 1'):
    adapt.contrastive(PARAMS, CONFIG, [[5]] * 2, group(np.arange(3), np.arange(3), 3), jax.random.key(0), around,
                      Schedule(1, 1))
