"""Masks in the stated shares, a loss that does not depend on the devices, and one that falls."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ganrec_jax.encoding import pretrain
from ganrec_jax.encoding.tokenizer import CLS, MASK, PAD, SEP
from ganrec_jax.errors import DataError
from ganrec_jax.models import bert
from ganrec_jax.training import devices
from ganrec_jax.training.loop import Schedule, Surroundings

CONFIG = bert.BertConfig(20, 16, 1, 2, 32, positions=16)


def test_masks_come_in_the_published_shares():
  ids = jnp.tile(jnp.array([CLS] + [7, 8, 9, 10] * 10 + [SEP, PAD]), (2000, 1))
  inputs, chosen = pretrain.draw_masks(jax.random.key(0), ids, 20)
  inputs, chosen, ids = map(np.asarray, (inputs, chosen, ids))
  assert not chosen[ids < 5].any() and (inputs == ids)[~chosen].all()
  assert abs(chosen[ids >= 5].mean() - .15) < .005
  assert abs((inputs == MASK)[chosen].mean() - .8) < .015
  assert abs((inputs == ids)[chosen].mean() - (.1 + .1 / 15)) < .015  # a random piece may be the same one
  assert set(np.unique(inputs[chosen])) == {MASK, *range(5, 20)}


def test_loss_is_the_mean_over_all_chosen_tokens_on_any_number_of_devices():
  rng = np.random.default_rng(0)
  ids = rng.integers(5, 20, (6, 16)).astype(np.int32)
  ids[3:, 5:] = PAD
  batch = pretrain.masked_batch(jax.random.key(1), jnp.asarray(ids), 20)
  word = bert.init(jax.random.key(2), CONFIG)
  params = {'bert': word, 'head': pretrain.MlmHead(CONFIG).init(jax.random.key(3), jnp.zeros((1, 16)),
                                                                word['word']['embedding'])['params']}
  hidden = bert.apply(word, CONFIG, batch['inputs'], batch['inputs'] != PAD)
  logits = pretrain.MlmHead(CONFIG).apply({'params': params['head']}, hidden, word['word']['embedding'])
  nll = -np.take_along_axis(np.asarray(jax.nn.log_softmax(logits)), ids[..., None], -1)[..., 0]
  want = nll[np.asarray(batch['chosen'])].mean()
  assert abs(pretrain.mlm_loss(params, batch, CONFIG)[0] - want) < 1e-5
  shared = jax.pmap(lambda p, b, _: jax.lax.pmean(pretrain.mlm_loss(p, devices.share(b, 4), CONFIG)[0], devices.AXIS),
                    axis_name=devices.AXIS, in_axes=(None, None, 0), out_axes=None, devices=jax.devices()[:4])
  assert abs(shared(params, batch, np.arange(4)) - want) < 1e-5


@pytest.mark.slow
def test_loss_falls_below_that_of_frequencies_and_repeats_to_the_bit():
  # Tokens alternate between two of a text's own: the rest of a text tells the masked one.
  rng = np.random.default_rng(0)
  texts = [np.array([CLS, *np.tile(rng.choice(np.arange(5, 20), 2, replace=False), 6), SEP]) for _ in range(200)]

  def train():
    around = Surroundings('mlm', tuple(jax.devices()[:1]))
    return pretrain.masked_language_model(texts, CONFIG, jax.random.key(0), around, Schedule(200, 100),
                                          learning_rate=5e-3, batch=32, held_out=.1)

  params, summary = train()
  assert jax.tree.map(np.shape, params) == jax.tree.map(np.shape, bert.init(jax.random.key(0), CONFIG))
  assert -summary['best'] < .8 * np.log(15)
  again, _ = train()
  assert all((a == b).all() for a, b in zip(jax.tree.leaves(params), jax.tree.leaves(again), strict=True))


def test_bad_texts_are_named():
  with pytest.raises(DataError, match='no texts'):
    pretrain.padded_tokens([], CONFIG)
  with pytest.raises(DataError, match='text 1: token ids from 0 to 20, allowed are 0 to 19'):
    pretrain.padded_tokens([[5], [20]], CONFIG)
