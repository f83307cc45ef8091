"""The races: ratios by hand, what is skipped is told, and rivals that do the same as ours."""


import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.races import factors, games, ranking, turns
from ganrec_jax.adversarial import step
from ganrec_jax.adversarial.step import AdversarialConfig


def test_ratios_are_those_of_each_round():
  race = turns.Race('work', 'x', 1.5, 'rows', 10, [(1., 2.), (2., 2.), (4., 2.)], [(3., 2.), (2., 1.), (4., 8.)], '')
  assert race.ratios() == [3., 1., 1.] and race.ratios(1) == [1., .5, 4.]
  record = race.record()
  assert record['ratio'] == (1., 1., 3.) and record['reference_seconds'] == (3., 2., 4.)
  row = '| work | x | 1.00 (1.00 to 3.00) | 1.00 (0.50 to 4.00) | 1.5 | 5 rows/s | 3.333 rows/s |'
  assert row in turns.table([race])


def test_runs_take_turns_after_a_warm_up():
  calls = []
  found = turns.races('work', 'rows', 1, {turns.OURS: lambda: calls.append('a'), 'x': lambda: calls.append('b')},
                      {'x': 2}, 'note', runs=2)
  assert calls == ['a', 'b'] * 3
  assert [(one.reference, one.due, len(one.ours)) for one in found] == [('x', 2, 2)]


def test_what_is_not_installed_is_told():
  reason = turns.missing('no_such_package')
  assert reason.startswith('no_such_package is not installed') and turns.missing('json') is None
  assert '| work | x | skipped: no_such_package is not installed' in turns.table([turns.Skipped('work', 'x', reason)])


def test_recall_against_counting():
  rng = np.random.default_rng(0)
  users, items = rng.standard_normal((7, 3)), rng.standard_normal((60, 3))
  known, held = np.nonzero(rng.random((7, 60)) < .1), np.nonzero(rng.random((7, 60)) < .1)
  values = []
  for user in range(7):
    scores = {item: users[user] @ items[item] for item in range(60) if item not in known[1][known[0] == user]}
    best = sorted(scores, key=scores.get, reverse=True)[:20]
    targets = set(held[1][held[0] == user])
    if targets:
      values.append(len(targets & set(best)) / min(20, len(targets)))
  assert factors.recall(users, items, known, held) == pytest.approx(np.mean(values))


def test_planted_logs_hold_each_pair_once():
  known, held = factors.log()
  pairs = np.concatenate([np.stack(known, 1), np.stack(held, 1)])
  assert len(np.unique(pairs, axis=0)) == len(pairs) == factors.USERS * factors.EACH


def test_rivals_of_full_ranking_find_the_same(monkeypatch):
  pytest.importorskip('torch', reason='the rival is torch')
  monkeypatch.setattr(ranking, 'ITEMS', 500)
  monkeypatch.setattr(ranking, '_LEAST', 70)
  monkeypatch.setattr(ranking, 'USERS', 70)
  found = ranking.everyone(turns.Options(runs=1))
  rivals = [one for one in found if isinstance(one, turns.Race)]
  assert len(rivals) >= 3 and all('100.00% of all places' in one.note for one in rivals)


@pytest.mark.slow
def test_steps_in_torch_measure_the_same():
  torch = pytest.importorskip('torch', reason='parity needs torch')
  from experiments import torch_compiled_step, torch_step
  config = AdversarialConfig(design='interaction', batch=16, dim=8, layers=1, heads=2, noise=4)
  rng = np.random.default_rng(0)
  draw = lambda *shape: rng.standard_normal(shape).astype(np.float32)  # noqa: E731
  items, texts, pair = draw(30, 5), draw(30, 6), rng.integers(0, 30, 200)
  rows = jax.tree.map(jnp.asarray, {'x': np.concatenate([items[pair], draw(200, 1)], 1), 'item': pair,
                                    'text': texts[pair], 'owner': rng.integers(0, 9, 200), 'conditions': draw(9, 2, 6)})
  at = games.Table(config, items, texts, rows, step.init_state(config, 5, (2, 6), (6,), jax.random.key(0)))
  batches = at.batches(4)
  with torch.compiler.set_stance('force_eager'):  # the form is what is tested, not the compiler
    for form in (torch_step, torch_compiled_step):
      assert games.apart(at, form.Step(config, at.state, items, texts), batches) < 1e-4
