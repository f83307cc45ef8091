"""The sample worlds: the same bits, and logs as hard and as different as life has them."""

import dataclasses
import hashlib
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ganrec_jax.data import sample, splits
from ganrec_jax.data.sample import WorldConfig, make_world
from ganrec_jax.data.worlds import DOMAINS
from ganrec_jax.errors import ConfigError

SMALL = WorldConfig(users=200, items=150, events=4000)
ARRAYS = ('attributes', 'content', 'vectors', 'exposure', 'release', 'tastes', 'interest_weights', 'active', 'activity')


def _sha256(world):
  digest = hashlib.sha256(world.dataset.sha256().encode())
  for name in ARRAYS:
    digest.update(getattr(world, name).tobytes())
  everyone = np.arange(world.config.users)
  digest.update(sample.affinity(world, everyone).tobytes())
  digest.update(sample.log_probability(world, everyone).tobytes())
  return digest.hexdigest()


def test_the_music_world_is_the_one_of_the_results_that_are_stated(world, small):
  assert small.dataset.sha256() == '0add05d2d4d11e58783b9c975466331f04c0cebd39cc08ae18b59cbd816115f7'
  assert world.dataset.sha256() == '1afd30a8c577ce27520335d70f49806389c67cbc7237313f3ec020b78b968d16'


def test_same_config_same_bits_whatever_the_threads(small):
  assert _sha256(make_world(SMALL)) == _sha256(small)
  assert _sha256(make_world(dataclasses.replace(SMALL, seed=1))) != _sha256(small)
  assert len({make_world(dataclasses.replace(SMALL, domain=domain)).dataset.sha256() for domain in DOMAINS}) == 5
  root = pathlib.Path(__file__).parents[2]
  code = ('from tests.data.test_sample import _sha256, make_world, SMALL; print(_sha256(make_world(SMALL)))')
  for threads in ('1', '7'):
    env = os.environ | {f'{name}_NUM_THREADS': threads for name in ('OMP', 'OPENBLAS', 'MKL')}
    out = subprocess.run([sys.executable, '-c', code], env=env, cwd=root, capture_output=True, text=True, check=True)
    assert out.stdout.strip() == _sha256(small)


@pytest.mark.parametrize('field, value, allowed', [
  ('users', 1, '20 to 100,000'), ('users', 0, '20'), ('users', 200.0, 'whole number'), ('users', True, 'whole'),
  ('items', 39, '40 to 20,000'), ('seed', -1, '0 to'), ('events', 999, '1,000 to 6,000'), ('events', 6001, '6,000'),
  ('content', 1.1, '0 to 1'), ('content', float('nan'), '0 to 1'), ('drift', -.1, '0 to 1'), ('drift', '1', 'number'),
  ('newcomers', .41, '0 to 0.4'), ('releases', .51, '0 to 0.5'),
  ('domain', 'film', 'music, video, ecommerce, news, games')])
def test_config_names_field_value_and_what_is_allowed(field, value, allowed):
  with pytest.raises(ConfigError) as error:
    dataclasses.replace(SMALL, **{field: value})
  assert f'{field}={value!r}' in str(error.value)
  assert allowed in str(error.value)


def test_a_small_catalogue_cannot_hold_too_many_events():
  with pytest.raises(ConfigError, match='events=30000, allowed is a whole number from 1,000 to 6,000'):
    WorldConfig(users=200, items=150)


def test_where_items_die_more_of_them_must_come():
  news = dataclasses.replace(SMALL, domain='news')
  for field, value, allowed in (('items', 119, '120 to 20,000'), ('events', 4286, '1,000 to 4,285'),
                                ('releases', .5, '0.8 to 0.95')):
    with pytest.raises(ConfigError, match=f'{field}={value}, allowed is .* from {allowed}'):
      dataclasses.replace(news, **{field: value})


@pytest.mark.parametrize('domain', DOMAINS)
@settings(deadline=None, max_examples=8)
@example(users=20, items=95, fill=1., seed=0, releases=0., content=0., drift=0., newcomers=.4)
@given(users=st.integers(20, 60), items=st.integers(40, 120), fill=st.floats(0, 1), content=st.floats(0, 1),
       drift=st.floats(0, 1), newcomers=st.floats(0, .4), releases=st.floats(0, .5), seed=st.integers(0, 2**32 - 1))
def test_every_allowed_config_makes_a_sound_world(domain, users, items, fill, seed, releases, **shares):
  mortal = domain == 'news'
  items, releases, densest = (items + 80, .8 + .3 * releases, 7) if mortal else (items, releases, 5)
  events = round(5 * users + fill * (users * items // densest - 5 * users))
  world = make_world(WorldConfig(domain, users, items, events, seed, releases=releases, **shares))
  log = world.dataset.interactions
  assert abs(len(log) - events) <= .1 * events
  np.testing.assert_array_equal(np.bincount(log.user, minlength=users), world.activity)
  assert world.activity.min() >= 2
  assert np.isfinite(world.vectors).all() and np.isfinite(world.tastes).all()
  assert np.isfinite(sample.affinity(world, np.arange(users))).any(1).all()
  for least in (0, 3):
    scores = sample.log_probability(world, np.arange(users), least=least)
    assert np.isfinite(scores).all() and scores.max() <= 0
    # Where hardly more items are alive than people want, less comes of it than the formula expects.
    np.testing.assert_allclose(np.exp(scores.astype(float)).sum(1) / world.activity, 1 if least == 0 else .5,
                               atol=.5 if least else .15 if mortal else 1e-3)


@pytest.mark.parametrize(('domain', 'first', 'verb'), [
  ('music', 'a0001', 'listened to'), ('video', 'v0001', 'watched'), ('ecommerce', 'p0001', 'bought'),
  ('news', 'n0001', 'read'), ('games', 'g0001', 'played')])
def test_ids_types_and_info(world_of, domain, first, verb):
  dataset = world_of(domain, 'default').dataset
  assert (dataset.users, dataset.items) == (1200, 900)
  assert abs(len(dataset.interactions) - 30_000) < 300
  assert dataset.catalogue.ids[0] == first and dataset.user_ids[-1] == 'u1200'
  assert dataset.info['name'] == f'sample {domain}' and dataset.info['simulated'] is True
  assert dataset.info['verb'] == verb and dataset.info['citation'].startswith('simulated by ganrec_jax; no real ')


@pytest.mark.parametrize('domain', DOMAINS)
def test_popularity_and_activity_are_power_laws(world_of, domain):
  log = world_of(domain, 'default').dataset.interactions
  for index, size, share in ((log.item, 900, .42), (log.user, 1200, .4)):
    counts = np.sort(np.bincount(index, minlength=size))[::-1]
    assert counts[:size // 5].sum() > share * len(log)
    # A Gini of zero is an even spread, and half is a triangle's.
    gini = 1 - 2 * (np.cumsum(counts[::-1]) / len(log)).mean() + 1 / size
    assert .33 < gini < .8
    ranks = np.arange(10, size // 4)
    slope = np.polyfit(np.log(ranks), np.log(counts[ranks]), 1)[0]
    assert -1.2 < slope < -.25


@pytest.mark.parametrize('domain', DOMAINS)
def test_newcomers_come_late_with_few_events(world_of, domain):
  world = world_of(domain, 'default')
  temperament, log = world.temperament, world.dataset.interactions
  late = temperament.periods - temperament.periods // 6
  newcomer = world.activity < 5
  assert newcomer.sum() == round(1200 * temperament.newcomers)
  assert world.activity[newcomer].min() == 2
  assert (world.active[newcomer, 0] >= late).all()
  assert log.time[newcomer[log.user]].min() >= sample.START + late * temperament.period_seconds


@pytest.mark.parametrize('domain', DOMAINS)
def test_nothing_is_taken_before_its_release_after_its_death_or_by_somebody_absent(world_of, domain):
  world = world_of(domain, 'default')
  log = world.dataset.interactions
  period = (log.time - sample.START) // world.temperament.period_seconds
  assert (period >= world.release[log.item]).all()
  assert (period < (world.release + world.life)[log.item]).all()
  assert (period >= world.active[log.user, 0]).all() and (period < world.active[log.user, 1]).all()
  assert (np.diff(log.time) >= 0).all()
  days = (log.time[-1] - log.time[0]) / 86400
  assert 23 < days < 24 if domain == 'news' else 690 < days < 770


def test_late_releases_are_heard_by_few(world):
  heard = np.bincount(world.dataset.interactions.item, minlength=900)
  late = world.release >= 10
  assert late.sum() > 20
  assert np.median(heard[late]) <= 5 and heard[late].mean() < .25 * heard[world.release == 0].mean()


def test_articles_die_within_days_and_what_is_read_after_a_cut_in_time_is_new(world_of):
  world = world_of('news', 'default')
  log = world.dataset.interactions
  assert 3 <= np.median(world.life) <= 4 and np.quantile(world.life, .95) <= 7
  age = (log.time - sample.START) / 86400 - world.release[log.item]
  assert (age < 3).mean() > .75 and np.quantile(age, .99) < 6
  split = splits.make_split(log, 1200, 900, kind='temporal', cold_items=0., seed=0)
  assert len(split.rows('cold_test')) > 5 * len(split.rows('test')) > 0


@pytest.mark.parametrize(('domain', 'whole'), [('music', 1), ('ecommerce', 1), ('video', 2), ('games', 10)])
def test_values_are_of_their_kind_and_tell_fondness(world_of, domain, whole):
  world = world_of(domain, 'default')
  log = world.dataset.interactions
  steps = log.value.astype(float) * whole
  np.testing.assert_allclose(steps, np.round(steps), rtol=1e-6)
  fond = sample.log_probability(world, np.arange(1200)) - world.exposure
  assert np.corrcoef(np.log(log.value), fond[log.user, log.item])[0, 1] > .1


def test_values_differ_by_domain(world_of):
  value = {domain: world_of(domain, 'default').dataset.interactions.value for domain in DOMAINS}
  assert value['music'].min() == 1 and 2 < value['music'].mean() < 10
  assert (value['news'] == 1).mean() > .9
  assert .6 < (value['ecommerce'] == 1).mean() < .8 and (value['ecommerce'] >= 5).mean() > .01
  np.testing.assert_array_equal(np.unique(value['video']), np.arange(1, 11) / 2)
  assert .45 < (value['video'] >= 3.5).mean() < .65
  assert value['games'].max() > 200 * np.median(value['games'])
  assert (value['games'] != np.round(value['games'])).mean() > .7


@pytest.mark.parametrize(('domain', 'key', 'other'), [('ecommerce', 'price', 'origin'), ('games', 'platform', 'mode')])
def test_a_person_has_one_budget_and_one_platform_in_all_interests(world_of, domain, key, other):
  """What is personal is more alike within a person's items than what is not, for those with several interests."""
  world = world_of(domain, 'default')
  log, attributes = world.dataset.interactions, DOMAINS[domain].vocabulary.attributes
  columns = np.cumsum([0] + [len(a.weights) for a in attributes])
  several = ((world.interest_weights > .2).sum(1) > 1)[log.user]
  alike = {}
  for column, attribute in zip(columns, attributes, strict=False):
    counts = np.zeros((1200, len(attribute.values)))
    np.add.at(counts, (log.user[several], world.attributes[log.item[several], column]), 1)
    counts = counts[counts.sum(1) >= 10]
    share = ((counts ** 2).sum(1) - counts.sum(1)) / (counts.sum(1) * (counts.sum(1) - 1))
    overall = counts.sum(0) / counts.sum()
    alike[attribute.key] = share.mean() / (overall ** 2).sum()
  assert alike[key] > 1.2 and alike[key] - 1 > 1.5 * (alike[other] - 1)


@pytest.mark.parametrize('content', [.45, .65])
def test_content_explains_its_share_of_the_vectors(content):
  world = make_world(dataclasses.replace(SMALL, items=900, content=content))
  spread = ((world.vectors - world.vectors.mean(0)) ** 2).sum()
  explained = 1 - ((world.vectors - world.content) ** 2).sum() / spread
  assert abs(explained - content) < .05
  assert .3 < explained < .8


@pytest.mark.parametrize('domain', DOMAINS)
def test_tastes_drift(world_of, domain):
  """What is taken late fits the later tastes better than what was taken early does, in video most."""
  world, everyone = world_of(domain, 'default'), np.arange(1200)
  log, periods = world.dataset.interactions, world.temperament.periods
  change = sample.taste(world, everyone, periods - 1) - sample.taste(world, everyone, 0)
  change = (change - change.mean(1, keepdims=True))[log.user, log.item]
  middle = sample.START + periods * world.temperament.period_seconds / 2
  gain = change[log.time > middle].mean() - change[log.time <= middle].mean()
  least = {'music': .3, 'video': .8, 'ecommerce': .15, 'news': .02, 'games': .1}
  assert gain > least[domain]


def test_a_world_without_drift_stands_still():
  still = make_world(dataclasses.replace(SMALL, drift=0))
  np.testing.assert_array_equal(sample.taste(still, np.arange(9), 0), sample.taste(still, np.arange(9), 11))
