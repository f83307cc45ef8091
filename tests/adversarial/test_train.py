"""Alternating training: the same on any number of devices, it approaches a mixture, and it says when it failed."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from absl import logging

from ganrec_jax.adversarial import step as steps
from ganrec_jax.adversarial import train as training
from ganrec_jax.adversarial.losses import LOSSES
from ganrec_jax.errors import ConfigError, DataError
from ganrec_jax.training import loop
from ganrec_jax.training.devices import make_chunk

SMALL = {'dim': 8, 'layers': 1, 'heads': 2, 'noise': 4}


def _around(devices=1):
  return loop.Surroundings('gan', tuple(jax.devices()[:devices]))


def _data(items=40, width=3, text=5, users=9):
  rng = np.random.default_rng(0)
  pairs = rng.integers(0, items, 60)
  return training.TrainingData(
    rng.normal(size=(items, width)).astype(np.float32), rng.normal(size=(items, text)).astype(np.float32),
    rng.integers(0, users, 60).astype(np.int32), pairs.astype(np.int32), rng.integers(1, 9, 60).astype(np.float32),
    rng.normal(size=(users, 2, 6)).astype(np.float32))


def _mixture(clusters=4, items=240):
  """Vectors around a circle; a text that says nothing, so that only D can teach the spread."""
  rng = np.random.default_rng(0)
  angle = rng.integers(0, clusters, items) / clusters * 2 * np.pi
  vectors = 3 * np.stack([np.cos(angle), np.sin(angle)], 1) + .3 * rng.normal(size=(items, 2))
  return training.TrainingData(vectors.astype(np.float32), np.ones((items, 3), np.float32))


def _run(config, devices, length):
  """Trains `length` steps on `devices`; returns state and stacked metrics."""
  data = _data()
  rows, _, items, (shift, scale) = training._parted(data, config, jax.random.key(3))
  vectors, texts = jnp.asarray((data.item_factors[items] - shift) / scale), jnp.asarray(data.item_texts)[items]
  tokens = rows['conditions'].shape[1:] if 'conditions' in rows else (1, texts.shape[1])
  state = steps.init_state(config, 3, tokens, texts.shape[1:], jax.random.key(1))
  chunk = make_chunk(steps.make_step(config, vectors, texts), steps.make_sample(config), jax.devices()[:devices])
  return jax.device_get(chunk(state, rows, jax.random.key(2), 0, length))


@pytest.mark.parametrize(('design', 'changes'), [
  # These take long to compile; `test_gradients_agree` has all but the scan over steps.
  pytest.param('embedding', {'supervised': 'softmax', 'loss': 'hinge', 'penalty': 'none'}, marks=pytest.mark.slow),
  pytest.param('embedding', {'supervised': 'softmax', 'loss': 'wasserstein', 'penalty': 'gradient'},
               marks=pytest.mark.slow),
  pytest.param('interaction', {'samples': 2, 'loss': 'relativistic'}, marks=pytest.mark.slow)])
def test_one_two_and_eight_devices_agree(design, changes):
  # 13 rows: no multiple of the devices.
  config = steps.AdversarialConfig(design=design, batch=13, **SMALL, **changes)
  reference = _run(config, 1, 20)
  for devices in (2, 8):
    _, metrics = _run(config, devices, 20)
    for name, values in reference[1].items():
      np.testing.assert_allclose(metrics[name], values, rtol=1e-4, atol=1e-4, err_msg=f'{name}, {devices} devices')


def test_gradients_agree(monkeypatch):
  # Plain descent at rate 1: what a step adds is the gradient itself, which Adam would hide.
  monkeypatch.setattr(steps, '_optimizers', lambda config: (optax.sgd(1.), optax.sgd(1.)))
  config = steps.AdversarialConfig(design='interaction', batch=13, d_steps=1, **SMALL)
  reference, _ = _run(config, 1, 1)
  for devices in (2, 8):
    state, _ = _run(config, devices, 1)
    for name in ('generator', 'discriminator'):
      jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5),
                   getattr(state, name), getattr(reference, name))


@pytest.mark.slow
@pytest.mark.parametrize(('before', 'after'), [(8, 1), (1, 8)])
def test_a_game_goes_on_with_other_devices(before, after, tmp_path):
  config = steps.AdversarialConfig(batch=13, steps=40, chunk=10, patience=0, penalty='none', **SMALL)
  saved = {'checkpoints': str(tmp_path), 'save_seconds': 0.}
  training.train(_data(), dataclasses.replace(config, steps=20), jax.random.key(0),
                 dataclasses.replace(_around(before), **saved))
  _, report = training.train(_data(), config, jax.random.key(0), dataclasses.replace(_around(after), **saved))
  _, reference = training.train(_data(), config, jax.random.key(0), _around())
  assert report['steps'] == reference['steps'] == 40 and report['best_step'] == reference['best_step']
  for name in ('error', 'frechet', 'nearest', 'd_ranked_accuracy'):
    np.testing.assert_allclose(report[name], reference[name], rtol=1e-3, atol=1e-3, err_msg=name)


@pytest.mark.slow
def test_training_approaches_a_mixture_and_the_supervised_term_alone_does_not():
  shared = SMALL | {'dim': 16}
  config = steps.AdversarialConfig(batch=64, steps=300, chunk=100, patience=0, supervised_weight=0.,
                                   adversarial_weight=1., g_rate=2e-3, d_rate=2e-3, **shared)
  params, report = training.train(_mixture(), config, jax.random.key(0), _around())
  assert params is not None and report['status'] == 'converged'
  assert report['recall'] > .6
  for found in report['realness'].values():
    assert len(found) == 21 and found == sorted(found) and 0 <= found[0] <= found[-1] <= 1
  alone = steps.AdversarialConfig(batch=64, steps=300, chunk=100, patience=0, adversarial_weight=0.,
                                  penalty='none', supervised_weight=1., g_rate=2e-3, d_rate=2e-3, **shared)
  _, plain = training.train(_mixture(), alone, jax.random.key(0), _around())
  # The mean of a circle is its centre: no spread at all.
  assert plain['frechet'] > 1 and plain['recall'] < .2
  assert report['frechet'] < plain['frechet'] / 2
  assert plain['status'] == 'collapsed' and 'distinct' in plain['reason']


def _warnings(monkeypatch):
  said = []
  monkeypatch.setattr(logging, 'warning', lambda message, *args: said.append(message % args))
  return said


def test_a_divergence_is_said_and_gives_no_parameters(monkeypatch):
  said = _warnings(monkeypatch)
  config = steps.AdversarialConfig(batch=8, steps=20, chunk=10, penalty='none', g_rate=1e30, **SMALL)
  params, report = training.train(_data(), config, jax.random.key(0), _around())
  assert params is None and report['status'] == 'diverged' and report['reason']
  assert len(said) == 1 and 'diverged' in said[0]


def test_a_discriminator_that_has_won_for_a_window_of_steps_ends_the_run(monkeypatch):
  said = _warnings(monkeypatch)
  # By this config D has won where it tells anything.
  config = steps.AdversarialConfig(batch=8, steps=20, chunk=10, penalty='none', most_accuracy=0., **SMALL)
  around = dataclasses.replace(_around(), guards=loop.Guards('restart', restarts=1, window=10))
  params, report = training.train(_data(), config, jax.random.key(0), around)
  assert params is None and report['status'] == 'collapsed'
  assert report['reason'] == ('gan: D has won: d_accuracy was 0 or more for 10 steps in a row, allowed are fewer than '
                              '10 (steps 0 to 9)')
  assert len(said) == 2 and 'restart 1 of at most 1, from step 0' in said[0]
  # Without an adversary D only looks on.
  alone = dataclasses.replace(config, adversarial_weight=0.)
  assert training.train(_data(), alone, jax.random.key(0), around)[0] is not None


def test_a_discriminator_that_always_wins_is_said():
  metrics = {'distinct': 10., 'distinct_real': 10., 'd_ranked_accuracy': 1., 'precision': .9}
  config = steps.AdversarialConfig()
  assert training._verdict(config, metrics)[0] == 'collapsed'
  assert training._verdict(config, metrics | {'d_ranked_accuracy': .7})[0] == 'converged'
  far = training._verdict(config, metrics | {'d_ranked_accuracy': .7, 'precision': .01})
  assert far[0] == 'collapsed' and 'manifold' in far[1]
  # Without an adversary D only looks on.
  assert training._verdict(steps.AdversarialConfig(adversarial_weight=0.), metrics)[0] == 'converged'


@pytest.mark.parametrize('design', steps.DESIGNS)
def test_held_out_rows_are_never_shown(design):
  data, config = _data(), steps.AdversarialConfig(design=design)
  train, held, items, _ = training._parted(data, config, jax.random.key(0))
  total = 60 if design == 'interaction' else 40
  assert len(train['x']) + len(held['x']) == total and len(held['x']) >= total // 10
  if design == 'embedding':
    assert len(items) == len(train['x'])
    nearest = np.abs(np.asarray(train['x'])[:, None] - np.asarray(held['x'])[None]).max(-1).min()
    assert nearest > 1e-4


def test_squared_supervision_of_one_sample_is_the_squared_error():
  rng = np.random.default_rng(0)
  fake, x = rng.normal(size=(4, 1, 3)).astype(np.float32), rng.normal(size=(4, 3)).astype(np.float32)
  found = steps._supervised(steps.AdversarialConfig(), jnp.asarray(fake), {'x': jnp.asarray(x)}, jnp.asarray(x))
  np.testing.assert_allclose(found, ((fake[:, 0] - x)**2).mean(1), rtol=1e-5)


def test_softmax_supervision_matches_its_formula():
  rng = np.random.default_rng(0)
  fake, vectors = rng.normal(size=(4, 2, 3)).astype(np.float32), rng.normal(size=(6, 3)).astype(np.float32)
  item = np.array([0, 5, 2, 2])
  logits = -((fake[:, :, None] - vectors)**2).sum(-1) / np.sqrt(3)
  chances = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
  want = -np.log(chances[np.arange(4), :, item].mean(1))
  found = steps._supervised(steps.AdversarialConfig(supervised='softmax'), jnp.asarray(fake),
                            {'item': jnp.asarray(item)}, jnp.asarray(vectors))
  np.testing.assert_allclose(found, want, rtol=1e-4)


@pytest.mark.parametrize(('field', 'value'), [
  ('design', 'x'), ('loss', 'bce'), ('penalty', 'r3'), ('supervised', 'l1'), ('batch', 0), ('d_steps', 0),
  ('adversarial_weight', -1.), ('g_rate', 0.), ('average', 1.5), ('held_out', 0.), ('dim', 30),
  ('instance_noise', float('nan')), ('loss', 'wasserstein')])
def test_values_out_of_range_are_refused(field, value):
  with pytest.raises(ConfigError):
    steps.AdversarialConfig(**{field: value})


def test_every_loss_is_accepted():
  for name in LOSSES:
    steps.AdversarialConfig(loss=name, penalty='gradient' if name == 'wasserstein' else 'none')


def test_data_that_cannot_be_used_are_refused():
  data, config = _data(), steps.AdversarialConfig()
  with pytest.raises(DataError, match='19 warm items'):
    training.train(data.replace(item_factors=data.item_factors[:19], item_texts=data.item_texts[:19]), config,
                   jax.random.key(0), _around())
  bad = data.item_texts.copy()
  bad[7, 1] = np.nan
  with pytest.raises(DataError, match='item_texts, row 7'):
    training.train(data.replace(item_texts=bad), config, jax.random.key(0), _around())
  with pytest.raises(DataError, match='pairs'):
    training.train(data.replace(pair_user=None), steps.AdversarialConfig(design='interaction'), jax.random.key(0),
                   _around())
