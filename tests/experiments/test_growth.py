"""What the growth of time and memory is told by."""

import numpy as np
import pytest

from experiments import growth


@pytest.mark.parametrize('exponent', [0., .5, 1., 2.])
def test_the_exponent_is_that_of_the_larger_sizes(exponent):
  sizes = np.array([10, 100, 1000, 10_000.])
  values = 3 * sizes ** exponent
  values[0] *= 50  # a fixed cost that hides the growth of small sizes
  assert growth.slope(sizes, values) == pytest.approx(exponent, abs=1e-9)


def test_histories_hold_different_items_of_all_the_catalogue():
  log = growth.histories(np.random.default_rng(0), 1000, 500, 20)
  assert all(len(set(log.row(user).tolist())) == 20 for user in range(500))
  assert log.values.min() >= 0 and 990 < log.values.max() < 1000


def test_a_line_is_measured_and_drawn(monkeypatch, tmp_path):
  monkeypatch.setitem(growth.SIZES, 'rank.items', (200, 400))
  found = growth.line('rank.items')
  assert [one['items'] for one in found['records']] == [200, 400]
  assert all(one['seconds'] > 0 and one['bytes'] >= 0 for one in found['records'])
  growth.draw({'rank.items': found}, tmp_path / 'growth.png')
  assert (tmp_path / 'growth.png').stat().st_size > 1000
