"""One of several processes that fit a line: `python host.py WORKDIR STEPS SECONDS [COORDINATOR NUMBER PROCESS]`.

The first process leaves what was found in WORKDIR/found.json; a look at validation takes SECONDS. `differ` and `fail`
in the environment variable HOST are faults of the last process.
"""

import os
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
import optax

from ganrec_jax import artifacts
from ganrec_jax.errors import UserError
from ganrec_jax.training import hosts, interrupt, loop
from ganrec_jax.training.logs import Metrics
from ganrec_jax.training.update import gradient_update

TRUTH = np.arange(5, dtype=np.float32)
INPUTS = np.random.default_rng(0).standard_normal((100, 5)).astype(np.float32)
OPTIMIZER = optax.adam(1e-2)
ROWS = 13  # no multiple of any number of devices
FAULT = os.environ.get('HOST', '')


def fit(workdir, steps, seconds):
  """Trains with a checkpoint after every look; returns the parameters and the summary of `loop.run`."""
  def loss(params, batch):
    noise = batch['noise'] @ params['w']
    return jnp.mean(batch['weight'] * (batch['x'] @ params['w'] - batch['y'] + noise) ** 2), {}

  update = gradient_update(loss, OPTIMIZER)

  def step(state, batch, axis=None):
    *state, metrics = update(*state, batch, axis=axis)
    return tuple(state), metrics

  def sample(key, data):
    rows, noise = jax.random.split(key)
    index = jax.random.randint(rows, (ROWS,), 0, len(data['y']))
    return {'x': data['x'][index], 'y': data['y'][index], 'noise': .1 * jax.random.normal(noise, (ROWS, 5)),
            'weight': jnp.ones(ROWS)}

  def evaluate(params):
    time.sleep(seconds)
    interrupt.check()
    # Another value on each process: the first one's counts.
    return float(-jnp.square(params['w'] - TRUTH).sum()) - jax.process_index(), {}

  params = {'w': jnp.zeros(5)}
  checkpoints = os.path.join(workdir, 'checkpoints') if hosts.first() else None
  around = loop.Surroundings('fit', tuple(jax.devices()), checkpoints, Metrics(workdir), save_seconds=0.)
  return loop.run(step, sample, (params, OPTIMIZER.init(params)), {'x': INPUTS, 'y': INPUTS @ TRUTH},
                  jax.random.key(1), loop.Schedule(steps, 10), around, keep=lambda state: state[0],
                  evaluate=evaluate)


def work(workdir):
  last = jax.process_index() == jax.process_count() - 1
  try:
    with interrupt.graceful():
      if FAULT == 'fail' and last:
        raise UserError('a file is missing here')
      hosts.check_alike(data=('ab' if FAULT == 'differ' and last else 'cd') * 32)
      seen = hosts.in_turn(lambda: os.path.exists(os.path.join(workdir, 'none')))
      kept, summary = fit(workdir, int(sys.argv[2]), float(sys.argv[3]))
      made, _ = artifacts.cached(os.path.join(workdir, 'made.npz'), 'key', lambda: {'x': np.array(os.getpid())})
      pids = hosts.largest(int(made['x'])), -hosts.largest(-int(made['x']))
  except UserError as error:
    print(f'error: {error}', file=sys.stderr)
    return 2
  except interrupt.Interrupted as stop:
    return 128 + stop.signum
  if hosts.first():
    artifacts.write_json(os.path.join(workdir, 'found.json'), {
      'w': np.asarray(kept['w']).tolist(), 'pids': pids, 'seen': seen, 'devices': jax.device_count(), **summary})
  return 0


if __name__ == '__main__':
  where = {} if len(sys.argv) < 5 else {'coordinator': sys.argv[4], 'processes': int(sys.argv[5]),
                                        'process': int(sys.argv[6])}
  sys.exit(hosts.run(work, sys.argv[1], **where))
