"""How offers enter the model: budgets are met, vanishing weights change nothing, verdicts tell a collapse."""

import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.court import case as court
from experiments.court import controls, gans, profiles
from experiments.court.rows import ROWS
from ganrec_jax.adversarial import expand
from ganrec_jax.data.ragged import take
from ganrec_jax.models import closed_form
from tests.experiments.court import cases


def _counts(case, made):
  """Warm and cold pairs of each user, `[2, users]`."""
  out = np.zeros((2, len(case.data.histories)), int)
  np.add.at(out, (case.data.cold[made.item].astype(int), made.user), 1)
  return out


def _scores(params):
  return np.asarray(closed_form.score(params, jnp.arange(60)))


def test_pairs_of_every_rule_meet_the_budget():
  case = cases.small()
  due = _counts(case, case.budget)
  assert due[1].sum() > 0 and due[0].sum() > 0
  vectors = jax.random.normal(jax.random.key(1), (3, 40, 4))
  for rule in ('random_pairs', 'popular_pairs', 'content_knn_pairs'):
    made = getattr(controls.controls, rule)(case.budget, case.data, jax.random.key(0))
    np.testing.assert_array_less(_counts(case, made), due + 1)
  made = court.drawn(case, vectors, jax.random.key(0))
  seen = {(user, item) for user in range(60) for item in case.data.histories.row(user)}
  assert not seen & set(zip(made.user.tolist(), made.item.tolist(), strict=True))
  # Users with few candidates left get fewer, nobody gets more.
  counts = _counts(case, made)
  assert (counts <= due).all() and len(made) > .9 * len(case.budget)


def test_what_is_over_the_budget_is_cut_at_random():
  case = cases.small()
  user, item = np.divmod(np.arange(60 * 40), 40)
  made = expand.made(user, item, .1, 'all', np.full(len(user), np.nan), {})
  kept = court.within_budget(case, made, jax.random.key(0))
  np.testing.assert_array_equal(_counts(case, kept), np.minimum(_counts(case, case.budget), _counts(case, made)))
  other = court.within_budget(case, made, jax.random.key(1))
  assert (np.sort(kept.item) != np.sort(other.item)).any()


@pytest.mark.parametrize('row', ['random pairs', 'ranking alone', 'network alone'])
def test_an_offer_of_next_to_no_weight_changes_nothing(row):
  case = cases.small()
  offer = ROWS[row].fit(case, 0)
  base = _scores(case.base)
  np.testing.assert_allclose(_scores(offer.at(1e-6)), base, atol=2e-3)
  assert np.abs(_scores(offer.at(.3)) - base).max() > 1e-3


def test_generated_users_count_by_their_weight():
  case = cases.small()
  offer = court.of_users(case, take(case.data.histories, np.arange(60)[case.data.histories.lengths > 0]))
  light, heavy = (np.abs(_scores(offer.at(weight)) - _scores(case.base)).mean() for weight in (.01, 3.))
  assert 0 < light < heavy and offer.report['way'] == 'users'


def test_a_row_that_reaches_few_items_has_collapsed():
  case = cases.small()
  user = case.data.users
  one = expand.made(user, np.full(len(user), case.warm[0]), 1., 'one', np.full(len(user), np.nan), {})
  assert court.of_pairs(case, one, 'one').report['status'] == 'collapsed'
  assert ROWS['random pairs'].fit(case, 0).report['status'] == 'converged'
  same = jnp.broadcast_to(case.base.factors.items[0], case.base.factors.items.shape)
  due = court.of_vectors(case, case.base.factors.items).report
  assert due['status'] == 'converged' and court.of_vectors(case, same).report['reached'] == 1


def test_a_diverged_row_is_the_base_model_and_says_so(monkeypatch):
  case = cases.small()
  monkeypatch.setattr(gans.train, 'train', lambda *args: (None, {'status': 'diverged', 'reason': 'loss is nan'}))
  gans.sampled.cache_clear()
  offer = gans.embedding(case, 0, 'hinge')
  assert offer.report['status'] == 'diverged' and offer.at(.3) is case.base
  gans.sampled.cache_clear()


def test_validation_may_choose_nothing(monkeypatch):
  case = types.SimpleNamespace(judge=None, base=0., quick=False)
  worth = {0.: 0., .03: -1., .1: -.5, .3: -2.}
  monkeypatch.setattr(court.tune, 'value', lambda judge, model: worth[model])
  offer = court.Offer(lambda weight: weight, {})
  assert court.decide(case, offer) == (0., 0., .3, worth)
  worth[.1] = .5
  assert court.decide(case, offer)[:3] == (.1, .1, .3)


def test_noise_on_texts_grows_with_its_size_and_is_none_at_none():
  case = cases.small()
  none, small, large = map(controls.noisy_texts(case, jax.random.key(0)), (0., .1, 1.))
  np.testing.assert_allclose(none, jnp.broadcast_to(case.prior, none.shape), atol=1e-5)
  assert 0 < controls.spread(small) < controls.spread(large)


def test_noise_of_matched_size_moves_new_items_alone_and_no_further_than_the_generator(monkeypatch):
  case = cases.small()
  fakes = case.prior + .002 * jax.random.normal(jax.random.key(0), (8, *case.prior.shape))
  monkeypatch.setattr(controls.gans, 'sampled', lambda *args: (fakes, {}))
  offer = controls.text_noise(case, 0, 'vectors')
  assert offer.report['spread'] == pytest.approx(controls.spread(fakes), rel=.02)
  moved = np.abs(np.asarray(offer.at(1.).factors.items - case.base.factors.items)).max(1)
  told = np.abs(case.problem.whitened).sum(1) > 0
  assert not moved[case.warm].any() and moved[case.data.cold & told].all()
  monkeypatch.setattr(controls.gans, 'sampled', lambda *args: (None, {'status': 'diverged', 'reason': 'loss is nan'}))
  assert controls.text_noise(case, 0, 'interactions').report['status'] == 'diverged'


def test_noise_on_vectors_has_the_covariance_of_what_texts_leave_open():
  case = cases.small()
  left = np.asarray(case.factors - case.prior[case.warm])
  report = controls.vector_noise(case, 0).report
  assert report['spread'] == pytest.approx(np.sqrt((left ** 2).sum(1).mean()), rel=.15)


def test_cold_items_do_not_change_the_scale_of_purchase_vectors():
  case = cases.small()
  found = profiles.autoencoders.training.factors(
    case.problem, jax.random.normal(jax.random.key(0), (60, 3)), jax.random.normal(jax.random.key(1), (
      len(case.warm), 3)), jnp.arange(len(case.warm)) / 9)
  users, items = profiles.in_one(case, found)
  scores = np.asarray(users @ items.T)
  np.testing.assert_allclose(scores[:, case.warm], profiles.autoencoders.training.score(found, jnp.arange(60))[
    :, case.warm], rtol=1e-4, atol=1e-5)
  np.testing.assert_allclose(scores[:, case.data.cold], np.broadcast_to(
    scores[:, case.warm].mean(1, keepdims=True), (60, case.data.cold.sum())), rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize('row', [
  'IRGAN', 'domain-adversarial',
  *(pytest.param(row, marks=pytest.mark.slow) for row in (
    'conditional VAE', 'adversarial autoencoder', 'policy alone', 'specification', 'noise on vectors', 'noise on texts',
    'CFGAN', 'MultVAE purchases', 'Wasserstein, gradient penalty', 'interaction generator', 'residual, relativistic',
    'adversarial ranking (APR)', 'virtual adversarial', 'profile GAN'))])
def test_every_row_makes_an_offer(row):
  case = cases.small()
  offer = ROWS[row].fit(case, 0)
  assert offer.report['status'] in ('converged', 'collapsed') and np.isfinite(_scores(offer.at(.3))).all()
  again = ROWS[row].fit(case, 1)
  assert np.abs(_scores(offer.at(.3)) - _scores(again.at(.3))).max() > 0


def test_every_design_names_a_control_that_enters_in_the_same_way():
  designs = [row for row in ROWS.values() if row.control]
  assert len(designs) >= 15 and all(not ROWS[row.control].control for row in designs)
