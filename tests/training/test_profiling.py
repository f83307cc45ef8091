"""What a stage cost: operations counted against sums by hand, parts that add up, and a trace that is read back."""

import glob
import gzip
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ganrec_jax.training import loop, profiling
from ganrec_jax.training.devices import make_chunk
from ganrec_jax.training.logs import Metrics, read_costs

DATA = np.random.default_rng(0).standard_normal((40, 6)).astype(np.float32)


def step(state, batch, axis=None):
  error = batch['x'] @ state  # [rows, 6] by [6, 3]
  return state - 1e-3 * batch['x'].T @ error, {'loss': (error ** 2).mean()}


def sample(key, data):
  return {'x': data[jax.random.randint(key, (8,), 0, len(data))], 'weight': jnp.ones(8)}


def train(steps, around):
  return loop.run(step, sample, jnp.ones((6, 3)), DATA, jax.random.key(0), loop.Schedule(steps, 4), around,
                  evaluate=lambda kept: (0., {}))


@pytest.mark.parametrize('function, shapes, due', [
  (lambda a, b: a @ b, ((5, 7), (7, 3)), 2 * 5 * 7 * 3),
  (lambda a, b: jnp.einsum('bij,bkj->bik', a, b), ((4, 5, 7), (4, 3, 7)), 2 * 4 * 5 * 7 * 3),
  (lambda a, b: jax.lax.scan(lambda x, _: (x @ b, None), a, None, length=9)[0], ((5, 7), (7, 7)), 9 * 2 * 5 * 7 * 7),
  (lambda a, b: jax.lax.cond(a[0, 0] > 0, lambda: (a @ b) @ b, lambda: a @ b), ((5, 7), (7, 7)), 2 * 2 * 5 * 7 * 7),
  (jax.grad(lambda a, b: jnp.sum(jnp.sin(a @ b))), ((5, 7), (7, 3)), 2 * 2 * 5 * 7 * 3),
  (lambda a, b: a + b, ((5, 7), (5, 7)), 0),
])
def test_operations_of_matrix_products(function, shapes, due):
  arrays = [jnp.ones(shape) for shape in shapes]
  assert profiling.matmul_flops(function, *arrays) == due
  assert profiling.matmul_flops(jax.jit(function), *arrays) == due


@pytest.mark.parametrize('count', [1, 2])
def test_a_chunk_counts_its_steps_and_its_devices(count):
  arguments = jnp.ones((6, 3)), jnp.asarray(DATA), jax.random.key(0), 0, 5
  chunk = make_chunk(step, sample, jax.devices()[:count])
  assert profiling.matmul_flops(chunk, *arguments, static=4) == 5 * 2 * 2 * 8 * 6 * 3


def test_costs_of_a_stage(tmp_path, caplog):
  caplog.set_level('INFO')
  around = loop.Surroundings('fit', tuple(jax.devices()[:1]), str(tmp_path / 'checkpoints'), Metrics(str(tmp_path)))
  train(12, around)
  costs = read_costs(str(tmp_path))['fit']
  assert costs['examples'] == 12 * 8 and sum(costs['share'].values()) == pytest.approx(1)
  assert set(costs['share']) == {*profiling.PARTS, 'other'}
  assert all(costs['share'][part] > 0 for part in profiling.PARTS)
  compute = costs['share']['compute'] * costs['seconds']
  assert costs['examples_per_second'] == pytest.approx(8 * 8 / compute)
  assert costs['flops_per_second'] == pytest.approx(2 * 2 * 6 * 3 * costs['examples_per_second'])
  assert costs['matmul_share'] == costs['flops_per_second'] / profiling.peak(1)
  assert '96 examples' in caplog.text and 'examples/s' in caplog.text
  train(12, around)  # nothing is left to do, so what it has cost stays
  assert read_costs(str(tmp_path))['fit'] == costs
  train(16, around)
  again = read_costs(str(tmp_path))['fit']
  assert again['examples'] == 4 * 8 and 'examples_per_second' not in again  # one chunk: compilation is in all of it


def test_a_trace_is_read_back_and_changes_nothing(tmp_path, caplog):
  caplog.set_level('INFO')
  plain = loop.Surroundings('fit', tuple(jax.devices()[:1]))
  traced = loop.Surroundings('fit', tuple(jax.devices()[:1]), profile=str(tmp_path / 'profile' / 'fit'))
  np.testing.assert_array_equal(train(8, traced)[0], train(8, plain)[0])
  assert f'a trace of 5 steps is in {traced.profile}' in caplog.text
  (path,) = glob.glob(f'{traced.profile}/plugins/profile/*/*.trace.json.gz')
  assert glob.glob(f'{traced.profile}/plugins/profile/*/*.xplane.pb')
  with gzip.open(path) as file:
    events = json.load(file)['traceEvents']
  operations = [event for event in events if event.get('args', {}).get('hlo_module', '').startswith('jit_chunk')]
  assert sum(event['args']['hlo_op'].startswith(('dot', 'ynn', 'custom')) for event in operations) >= 5
