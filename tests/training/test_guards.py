"""Faults put into a game of two players: each is named, each policy does as it says, a kill changes no bit of it."""

import functools
import json

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from absl import logging
from hypothesis import given, settings
from hypothesis import strategies as st

from ganrec_jax.errors import ConfigError, UserError
from ganrec_jax.training import guards, interrupt, loop
from ganrec_jax.training.guards import Guards, Watch
from ganrec_jax.training.logs import Metrics, read
from ganrec_jax.training.update import gradient_update, slowable, slower

OPTIMIZER = slowable(optax.adam(1e-2))
INPUTS = np.random.default_rng(0).standard_normal((40, 3)).astype(np.float32)
AT = 33  # the step of the fault
# What a fault multiplies D's and G's losses with, whether it lasts, D's accuracy, the distinct items at a look.
FAULTS = {
  'nan in D': ((np.nan, 1.), False, .7, 9.), 'nan in G': ((1., np.nan), False, .7, 9.),
  'infinite loss of D': ((np.inf, 1.), False, .7, 9.), 'explosion of G': ((1., 1e6), True, .7, 9.),
  'D has won': ((1., 1.), True, 1., 9.), 'collapse': ((1., 1.), True, .7, 1.)}
WORDS = {
  'nan in D': r'game, player D: d_\w+ is nan at step 33 \(steps 30 to 39\)',
  'nan in G': r'game, player G: g_\w+ is nan at step 33 \(steps 30 to 39\)',
  'infinite loss of D': r'game, player D: d_\w+ is (inf|nan) at step 33 \(steps 30 to 39\)',
  'explosion of G': r'game, player G: g_grad_norm exploded, its median is .* 100 times .* \(steps 30 to 39\)',
  'D has won': r'game: D has won: d_accuracy was 0.995 or more for 27 steps in a row, .* than 25 \(steps 50 to 59\)',
  'collapse': r'game: 1 distinct items, at 3 looks in a row \(the last one after step 59\)'}


def loss(params, batch, factor):
  return factor * jnp.mean(batch['weight'] * (batch['x'] @ params - 1) ** 2), {}


UPDATE = gradient_update(loss, OPTIMIZER)


def step(state, batch, axis=None):
  """A step of D and one of G, each alone; what is in `batch` of a fault comes from step AT on at too high a rate."""
  bad = (state['step'] >= AT) & (batch['lasts'] | (state['step'] == AT)) & (state['d'][1][-1].factor > batch['cured'])
  new, metrics = {'step': state['step'] + 1}, {'d_accuracy': jnp.where(bad, batch['accuracy'], .7)}
  for name, factor in zip('dg', batch['factors'], strict=True):
    params, opt, found = UPDATE(*state[name], batch, jnp.where(bad, factor, 1.), axis=axis)
    new[name] = params, opt
    metrics |= {f'{name}_{metric}': value for metric, value in found.items()}
  return new | {'distinct': jnp.where(bad, batch['distinct'], 9.)}, metrics


def sample(key, data):
  index = jax.random.randint(key, (5,), 0, len(data['x']))
  return data | {'x': data['x'][index], 'weight': jnp.ones(5)}


def look(kept):
  return -float(jnp.square(kept['g']).sum()), {'distinct': float(kept['distinct'])}


def play(fault, how=None, cured=.6, directory=None, steps=80, on_step=step):
  """Plays 80 steps with a fault that a rate of at most `cured` heals; returns what is kept and the summary."""
  factors, lasts, accuracy, distinct = FAULTS.get(fault, ((1., 1.), False, .7, 9.))
  data = {'x': INPUTS, 'factors': np.float32(factors), 'lasts': lasts, 'accuracy': np.float32(accuracy),
          'distinct': np.float32(distinct), 'cured': np.float32(cured)}
  params = jnp.zeros(3)
  state = {'step': jnp.int32(0), 'distinct': jnp.float32(9)} | {
    name: (params + place, OPTIMIZER.init(params)) for place, name in enumerate('dg')}
  metrics = Metrics(directory and str(directory))
  around = loop.Surroundings('game', (jax.devices()[0],), directory and str(directory / 'checkpoints'), metrics, 0.,
                             how or Guards('restart', window=25))
  watch = Watch((('d_', 'D'), ('g_', 'G')), ('d_accuracy', .995, 'D has won'),
                look=lambda found: '1 distinct items' * (found['distinct'] < 2))
  try:
    return loop.run(on_step, sample, state, data, jax.random.key(0), loop.Schedule(steps, 10), around,
                    lambda state: {'g': state['g'][0], 'rate': state['g'][1][-1].factor, 'distinct': state['distinct']},
                    look, watch)
  finally:
    metrics.close()


@pytest.mark.parametrize('fault', FAULTS)
def test_a_fault_stops_and_names_player_metric_and_steps(fault, tmp_path):
  with pytest.raises(loop.Diverged, match=f'^{WORDS[fault]}$') as stopped:
    play(fault, Guards('stop', window=25), directory=tmp_path)
  assert stopped.value.status == ('collapsed' if fault in ('D has won', 'collapse') else 'diverged')
  assert isinstance(stopped.value, UserError)
  # No state that is known to be bad was saved.
  saved = max(int(path.name) for path in (tmp_path / 'checkpoints').iterdir())
  assert saved == read(tmp_path / 'metrics.jsonl')[-1]['step'] == (50 if stopped.value.status == 'collapsed' else 30)


@pytest.mark.parametrize('fault', FAULTS)
def test_a_restart_heals_and_is_counted(fault, tmp_path, monkeypatch):
  said = []
  monkeypatch.setattr(logging, 'warning', lambda message, *args: said.append(message % args))
  kept, summary = play(fault, directory=tmp_path)
  # D's win is suspicious from step 50 on, where it has lasted 17 steps; a collapse from its first look on.
  start = {'D has won': 40, 'collapse': 30}.get(fault, 30)
  assert summary['restarts'] == 1 and summary['steps'] == 80 and kept['rate'] == .5
  assert len(said) == 1 and f'restart 1 of at most 2, from step {start} with 0.5 times the learning rate' in said[0]
  record, = read(tmp_path / 'restarts.jsonl')
  assert (record['stage'], record['step'], record['restart']) == ('game', start, 1)
  assert said[0].startswith(record['fault'])
  assert [line['step'] for line in read(tmp_path / 'metrics.jsonl')] == list(range(10, 90, 10))
  # Before the fault all is as without it.
  np.testing.assert_array_equal(play('none', steps=start)[0]['g'], play(fault, steps=start)[0]['g'])


@pytest.mark.parametrize('fault', ['nan in G', 'D has won', 'collapse'])
def test_a_kill_around_a_restart_changes_no_bit(fault, tmp_path, monkeypatch):
  (tmp_path / 'whole').mkdir()
  whole, summary = play(fault, directory=tmp_path / 'whole')
  looked = interrupt.check
  for number in (3, 5, 6):  # looks after which the run is stopped, before and after the restart
    folder, count = tmp_path / str(number), iter(range(1, 99))
    folder.mkdir()

    def stop(save, count=count, number=number):
      if next(count) == number:
        save()
        raise interrupt.Interrupted(15)
    monkeypatch.setattr(interrupt, 'check', stop)
    with pytest.raises(interrupt.Interrupted):
      play(fault, directory=folder)
    monkeypatch.setattr(interrupt, 'check', looked)
    resumed, found = play(fault, directory=folder)
    assert found == summary and summary['restarts'] == 1
    jax.tree.map(np.testing.assert_array_equal, resumed, whole)
    assert (folder / 'metrics.jsonl').read_bytes() == (tmp_path / 'whole' / 'metrics.jsonl').read_bytes()
    healed = [[line for line in read(path / 'restarts.jsonl') if 'restart' in line]
              for path in (folder, tmp_path / 'whole')]
    assert healed[0] == healed[1]


def test_restarts_are_used_up_and_the_fault_stops_after_all(tmp_path):
  with pytest.raises(loop.Diverged, match=WORDS['nan in G']):
    play('nan in G', cured=0., directory=tmp_path)
  assert [line['restart'] for line in read(tmp_path / 'restarts.jsonl')] == [1, 2]
  with pytest.raises(loop.Diverged):
    play('nan in G', Guards('restart', restarts=0))
  kept, summary = play('nan in G', cured=.3)
  assert summary['restarts'] == 2 and kept['rate'] == .25


@pytest.mark.parametrize('fault', ['explosion of G', 'D has won', 'collapse'])
def test_a_run_goes_on_in_spite_of_a_fault_and_says_so(fault, monkeypatch):
  said = []
  monkeypatch.setattr(logging, 'warning', lambda message, *args: said.append(message % args))
  _, summary = play(fault, Guards('go_on', window=25))
  assert summary['steps'] == 80 and summary['restarts'] == 0
  assert said and all(line.endswith('; it goes on all the same') for line in said)


def test_nothing_goes_on_from_numbers_that_are_not_finite():
  with pytest.raises(loop.Diverged, match=WORDS['nan in D']):
    play('nan in D', Guards('go_on'))


def test_a_state_that_is_not_finite_is_named_where_its_metrics_are():
  def late(state, batch, axis=None):
    state, metrics = step(state, batch, axis)
    params, opt = state['g']
    return state | {'g': (jnp.where(state['step'] == 40, jnp.nan, params), opt)}, metrics
  with pytest.raises(loop.Diverged, match=r"game: \['g'\]\[0\] is not finite after step 39 \(steps 30 to 39\)"):
    play('none', Guards('stop'), on_step=late)


def test_a_healthy_game_is_the_same_under_every_policy():
  first, *others = [play('none', Guards(policy, window=25))[0] for policy in guards.POLICIES]
  for other in others:
    jax.tree.map(np.testing.assert_array_equal, first, other)


def test_a_slower_optimizer_takes_smaller_steps():
  params, grads = jnp.ones(3), jnp.arange(3.)
  state = OPTIMIZER.init(params)
  full, _ = OPTIMIZER.update(grads, state, params)
  for times in (1, 2):
    state = slower({'a': [state]}, .5)['a'][0]
    np.testing.assert_array_equal(OPTIMIZER.update(grads, state, params)[0], full * .5 ** times)
  np.testing.assert_array_equal(full, optax.adam(1e-2).update(grads, optax.adam(1e-2).init(params))[0])


@settings(max_examples=60, deadline=None)
@given(before=st.integers(0, 9), true=st.lists(st.booleans(), min_size=1, max_size=20))
def test_streaks_are_counted_like_by_hand(before, true):
  length, longest = before, before
  for one in true:
    length = length + 1 if one else 0
    longest = max(longest, length)
  assert guards.streaks(before, np.array(true)) == (longest, length)


def test_a_generator_that_was_never_good_has_not_collapsed():
  judge = functools.partial(guards.judge_look, 'game', Watch(look=lambda found: found['words']), Guards(looks=2))
  memory, found = guards.first(Watch()), []
  for words in ('bad', 'bad', 'bad', '', 'bad', '', 'bad', 'bad'):
    faults, memory = judge(memory, 10, {'words': words})
    found.append(len(faults))
  assert found == [0] * 7 + [1]


@pytest.mark.parametrize(('field', 'value'), [
  ('policy', 'pray'), ('restarts', -1), ('rate_factor', 1.), ('rate_factor', 0.), ('explosion', 1.),
  ('explosion', float('nan')), ('window', 0), ('looks', 0)])
def test_values_out_of_range_are_refused(field, value):
  with pytest.raises(ConfigError, match=f'guards.{field} is {json.dumps(value) if isinstance(value, int) else ""}'):
    Guards(**{field: value})
