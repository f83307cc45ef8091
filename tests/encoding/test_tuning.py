"""Low-rank adapters: what they change, how many there are, and that a resume is exact."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from ganrec_jax.encoding import tuning, vectors
from ganrec_jax.models import bert, gpt
from ganrec_jax.training import loop

CONFIG = bert.BertConfig(30, 16, 2, 2, 24, positions=16)
IDS = jnp.asarray(np.random.default_rng(0).integers(0, 30, (6, 8)))


@pytest.mark.parametrize('model, config', [(bert, CONFIG), (gpt, gpt.GptConfig(30, 16, 2, 2, 24, positions=16))])
def test_merged_adapters_change_queries_and_values_by_their_product_only(model, config):
  params = model.init(jax.random.key(0), config)
  fresh = tuning.adapters(jax.random.key(1), params, 3)
  assert sum(leaf.size for leaf in jax.tree.leaves(fresh)) == 2 * 2 * 2 * 16 * 3
  jax.tree.map(np.testing.assert_array_equal, tuning.merge(params, fresh), params)
  low = jax.tree.map(lambda x: x + .1, fresh)
  merged = tuning.merge(params, low)
  change = np.asarray(merged['blocks']['attention']['qkv']['kernel'] - params['blocks']['attention']['qkv']['kernel'])
  for layer in range(2):
    for place, name in ((0, 'query'), (2, 'value')):
      want = np.asarray(low[name]['down'][layer]) @ np.asarray(low[name]['up'][layer])
      np.testing.assert_allclose(change[layer, :, 16 * place:16 * (place + 1)], want, atol=1e-6)
      assert np.linalg.matrix_rank(want, tol=1e-5) <= 3
  assert not change[:, :, 16:32].any()
  merged['blocks']['attention']['qkv'] = params['blocks']['attention']['qkv']
  jax.tree.map(np.testing.assert_array_equal, merged, params)


def _run(steps, rank, path=None):
  params, optimizer = bert.init(jax.random.key(0), CONFIG), optax.adam(1e-2)

  def loss(params, batch, axis):
    return (vectors.embed(params, CONFIG, batch['ids'], 'mean') ** 2).sum(1).mean(), {}

  def sample(key, data):
    return {'ids': data[jax.random.choice(key, 6, (4,))], 'weight': jnp.ones(4)}

  state = tuning.begin(jax.random.key(2), params, rank, optimizer)
  return params, loop.run(tuning.make_step(loss, optimizer), sample, state, IDS, jax.random.key(1),
                          loop.Schedule(steps, 2), loop.Surroundings('tune', tuple(jax.devices()[:1]), path))[0]


def test_low_rank_tuning_trains_the_adapters_alone_and_goes_on_exactly(tmp_path):
  params, straight = _run(4, 2)
  _run(2, 2, str(tmp_path))
  _, resumed = _run(4, 2, str(tmp_path))
  jax.tree.map(np.testing.assert_array_equal, straight, resumed)
  jax.tree.map(np.testing.assert_array_equal, straight.base, params)
  merged = straight.whole()
  kernels = [tree['blocks']['attention']['qkv']['kernel'] for tree in (merged, params)]
  assert np.abs(kernels[0] - kernels[1]).max() > 0
  np.testing.assert_array_equal(merged['word']['embedding'], params['word']['embedding'])


def test_full_tuning_has_no_base_and_copies_what_it_is_given():
  params = bert.init(jax.random.key(0), CONFIG)
  state = tuning.begin(jax.random.key(2), params, 0, optax.adam(1e-2))
  assert state.base is None
  jax.tree.map(np.testing.assert_array_equal, state.whole(), params)
  ours, given = (tree['norm']['scale'].unsafe_buffer_pointer() for tree in (state.params, params))
  assert ours != given


def test_what_is_no_better_on_unseen_items_is_not_taken():
  found = {'best': .5, 'best_step': 8, 'steps': 9}
  assert tuning.better('given', .4, 'kept', found) == ('kept', found | {'first': .4})
  assert tuning.better('given', .5, 'kept', found) == ('given', {'best': .5, 'best_step': 0, 'steps': 9, 'first': .5})
