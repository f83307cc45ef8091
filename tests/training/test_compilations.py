"""After warm-up nothing is compiled again: neither by training, nor by the looks between, nor by ranking."""

import contextlib

import jax
import jax.monitoring
import jax.numpy as jnp
import numpy as np
import pytest

from ganrec_jax.adversarial import step as steps
from ganrec_jax.data.ragged import group
from ganrec_jax.evaluation import ranking
from ganrec_jax.evaluation.tasks import Task
from ganrec_jax.models.recommenders import RecommenderConfig
from ganrec_jax.stages.recommend import NETWORK
from ganrec_jax.training import loop, recommend

_COMPILED = '/jax/core/compile/backend_compile_duration'
ITEMS, USERS = 30, 20


@contextlib.contextmanager
def compilations():
  """Yields a list that gains an entry with every program that is compiled, or taken from a cache of files."""
  found = []

  def listen(event, seconds, **_):
    if event == _COMPILED:
      found.append(seconds)
  jax.monitoring.register_event_duration_secs_listener(listen)
  try:
    yield found
  finally:
    jax.monitoring.unregister_event_duration_listener(listen)


def test_compilations_are_counted():
  with compilations() as found:
    jax.jit(lambda x: x + 1)(jnp.ones(3))
    before = len(found)
    jax.jit(lambda x: x + 2)(jnp.ones(3))
  assert 0 < before < len(found)


def _histories(rng):
  user, item = np.nonzero(rng.random((USERS, ITEMS)) < .3)
  return group(user, item, USERS)


def _task(rng):
  nothing = group(np.zeros(0, int), np.zeros(0, int), USERS)
  return Task('warm', np.arange(USERS, dtype=np.int32), np.arange(ITEMS, dtype=np.int32), nothing, _histories(rng))


@pytest.mark.parametrize('kind', ['mlp', 'transformer'])
def test_training_and_ranking_of_a_recommender(kind):
  """Two of four chunks, with their looks at validation, are the warm-up."""
  rng = np.random.default_rng(0)
  config = RecommenderConfig(kind=kind, dim=8, hidden=8, batch=8, steps=12, chunk=3, patience=0, max_history=8)
  task, counts = _task(rng), []
  with compilations() as found:
    def evaluate(net):
      lists, _ = ranking.top_k(NETWORK, net, task, k=5)
      counts.append(len(found))
      return float(lists.mean()), {}
    recommend.fit(_histories(rng), None, np.ones(ITEMS, bool), config, jax.random.key(0),
                  loop.Surroundings('network', tuple(jax.devices()[:1])), evaluate)
  assert len(counts) == 4 and counts[0] > 0
  assert counts[1:] == [counts[1]] * 3, counts


def test_the_adversarial_game():
  rng = np.random.default_rng(0)
  config = steps.AdversarialConfig(dim=8, layers=1, heads=2, noise=4, batch=8, d_steps=1, penalty='none')
  vectors, texts = (jnp.asarray(rng.normal(size=(ITEMS, width)), jnp.float32) for width in (3, 5))
  rows = {'x': vectors, 'text': texts, 'item': jnp.arange(ITEMS)}
  state, counts = steps.init_state(config, 3, (1, 5), (5,), jax.random.key(0)), []
  with compilations() as found:
    loop.run(steps.make_step(config, vectors, texts), steps.make_sample(config), state, rows, jax.random.key(1),
             loop.Schedule(12, 3), loop.Surroundings('gan', tuple(jax.devices()[:1])),
             check=lambda *_: counts.append(len(found)))
  assert len(counts) == 4 and counts[0] > 0
  assert counts[1:] == [counts[1]] * 3, counts
