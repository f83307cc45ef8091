"""How careful the calibration should be: the measure on lists that are known."""

import numpy as np
import pytest

from experiments import calibration
from ganrec_jax.models import blend


def _arrays(users, better, seed=0):
  """Lists in which scores say how likely an item is a target, of new ones they say `better` too little."""
  rng = np.random.default_rng(seed)
  scores = -np.sort(-rng.standard_normal((2, users, 20)), axis=2)
  hits = rng.random((2, users, 20)) < np.exp(scores - 2.5 + np.array([0, better])[:, None, None])
  hits[0, :, 0] |= ~hits.any((0, 2))
  return {'warm': scores[0], 'warm_hits': hits[0], 'cold': scores[1], 'cold_hits': hits[1], 'unit': np.float64(1),
          'targets': hits.sum((0, 2))}


def test_caution_gives_away_nothing_where_new_items_are_much_better():
  found = calibration.gains(_arrays(200, 2), 3)
  assert found['never'] < 0 and min(found[f'{errors}'] for errors in calibration.ERRORS) > 5


def test_caution_keeps_what_luck_would_lose():
  means = [calibration.gains(_arrays(60, 0, seed), 4) for seed in range(3)]
  free, careful = (np.mean([one[name] for one in means]) for name in ('0.0', '3.7'))
  assert free < -1 and careful > .3 * free


def test_a_half_is_judged_by_the_other_one(monkeypatch):
  seen, calibrate = [], blend.calibrate
  monkeypatch.setattr(blend, 'calibrate', lambda *args, **options: seen.append(args[2]) or calibrate(*args, **options))
  arrays = _arrays(41, 1)
  calibration.gains(arrays, 1)
  assert {len(one) for one in seen} == {20, 21}
  assert sum(map(sum, seen)) == pytest.approx(len(calibration.ERRORS) * arrays['targets'].sum())
