"""Through the index: a score is an inner product, and what it proposes holds nearly all of the exact lists."""

import json
import subprocess
import sys

import jax
import numpy as np
import pyarrow.parquet
import pytest

from ganrec_jax import exporting, indexing
from ganrec_jax.models import closed_form
from ganrec_jax.stages import finished

from .test_export import environment, finished_run

# The same through the index and exactly, for a stranger to whom the package does not exist.
STRANGER = '''
import json, pathlib, sys
sys.modules['ganrec_jax'] = None
folder = pathlib.Path(sys.argv[1])
sys.path.insert(0, str(folder))
import answer, answer_index
exact, near = answer.load(folder), answer_index.load(folder)
print(json.dumps([[ask(one, 20) for ask in (exact, near)] for one in json.loads(sys.argv[2])]))
'''


@pytest.fixture(scope='module')
def workdir(tmp_path_factory):
  return finished_run(tmp_path_factory.mktemp('work'), base={'dense_items': 10, 'rank': 48})


@pytest.fixture(scope='module')
def loaded(workdir):
  return finished.load(workdir)


@pytest.fixture(scope='module')
def histories(loaded):
  base = loaded[-1]
  users = np.flatnonzero(np.diff(np.asarray(base.offsets)))[:64]
  return [jax.device_get(closed_form.history(base, some)) for some in users.reshape(-1, 8)]


@pytest.mark.parametrize('texts', [True, False])
@pytest.mark.parametrize('int8', [False, True])
def test_a_score_is_an_inner_product_beyond_the_history(loaded, histories, texts, int8):
  base = loaded[-1]
  base = base.turned(closed_form.Knobs(activity=.4, cold_popularity=.3))
  if not texts:
    base = base.replace(item_item=base.item_item.replace(text=None))
  parameters = exporting.parameters_of(base)
  if int8:
    parameters = exporting.quantise(parameters)
  extra, _ = indexing.parameters_for(parameters, histories[:2])
  everything = np.tile(np.arange(len(base.popular), dtype=np.int32), (8, 1))
  for items, weights in histories[-2:]:
    due = np.asarray(exporting.score_function(base)(parameters, items, weights, 0.))
    found = np.asarray(indexing.rank(parameters | extra, items, weights, everything))
    np.testing.assert_allclose(found, due, atol=1e-4)
    assert np.isinf(found).sum() == (weights > 0).sum()
    none = np.asarray(indexing.rank(parameters | extra, items, weights, np.full((8, 3), -1, np.int32)))
    assert (none == -np.inf).all()


def test_directions_lose_nothing_where_there_are_as_many_as_histories(loaded, histories, monkeypatch):
  parameters = exporting.parameters_of(loaded[-1])
  items = np.arange(len(parameters['popular']))
  errors = []
  for width in (2, 8, 64):
    monkeypatch.setattr(indexing, 'WIDTH', width)
    extra, directions = indexing.parameters_for(parameters, histories)
    assert len(directions) == width
    vectors = np.asarray(indexing.vectors(parameters, items))
    exact = np.concatenate([indexing.query(parameters | extra, *one) for one in histories]) @ vectors.T
    asked = np.concatenate([indexing.propose(parameters | extra, *one) for one in histories])
    near = asked @ (vectors @ directions.T).T
    beyond = (near - exact) - (near - exact).mean(1, keepdims=True)
    errors.append(float((beyond ** 2).mean() / exact.var(1).mean()))
  assert errors[0] > 2 * errors[1] and errors[2] < 1e-5


def test_more_lists_find_more_and_all_find_everything(loaded, histories, monkeypatch):
  faiss = pytest.importorskip('faiss', reason='faiss-cpu is not installed (extra `index`)')
  base = loaded[-1]
  monkeypatch.setattr(indexing, 'CANDIDATES', 60)
  parameters = exporting.parameters_of(base)
  extra, directions = indexing.parameters_for(parameters, histories)
  index = indexing.build(faiss, parameters, directions, seed=0)
  assert index.ntotal == len(base.popular) and index.nlist == 12
  exact = indexing.exact_lists(exporting.score_function(base), parameters, histories)
  found = []
  for lists in (1, 4, 12):
    index.nprobe = lists
    found.append(indexing.shared(indexing.search(index, parameters | extra, histories), exact))
  assert found[0] < .9 < found[2] and found == sorted(found)
  monkeypatch.setattr(indexing, 'ENOUGH', (found[1] + found[2]) / 2)
  assert indexing.tune(index, parameters | extra, histories, exact) >= indexing.ENOUGH and 4 < index.nprobe <= 12


@pytest.mark.slow
def test_a_stranger_gets_nearly_the_exact_lists(workdir, loaded, tmp_path):
  pytest.importorskip('faiss', reason='faiss-cpu is not installed (extra `index`)')
  words = exporting.run(workdir, str(tmp_path), index=True)
  manifest = json.loads((tmp_path / 'manifest.json').read_text())
  assert f'recall@20 {manifest["index"]["recall@20"]:.3f}' in words and manifest['index']['recall@20'] > .97
  assert {'items.faiss', 'answer_index.py', 'propose.jax_export'} < set(manifest['files'])
  ids = pyarrow.parquet.read_table(tmp_path / 'items.parquet')['id'].to_pylist()
  warm = loaded[1].warm
  asked = [[ids[i] for i in items] for items in (warm[:1], warm[3:9], warm[::5])]
  done = subprocess.run([sys.executable, '-I', '-c', STRANGER, str(tmp_path), json.dumps(asked)], capture_output=True,
                        text=True, timeout=300, env=environment())
  assert done.returncode == 0, done.stderr
  for exact, near in json.loads(done.stdout):
    scores, places = {one: score for one, _, score in exact}, [one for one, _, _ in near]
    assert len(set(places)) == 20 and len(set(places) & set(scores)) >= 17
    for one, _, score in near:
      assert score == pytest.approx(scores.get(one, score), abs=1e-4)


def test_shared_counts_entries_of_the_same_row():
  assert indexing.shared(np.array([[1, 2], [3, 4]]), np.array([[2, 5], [4, -1]])) == 2 / 3
  assert indexing.shared(np.array([[1, 2], [3, 4]]), np.array([[3, 4], [1, 2]])) == 0
