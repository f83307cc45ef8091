"""Kernel ridge errors against refits, the gradient on 1 and 2 devices, and factors better told for unseen items."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from ganrec_jax.encoding import distil, tuning
from ganrec_jax.errors import DataError
from ganrec_jax.models import bert, kernels
from ganrec_jax.training import devices
from ganrec_jax.training.loop import Schedule, Surroundings
from ganrec_jax.training.update import gradient_update

CONFIG = bert.BertConfig(30, 16, 1, 2, 24, positions=16)
PARAMS = bert.init(jax.random.key(0), CONFIG)
RNG = np.random.default_rng(0)
WHITENING = kernels.whiten(RNG.normal(size=(40, 16)).astype(np.float32), np.arange(40))


def _kernel(left, right):
  z = [np.asarray(WHITENING.apply(jnp.asarray(x)), np.float64) for x in (left, right)]
  return np.exp(2 * (z[0] @ z[1].T - 1))


def test_errors_are_those_of_regressions_fitted_without_the_item():
  texts, targets = RNG.normal(size=(7, 16)).astype(np.float32), RNG.normal(size=(7, 3)).astype(np.float32)
  got = distil.ridge_errors(jnp.asarray(texts), jnp.asarray(targets), WHITENING, .3)
  for j in range(7):
    rest = np.arange(7) != j
    solved = np.linalg.solve(_kernel(texts[rest], texts[rest]) + .3 * np.eye(6), targets[rest])
    want = ((_kernel(texts[j:j + 1], texts[rest]) @ solved - targets[j]) ** 2).sum() / (targets**2).sum(1).mean()
    assert abs(got[j] - want) < 1e-4


def test_explained_share_is_that_of_numpy_and_one_for_the_known():
  texts, targets = RNG.normal(size=(9, 5)).astype(np.float32), RNG.normal(size=(9, 3)).astype(np.float32)
  known, new = slice(0, 6), slice(6, 9)
  whitening = kernels.whiten(texts[known], np.arange(6))
  z, more = (np.asarray(whitening.apply(texts[part]), np.float64) for part in (known, new))
  solved = np.linalg.solve(np.exp(2 * (z @ z.T - 1)) + .3 * np.eye(6), targets[known])
  want = 1 - ((np.exp(2 * (more @ z.T - 1)) @ solved - targets[new]) ** 2).sum() / (targets[new] ** 2).sum()
  assert abs(distil.explained(texts[known], targets[known], texts[new], targets[new], .3) - want) < 1e-4
  assert distil.explained(texts[known], targets[known], texts[known], targets[known], 1e-4) > .999


def test_gradient_is_the_same_on_1_and_2_devices():
  ids = RNG.integers(5, 30, (5, 6)).astype(np.int32)
  ids[2, 4:] = -1
  batch = {'ids': jnp.asarray(ids), 'targets': jnp.asarray(RNG.normal(size=(5, 3)), jnp.float32),
           'row': jnp.arange(5), 'weight': jnp.ones(5)}
  optimizer, found = optax.sgd(1.), []
  for count in (1, 2):
    axis = devices.AXIS if count > 1 else None
    update = gradient_update(lambda p, b, axis=axis: distil.distil_loss(p, b, CONFIG, WHITENING, size=5, axis=axis),
                             optimizer)

    def step(params, batch, _, update=update, axis=axis, count=count):
      batch = devices.share(batch, count) if axis else batch
      return jax.tree.map(jnp.subtract, params, update(params, optimizer.init(params), batch, axis=axis)[0])

    run = jax.jit(step) if axis is None else jax.pmap(step, axis_name=axis, in_axes=(None, None, 0), out_axes=None,
                                                      devices=jax.devices()[:count])
    found.append(jax.block_until_ready(run(PARAMS, batch, np.arange(count))))
  assert max(float(jnp.abs(g).max()) for g in jax.tree.leaves(found[0])) > .001
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), *found)


@pytest.mark.parametrize('rank', [0, 4])
def test_unseen_items_are_told_better_and_the_given_parameters_stay(rank):
  # One word of an item says its factors, the others say nothing.
  rng = np.random.default_rng(0)
  kind = np.arange(80) % 4
  ids = [np.array([2, 5 + kind[i], *rng.integers(10, 30, 3), 3]) for i in range(80)]
  before = jax.tree.map(np.array, PARAMS)
  params, summary = distil.distil(
    PARAMS, CONFIG, ids, np.eye(4)[kind], jax.random.key(0), Surroundings('adapt', tuple(jax.devices()[:1])),
    Schedule(60, 30), learning_rate=1e-2, rank=rank, batch=32)
  assert summary['best'] > summary['first'] + .03
  jax.tree.map(np.testing.assert_array_equal, before, PARAMS)
  assert jax.tree.map(np.shape, params) == jax.tree.map(np.shape, PARAMS)


def test_held_out_items_are_in_no_batch(monkeypatch):
  seen = {}

  def run(step, sample, state, data, *rest, **more):
    seen.update(data)
    return state.whole(), {'best': 1.}

  monkeypatch.setattr(distil.loop, 'run', run)
  targets = np.arange(1, 21, dtype=np.float32)[:, None]
  distil.distil(PARAMS, CONFIG, [np.array([5 + i]) for i in range(20)], targets, jax.random.key(0),
                Surroundings('adapt', tuple(jax.devices()[:1])), Schedule(1, 1), held_out=.25)
  assert len(seen['targets']) == len(np.unique(seen['targets'])) == 15
  np.testing.assert_array_equal(seen['ids'][:, 0], seen['targets'][:, 0] + 4)
  assert (seen['ids'][:, 1:] == -1).all()


def test_too_few_items_are_refused():
  with pytest.raises(DataError, match='3 texts and 4 targets'):
    distil.distil(PARAMS, CONFIG, [[5]] * 3, np.ones((4, 2)), jax.random.key(0), None, Schedule(1, 1))


def test_adam_warms_up_and_falls_to_nothing():
  optimizer = tuning.adam(1., 20, 0.)
  state, sizes = optimizer.init(jnp.zeros(1)), []
  for _ in range(20):
    update, state = optimizer.update(jnp.ones(1), state, jnp.zeros(1))
    sizes.append(abs(float(update[0])))
  assert sizes[0] == 0 and np.argmax(sizes) == 2 and sizes[-1] < .1 * max(sizes)
