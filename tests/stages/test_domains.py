"""Every domain's sample world goes the whole way; the oracle knows the cut in time and the threshold of values."""

import dataclasses
import json

import numpy as np
import pytest

from ganrec_jax import pipeline
from ganrec_jax.data import sample
from ganrec_jax.data.types import PARTS, Split
from ganrec_jax.data.worlds import DOMAINS
from ganrec_jax.evaluation.tasks import make_tasks
from ganrec_jax.stages.evaluate import oracle
from ganrec_jax.stages.prepare import prepare
from tests.data import mind_files

from . import worlds


def _run(config, path, capsys):
  """Runs the pipeline and looks at what it left; returns results.json and what was printed."""
  pipeline.run(config, str(path))
  results = json.loads((path / 'results.json').read_text())
  rows = {(row['row'], row['task']) for row in results['rows']}
  tasks = {task for _, task in rows}
  assert {row for row, _ in rows} >= {'popularity', 'no_augmentation', 'random_pairs', 'gan', 'oracle'}
  assert {path.name for path in (path / 'recommendations').iterdir()} == {f'{row}.{task}.npz' for row, task in rows}
  assert 'cold' in tasks and results['simulated'] is True
  for name in ('config.json', 'split.csv.gz', 'generated.csv.gz', 'metrics.jsonl', 'table.txt'):
    assert (path / name).stat().st_size > 0
  value = {(row['row'], row['task']): row['value'] for row in results['rows'] if row['metric'] == 'ndcg@20'}
  assert all(value['oracle', task] > value['no_augmentation', task] for task in tasks)
  told = capsys.readouterr().out
  assert 'SIMULATED DATA' in told and f' {results["dataset"]["verb"]}: ' in told
  return results, told


@pytest.mark.slow
@pytest.mark.parametrize('domain', DOMAINS)
def test_every_domain_goes_the_whole_way(domain, tmp_path, capsys):
  config = worlds.config_file(domain).get_config('testing')
  results, _ = _run(config, tmp_path, capsys)
  assert results['dataset']['name'] == f'sample {domain}'


@pytest.mark.slow
def test_files_of_the_form_of_mind_go_the_whole_way(tmp_path, capsys):
  mind_files.write(tmp_path)
  config = worlds.of('news', 'mind_small', encoder={'kind': 'none'}, adversarial={'steps': 40, 'chunk': 20},
                     data={'manual_dir': str(tmp_path), 'data_dir': str(tmp_path / 'data'), 'min_item': 3})
  pipeline.run(config, str(tmp_path / 'work'))
  results, told = json.loads((tmp_path / 'work' / 'results.json').read_text()), capsys.readouterr().out
  windows = results['dataset']['split']['windows']
  assert windows['test']['from'] == '2019-11-15T00:00:00Z' and windows['test']['share_of_new_items'] > .2
  value = {(row['row'], row['task']): row['value'] for row in results['rows'] if row['metric'] == 'ndcg@20'}
  assert value['no_augmentation', 'cold'] > .05
  assert 'SIMULATED' not in told and ' read: ' in told and results['dataset']['counts']['impressions'] > 0


@pytest.mark.slow
def test_news_go_the_whole_way_though_hardly_anything_warm_is_read(tmp_path, capsys):
  config = worlds.of('news', encoder={'kind': 'none'}, adversarial={'steps': 4, 'chunk': 2}, controls='random_pairs')
  results, told = _run(config, tmp_path, capsys)
  rows = results['dataset']['split']['rows']
  assert rows['cold_test'] > 3 * rows['test']
  assert ' read: ' in told and 'listened' not in told


@pytest.mark.slow
def test_news_go_the_whole_way_where_nothing_warm_is_read(tmp_path, capsys, monkeypatch):
  config = worlds.of('news', encoder={'kind': 'none'}, adversarial={'steps': 4, 'chunk': 2})

  def no_warm(*arguments):
    found = prepare(*arguments)
    warm = np.isin(found.split.part, [PARTS.index('valid'), PARTS.index('test')])
    split = Split(np.where(warm, 0, found.split.part).astype(np.int8), found.split.in_all & ~warm)
    return dataclasses.replace(found, split=split)
  monkeypatch.setattr(pipeline, 'prepare', no_warm)
  results, _ = _run(config, tmp_path, capsys)
  assert {row['task'] for row in results['rows']} <= {'cold', 'all', 'cold_user'}


@pytest.mark.parametrize('domain', DOMAINS)
def test_configs_name_their_domain_and_are_right(domain):
  for variant in ('', 'testing'):
    config = worlds.config_file(domain).get_config(variant)
    assert config.is_locked and config.world.domain == domain
    pipeline.check(config)
  assert config.world.to_dict() == {'domain': domain, 'users': 200, 'items': 150, 'events': 4000}
  with pytest.raises(ValueError, match="unknown variant 'testin'; did you mean testing"):
    worlds.config_file(domain).get_config('testin')


def test_the_oracle_counts_from_the_cut_in_time_and_what_is_in_the_log_only(monkeypatch):
  asked = []

  def log_probability(world, users, since=None, least=0.):
    asked.append((since, least))
    return np.zeros((len(users), world.config.items), np.float32)
  monkeypatch.setattr(sample, 'log_probability', log_probability)
  news, video = (prepare(worlds.of(domain)) for domain in ('news', 'video'))
  oracle(news)
  oracle(video, 3.5)
  time, split = news.dataset.interactions.time, news.split
  (since, least), rest = asked[0], asked[1:]
  assert time[split.rows('train', 'valid', 'cold_valid')].max() <= since <= time[split.rows('test', 'cold_test')].min()
  assert least == 0 and rest == [(None, 3.5)]


def test_the_oracle_of_a_log_without_low_ratings_ranks_better_for_knowing_that():
  prepared = prepare(worlds.of('video'))
  task = make_tasks(prepared.dataset, prepared.split, 0)['cold']
  assert prepared.dataset.interactions.value.min() == 3.5
  hits = []
  for least in (0., 3.5):
    scores = np.asarray(oracle(prepared, least))[np.ix_(task.users, task.candidates)]
    place = np.full(prepared.dataset.items, -1)
    place[task.candidates] = np.arange(len(task.candidates))
    relevant = np.zeros(scores.shape, bool)
    relevant[np.repeat(np.arange(len(task.users)), task.targets.lengths), place[task.targets.values]] = True
    ranks = np.argsort(np.argsort(-scores, 1), 1)
    hits.append((1 / np.log2(2 + ranks))[relevant].sum())
  assert hits[1] > hits[0]
