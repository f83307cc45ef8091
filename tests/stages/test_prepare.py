"""From a source to data and split."""

import numpy as np

from ganrec_jax.stages.prepare import prepare

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
