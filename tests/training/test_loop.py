"""The loop against a problem with a known answer: devices agree, resumes repeat, damage and divergence are named."""

import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ganrec_jax.training import devices, interrupt, loop
from ganrec_jax.training.checkpoints import Checkpoints
from ganrec_jax.training.logs import Metrics
from ganrec_jax.training.update import gradient_update

OPTIMIZER = optax.adam(1e-2)
TRUTH = np.arange(5, dtype=np.float32)
INPUTS = np.random.default_rng(0).standard_normal((100, 5)).astype(np.float32)
DATA = {'x': INPUTS, 'y': INPUTS @ TRUTH}


def loss(params, batch):
  error = batch['x'] @ params['w'] - batch['y']
  return jnp.mean(batch['weight'] * error ** 2), {}


UPDATE = gradient_update(loss, OPTIMIZER)


def step(state, batch, axis=None):
  params, opt_state, metrics = UPDATE(state['params'], state['opt'], batch, axis=axis)
  return {'params': params, 'opt': opt_state}, metrics


def sampler(rows):
  def sample(key, data):
    index = jax.random.randint(key, (rows,), 0, len(data['y']))
    return {'x': data['x'][index], 'y': data['y'][index], 'weight': jnp.ones(rows)}
  return sample


def initial():
  params = {'w': jnp.zeros(5)}
  return {'params': params, 'opt': OPTIMIZER.init(params)}


def train(steps, rows=13, count=1, directory=None, metrics=None, evaluate=None, patience=0, save_seconds=0., data=DATA):
  around = loop.Surroundings('fit', tuple(jax.devices()[:count]), directory and str(directory),
                             metrics or Metrics(None), save_seconds)
  return loop.run(step, sampler(rows), initial(), data, jax.random.key(1), loop.Schedule(steps, 10, patience), around,
                  keep=lambda s: s['params'], evaluate=evaluate)


def reference(steps, rows):
  """The same training by a plain loop over the global batches."""
  state = initial()
  for t in range(steps):
    batch = sampler(rows)(jax.random.fold_in(jax.random.key(1), t), DATA)
    grads = jax.grad(lambda params, batch=batch: loss(params, batch)[0])(state['params'])
    updates, opt = OPTIMIZER.update(grads, state['opt'])
    state = {'params': optax.apply_updates(state['params'], updates), 'opt': opt}
  return state['params']['w']


@pytest.mark.parametrize('count', [1, 2, 8])
@pytest.mark.parametrize('rows', [1, 15, 16, 17])
def test_devices_agree_with_a_plain_loop(count, rows):
  kept, summary = train(20, rows, count)
  np.testing.assert_allclose(kept['w'], reference(20, rows), rtol=1e-5, atol=1e-6)
  assert summary['steps'] == summary['best_step'] == 20


@settings(deadline=None, max_examples=30)
@given(rows=st.integers(1, 40), count=st.sampled_from([1, 2, 3, 8]))
def test_shares_hold_every_row_once_and_weigh_to_the_mean(rows, count):
  batch = {'value': jnp.arange(1., rows + 1), 'weight': jnp.ones(rows)}
  mapped = jax.pmap(lambda _: devices.share(batch, count), axis_name=devices.AXIS, devices=jax.devices()[:count])
  shares = jax.device_get(mapped(np.arange(count)))
  np.testing.assert_allclose((shares['weight'] * shares['value']).mean(1).mean(), batch['value'].mean(), rtol=1e-5)
  np.testing.assert_array_equal(np.sort(shares['value'][shares['weight'] > 0]), batch['value'])


def test_a_resumed_run_is_equal_to_the_bit(tmp_path):
  whole, _ = train(60)
  train(30, directory=tmp_path)
  resumed, summary = train(60, directory=tmp_path)
  assert summary['steps'] == 60
  np.testing.assert_array_equal(resumed['w'], whole['w'])


def test_divergence_names_the_metric_and_the_step_and_saves_nothing(tmp_path):
  bad = DATA | {'y': np.full(100, np.nan, np.float32)}
  with pytest.raises(loop.Diverged, match=r'fit: (loss|grad_norm) is nan at step 0 \(steps 0 to 9'):
    train(30, directory=tmp_path, data=bad)
  manager = Checkpoints(tmp_path)
  assert manager.restore({'w': np.zeros(5)}) is None
  manager.close()


def test_early_stopping_keeps_the_best():
  values = iter([1., 3., 2., 2.5, 0., 9.])
  seen = []

  def evaluate(params):
    seen.append(np.array(params['w']))
    return next(values), {}

  kept, summary = train(100, evaluate=evaluate, patience=3)
  assert summary == {'steps': 50, 'best': 3., 'best_step': 20, 'restarts': 0}
  np.testing.assert_array_equal(kept['w'], seen[1])


def test_a_stop_is_saved_and_gone_on_from(tmp_path, monkeypatch):
  monkeypatch.setattr(interrupt, '_asked', [15])
  with pytest.raises(interrupt.Interrupted, match='SIGTERM'):
    train(30, directory=tmp_path, save_seconds=1000.)
  monkeypatch.setattr(interrupt, '_asked', [])
  resumed, _ = train(30, directory=tmp_path)
  np.testing.assert_array_equal(resumed['w'], train(30)[0]['w'])


@pytest.mark.parametrize(('before', 'after'), [(8, 1), (1, 8)])
def test_a_run_goes_on_with_other_devices(before, after, tmp_path):
  # Adam divides by the root of a mean square, so that other orders of sums show in the last digits only.
  train(30, rows=13, count=before, directory=tmp_path)
  kept, summary = train(60, rows=13, count=after, directory=tmp_path)
  assert summary['steps'] == 60
  np.testing.assert_allclose(kept['w'], train(60, rows=13)[0]['w'], rtol=1e-5, atol=1e-6)


def test_logs_of_a_resumed_run_are_those_of_a_whole_one(tmp_path):
  for name, legs in (('whole', [40]), ('legs', [20, 40])):
    workdir = tmp_path / name
    workdir.mkdir()
    for steps in legs:
      metrics = Metrics(str(workdir))
      train(steps, directory=workdir / 'checkpoints', metrics=metrics)
      metrics.close()
      with open(workdir / 'metrics.jsonl', 'a') as file:
        file.write('{"torn')  # what a kill in the middle of a line leaves
  whole, legs = (
    [json.loads(line) for line in pathlib.Path(tmp_path / name / 'metrics.jsonl').read_text().splitlines()[:-1]]
    for name in ('whole', 'legs'))
  assert whole == legs and [line['step'] for line in whole] == [10, 20, 30, 40]
  assert list((tmp_path / 'whole' / 'tensorboard' / 'fit').iterdir())
