"""What a run fits: the leak check looks at the model, weights are chosen by their worst task, networks blend in."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from ganrec_jax.adversarial.expand import made
from ganrec_jax.data.types import PARTS, Split
from ganrec_jax.evaluation.leaks import LeakError
from ganrec_jax.models import blend, closed_form, recommenders
from ganrec_jax.stages import encode, recommend
from ganrec_jax.stages.prepare import prepare
from tests.stages import worlds


@pytest.fixture(scope='module')
def fitted(tmp_path_factory):
  config = worlds.config(encoder={'kind': 'none'}, recommender={'steps': 6, 'chunk': 3, 'batch': 16, 'dim': 8})
  space, prepared = worlds.workspace_of(config, tmp_path_factory.mktemp('work')), prepare(config)
  content = encode.content(space, prepared, None)
  return space, prepared, content, *recommend.fit_base(space, prepared, content)


def _generated(prepared, count=60):
  """Interactions of training users with items they do not have, warm and cold."""
  rng = np.random.default_rng(0)
  users = np.flatnonzero(prepared.histories.lengths)[rng.integers(0, 100, count)]
  items = rng.integers(0, prepared.dataset.items, count)
  known = {(u, i) for u in users for i in prepared.histories.row(u)}
  pairs = sorted({(u, i) for u, i in zip(users.tolist(), items.tolist(), strict=True)} - known)
  return made(*zip(*pairs, strict=True), .1, 'gan', np.full(len(pairs), .5), {})


def test_a_model_of_this_split_passes(fitted):
  _, prepared, _, base, _ = fitted
  recommend.check_leaks(prepared, base)


@pytest.mark.parametrize('part', ['valid', 'test', 'cold_valid', 'cold_test'])
def test_a_model_of_another_split_fails(fitted, part):
  _, prepared, _, base, _ = fitted
  codes = prepared.split.part.copy()
  codes[prepared.split.rows('train')[7]] = PARTS.index(part)
  other = dataclasses.replace(prepared, split=Split(codes, prepared.split.in_all))
  with pytest.raises(LeakError, match='leak in base'):
    recommend.check_leaks(other, base)


def test_a_held_out_item_slipped_into_a_history_fails(fitted):
  _, prepared, _, base, _ = fitted
  row = prepared.split.rows('cold_test')[0]
  items = np.asarray(base.items).copy()
  items[0] = prepared.dataset.interactions.item[row]
  with pytest.raises(LeakError, match='leak in gan'):
    recommend.check_leaks(prepared, base.replace(items=jnp.asarray(items)), 'gan')


def test_the_weight_whose_worst_task_is_best_is_chosen(fitted, monkeypatch):
  space, prepared, content, base, key = fitted
  generated, fitted_at = _generated(prepared), []
  # At .01 nothing changes; .1 wins warm by more than it loses tail, yet it loses tail.
  values = {None: {'warm': .2, 'tail': .1}, .01: {'warm': .2, 'tail': .1}, .1: {'warm': .3, 'tail': .09}}

  def closed(space, prepared, content, extra):
    assert len(extra.values) == len(generated)
    fitted_at.append(float(extra.weights[0]))
    return round(float(extra.weights[0]), 3)
  monkeypatch.setattr(recommend, '_closed_form', closed)

  def judge(score, params, task):
    return values[None if params is base else params].get(task, float('nan'))
  weight, tried = recommend.choose_weight(space, prepared, content, base, key, generated, judge, 'gan')
  assert weight == .01 and tried == {'0.01': {'warm': 1., 'tail': 1.}, '0.1': {'warm': pytest.approx(1.5),
                                                                             'tail': pytest.approx(.9)}}
  recommend.choose_weight(space, prepared, content, base, key, generated, judge, 'gan')
  assert len(fitted_at) == 2  # the second time they come from the work directory


def test_generated_interactions_change_the_model_but_no_history(fitted):
  space, prepared, content, base, key = fitted
  model = recommend.fit_row(space, prepared, content, base, key, recommend.Judge(space, prepared),
                            _generated(prepared), 'some')
  assert model.score is closed_form.score and model.choices['weight'] in space.config.expand.weights
  np.testing.assert_array_equal(model.params.items, base.items)
  assert np.abs(model.params.item_item - base.item_item).max() > 0


@pytest.mark.parametrize('alone', [True, False])
def test_a_network_recommends_alone_or_blended(fitted, alone):
  space, prepared, content, base, key = fitted
  config = worlds.config(recommender={**space.config.recommender.to_dict(), 'kind': 'mlp', 'alone': alone})
  space = dataclasses.replace(space, config=config)
  model = recommend.fit_row(space, prepared, content, base, key, recommend.Judge(space, prepared))
  assert model.score is (recommenders.score if alone else blend.score)
  assert np.isfinite(np.asarray(model.score(model.params, jnp.arange(5)))).all()
  assert model.choices['network']['steps'] == 6


def test_calibration_is_that_of_validation(fitted):
  space, prepared, _, base, _ = fitted
  judge = recommend.Judge(space, prepared)
  calibrated, chosen = recommend.for_all(prepared, recommend.Model(closed_form.score, base, {}), judge)
  assert judge(blend.score_calibrated, calibrated, 'all') == pytest.approx(chosen['valid'])
  never = calibrated.replace(factor=jnp.float32(0), offset=jnp.float32(-jnp.inf))
  assert judge(blend.score_calibrated, never, 'all') == pytest.approx(chosen['tried']['never_value'])
  plain = calibrated.replace(factor=jnp.float32(1), offset=jnp.float32(0))
  assert judge(blend.score_calibrated, plain, 'all') == pytest.approx(chosen['tried']['as_it_is_value'])


