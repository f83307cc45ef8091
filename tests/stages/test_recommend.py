"""What a run fits: the leak check looks at the model, weights are chosen by their worst task, networks blend in."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from ganrec_jax.adversarial.expand import made
from ganrec_jax.data.types import PARTS, Split
from ganrec_jax.evaluation.leaks import LeakError
from ganrec_jax.models import blend, closed_form
from ganrec_jax.stages import encode, recommend
from ganrec_jax.stages.prepare import prepare

from . import worlds


@pytest.fixture(scope='module')
def fitted(tmp_path_factory):
  config = worlds.config(encoder={'kind': 'none'}, recommender={'steps': 6, 'chunk': 3, 'batch': 16, 'dim': 8})
  space, prepared = worlds.workspace_of(config, tmp_path_factory.mktemp('work')), prepare(config)
  content = encode.content(space, prepared, None)
  return space, prepared, content, *recommend.fit_base(space, prepared, content, 'dense')


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


class _Judge:
  """Plays a judge: the NDCG of each of ten users by weight, as mean and spread of the difference to the base."""

  tasks = dict.fromkeys(('warm', 'tail', 'all'))

  def __init__(self, base, means, spread):
    self._base, self._means, self._spread = base, means, spread

  def per_user(self, score, params, task):
    del score
    plain = np.linspace(.1, .3, 10)
    if params is self._base:
      return plain
    return plain * self._means[params][task] + self._spread.get(params, 0.) * np.resize([1, -1], 10)


@pytest.mark.parametrize(('gain', 'spread', 'chosen'), [
  ({'warm': 1.5, 'tail': .9}, 0., .01),   # wins warm by more than it loses tail, yet it loses tail
  ({'warm': 1.02, 'tail': 1.03}, 0., .1),  # wins both
  ({'warm': 1.02, 'tail': 1.03}, .1, .01)])  # wins both by luck
def test_the_weight_that_is_least_likely_to_harm_is_chosen(fitted, monkeypatch, tmp_path, gain, spread, chosen):
  space, prepared, content, base, key = fitted
  space = dataclasses.replace(space, path=str(tmp_path))
  generated, fitted_at = _generated(prepared), []

  def closed(space, prepared, content, base, extra):
    assert len(extra.values) == len(generated)
    fitted_at.append(round(float(extra.weights[0]), 3))
    return fitted_at[-1]
  monkeypatch.setattr(recommend, '_refitted', closed)
  judge = _Judge(base, {.01: {'warm': 1., 'tail': 1.}, .1: gain}, {.1: spread})
  for _ in range(2):
    weight, tried = recommend.choose_weight(space, prepared, content, base, key, generated, judge, 'gan')
    assert weight == chosen and set(tried) == {'0.01', '0.1'}
    assert tried['0.1'] == pytest.approx(gain) and tried['0.01'] == pytest.approx({'warm': 1., 'tail': 1.})
  assert fitted_at == [.01, .1]  # the second time they come from the work directory


@pytest.mark.parametrize(('spread', 'chosen'), [(0., 0.), (.1, .01)])
def test_what_surely_harms_at_every_weight_is_not_taken(fitted, monkeypatch, tmp_path, spread, chosen):
  space, prepared, content, base, key = fitted
  space = dataclasses.replace(space, path=str(tmp_path))
  monkeypatch.setattr(recommend, '_refitted', lambda *args: round(float(args[-1].weights[0]), 3))
  monkeypatch.setattr(recommend, 'check_leaks', lambda *_: None)
  judge = _Judge(base, {.01: {'warm': 1.1, 'tail': .98}, .1: {'warm': 1.2, 'tail': .9}}, {.01: spread, .1: spread})
  model = recommend.fit_row(space, prepared, content, base, key, judge, _generated(prepared), 'gan')
  assert model.choices['weight'] == chosen
  assert (model.params is base) == (chosen == 0)


def test_generated_interactions_change_the_model_but_no_history(fitted):
  space, prepared, content, base, key = fitted
  model = recommend.fit_row(space, prepared, content, base, key, recommend.judge_of(space, prepared),
                            _generated(prepared), 'some')
  assert model.score is closed_form.score and model.choices['weight'] in space.config.expand.weights
  np.testing.assert_array_equal(model.params.items, base.items)
  assert np.abs(model.params.item_item - base.item_item).max() > 0


@pytest.mark.parametrize('alone', [True, False])
def test_a_network_recommends_alone_or_blended(fitted, alone):
  space, prepared, content, base, key = fitted
  config = worlds.config(recommender={**space.config.recommender.to_dict(), 'kind': 'mlp', 'alone': alone})
  space = dataclasses.replace(space, config=config)
  model = recommend.fit_row(space, prepared, content, base, key, recommend.judge_of(space, prepared))
  assert model.score is (recommend.NETWORK if alone else blend.score)
  assert np.isfinite(np.asarray(model.score(model.params, jnp.arange(5)))).all()
  assert model.choices['network']['steps'] == 6


@pytest.mark.parametrize(('kind', 'ordered'), [('random', False), ('temporal', True), ('leave_one_out', True)])
def test_networks_read_histories_in_order_where_the_split_goes_by_time(kind, ordered):
  found = recommend.network(worlds.config(recommender={'kind': 'gru'}, split={'kind': kind}))
  assert found.ordered == ordered and found.kind == 'gru'


def test_calibration_is_that_of_validation(fitted):
  space, prepared, _, base, _ = fitted
  judge = recommend.judge_of(space, prepared)
  calibrated, chosen = recommend.for_all(prepared, recommend.Model(closed_form.score, base, {}), judge)
  assert judge(blend.score_calibrated, calibrated, 'all') == pytest.approx(chosen['valid'])
  never = calibrated.replace(factor=jnp.float32(0), offset=jnp.float32(-jnp.inf))
  assert judge(blend.score_calibrated, never, 'all') == pytest.approx(chosen['tried']['never_value'])
  plain = calibrated.replace(factor=jnp.float32(1), offset=jnp.float32(0))
  assert judge(blend.score_calibrated, plain, 'all') == pytest.approx(chosen['tried']['as_it_is_value'])
