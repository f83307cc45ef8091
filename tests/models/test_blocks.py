"""Blocks against attention written out by hand, and against what a mask must hide."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import erf

from ganrec_jax.models.blocks import Encoder, FeedForward, SelfAttention, TransformerBlock, attention_mask

B, L, D, H = 3, 7, 12, 3


def _input(seed=0):
  rng = np.random.default_rng(seed)
  x = rng.normal(size=(B, L, D)).astype(np.float32)
  mask = np.arange(L) < np.array([L, 4, 1])[:, None]
  return x, mask


def _perturbed(tree, seed=1):
  """Biases and norms are 0 and 1 at the start; move them so that a forgotten one shows."""
  rng = np.random.default_rng(seed)
  return jax.tree.map(lambda p: p + .1 * rng.normal(size=p.shape).astype(np.float32), tree)


@pytest.mark.parametrize('causal', [False, True])
def test_attention_matches_loops(causal):
  x, mask = _input()
  module = SelfAttention(D, H)
  params = _perturbed(module.init(jax.random.key(0), x, attention_mask(mask, causal)))
  got = module.apply(params, x, attention_mask(jnp.asarray(mask), causal))
  p, size = jax.tree.map(np.asarray, params['params']), D // H
  want = np.zeros_like(x)
  for b in range(B):
    qkv = x[b] @ p['qkv']['kernel'] + p['qkv']['bias']
    for i in range(L):
      read = []
      for h in range(H):
        q, k, v = (qkv[:, o * D + h * size:o * D + (h + 1) * size] for o in range(3))
        may = [j for j in range(L) if mask[b, j] and (j <= i or not causal)]
        e = np.exp([q[i] @ k[j] / np.sqrt(size) for j in may])
        read.append(sum(w * v[j] for w, j in zip(e / e.sum(), may, strict=True)))
      want[b, i] = np.concatenate(read) @ p['out']['kernel'] + p['out']['bias']
  np.testing.assert_allclose(got, want, atol=2e-6)


def test_feed_forward_uses_the_exact_gelu():
  x, _ = _input()
  module = FeedForward(D, 20)
  params = _perturbed(module.init(jax.random.key(0), x))
  p = params['params']
  up = np.asarray(x @ p['up']['kernel'] + p['up']['bias'], np.float64)
  want = (up * .5 * (1 + erf(up / np.sqrt(2)))) @ p['down']['kernel'] + p['down']['bias']
  np.testing.assert_allclose(module.apply(params, x), want, atol=1e-5)


@pytest.mark.parametrize('pre_norm', [False, True])
def test_block_puts_norms_and_residuals_where_it_says(pre_norm):
  x, mask = _input()
  block = TransformerBlock(D, H, 16, pre_norm=pre_norm)
  params = _perturbed(block.init(jax.random.key(0), x, mask))
  p = params['params']

  def norm(x, name):
    y = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-6)
    return y * p[name]['scale'] + p[name]['bias']

  def attend(x):
    return SelfAttention(D, H).apply({'params': p['attention']}, x, attention_mask(jnp.asarray(mask), False))

  def feed(x):
    return FeedForward(D, 16).apply({'params': p['feed']}, x)

  if pre_norm:
    want = x + attend(norm(x, 'attention_norm'))
    want = want + feed(norm(want, 'feed_norm'))
  else:
    want = norm(x + attend(x), 'attention_norm')
    want = norm(want + feed(want), 'feed_norm')
  np.testing.assert_allclose(block.apply(params, x, mask), want, atol=1e-5)


@pytest.mark.parametrize('causal', [False, True])
def test_masked_positions_change_nothing(causal):
  x, mask = _input()
  encoder = Encoder(2, D, H, 16, causal=causal)
  params = encoder.init(jax.random.key(0), x, mask)
  other = np.where(mask[..., None], x, 100.)
  a, b = encoder.apply(params, x, mask), encoder.apply(params, other, mask)
  np.testing.assert_allclose(a[mask], b[mask], atol=1e-6)


def test_causal_reads_no_later_position_and_bidirectional_does():
  x, _ = _input()
  mask, later = np.ones((B, L), bool), x.copy()
  later[:, 4:] *= -1
  for causal, same in ((True, True), (False, False)):
    encoder = Encoder(2, D, H, 16, causal=causal)
    params = encoder.init(jax.random.key(0), x, mask)
    a, b = encoder.apply(params, x, mask), encoder.apply(params, later, mask)
    assert np.allclose(a[:, :4], b[:, :4], atol=1e-6) == same


@pytest.mark.parametrize('dtype', [jnp.float32, jnp.bfloat16])
def test_empty_rows_stay_finite_with_finite_gradients(dtype):
  x, _ = _input()
  mask = np.zeros((B, L), bool)
  encoder = Encoder(1, D, H, 16, causal=True, dtype=dtype)
  params = encoder.init(jax.random.key(0), x, mask)
  assert all(p.dtype == jnp.float32 for p in jax.tree.leaves(params))
  assert encoder.apply(params, x, mask).dtype == dtype
  value, grads = jax.value_and_grad(lambda p: encoder.apply(p, x, mask).astype(jnp.float32).sum())(params)
  assert np.isfinite(value) and all(np.isfinite(g).all() for g in jax.tree.leaves(grads))


def test_heads_must_divide_the_width():
  x, mask = _input()
  with pytest.raises(ValueError, match='dim 12 is not a multiple of heads 5'):
    TransformerBlock(D, 5, 16).init(jax.random.key(0), x, mask)


@pytest.mark.parametrize('causal', [False, True])
@pytest.mark.parametrize('pre_norm', [False, True])
def test_the_first_positions_alone_are_what_they_are_among_all(causal, pre_norm):
  x, _ = _input()
  mask = np.arange(L) < np.array([L, 3])[np.arange(B) % 2, None]
  block = TransformerBlock(D, H, 16, causal, pre_norm)
  params = block.init(jax.random.key(0), x, mask)
  for wanted in (1, 3):
    part, whole = block.apply(params, x, mask, wanted), block.apply(params, x, mask)
    np.testing.assert_allclose(part, whole[:, :wanted], atol=1e-6)
  encoder = Encoder(2, D, H, 16, causal)
  params = encoder.init(jax.random.key(0), x, mask)
  np.testing.assert_allclose(encoder.apply(params, x, mask, 2), encoder.apply(params, x, mask)[:, :2], atol=1e-6)
