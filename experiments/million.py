"""The server before a catalogue of a million items, for `load.py --items=1000000`.

The model is random, 64 wide in both of its parts, since so many items take hours to fit; all else is the server as it
is. There are no texts, so a question by words is refused.
"""

import pathlib
import sys
import tempfile
import unittest.mock

import jax.numpy as jnp
import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))  # a script sees only its own folder

from experiments.peers import problem
from ganrec_jax.data.ragged import group
from ganrec_jax.data.types import Catalogue
from ganrec_jax.errors import UserError
from ganrec_jax.models import als, closed_form, low_rank
from ganrec_jax.serving import answers, search, server
from ganrec_jax.stages import finished

USERS, LENGTH, DIM = 1000, 30, 64


class NoReader:
  """Reads no words."""

  def compile_all(self):
    """Nothing is to be compiled."""

  def read(self, words):
    """Refuses."""
    raise UserError(f'{words[:100]!r}: this model has no texts')


def histories(items, seed=0):
  """The ids of the users' histories, user id -> item ids."""
  found = np.random.default_rng(seed).integers(0, items, (USERS, LENGTH))
  return {f'u{user}': [f'i{item}' for item in np.unique(row)] for user, row in enumerate(found)}


def stand_in(items, seed=0):
  """A `Run` of so many items, all of them known."""
  rng, ids = np.random.default_rng(seed + 1), np.array([f'i{item}' for item in range(items)])
  draw = lambda *shape: jnp.asarray(rng.standard_normal(shape, dtype=np.float32))  # noqa: E731
  listens, all_items = histories(items, seed), jnp.arange(items, dtype=jnp.int32)
  log = group(np.repeat(np.arange(USERS), [len(row) for row in listens.values()]),
              np.array([int(item[1:]) for row in listens.values() for item in row]), USERS)
  factors, weights = draw(items, DIM), draw(items, DIM) / DIM
  base = closed_form.ClosedFormParams(
    als.AlsParams(draw(USERS, DIM), factors, .1 * jnp.eye(DIM), jnp.float32(.02), jnp.float32(1.)),
    low_rank.LowRankItemItem(weights, (weights ** 2).sum(1), jnp.ones(items), None, all_items, all_items),
    jnp.ones(items), draw(items), jnp.ones(items, bool), jnp.float32(LENGTH),
    jnp.asarray([.5, .8, .2, 0., .05, .1], jnp.float32), jnp.asarray(log.offsets, jnp.int32), jnp.asarray(log.values),
    jnp.asarray(log.weights), LENGTH, closed_form.ClosedFormConfig(rank=DIM))
  units = np.asarray(factors) / np.linalg.norm(factors, axis=1, keepdims=True)
  catalogue = Catalogue(ids, np.char.add('Item ', ids), np.full(items, ''), ((),) * items)
  return answers.Run('random', 'random', True, None, catalogue, base, log, np.asarray(base.popular), units,
                     search.Names.of('item', ids), search.Names.of('user', np.array(list(listens))), {},
                     NoReader)


def main(items):
  """Serves until it is stopped."""
  config = problem.config_of('music', '')
  with (tempfile.TemporaryDirectory() as folder, unittest.mock.patch.object(finished, 'config_of', lambda _: config),
        unittest.mock.patch.object(answers, 'load', lambda _: stand_in(items))):
    server.run(folder, '127.0.0.1', 0)


if __name__ == '__main__':
  main(int(sys.argv[1]))
