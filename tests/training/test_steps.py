"""The step of every trained stage: the same on one device or eight, at once or in parts, and nearly so in bfloat16."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from ganrec_jax.adversarial import step as adversarial
from ganrec_jax.data.ragged import group
from ganrec_jax.encoding import adapt, distil, pretrain
from ganrec_jax.encoding.tokenizer import PAD
from ganrec_jax.models import bert, kernels, recommenders
from ganrec_jax.models.profiles import ProfileVae
from ganrec_jax.profiles import game, likelihood
from ganrec_jax.profiles.config import ProfileConfig
from ganrec_jax.training import recommend
from ganrec_jax.training.devices import AXIS, share
from ganrec_jax.training.update import gradient_update

KEY = jax.random.key(0)
BERT = bert.BertConfig(30, 16, 2, 2, 24, positions=16)
ITEMS = 12


def numbers(*shape):
  return jnp.asarray(np.random.default_rng(len(shape)).normal(size=shape), jnp.float32)


def texts(rows):
  ids = np.random.default_rng(rows).integers(5, 30, (rows, 10)).astype(np.int32)
  return jnp.asarray(np.where(np.arange(10) < 4 + np.arange(rows)[:, None] % 7, ids, PAD))


def updating(loss, params, batch, parts=0):
  """(step, state, batch) of a stage with one player, which descends `loss(params, batch, axis)`."""
  optimizer = optax.adam(1e-3)

  def step(state, batch, axis=None):
    params, opt, metrics = gradient_update(lambda p, b: loss(p, b, axis), optimizer, parts)(*state, batch, axis=axis)
    return (params, opt), metrics
  return step, (params, optimizer.init(params)), batch


def mlm(rows, dtype, parts):
  params = {'bert': bert.init(KEY, BERT)}
  params['head'] = pretrain.MlmHead(BERT).init(KEY, jnp.zeros((1, 16)), params['bert']['word']['embedding'])['params']
  return updating(lambda p, b, axis: pretrain.mlm_loss(p, b, BERT, dtype), params,
                  pretrain.masked_batch(KEY, texts(rows), 30), parts)


def contrastive(rows, dtype, parts):
  histories = jnp.asarray(np.random.default_rng(0).permuted(np.tile(np.arange(ITEMS), (5, 1)), axis=1)[:, :4])
  data = {'ids': texts(ITEMS), 'histories': histories, 'counts': jnp.full(5, 4), 'cumulative': jnp.arange(1, 6) / 5}
  return updating(lambda p, b, axis: adapt.contrastive_loss(p, b, BERT, temperature=.1, axis=axis, dtype=dtype,
                                                            rows=parts),
                  bert.init(KEY, BERT), adapt.draw_pairs(KEY, data, rows))


def distilled(rows, dtype, parts):
  whitening = kernels.whiten(np.asarray(numbers(40, 16)), np.arange(40))
  batch = {'ids': texts(rows), 'targets': numbers(rows, 3), 'row': jnp.arange(rows), 'weight': jnp.ones(rows)}
  return updating(lambda p, b, axis: distil.distil_loss(p, b, BERT, whitening, size=rows, axis=axis, dtype=dtype,
                                                        rows=parts), bert.init(KEY, BERT), batch)


def recommender(rows, dtype, parts, kind):
  config = recommenders.RecommenderConfig(kind=kind, dim=8, heads=2, hidden=16, max_history=8, batch=rows,
                                          loss='sampled', negatives=4, dtype=jnp.dtype(dtype).name)
  rng = np.random.default_rng(0)
  histories = group(np.repeat(np.arange(20), 5), np.concatenate([rng.permutation(ITEMS)[:5] for _ in range(20)]), 20)
  data = jax.tree.map(jnp.asarray, recommend.prepare(histories, numbers(ITEMS, 3), np.ones(ITEMS, bool), config))
  loss = recommend.make_loss(config, data)
  return updating(lambda p, b, axis: loss(p, b), recommenders.init(KEY, config, ITEMS, 3),
                  recommend.make_sample(config, 4)(KEY, data), parts)


def players(rows, dtype, parts, design='embedding'):
  config = adversarial.AdversarialConfig(design=design, dim=8, layers=1, heads=2, noise=4, batch=rows, penalty='none',
                                         supervised='softmax', dtype=jnp.dtype(dtype).name)
  vectors, words = numbers(ITEMS, 3), numbers(ITEMS, 5)
  state = adversarial.init_state(config, 3, (1, 5), (5,), KEY)
  batch = adversarial.make_sample(config)(KEY, {'x': vectors, 'item': jnp.arange(ITEMS), 'text': words})
  return adversarial.make_step(config, vectors, words, parts), state, batch


def autoencoder(rows, dtype, parts):
  config = ProfileConfig(latent=4, hidden=8, vae_batch=rows)
  model, rng = ProfileVae(ITEMS, 4, 8), np.random.default_rng(0)
  profiles = group(np.repeat(np.arange(20), 5), np.concatenate([rng.permutation(ITEMS)[:5] for _ in range(20)]), 20)
  params = model.init(KEY, jnp.zeros((1, ITEMS)), jnp.zeros((1, 4)))
  state = likelihood.VaeState(params, likelihood._optimizer(config).init(params), jnp.int32(3))
  return likelihood.make_step(config, model, parts), state, likelihood.make_sample(config, 5)(
    KEY, likelihood.flat(profiles))


def profile_game(rows, dtype, parts):
  config, rng = ProfileConfig(latent=4, hidden=8, batch=rows, penalty='none', warm_up=0), np.random.default_rng(0)
  params = ProfileVae(ITEMS, 4, 8).init(KEY, jnp.zeros((1, ITEMS)), jnp.zeros((1, 4)))
  decoder, encoder = game.parted(params)
  vectors = numbers(ITEMS, 5)
  batch = {'items': rng.permuted(np.tile(np.arange(ITEMS), (rows, 2, 1)), axis=2)[..., :5],
           'there': np.ones((rows, 2, 5), np.float32), 'z': rng.normal(size=(rows, 2, 4)),
           'number': np.full((rows, 2), 4.), 'gumbel': rng.gumbel(size=(rows, 2, ITEMS)),
           'real_keep': rng.random((rows, 2, 5)) < .9, 'fake_keep': rng.random((rows, 2, ITEMS)) < .9,
           'mix': rng.random((rows, 2)), 'noise': rng.normal(size=(rows, 2, 4)), 'weight': np.ones(rows)}
  batch = {name: jnp.asarray(leaf) for name, leaf in batch.items()}
  return game.make_step(config, ITEMS, encoder, vectors), game.init_state(decoder, vectors, config, KEY), batch


STAGES = {'mlm': mlm, 'contrastive': contrastive, 'distil': distilled, 'players': players, 'autoencoder': autoencoder,
          'profile_game': profile_game, **{kind: functools.partial(recommender, kind=kind) for kind in
                                           ('mlp', 'gru', 'transformer')}}


def cases(quick, never=()):
  """Every stage with a batch one above a multiple of eight, one below and at it too; not the `quick` ones are slow."""
  return [pytest.param(stage, rows, marks=() if rows == 17 and stage in quick else pytest.mark.slow)
          for stage in STAGES if stage not in never for rows in ((15, 16, 17) if stage == 'mlp' else (17,))]


def agree(found, want, tolerance):
  """Compares metrics and the optimizers' means, in which a gradient shows that Adam's step would hide."""
  for name, value in want[1].items():
    np.testing.assert_allclose(found[1][name], value, rtol=tolerance, atol=tolerance, err_msg=name)
  means = [[leaf for path, leaf in jax.tree_util.tree_leaves_with_path(one[0]) if '.mu' in jax.tree_util.keystr(path)]
           for one in (found, want)]
  assert means[0]
  scale = max(float(jnp.abs(leaf).max()) for leaf in means[1])
  jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=tolerance, atol=tolerance * scale), *means)


# Eight devices are an axis of eight here, which one program computes: `test_loop` has the mapping to real ones. The
# other stages have fast tests of their own.
@pytest.mark.parametrize(('stage', 'rows'), cases(('autoencoder', 'profile_game')))
def test_one_device_and_eight_take_the_same_step(stage, rows):
  step, state, batch = STAGES[stage](rows, jnp.float32, 0)
  want = jax.jit(step)(state, batch)
  many = jax.vmap(lambda _: step(state, share(batch, 8), axis=AXIS), axis_name=AXIS)
  found = jax.jit(many)(jnp.arange(8))
  for device in (0, 7):
    agree(jax.tree.map(lambda x, device=device: x[device], found), want, 2e-4)


@pytest.mark.parametrize(('stage', 'rows'), cases(('contrastive', 'mlp'), never=('profile_game',)))
def test_parts_of_a_batch_take_the_step_of_the_whole(stage, rows):
  (step, state, batch), (parted, *_) = (STAGES[stage](rows, jnp.float32, parts) for parts in (0, 8))
  agree(jax.jit(parted)(state, batch), jax.jit(step)(state, batch), 2e-4)


@pytest.mark.parametrize('stage', ['mlm', *(pytest.param(stage, marks=pytest.mark.slow) for stage in (
  'contrastive', 'distil', 'players', 'mlp', 'gru', 'transformer'))])
def test_bfloat16_takes_nearly_the_same_step_and_parameters_stay_float32(stage):
  (step, state, batch), (coarse, *_) = (STAGES[stage](16, dtype, 0) for dtype in (jnp.float32, jnp.bfloat16))
  want, found = jax.jit(step)(state, batch), jax.jit(coarse)(state, batch)
  for name, value in want[1].items():
    if 'accuracy' not in name:
      np.testing.assert_allclose(found[1][name], value, rtol=.1, atol=.05, err_msg=name)
  assert float(found[1]['loss']) != float(want[1]['loss'])
  assert {leaf.dtype for leaf in jax.tree.leaves(found[0]) if leaf.dtype != jnp.int32} == {jnp.dtype('float32')}
