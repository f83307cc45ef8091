"""The Beam pipeline on the local runner gives the same dataset as one machine does, to the bit."""

import numpy as np
import pytest

from ganrec_jax.data import tables
from ganrec_jax.errors import DataError

pytest.importorskip('apache_beam', reason="needs apache-beam: pip install 'ganrec_jax[beam]'")

from ganrec_jax.data import beam  # noqa: E402

pytestmark = pytest.mark.filterwarnings('ignore')  # Beam's own dependencies warn of one another.


def _write(folder, seed, files=3, timed=True):
  rng = np.random.default_rng(seed)
  folder.mkdir()
  for k in range(files):
    rows = [f'u{rng.integers(9)},i{rng.integers(6)},{rng.choice(["1", "2.5", "0.1", "0", "x", "-1"])}'
            + (f',{rng.choice(["5", "1000000000", "2020-01-01", "soon"])}' if timed else '') for _ in range(40)]
    (folder / f'{k}.csv').write_text('\n'.join(['user,item,rating' + ',time' * timed, *rows, ',i1,1' + ',7' * timed]))
  (folder.parent / 'items.csv').write_text('id,title\ni1,One\ni5,Five\n')
  return {'interactions': str(folder), 'items': str(folder.parent / 'items.csv'), 'bad_rows': 'drop'}


@pytest.mark.parametrize(('merge', 'timed'), [('sum', True), ('last', True), ('max', False)])
def test_many_machines_give_the_same_as_one(tmp_path, merge, timed):
  config = tables.TablesConfig(**_write(tmp_path / 'log', 0, timed=timed), merge=merge)
  beam.prepare(config, tmp_path / 'prepared')
  found, expected = beam.load(config, tmp_path / 'prepared'), tables.load(config)
  assert found.sha256() == expected.sha256() and found.info == expected.info
  assert found.info['rows']['a_value_is_no_number'] > 0 and found.catalogue.titles[-1] == 'Five'


def test_a_bad_row_is_named_and_a_log_is_prepared_anew(tmp_path):
  options = _write(tmp_path / 'log', 1)
  with pytest.raises(DataError, match=r'0.csv, row \d+, column .*allowed are') as caught:
    beam.prepare(tables.TablesConfig(**options | {'bad_rows': 'refuse'}), tmp_path / 'prepared')
  assert '\n' not in str(caught.value)
  config = tables.TablesConfig(**options)
  with pytest.raises(DataError, match='holds no prepared log'):
    beam.load(config, tmp_path / 'prepared')
  beam.prepare(config, tmp_path / 'prepared')
  (tmp_path / 'log' / '0.csv').unlink()
  beam.prepare(config, tmp_path / 'prepared')
  assert beam.load(config, tmp_path / 'prepared').info['rows']['read'] == 2 * 41


def test_a_log_that_is_not_there(tmp_path):
  with pytest.raises(DataError, match='no such file'):
    beam.prepare(tables.TablesConfig(str(tmp_path / 'none*.csv')), tmp_path / 'prepared')
