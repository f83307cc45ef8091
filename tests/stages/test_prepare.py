"""From a source to data and split."""

import numpy as np

from ganrec_jax.data.types import PARTS, Catalogue, Dataset, Interactions, Split
from ganrec_jax.stages.prepare import Prepared, prepare

from . import worlds


def test_two_tables_become_data_and_a_split(tmp_path):
  rng = np.random.default_rng(0)
  users, items = np.nonzero(rng.random((40, 30)) < .4)
  pairs = ''.join(f'u{u},i{i}\n' for u, i in zip(users, items, strict=True))
  (tmp_path / 'log.csv').write_text('customer,item_id\n' + pairs)
  (tmp_path / 'items.csv').write_text('id,title\n' + ''.join(f'i{i},Thing {i}\n' for i in range(30)))
  config = worlds.config_file('tables').get_config(f'interactions={tmp_path}/log.csv,items={tmp_path}/items.csv')
  prepared = prepare(config)
  assert len(prepared.dataset.interactions) == len(users) and prepared.world is None
  assert set(prepared.dataset.catalogue.titles) == {f'Thing {i}' for i in range(30)}
  assert 0 < len(prepared.warm) < prepared.dataset.items and not prepared.ordered


def _prepared(values, users):
  user = np.asarray(users)
  log = Interactions(user, np.arange(len(user)), np.asarray(values, np.float64), None)
  data = Dataset(log, Catalogue(*(np.array([f'i{i}' for i in range(len(user))]),) * 3, ((),) * len(user)),
                 np.array([f'u{u}' for u in range(user.max() + 2)]), {})
  return Prepared(data, Split(np.full(len(user), PARTS.index('train'), np.int8), np.zeros(len(user), bool)), None)


def test_strengths_are_powers_relative_to_the_user():
  prepared = _prepared([9, 1, 4, 4, 7], [0, 0, 1, 1, 2])
  found = prepared.strengths(.5)
  np.testing.assert_allclose(found.weights, [1.5, .5, 1, 1, 1], rtol=1e-6)  # 3 : 1, means of 1
  np.testing.assert_array_equal(found.values, prepared.histories.values)
  assert prepared.strengths(0.) is prepared.histories


def test_no_interaction_vanishes():
  np.testing.assert_allclose(_prepared([1e-20, 1e20], [0, 0]).strengths(1.).weights, [.001, 2.], rtol=1e-6)
