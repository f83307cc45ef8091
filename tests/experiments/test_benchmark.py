import dataclasses
import pathlib

import jax.numpy as jnp
import numpy as np
import pytest

from experiments import benchmark
from experiments.bench import blends, frontier, summary, trials
from experiments.peers import classic, content
from ganrec_jax import artifacts
from ganrec_jax.errors import DataError
from ganrec_jax.evaluation import ranking
from tests.experiments.problems import small

CALLS = []


def _knn(problem, options, key):
  CALLS.append(('knn', problem.draw))
  return content.tfidf_knn(problem, options, key)


def _ridge(problem, options, key):
  CALLS.append(('cease', problem.draw))
  return content.cease(problem, {'power': 0., 'strength': 0.} | options, key)


def _faulty(problem, options, key):
  CALLS.append(('faulty', problem.draw))
  score, params = classic.popularity(problem, {}, key)
  return score, params * (np.nan if options['broken'] else 1)


def _ours(problem, options, key):
  CALLS.append(('ours', problem.draw))
  return content.cease(problem, {'strength': 0.} | options, key)


PEERS = (
  trials.Peer('knn', _knn, {'neighbours': (5, 20), 'sharpness': (1., 2.)}, True),
  trials.Peer('cease', _ridge, {'reg': (5., 50.), 'kernel_weight': (2., 20.)}, True),
  trials.Peer('faulty', _faulty, {'broken': (1, 0)}, False),
  trials.Peer('ours', _ours, {'reg': (5., 20.), 'kernel_weight': (4.,), 'power': (.5, 0.)}, True, True))


@pytest.fixture(scope='module')
def done(tmp_path_factory):
  folder = tmp_path_factory.mktemp('benchmark')
  CALLS.clear()
  result = benchmark.run(small, PEERS, 3, 2, str(folder))
  return folder, result, list(CALLS)


def test_a_second_run_fits_nothing_and_says_the_same(done):
  folder, result, calls = done
  assert {name for name, _ in calls} == {'knn', 'cease', 'faulty', 'ours'}
  CALLS.clear()
  again = benchmark.run(small, PEERS, 3, 2, str(folder))
  assert not CALLS
  assert {**again, 'wall_seconds': 0} == {**result, 'wall_seconds': 0}


def test_rows_of_some_peers_are_made_anew_and_the_others_stay(done, monkeypatch):
  folder, result, _ = done
  monkeypatch.setattr(benchmark, 'PEERS', PEERS)
  old = result | {'git_revision': 'old', 'cells': [cell | {'mean': 0., 'git_revision': 'old'}
                                                   for cell in result['cells']]}
  found = benchmark.run(small, PEERS[:1], 3, 2, str(folder), old)
  assert {cell['row'] for cell in found['cells']} == {cell['row'] for cell in result['cells']}
  for cell in found['cells']:
    mine = cell['row'].startswith('knn')
    assert (cell['mean'] == 0., cell['git_revision'] == 'old') == (not mine, not mine)
  assert found['blends'] == result['blends'] and found['comparisons'] == result['comparisons']
  with pytest.raises(DataError, match='other data'):
    benchmark.run(small, PEERS[:1], 3, 2, str(folder), old | {'data_sha256': ['another']})


def test_ours_made_anew_is_compared_with_the_rivals_that_are_there(done, monkeypatch):
  folder, result, _ = done
  monkeypatch.setattr(benchmark, 'PEERS', PEERS)
  found = benchmark.run(small, PEERS[3:], 3, 2, str(folder), result | {'comparisons': []})
  assert result['comparisons'] and found['comparisons'] == result['comparisons']


def test_a_lost_trial_only_is_done_again(done):
  folder, result, _ = done
  next((folder / 'valid').glob('cease.*')).unlink()
  CALLS.clear()
  again = benchmark.run(small, PEERS, 3, 2, str(folder))
  assert CALLS == [('cease', 0)]
  strip = lambda found: [cell['draws'] for cell in found['cells']]  # noqa: E731
  assert strip(again) == strip(result)


def test_failed_trials_are_kept_and_counted(done):
  _, result, _ = done
  broken, whole = result['trials']['faulty']
  assert 'FloatingPointError' in broken['error'] and not broken['valid'] and not whole['error']
  assert next(line for line in summary.table(result).splitlines() if line.startswith('faulty ')).endswith('2 (1)')


def test_cells_hold_each_row_with_the_tasks_it_can_do(done):
  _, result, _ = done
  columns = {}
  for cell in result['cells']:
    columns.setdefault(cell['row'], set()).add(cell['column'])
  everything = set(summary.COLUMNS)
  assert columns['knn'] == columns['knn, one trial'] == columns['ours'] == everything
  assert columns['faulty'] == everything - {'cold'} and 'ours, one trial' not in columns
  assert columns['knn, never cold'] == columns['ours, never cold'] == columns['best blend, never cold'] == {'all'}
  assert columns['best blend'] == {'warm', 'cold', 'all', 'tail', 'sparse'}
  assert len({str(cell['options']) for cell in result['cells'] if cell['row'] == 'ours'}) == 1
  artifacts.digest(result)  # JSON takes it


def test_a_cell_is_what_a_fit_by_hand_gives(done):
  _, result, _ = done
  cell = next(c for c in result['cells'] if (c['row'], c['column']) == ('knn', 'cold'))
  for draw, value in enumerate(cell['draws']['ndcg']):
    problem = small(draw)
    task = problem.tasks('test')['cold']
    lists, _ = ranking.top_k(*content.tfidf_knn(problem, cell['options'], None), task, k=20)
    assert ranking.metrics_per_user(lists, task.targets)['ndcg@20'].mean() == pytest.approx(value, abs=1e-6)
  assert cell['mean'] == pytest.approx(np.mean(cell['draws']['ndcg']))


def test_tail_and_sparse_are_those_of_a_ranking_of_their_own(done):
  folder, *_ = done
  problem = small()
  options = trials.points(PEERS[0], 1)[0]
  found = trials.trial(PEERS[0], options, problem, trials.data_hash(problem), 'valid', str(folder))
  score, params = content.tfidf_knn(problem, options, None)
  for name in ('tail', 'sparse'):
    task = problem.tasks('valid')[name]
    lists, _ = ranking.top_k(score, params, task, k=20)
    np.testing.assert_allclose(found[f'{name}.ndcg'], ranking.metrics_per_user(lists, task.targets)['ndcg@20'])


def test_points_start_at_the_default_and_do_not_repeat():
  peer = trials.Peer('any', None, {'a': tuple(range(6)), 'b': (7, 8, 9)}, False)
  found = trials.points(peer, 12)
  assert found[0] == {'a': 0, 'b': 7} and len({tuple(p.values()) for p in found}) == 12
  assert found == trials.points(peer, 12) != trials.points(dataclasses.replace(peer, name='other'), 12)
  assert len(trials.points(peer, 99)) == 18
  assert trials.points(dataclasses.replace(peer, quick=True), 4) == found
  assert trials.points(dataclasses.replace(peer, space={}), 5) == [{}]


def test_choices():
  values = [{'warm': .5, 'cold': .1, 'tail': .01}, {}, {'warm': .496, 'cold': .2, 'tail': .02},
            {'warm': .3, 'cold': .22, 'tail': .09}]
  assert trials.choose(values) == {'warm': 0, 'cold': 3, 'tail': 2, 'best_tail': 3, 'one': 2}
  assert trials.choose([{}, {}]) == {}


def test_blend_standardises_each_user_and_finds_the_better_mix():
  warm = np.array([True, True, True, False, False])
  scores = np.array([[1., 2., 6., 10., 30.], [5., 5., 5., 1., 0.]], np.float32)
  found = np.asarray(blends.standardise(jnp.asarray(scores), jnp.asarray(warm)))
  np.testing.assert_allclose(found[0, :3], (scores[0, :3] - 3) / scores[0, :3].std(), rtol=1e-5)
  np.testing.assert_allclose(found[0, 3:], [-1, 1], rtol=1e-5)
  np.testing.assert_allclose(found[1], [0, 0, 0, 1, -1], atol=1e-5)


def test_blend_scores_are_the_weighted_sum_of_its_parts():
  problem = small()
  parts = [(PEERS[0], {'neighbours': 5, 'sharpness': 1.}, .3, 0.), (PEERS[1], {'reg': 5., 'kernel_weight': 2.}, .7, 1.)]
  score, params = blends.peer(parts).fit(problem, {}, None)
  each = [trials.fit(part, options, problem) for part, options, *_ in parts]
  first, second = (blends.standardise(one(p, np.arange(4)), problem.warm) for one, p in each)
  np.testing.assert_allclose(score(params, np.arange(4)), np.where(problem.warm, .3 * first + .7 * second, second),
                             atol=1e-5)


def test_best_blend_is_at_least_as_good_on_validation_as_any_pair_of_its_grid(done):
  folder, result, _ = done
  problem = small()
  tuned = [(peer, trials.points(peer, 3), [one['valid'] for one in result['trials'][peer.name]]) for peer in PEERS[:3]]
  parts, value, tried = blends.tune(tuned, problem, trials.data_hash(problem), str(folder))['warm']
  assert tried > 2 * len(blends.PAIRS) and sum(part[2] for part in parts) == pytest.approx(1)
  score, params = blends.peer(parts).fit(problem, {}, None)
  task = problem.tasks('valid')['warm']
  lists, _ = ranking.top_k(score, params, task, k=20)
  assert ranking.metrics_per_user(lists, task.targets)['ndcg@20'].mean() == pytest.approx(value, abs=1e-6)
  best = dict(blends.pool(tuned, 'warm'))
  assert {part[0].name for part in parts} <= set(best)
  assert best['knn'] == trials.choose(tuned[0][2])['warm']


def test_differences_count_each_user_once_and_correct_for_all_tasks():
  peer, own = trials.Peer('any', None, {}, True), trials.Peer('own', None, {}, True, single=True)
  planned = [summary.Cell(row, column, column, own if 'our' in row else peer, {}, 0.)
             for row in ('ours', 'weak', 'strong', 'best blend', 'our other') for column in ('warm', 'cold')]
  users = [np.array(['a', 'b', 'c', 'd']), np.array(['b', 'd'])]
  level = {'ours': .5, 'weak': .1, 'strong': .4, 'best blend': .6, 'our other': .9}

  def found(cell, draw):
    return {f'{cell.task}.users': users[draw], f'{cell.task}.ndcg': level[cell.row] + .1 * draw + np.zeros(
      len(users[draw])), 'seconds': np.asarray(1.), 'error': np.asarray('')}
  out = summary.compare(planned, [[found(cell, 0), found(cell, 1)] for cell in planned], 'ours', resamples=199)
  assert [(one['task'], one['against']) for one in out] == [
    ('warm', 'strong'), ('warm', 'best blend'), ('cold', 'strong'), ('cold', 'best blend')]
  np.testing.assert_allclose([one['difference'] for one in out], [.1, -.1, .1, -.1], atol=1e-9)
  assert {(one['users'], one['draws'], one['draws_ahead']) for one in out} == {(4, 2, 2), (4, 2, 0)}
  assert [one['p_holm'] for one in out] == pytest.approx([4 * .01] * 4)


def test_damped_scores_lose_popularity_in_units_of_each_users_deviation():
  popularity, warm = jnp.array([1., -2., .5]), jnp.array([True, True, False])
  model = jnp.array([1., 3., 9.])
  found = frontier.score_damped(frontier.Damped(model, jnp.float32(.5), popularity, warm, classic.score_alike),
                                np.array([0, 0]))
  np.testing.assert_allclose(found, [[1 - .5, 3 + 1, 9 - .25]] * 2)


def test_frontier_starts_at_the_model_and_the_picture_is_drawn(done):
  folder, result, _ = done
  curves = result['frontier']['curves']
  assert set(curves) == {'knn', 'cease', 'faulty', 'ours', 'best blend'}
  cell = next(c for c in result['cells'] if (c['row'], c['column']) == ('ours', 'warm'))
  assert curves['ours']['ndcg'][0] == pytest.approx(cell['draws']['ndcg'][0])
  assert curves['ours']['coverage'][0] == pytest.approx(cell['draws']['coverage'][0])
  frontier.draw(folder / 'picture.png', curves, ('ours', 'best blend'), 'small')
  assert (folder / 'picture.png').read_bytes().startswith(b'\x89PNG')


def test_results_stay_only_where_a_peer_of_them_is_not_made_anew(done):
  _, result, _ = done
  assert summary.staying(None, ['ours']) is None
  assert summary.staying(result, [*result['trials'], 'another']) is None
  assert summary.staying(result, list(result['trials'])[1:]) is result


def test_markdown_holds_all_sets_and_marks_the_best(done):
  _, result, _ = done
  text = summary.markdown([result, {**result, 'name': 'other'}]).splitlines()
  assert text[0].count('|') == text[1].count('|') == text[2].count('|') == 2 + 2 * len(summary.COMPARED)
  assert text[0].startswith('| | small warm | ') and sum(line.count('**') for line in text) >= 4 * 5


def test_a_revision_covers_the_models_that_a_peer_is_made_of(monkeypatch):
  peers = {peer.name: peer for peer in benchmark.PEERS}
  read = pathlib.Path.read_bytes

  def revisions():
    trials.revision_of.cache_clear()
    return {name: trials.revision(peers[name]) for name in ('EASE', 'iALS', 'ours')}
  before = revisions()
  monkeypatch.setattr(pathlib.Path, 'read_bytes', lambda path: read(path) + b'#' * (path.name == 'als.py'))
  after = revisions()
  monkeypatch.undo()
  trials.revision_of.cache_clear()
  assert {name: before[name] != after[name] for name in before} == {'EASE': False, 'iALS': True, 'ours': True}
