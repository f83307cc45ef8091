"""Expansion and controls: who gets what, how often, what is dropped, and what is written."""

import gzip

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ganrec_jax.adversarial import controls, expand
from ganrec_jax.adversarial.step import AdversarialConfig, init_state
from ganrec_jax.adversarial.train import GanParams
from ganrec_jax.data.ragged import group
from ganrec_jax.errors import ConfigError, DataError

USERS, ITEMS, WARM, KNOWN = 14, 30, 24, 11  # users from KNOWN on are cold
WIDTH, TEXT = 4, 6


def _world():
  rng = np.random.default_rng(0)
  train = rng.random((USERS, ITEMS)) < .3
  train[:, WARM:] = train[KNOWN:] = False
  user, item = np.nonzero(train)
  factors = [rng.normal(size=(n, w)).astype(np.float32) for n, w in ((USERS, WIDTH), (ITEMS, WIDTH), (ITEMS, TEXT))]
  return train, expand.ExpandData(group(user, item, USERS), np.arange(KNOWN), np.arange(ITEMS) >= WARM, *factors,
                                  rng.normal(size=(USERS, 2, TEXT)).astype(np.float32))


def _params(config, limit=np.inf):
  tokens = (2, TEXT) if config.design == 'interaction' else (1, TEXT)
  state = init_state(config, WIDTH, tokens, (TEXT,), jax.random.key(0))
  return GanParams(state.generator, state.discriminator, jnp.zeros(WIDTH), jnp.float32(1), jnp.eye(WIDTH),
                   jnp.float32(limit))


def _config(design):
  return AdversarialConfig(design=design, samples=2 if design == 'interaction' else 1, dim=8, layers=1, heads=2,
                           noise=4)


@pytest.mark.parametrize('design', ['embedding', 'interaction'])
def test_fakes_are_new_pairs_of_warm_users(design):
  train, data = _world()
  found = expand.generate(_params(_config(design)), data, _config(design), expand.ExpandConfig(batch=4, per_user=9),
                          jax.random.key(0))
  assert len(found) > 20
  assert not train[found.user, found.item].any() and found.user.max() < KNOWN
  assert data.cold[found.item].any() and not data.cold[found.item].all()
  assert len(set(zip(found.user.tolist(), found.item.tolist(), strict=True))) == len(found)
  assert (found.weight == np.float32(.1)).all() and ((found.realness >= 0) & (found.realness <= 1)).all()
  counts = found.counts
  assert counts['asked'] == 9 * KNOWN and counts['kept'] == len(found) == counts['asked'] - sum(
    counts[name] for name in ('exhausted', 'outliers', 'unreal', 'repeated'))


def test_cold_share_is_met_at_its_ends():
  _, data = _world()
  config = _config('embedding')
  for share, cold in ((0., False), (1., True)):
    how = expand.ExpandConfig(cold_share=share, per_user=5, quantile=0.)
    found = expand.generate(_params(config), data, config, how, jax.random.key(0))
    assert (data.cold[found.item] == cold).all() and len(found) == 5 * KNOWN
  found = expand.generate(_params(config), data, config, expand.ExpandConfig(cold_share=1., per_user=8),
                          jax.random.key(0))
  assert found.counts['exhausted'] >= 2 * KNOWN  # there are six cold items


def test_outliers_and_unreal_fakes_are_dropped_with_a_count():
  _, data = _world()
  config, draws = _config('embedding'), expand.ExpandConfig(per_user=5, quantile=.4)
  found = expand.generate(_params(config, limit=0.), data, config, draws, jax.random.key(0))
  assert len(found) == 0 and found.counts['outliers'] == 5 * KNOWN
  everything = expand.generate(_params(config), data, config, expand.ExpandConfig(per_user=5, quantile=0.),
                               jax.random.key(0))
  assert everything.counts['unreal'] == 0 and len(everything) == 5 * KNOWN
  found = expand.generate(_params(config), data, config, draws, jax.random.key(0))
  for cold in (False, True):
    mine, whole = (g.realness[data.cold[g.item] == cold] for g in (found, everything))
    assert len(mine) == len(whole) - round(.4 * len(whole))
    np.testing.assert_array_equal(np.sort(mine), np.sort(whole)[-len(mine):])
  unjudged = AdversarialConfig(**vars(config) | {'adversarial_weight': 0., 'penalty': 'none'})
  assert expand.generate(_params(config), data, unjudged, draws, jax.random.key(0)).counts['unreal'] == 0


def test_a_diverged_run_generates_nothing():
  _, data = _world()
  found = expand.generate(None, data, _config('embedding'), expand.ExpandConfig(), jax.random.key(0))
  assert len(found) == 0 and found.counts['kept'] == 0


@settings(deadline=None, max_examples=12)
@given(seed=st.integers(0, 2**16), slots=st.sampled_from([1, 4, 7]))
def test_drawn_items_are_distinct_candidates_of_the_wanted_kind(seed, slots):
  rng = np.random.default_rng(seed)
  cold = np.arange(6) >= rng.integers(0, 7)
  logits = np.where(rng.random((3, 6)) < .3, -np.inf, rng.normal(size=(3, 6))).astype(np.float32)
  wanted = rng.random((3, slots)) < .5
  items, there = map(np.asarray, expand.draw(jax.random.key(seed), jnp.asarray(logits), jnp.asarray(cold), wanted))
  for row in range(3):
    chosen = items[row][there[row]]
    assert len(set(chosen)) == len(chosen) and np.isfinite(logits[row][chosen]).all()
    assert (cold[chosen] == wanted[row][there[row]]).all()
    for kind in (False, True):
      candidates = (np.isfinite(logits[row]) & (cold == kind)).sum()
      assert (there[row] & (wanted[row] == kind)).sum() == min(candidates, (wanted[row] == kind).sum())


def test_draws_follow_the_softmax():
  logits = np.log(np.array([.1, .2, .3, .4], np.float32))
  wanted = np.zeros((20000, 1), bool)
  items, _ = expand.draw(jax.random.key(0), jnp.tile(logits, (20000, 1)), jnp.zeros(4, bool), wanted)
  np.testing.assert_allclose(np.bincount(np.asarray(items)[:, 0]) / 20000, [.1, .2, .3, .4], atol=.015)


@pytest.mark.parametrize('name', ['random_pairs', 'popular_pairs', 'content_knn_pairs', 'self_labelled'])
def test_controls_meet_the_budget(name):
  train, data = _world()
  budget = expand.generate(_params(_config('embedding')), data, _config('embedding'),
                           expand.ExpandConfig(per_user=5, weight=.25), jax.random.key(0))
  more = ()
  if name == 'self_labelled':
    more = (lambda params, users: params[users], jnp.asarray(np.random.default_rng(1).normal(size=(USERS, ITEMS))))
  found = getattr(controls, name)(budget, data, jax.random.key(1), *more)
  assert found.counts['exhausted'] == 0
  for cold in (False, True):
    np.testing.assert_array_equal(*(np.bincount(g.user[data.cold[g.item] == cold], minlength=USERS)
                                    for g in (found, budget)))
  assert not train[found.user, found.item].any() and (found.weight == .25).all() and set(found.source) == {name}
  assert len(set(zip(found.user.tolist(), found.item.tolist(), strict=True))) == len(found)


def test_sampling_is_a_function_of_the_key():
  _, data = _world()
  config, draws = _config('embedding'), expand.ExpandConfig()
  a, b, c = (expand.generate(_params(config), data, config, draws, jax.random.key(k)) for k in (0, 0, 1))
  np.testing.assert_array_equal(a.item, b.item)
  assert len(a) != len(c) or (a.item != c.item).any()


def _ids():
  return np.array([f'u{i}' for i in range(USERS)]), np.array([f'i,"{i}' for i in range(ITEMS)])


def test_rows_are_joined_with_their_own_weights():
  _, data = _world()
  config = _config('embedding')
  gan = expand.generate(_params(config), data, config, expand.ExpandConfig(), jax.random.key(0))
  rows = {'random_pairs': controls.random_pairs(gan, data, jax.random.key(0)), 'gan': gan}
  both = expand.joined(rows, {'gan': .3, 'random_pairs': .01})
  assert len(both) == 2 * len(gan) and set(both.source) == {'gan', 'random_pairs'}
  assert (both.weight == np.where(both.source == 'gan', np.float32(.3), np.float32(.01))).all()
  np.testing.assert_array_equal(both.item[both.source == 'gan'], gan.item)


def test_written_and_read_again(tmp_path):
  _, data = _world()
  found = expand.generate(_params(_config('embedding')), data, _config('embedding'), expand.ExpandConfig(),
                          jax.random.key(0))
  paths = [tmp_path / name for name in ('a.csv.gz', 'b.csv.gz')]
  for path in paths:
    expand.write(path, found, *_ids())
  assert paths[0].read_bytes() == paths[1].read_bytes() and len(list(tmp_path.iterdir())) == 2
  again = expand.read(paths[0], *_ids())
  for name in ('user', 'item', 'weight', 'source', 'realness'):
    np.testing.assert_array_equal(getattr(again, name), getattr(found, name))
  control = controls.random_pairs(found, data, jax.random.key(0))
  expand.write(paths[0], control, *_ids())
  assert np.isnan(expand.read(paths[0], *_ids()).realness).all()


@pytest.mark.parametrize(('line', 'message'), [
  ('u0,nobody,.1,gan,.5', 'row 1, column item_id.*nobody'), ('u0,x', 'row 1: 2 columns'),
  ('u0,"i,""1",-1,gan,.5', 'column weight'), ('u0,"i,""1",nan,gan,.5', 'column weight'),
  ('u0,"i,""1",a,gan,.5', 'not a number'), ('u0,"i,""1",1,gan,7', 'column realness')])
def test_damaged_rows_are_named(tmp_path, line, message):
  path = tmp_path / 'generated.csv.gz'
  path.write_bytes(gzip.compress((','.join(expand.COLUMNS) + '\n' + line + '\n').encode()))
  with pytest.raises(DataError, match=message):
    expand.read(path, *_ids())


def test_damaged_files_are_named(tmp_path):
  path = tmp_path / 'generated.csv.gz'
  with pytest.raises(DataError, match='cannot be read'):
    expand.read(path, *_ids())
  path.write_bytes(gzip.compress(b'a,b\n'))
  with pytest.raises(DataError, match='columns'):
    expand.read(path, *_ids())
  path.write_bytes(gzip.compress((','.join(expand.COLUMNS) + '\n').encode())[:-9])
  with pytest.raises(DataError, match='cannot be read'):
    expand.read(path, *_ids())


@pytest.mark.parametrize(('field', 'value'), [('per_user', 0), ('weight', 0.), ('weight', float('inf')),
                                              ('temperature', 0.), ('cold_share', 1.1), ('quantile', 1.)])
def test_values_out_of_range_are_refused(field, value):
  with pytest.raises(ConfigError):
    expand.ExpandConfig(**{field: value})
