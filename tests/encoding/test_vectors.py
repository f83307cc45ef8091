"""Encoding: independent of order, batches and devices; pooling, a user's text and attention, the cache."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ganrec_jax.data.ragged import group
from ganrec_jax.encoding import vectors
from ganrec_jax.errors import ConfigError, DataError
from ganrec_jax.models import bert

CONFIG = bert.BertConfig(40, 16, 1, 2, 24, positions=32)
PARAMS = bert.init(jax.random.key(0), CONFIG)
RNG = np.random.default_rng(0)
IDS = [RNG.integers(0, 40, n).astype(np.int32) for n in (1, 7, 8, 9, 16, 17, 20, 3, 3, 5, 19)]


@pytest.mark.parametrize('pooling', ['mean', 'cls'])
def test_equals_one_text_at_a_time_in_any_order_batch_and_device_count(pooling):
  want, run = [], jax.jit(lambda ids, mask: bert.apply(PARAMS, CONFIG, ids, mask))
  for ids in IDS:
    hidden = np.asarray(run(ids[None], np.ones((1, len(ids)))))[0]
    want.append(hidden.mean(0) if pooling == 'mean' else hidden[0])
  for count in (1, 2, 8) if pooling == 'mean' else (1,):
    got = vectors.encode(PARAMS, CONFIG, IDS, pooling=pooling, devices=jax.devices()[:count], batch_tokens=48)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, want, atol=2e-6)
  order = RNG.permutation(len(IDS))
  got = vectors.encode(PARAMS, CONFIG, [IDS[i] for i in order], pooling=pooling, devices=jax.devices()[:1],
                       batch_tokens=1)
  np.testing.assert_allclose(got, np.array(want)[order], atol=2e-6)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.integers(1, 512), max_size=40), st.integers(1, 5000))
def test_batches_hold_every_text_once_within_the_budget_in_few_shapes(lengths, budget):
  rows, shapes = [], set()
  for some, length, size in vectors.batches(lengths, budget):
    assert 0 < len(some) <= size and (size == 1 or size * length <= budget)
    assert all(lengths[row] <= length < max(8, 1.3 * lengths[row]) + 8 for row in some)
    rows += some.tolist()
    shapes.add((length, size))
  assert sorted(rows) == list(range(len(lengths)))
  assert len(shapes) <= 24


def test_no_texts_give_no_vectors():
  assert vectors.encode(PARAMS, CONFIG, []).shape == (0, 16)


@pytest.mark.parametrize('ids, message', [
    ([[1], []], 'text 1: holds 0 tokens'), ([[1], [1] * 33], 'text 1: holds 33 tokens, allowed are 1 to 32'),
    ([[1, 2], [3, 40]], 'text 1: token id 40, allowed are 0 to 39'), ([[-1]], 'text 0: token id -1')])
def test_bad_tokens_are_named(ids, message):
  with pytest.raises(DataError, match=message):
    vectors.encode(PARAMS, CONFIG, ids)


def test_unknown_pooling_is_refused():
  with pytest.raises(ConfigError, match="pooling: 'max'"):
    vectors.pool(jnp.zeros((1, 2, 3)), jnp.ones((1, 2)), 'max')


def test_user_text_takes_the_latest_or_a_seeded_sample():
  titles = np.array(list('abcdef'))
  histories = group(np.array([0, 0, 0, 2]), np.array([4, 1, 2, 5]), 3)
  assert vectors.user_text(titles, histories, limit=2) == ['c, b', '', 'f']
  long = group(np.zeros(6, int), np.arange(6), 1)
  samples = [vectors.user_text(titles, long, limit=3, seed=seed)[0] for seed in range(20)]
  assert samples[3] == vectors.user_text(titles, long, limit=3, seed=3)[0] and len(set(samples)) > 5
  assert all(s.split(', ') == sorted(set(s.split(', ')), reverse=True) and len(s) == 7 for s in samples)


def test_attention_matches_loops_and_is_zero_for_nothing():
  v = RNG.normal(size=(3, 4, 5)).astype(np.float32)
  mask = np.arange(4) < np.array([4, 2, 0])[:, None]
  maps = {name: RNG.normal(size=(5, 5)).astype(np.float32) for name in ('query', 'key')}
  for params in (None, maps):
    q, k = (np.eye(5), np.eye(5)) if params is None else (maps['query'], maps['key'])
    want = np.zeros((3, 5))
    for b in range(2):
      rows = v[b][mask[b]].astype(np.float64)
      e = np.exp((rows @ k) @ (rows.mean(0) @ q) / np.sqrt(5))
      want[b] = e / e.sum() @ rows
    np.testing.assert_allclose(vectors.user_attention(v, mask, params), want, atol=1e-5)


def test_hash_changes_with_weights_tokens_and_options():
  other = jax.tree.map(lambda x: x, PARAMS)
  other['norm'] = {'scale': PARAMS['norm']['scale'] + 1e-6, 'bias': PARAMS['norm']['bias']}
  cases = [(PARAMS, IDS, 'mean'), (other, IDS, 'mean'), (PARAMS, IDS[1:], 'mean'), (PARAMS, IDS, 'cls'),
           (PARAMS, [np.concatenate(IDS)], 'mean')]
  keys = [vectors.key_hash(params, CONFIG, ids, pooling=pooling) for params, ids, pooling in cases]
  assert len(set(keys)) == 5 and keys[0] == vectors.key_hash(PARAMS, CONFIG, IDS, pooling='mean')
