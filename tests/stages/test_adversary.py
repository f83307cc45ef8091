"""The adversarial stage: what is trained, what is kept, and which controls are asked for."""

import numpy as np
import pytest

from ganrec_jax.adversarial import train
from ganrec_jax.errors import ConfigError
from ganrec_jax.stages import adversary, encode, recommend
from ganrec_jax.stages.prepare import prepare

from . import worlds


@pytest.fixture(scope='module')
def world(tmp_path_factory):
  config = worlds.config(encoder={'kind': 'none'}, adversarial={
    'design': 'interaction', 'steps': 4, 'chunk': 2, 'dim': 8})
  config.controls = 'all'
  space, prepared = worlds.workspace_of(config, tmp_path_factory.mktemp('work')), prepare(config)
  content = encode.content(space, prepared, None)
  return space, prepared, content, recommend.fit_base(space, prepared, content, 'dense')[0]


@pytest.mark.slow
def test_all_controls_are_made_with_the_budget_of_the_generator(world, monkeypatch):
  space, prepared, content, base = world
  found, reports = adversary.generate(space, prepared, base, content, 'key')
  assert list(found) == [*adversary.CONTROLS, 'gan'] and len(found['gan']) > 100
  for row in adversary.CONTROLS[:-1]:
    assert len(found[row]) == len(found['gan']) - found[row].counts['exhausted'], row
  assert set(reports) == set(found) and reports['gan']['status'] in ('converged', 'collapsed')
  assert np.isfinite(found['gan'].realness).all() and reports['gan']['leaks']['warm']['new_pairs'] > 0
  # What was trained is taken from the work directory; the same key gives the same samples.
  monkeypatch.setattr(train, 'train', lambda *_: pytest.fail('trained again'))
  again, _ = adversary.generate(space, prepared, base, content, 'key')
  for row in found:
    np.testing.assert_array_equal(again[row].item, found[row].item)


def test_only_training_pairs_of_warm_items_are_trained_on(world):
  _, prepared, content, base = world
  data = adversary._training_data(prepared, base, content)
  train_rows = prepared.split.rows('train')
  log = prepared.dataset.interactions
  pairs = set(zip(data.pair_user.tolist(), prepared.warm[data.pair_item].tolist(), strict=True))
  assert pairs == set(zip(log.user[train_rows].tolist(), log.item[train_rows].tolist(), strict=True))
  assert len(data.item_factors) == len(prepared.warm)


def test_a_diverged_generator_is_reported_and_makes_nothing(world, tmp_path, monkeypatch):
  _, prepared, content, base = world
  config = worlds.config(encoder={'kind': 'none'})
  monkeypatch.setattr(train, 'train', lambda *_: (None, {'status': 'diverged', 'reason': 'loss is nan at step 3'}))
  found, reports = adversary.generate(worlds.workspace_of(config, tmp_path), prepared, base, content, 'key')
  assert len(found['gan']) == len(found['random_pairs']) == 0 and reports['gan']['status'] == 'diverged'


@pytest.mark.parametrize(('controls', 'rows'), [('none', ('gan',)), ('popular_pairs', ('popular_pairs', 'gan'))])
def test_rows_are_those_asked_for(controls, rows):
  config = worlds.config()
  config.controls = controls
  assert adversary.rows_of(config) == rows


def test_an_unknown_control_is_refused():
  config = worlds.config()
  config.controls = 'random_pairs,magic'
  with pytest.raises(ConfigError, match='controls is .random_pairs,magic.'):
    adversary.rows_of(config)
