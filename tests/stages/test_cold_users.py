"""Cold users are known by their histories when they are asked, and by nothing that was fitted."""

import jax.numpy as jnp
import numpy as np
import pytest

from ganrec_jax.data.types import PARTS
from ganrec_jax.models import closed_form
from ganrec_jax.stages import encode, recommend
from ganrec_jax.stages.evaluate import Evaluation
from ganrec_jax.stages.prepare import prepare
from tests.evaluation.worlds import reference_list, reference_metrics

from . import worlds


@pytest.fixture(scope='module')
def fitted(tmp_path_factory):
  config = worlds.config(encoder={'kind': 'none'}, split={'cold_users': .3}, base={'sweeps': 2})
  space, prepared = worlds.workspace_of(config, tmp_path_factory.mktemp('work')), prepare(config)
  content = encode.content(space, prepared, None)
  return space, prepared, content, *recommend.fit_base(space, prepared, content, 'dense')


@pytest.fixture(scope='module')
def evaluated(fitted):
  space, prepared, content, base, _ = fitted
  evaluation = Evaluation(space, prepared, content.texts, recommend.judge_of(space, prepared))
  evaluation.add_model('no_augmentation', recommend.Model(closed_form.score, base, {}))
  evaluation.add_references()
  return evaluation


def _by_hand(prepared, score_history, known):
  """user id -> (his list by the `known` latest of his history, his targets), one user after the other."""
  log, parts = prepared.dataset.interactions, np.array(PARTS)[prepared.split.part]
  warm, found = set(prepared.warm.tolist()), {}
  for user in np.unique(log.user[parts == 'user_test']):
    mine = np.flatnonzero((log.user == user) & (parts == 'history'))
    if len(mine) < known:
      continue
    latest = log.item[mine[np.argsort(log.time[mine])]][-known:]
    scores = np.asarray(score_history(jnp.asarray(latest)[None], jnp.ones((1, known))))[0]
    ranked = reference_list(scores, sorted(warm), set(log.item[mine].tolist()), 20)
    targets = set(log.item[(log.user == user) & (parts == 'user_test')].tolist())
    found[str(prepared.dataset.user_ids[user])] = ranked, targets
  return found


@pytest.mark.parametrize('known', [1, 3, 5, 10])
def test_exported_lists_are_those_of_the_latest_interactions(fitted, evaluated, known):
  space, prepared, _, base, _ = fitted
  due = _by_hand(prepared, lambda items, weights: closed_form.score_history(base, items, weights), known)
  with np.load(f'{space.path}/recommendations/no_augmentation.cold_user_{known}.npz') as lists:
    found = dict(zip(lists['users'].tolist(), lists['items'].tolist(), strict=True))
  assert set(found) == set(due) and len(due) > 2
  ids, same = prepared.dataset.catalogue.ids, 0
  for user, (ranked, _) in due.items():
    same += found[user][:20] == ids[ranked].tolist()
  assert same >= len(due) - 1  # but for scores that are equal up to the order of a sum
  values = evaluated.results['no_augmentation'][f'cold_user_{known}']['ndcg@20']
  assert np.mean(values) == pytest.approx(np.mean([reference_metrics(*pair, 20)[0] for pair in due.values()]), abs=2e-3)


def test_a_history_beats_popularity_and_more_of_it_helps(evaluated):
  mean = {row: {task: np.mean(values['ndcg@20']) for task, values in tasks.items()}
          for row, tasks in evaluated.results.items()}
  assert mean['no_augmentation']['cold_user'] > mean['popularity']['cold_user'] > 0
  strata = evaluated.strata['no_augmentation']
  longest = [strata[f'cold_user_{known}']['history 10+']['ndcg@20'] for known in (1, 3, 5, 10)]
  assert len({len(values) for values in longest}) == 1 and longest[0].mean() < longest[-1].mean()


def test_what_was_fitted_knows_no_cold_user(fitted, evaluated):
  _, prepared, _, base, _ = fitted
  recommend.check_leaks(prepared, base)
  asked = np.unique(prepared.dataset.interactions.user[prepared.split.rows('history')])
  np.testing.assert_array_equal(np.asarray(base.factors.users)[asked], 0)
  scores = np.asarray(closed_form.score(base, jnp.asarray(asked)))
  np.testing.assert_array_equal(scores, np.tile(scores[:1], (len(asked), 1)))  # nothing but popularity
