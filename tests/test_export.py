"""An export answers without the package as the package does, is refused where changed, and tells what bytes cost."""

import json
import os
import pathlib
import resource
import runpy
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pyarrow.parquet
import pytest
import safetensors.numpy

from ganrec_jax import artifacts, exporting
from ganrec_jax.errors import UserError
from ganrec_jax.models import closed_form
from ganrec_jax.models.low_rank import LowRankItemItem
from ganrec_jax.serving import scoring
from ganrec_jax.stages import finished
from ganrec_jax.stages.recommend import judge_of

from .stages import worlds

LOADER = worlds.ROOT / 'ganrec_jax' / 'answer.py'
# Beyond `dense_items` the model is of low rank.
KINDS = {'dense': {}, 'low_rank': {'base': {'dense_items': 10, 'rank': 48}}}
# Reads the export as a stranger does, to whom the package does not exist.
STRANGER = '''
import json, pathlib, runpy, sys
sys.modules['ganrec_jax'] = None
try:
  import ganrec_jax
except ImportError:
  folder = pathlib.Path(sys.argv[1])
  answer = runpy.run_path(folder / 'answer.py')['load'](folder)
  print(json.dumps([answer(*one) for one in json.loads(sys.argv[2])]))
'''



def environment():
  return {name: value for name, value in os.environ.items() if name != 'XLA_FLAGS'}


def finished_run(path, **sections):
  """A work directory as a finished run leaves it; what is missing is fitted there by the first who asks."""
  config = worlds.config(encoder={'kind': 'none'}, **sections)
  artifacts.write_json(str(path / 'config.json'), {'config': config.to_dict()})
  artifacts.write_json(str(path / 'results.json'), {})
  return str(path)


@pytest.fixture(scope='module')
def workdirs(tmp_path_factory):
  return {kind: finished_run(tmp_path_factory.mktemp(kind), **sections) for kind, sections in KINDS.items()}


@pytest.fixture(scope='module')
def workdir(workdirs):
  return workdirs['dense']


@pytest.fixture(scope='module', params=KINDS)
def made(request, workdirs, tmp_path_factory):
  """(work directory, folder of its export)."""
  out = tmp_path_factory.mktemp('out')
  exporting.run(workdirs[request.param], str(out))
  return workdirs[request.param], out


@pytest.fixture(scope='module')
def base(workdir):
  return finished.load(workdir)[-1]


def served(base, items, k, gamma):
  """The best `k` places beyond a history, int `[k]`, and their scores, as the server gives them."""
  popular, weights = np.asarray(base.popular), np.ones(len(items), np.float32)
  popularity = popular / popular[np.asarray(base.warm)].std()
  if len(items):
    scores = scoring.score(base, popularity, [scoring.Profile(items, weights, None, gamma)])[0].scores.copy()
  else:  # the server refuses an empty history
    scores = np.array(closed_form.score_history(base, items[None], weights[None]))[0]
  scores[items] = -np.inf
  places = np.argsort(-scores, kind='stable')[:min(k, len(scores) - len(items))]
  return places, scores[places]


def test_a_stranger_gets_the_answers_of_the_server(made):
  workdir, out = made
  _, prepared, _, _, base = finished.load(workdir)
  assert isinstance(base.item_item, LowRankItemItem) == (base.config.dense_items == 10)
  ids, warm = prepared.dataset.catalogue.ids, prepared.warm
  questions = [(warm[:1], 10, 0.), (warm[[4, 9, 30]], 20, .5), (warm[::2], 1000, 0.), (warm[:0], 5, 0.)]
  asked = [[ids[items].tolist()[::-1], k, gamma] for items, k, gamma in questions]
  done = subprocess.run([sys.executable, '-I', '-c', STRANGER, str(out), json.dumps(asked)], capture_output=True,
                        text=True, timeout=300, env=environment(), cwd=out)
  assert done.returncode == 0, done.stderr
  answers = json.loads(done.stdout)
  for (items, k, gamma), answer in zip(questions, answers, strict=True):
    places, scores = served(base, items.astype(np.int32), k, gamma)
    assert [one for one, _, _ in answer] == ids[places].tolist()
    assert [title for _, title, _ in answer] == prepared.dataset.catalogue.titles[places].tolist()
    np.testing.assert_allclose([score for _, _, score in answer], scores, atol=1e-5, rtol=1e-5)


def test_one_program_serves_all_platforms_and_sizes(made):
  workdir, out = made
  *_, base = finished.load(workdir)
  program = jax.export.deserialize(bytearray((out / 'scores.jax_export').read_bytes()))
  assert program.platforms == ('cpu', 'cuda', 'tpu')
  parameters, rng = safetensors.numpy.load_file(out / 'parameters.safetensors'), np.random.default_rng(0)
  for batch, length in ((1, 1), (3, 7), (64, 16)):
    items = rng.choice(np.flatnonzero(base.warm), (batch, length)).astype(np.int32)
    weights = rng.uniform(0, 2, (batch, length)).astype(np.float32) * (rng.uniform(size=(batch, length)) < .8)
    found = np.asarray(program.call(parameters, items, weights, np.float32(0)))
    due = np.array(closed_form.score_history(base, items, weights))
    for row, some, weight in zip(due, items, weights, strict=True):
      row[some[weight > 0]] = -np.inf
    np.testing.assert_allclose(found, due, atol=1e-5, rtol=1e-5)


def test_the_manifest_tells_what_is_there_and_no_user_is(made):
  workdir, out = made
  _, prepared, *_ = finished.load(workdir)
  manifest, sizes = json.loads((out / 'manifest.json').read_text()), {p.name: p.stat().st_size for p in out.iterdir()}
  assert set(sizes) == {*manifest['files'], 'manifest.json'}
  assert manifest['bytes'] == {name: size for name, size in sizes.items() if name != 'manifest.json'}
  assert manifest['platforms'] == ['cpu', 'cuda', 'tpu'] and manifest['simulated'] and manifest['quantised'] == 'none'
  assert manifest['functions']['scores']['output'] == f'float32[batch,{prepared.dataset.items}]'
  parameters = safetensors.numpy.load_file(out / 'parameters.safetensors')
  assert manifest['parameters'] == {name: {'shape': list(array.shape), 'dtype': str(array.dtype)}
                                    for name, array in parameters.items()}
  assert not {'factors.users', 'offsets', 'items', 'weights'} & set(parameters)
  for path in out.iterdir():
    assert prepared.dataset.user_ids[5].encode() not in path.read_bytes(), path.name
  table = pyarrow.parquet.read_table(out / 'items.parquet').to_pydict()
  for name in ('ids', 'titles', 'texts'):
    assert table[name[:-1]] == getattr(prepared.dataset.catalogue, name).tolist()
  assert np.flatnonzero(table['warm']).tolist() == prepared.warm.tolist()


@pytest.fixture
def copied(workdir, tmp_path):
  """An export that a test may spoil."""
  exporting.run(workdir, str(tmp_path / 'out'))
  return tmp_path / 'out'


def load(folder):
  return runpy.run_path(str(folder / 'answer.py'))['load'](folder)


@pytest.mark.parametrize('name', ['scores.jax_export', 'parameters.safetensors', 'items.parquet', 'manifest.json'])
def test_a_flipped_byte_is_refused(copied, name):
  assert callable(load(copied))
  whole = (copied / name).read_bytes()
  for place in np.random.default_rng(1).integers(len(whole), size=5):
    flipped = bytes([*whole[:place], whole[place] ^ 1, *whole[place + 1:]])
    (copied / name).write_bytes(flipped)
    with pytest.raises(ValueError):
      load(copied)
  (copied / name).write_bytes(whole[:-2])
  with pytest.raises(ValueError):
    load(copied)
  (copied / name).write_bytes(whole)
  assert callable(load(copied))


def test_the_loader_refuses_in_words(copied):
  manifest = json.loads((copied / 'manifest.json').read_text())
  with pytest.raises(ValueError, match=r'unknown items nobody; .*items\.parquet holds those'):
    load(copied)(['nobody'])
  with (copied / 'items.parquet').open('ab') as file:
    file.write(b'x')
  done = subprocess.run([sys.executable, str(copied / 'answer.py'), 'a0001'], capture_output=True, text=True,
                        timeout=300, env=environment())
  assert done.returncode == 1 and done.stderr.count('\n') == 1
  assert 'items.parquet: its SHA-256 is not what the manifest says' in done.stderr
  (copied / 'manifest.json').write_text(json.dumps(manifest | {'format': 99}))
  with pytest.raises(ValueError, match='of format 99; this loader reads format 1'):
    load(copied)


def test_the_loader_is_short_and_the_readme_quotes_it_word_for_word():
  text = LOADER.read_text()
  assert len(text.splitlines()) <= 40
  readme = (worlds.ROOT / 'README.md').read_text()
  assert text.strip() in readme


def test_rows_of_bytes_are_within_half_a_step():
  rng = np.random.default_rng(0)
  matrix = (rng.normal(size=(20, 33)) * 10. ** rng.integers(-8, 8, (20, 1))).astype(np.float32)
  matrix[3] = 0
  found = exporting.quantise({'item_item': matrix, 'popular': matrix[0]})
  assert found['item_item'].dtype == np.int8 and found['item_item.step'].shape == (20, 1)
  assert found['popular'] is not None and found['popular'].dtype == np.float32 and len(found) == 3
  step = np.abs(matrix).max(1, keepdims=True) / 127
  error = np.abs(found['item_item'] * found['item_item.step'] - matrix)
  assert (error <= step * .5001).all() and error.max() > 0 and not found['item_item'][3].any()


@pytest.mark.slow
def test_bytes_say_what_they_cost(made, tmp_path):
  (workdir, _), out = made, tmp_path
  words = exporting.run(workdir, str(out), int8=True)
  manifest = json.loads((out / 'manifest.json').read_text())
  assert manifest['quantised'] == 'int8' and {'warm', 'cold', 'all'} <= set(manifest['int8'])
  for task, found in manifest['int8'].items():
    assert abs(found['ndcg@20'] - found['ndcg@20_exact']) < .02, task
    assert .8 < found['same_items'] <= 1 and found['equal_lists'] <= found['same_items']
    assert f'validation {task}: NDCG@20 {found["ndcg@20"]:.4f}' in words
  parameters = safetensors.numpy.load_file(out / 'parameters.safetensors')
  *_, base = finished.load(workdir)
  exact = exporting.parameters_of(base)
  assert sum(a.nbytes for a in parameters.values()) < .45 * sum(a.nbytes for a in exact.values())
  items = np.flatnonzero(base.warm)[[2, 5, 11]]
  ids = pyarrow.parquet.read_table(out / 'items.parquet')['id'].to_pylist()
  answer = load(out)([ids[i] for i in items], 1000)
  scores = exporting.score_function(base)(
    {name: jnp.asarray(value) for name, value in exporting.quantise(exact).items()}, items[None].astype(np.int32),
    jnp.ones((1, 3)), jnp.float32(0))[0]
  np.testing.assert_allclose([s for _, _, s in answer], np.sort(np.asarray(scores))[::-1][:len(answer)], atol=1e-5)


def test_the_loss_is_that_of_the_lists(workdir, base):
  space, prepared, *_ = finished.load(workdir)
  judge, exact = judge_of(space, prepared), exporting.parameters_of(base)
  scores = exporting.score_function(base)
  same = exporting.loss(judge, base, scores, exact, exact)
  for task, found in same.items():
    assert found['equal_lists'] == found['same_items'] == 1 and found['ndcg@20'] == found['ndcg@20_exact']
    assert found['ndcg@20_exact'] == pytest.approx(judge(closed_form.score, base, task), abs=.003)
  spoilt = exporting.loss(judge, base, scores, exact, exact | {
    'factors.items': -exact['factors.items'][::-1].copy(), 'item_item': -exact['item_item']})
  assert spoilt['warm']['ndcg@20'] < .7 * same['warm']['ndcg@20'] and spoilt['warm']['same_items'] < .7


def test_an_index_is_for_catalogues_that_are_no_matrix(workdir, tmp_path, monkeypatch):
  with pytest.raises(UserError, match=r'--index is for catalogues of more than config\.base\.dense_items items, 10000'):
    exporting.run(workdir, str(tmp_path), index=True)
  monkeypatch.setitem(sys.modules, 'faiss', None)
  with pytest.raises(UserError, match=r'needs faiss-cpu, which is not installed: pip install .ganrec_jax\[index\]'):
    exporting.run(workdir, str(tmp_path), index=True)
  assert not list(tmp_path.iterdir())


def test_a_run_with_a_network_says_that_it_is_left_out(tmp_path):
  words = exporting.run(finished_run(tmp_path / 'work', recommender={'kind': 'gru'}), str(tmp_path / 'out'))
  assert "the closed form, row no_augmentation of the results, without the network 'gru' of the run" in words


def test_the_same_export_is_left_as_it_is_and_another_is_refused(workdir, copied):
  (copied / '__pycache__').mkdir()  # who asks leaves it
  before = {path: path.stat().st_mtime_ns for path in copied.iterdir()}
  assert 'holds this export already' in exporting.run(workdir, str(copied))
  assert {path: path.stat().st_mtime_ns for path in copied.iterdir()} == before
  with pytest.raises(UserError, match='another run or of other options'):
    exporting.run(workdir, str(copied), int8=True)
  (copied / 'items.parquet').write_bytes(b'')
  with pytest.raises(UserError, match=r'items\.parquet is not what its manifest says'):
    exporting.run(workdir, str(copied))


def test_what_a_stopped_export_left_is_written_over(workdir, tmp_path):
  (tmp_path / 'parameters.safetensors.tmp').write_bytes(b'half')
  (tmp_path / 'scores.jax_export').write_bytes(b'old')
  exporting.run(workdir, str(tmp_path))
  assert callable(load(tmp_path))


def test_other_content_is_refused_and_kept(workdir, tmp_path):
  (tmp_path / 'thesis.tex').write_text('years of work')
  with pytest.raises(UserError, match=r"holds 'thesis\.tex' and is no export"):
    exporting.run(workdir, str(tmp_path))
  with pytest.raises(UserError, match='is a file'):
    exporting.run(workdir, str(tmp_path / 'thesis.tex'))
  assert [path.name for path in tmp_path.iterdir()] == ['thesis.tex']


def test_where_there_is_no_space_nothing_is_left(workdir, base, tmp_path):
  limit = resource.getrlimit(resource.RLIMIT_FSIZE)
  resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, limit[1]))  # less than the parameters, more than the program
  try:
    with pytest.raises(UserError, match=r'parameters\.safetensors: cannot be written'):
      exporting.run(workdir, str(tmp_path))
  finally:
    resource.setrlimit(resource.RLIMIT_FSIZE, limit)
  assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(('arguments', 'words'), [
  ([], '--workdir is missing'), (['--workdir=nowhere'], '--out is missing'),
  (['--workdir=nowhere', '--out=x'], 'nowhere: holds no finished run')])
def test_a_mistake_is_one_line_and_exit_code_2(arguments, words, tmp_path):
  done = subprocess.run([sys.executable, '-m', 'ganrec_jax.export', *arguments], cwd=tmp_path, capture_output=True,
                        text=True, timeout=300, env=environment() | {'PYTHONPATH': str(worlds.ROOT)})
  assert done.returncode == 2 and words in done.stderr and done.stderr.count('\n') == 1
  assert not list(pathlib.Path(tmp_path).iterdir())
