"""The sweeps of the profile GAN: what a run is, what its points are, and what a criterion is worth."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from experiments import sweeps
from experiments.bench import learned
from ganrec_jax.profiles import controls
from ganrec_jax.profiles.config import ProfileConfig
from ganrec_jax.training.loop import Diverged
from tests.profiles import worlds


def test_a_run_changes_what_it_says_and_the_default_nothing():
  assert sweeps.configured(sweeps.RUNS[sweeps.DEFAULT]) == ProfileConfig()
  assert sweeps.configured(sweeps.RUNS['one rate']).d_rate == ProfileConfig().g_rate
  for name, run in sweeps.RUNS.items():
    config = sweeps.configured(run)
    assert {field for field, value in dataclasses.asdict(config).items()
            if value != getattr(ProfileConfig(), field)} == set(run.changes), name
    assert all((steps or 0) <= config.steps for steps, _ in run.points), name
    # Those that leave the autoencoder alone share one.
    likelihood = set(run.changes) & set(sweeps.LIKELIHOOD)
    assert (sweeps.likelihood_of(config) == ProfileConfig()) == (not likelihood), name
  assert {field.name for field in dataclasses.fields(ProfileConfig) if field.name.startswith('vae_')} <= set(
    sweeps.LIKELIHOOD)


@pytest.fixture(scope='module')
def prepared():
  return worlds.prepared(np.random.default_rng(0))


def _fake_train(diverges_at=np.inf):
  def train(params, prior, members, factors, config, key, around):
    if config.steps >= diverges_at:
      raise Diverged('lost')
    return {'steps': jnp.float32(config.steps)}, {}
  return train


def _learned():
  return learned.Learned({'steps': jnp.float32(0)}, None, None, 0.)


def test_one_training_gives_the_points_of_all_its_looks(monkeypatch, prepared):
  monkeypatch.setattr(sweeps.game, 'train', _fake_train())
  some = learned.people(prepared, 0)
  found = sweeps.trained(_learned(), some, ProfileConfig(), [350, 0, 200], None)
  assert {steps: float(params['steps']) for steps, params in found.items()} == {0: 0, 200: 200, 350: 350}
  assert float(sweeps.averaged([found[steps] for steps in (0, 200, 350)])['steps']) == pytest.approx(550 / 3)
  monkeypatch.setattr(sweeps.game, 'train', _fake_train(diverges_at=300))
  assert set(sweeps.trained(_learned(), some, ProfileConfig(), [350, 200, 400], None)) == {0, 200}


def test_a_run_that_diverges_is_kept_as_such(monkeypatch, prepared):
  monkeypatch.setattr(sweeps.game, 'train', _fake_train(diverges_at=300))
  monkeypatch.setattr(sweeps, 'made', lambda params, prior, columns: params)
  monkeypatch.setattr(sweeps.generator, 'draw', lambda fitted, temperature, key, number: (fitted, temperature))
  monkeypatch.setattr(sweeps, 'judged', lambda drawn, *rest: dict.fromkeys(sweeps.MEASURES, float(drawn[0]['steps'])))
  start = dataclasses.replace(_learned(), factors=np.eye(48))
  found = sweeps.measured(sweeps.DEFAULT, prepared, lambda config: start, 0)
  due = [steps if steps is not None and steps < 300 else np.nan for steps, _ in sweeps.RUNS[sweeps.DEFAULT].points]
  for measure in sweeps.MEASURES:
    np.testing.assert_array_equal(found[measure], due)
  assert found['steps'].tolist() == [350 if steps is None else steps for steps, _ in
                                     sweeps.RUNS[sweeps.DEFAULT].points]


def test_real_users_are_worth_what_real_users_are_and_look_like_them(prepared):
  some = learned.people(prepared, 0)
  vectors = np.random.default_rng(1).standard_normal((some.columns, 8)).astype(np.float32)
  same, blind = (sweeps.judged(drawn, some, vectors, prepared, 0) for drawn in (
    some.everybody, controls.marginals(some.members, some.columns, len(some.everybody), 0)))
  for name, value in sweeps.worth(prepared.histories, prepared).items():
    assert same[name] == pytest.approx(value, abs=1e-6) and blind[name] < value
  for name in ('completion', 'frechet, seen', 'pairs, seen', 'pairs, held out'):
    assert same[name] > blind[name], name
  # Those held out are given away as those seen are.
  assert same['auc'] == .5 and set(same) == set(sweeps.MEASURES)


@pytest.mark.parametrize('seed', range(3))
def test_spearman_is_scipys(seed):
  x, y = np.random.default_rng(seed).integers(0, 6, (2, 4, 15))
  due = [stats.spearmanr(*pair).statistic for pair in zip(x, y, strict=True)]
  np.testing.assert_allclose(sweeps.spearman(x, y), due)
  assert np.isnan(sweeps.spearman(np.ones(5), np.arange(5)))


def _points(many=12):
  rng = np.random.default_rng(0)
  goal = rng.random((many, 2))
  values = {'completion': goal ** 3 + [0, 5], 'frechet, held out': -goal, 'pairs, held out': rng.random((many, 2)),
            'frechet, seen': goal, 'pairs, seen': goal}
  return [{'utility': goal[point].tolist()} | {name: value[point].tolist() for name, value in values.items()}
          for point in range(many)], goal


def test_a_criterion_is_worth_how_it_orders_the_points_of_each_seed():
  points, goal = _points()
  found = sweeps.criteria(points, resamples=200)
  # Seeds lie apart by 5, which says nothing of the points of one.
  assert found['completion']['spearman'] == pytest.approx(1) and found['completion']['lost'] == 0
  assert found['frechet, held out']['spearman'] == pytest.approx(-1)
  assert found['frechet, held out']['lost'] == pytest.approx(np.ptp(goal, 0).mean())
  blind = found['pairs, held out']
  assert blind['low'] < blind['spearman'] < blind['high'] and blind['low'] < 0 < blind['high']


def test_points_that_diverged_are_left_out_and_two_say_nothing():
  points, _ = _points()
  lost = points[0] | {name: [np.nan, .5] for name in (*sweeps.CRITERIA, 'utility')}
  assert sweeps.criteria([*points, lost], 200) == sweeps.criteria(points, 200)
  assert sweeps.criteria(points[:2]) == {}


def test_the_table_holds_every_point_beside_the_default():
  rng, found = np.random.default_rng(0), {}
  for name, run in sweeps.RUNS.items():
    many = len(run.points)
    found[name] = [{'seconds': 1., 'steps': np.full(many, 350), 'temperature': np.full(many, .6)} | {
      measure: rng.random(many) for measure in sweeps.MEASURES} for _ in range(2)]
  cells = sweeps.cells(found, {'ease': .5, 'ials': .25})
  first, one = cells[0], found[sweeps.DEFAULT][1]
  assert first['utility'][1] == pytest.approx((one['ease'][0] / .5 + one['ials'][0] / .25) / 2)
  told = sweeps.table({'cells': cells, 'criteria': sweeps.criteria(cells, 200)})
  assert told.count('\n| ') == sum(len(run.points) for run in sweeps.RUNS.values()) + 1 + len(sweeps.CRITERIA)
  assert '+0.0, +0.0' in told.splitlines()[2]


def test_the_picture_has_a_panel_for_each_set_and_criterion(tmp_path):
  points, _ = _points()
  cells = [point | {'run': name} for point, name in zip(points, sweeps.RUNS, strict=False)]
  result = {'name': 'planted', 'seeds': [0, 1], 'cells': cells, 'criteria': sweeps.criteria(cells, 200)}
  sweeps.draw_picture(tmp_path / 'sweeps.png', [result, result | {'criteria': {}}])
  assert (tmp_path / 'sweeps.png').read_bytes().startswith(b'\x89PNG')
