"""export: the closed form of a finished run as a program, parameters and items, for those without this package."""

import contextlib
import hashlib
import json
import os
import pathlib

import flax.serialization
import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np
import pyarrow as pa
import pyarrow.parquet
import safetensors
import safetensors.numpy
from jax import export

import ganrec_jax
from ganrec_jax import artifacts, indexing, pipeline
from ganrec_jax.errors import UserError
from ganrec_jax.evaluation import ranking
from ganrec_jax.evaluation.tasks import MAIN
from ganrec_jax.models import adventure, closed_form, low_rank
from ganrec_jax.stages import finished, recommend
from ganrec_jax.stages.encode import sha256

# Raise it where a loader of the present form would misread an export; `answer.py` names the one that it reads.
FORMAT = 1
PLATFORMS = ('cpu', 'cuda', 'tpu')
# Parts of the model that are of its training users: they stay at home.
_OF_USERS = ('factors.users', 'offsets', 'items', 'weights')
# What has a row for each item: all that grows with the catalogue but vectors of one number an item.
_BY_ITEM = ('factors.items', 'item_item', 'item_item.factors', 'item_item.text.known', 'item_item.text.new')
_STEP = '.step'
_FILES = ('scores.jax_export', 'parameters.safetensors', 'items.parquet', 'answer.py', 'manifest.json')
_OF_INDEX = ('items.faiss', 'index.safetensors', 'propose.jax_export', 'rank.jax_export', 'answer_index.py')
# Histories that fit the index, and as many by which it is measured.
_SAMPLE = 512
_HISTORIES_A_BATCH = 8
_SCORE = (
  'S / sd(S) + n^activity b_j E_j / sd(E) + n^-.5 c_j popular_j for item j. S is the product of item factors with the '
  'factors that a ridge regression gives the history; E the sum over the history of weight x item_item[i, j], over the '
  'root of square_j to the power; n the length of the history over mean_length; b, c, power and activity the knobs for '
  'warm or cold items. Less adventure x sd(score) x popular_j / sd(popular). Standard deviations are over the warm '
  'items of each history. Items of the history have -inf.')
_UNIT = (
  'the standard deviation of what the factors alone say of warm items to the same history; scores order the items of '
  'one history, and are neither probabilities nor of one scale for different histories')


def run(workdir, out, int8=False, index=False):
  """Writes the export of a finished run into the folder `out`; returns in words what is in it.

  Args:
    workdir: of a finished run.
    out: the folder, new or empty; one that holds this very export already is left as it is.
    int8: whether item vectors and matrices are kept as bytes.
    index: whether an approximate index of the items goes with it.

  Raises:
    UserError: for a work directory without a finished run, a folder with other content or one that cannot be written,
      or an index of a catalogue that is scored as a matrix or without its library.
  """
  _look(out)
  faiss = _faiss() if index else None
  space, prepared, _, _, base = finished.load(workdir)
  if index and not isinstance(base.item_item, low_rank.LowRankItemItem):
    raise UserError(f'--index is for catalogues of more than config.base.dense_items items, {base.config.dense_items} '
                    f'here; this one has {len(base.popular)}, all of which are scored at once')
  pipeline.use_compilation_cache(space.config)
  exact = parameters_of(base)
  told = {'format': FORMAT, 'package': 'ganrec_jax', 'package_version': ganrec_jax.__version__,
          'config_sha256': artifacts.digest(space.config.to_dict()), 'data_sha256': prepared.dataset.sha256(),
          'split_sha256': prepared.split.sha256(), 'data': prepared.dataset.info['name'],
          'simulated': prepared.dataset.info['simulated'], 'parameters_sha256': artifacts.digest(
            {name: sha256(array) for name, array in exact.items()}), 'quantised': 'int8' if int8 else 'none',
          'indexed': index}
  if _is_there(out, told):
    return f'{out}: holds this export already; nothing was written'
  scores = score_function(base)
  parameters = quantise(exact) if int8 else exact
  if int8:
    told['int8'] = loss(recommend.judge_of(space, prepared), base, scores, exact, dequantised(parameters))
  programs = {'scores': lower(scores, parameters, 'items', 'weights', 'adventure')}
  writers = {'parameters.safetensors': lambda file: _save(parameters, file),
             'items.parquet': lambda file: pyarrow.parquet.write_table(_table(prepared), file),
             'answer.py': _copy_of('answer.py')}
  if index:
    told['index'], more, extra = _index(faiss, base, scores, parameters, space.config.seed)
    programs |= {'propose': lower(indexing.propose, parameters | extra, 'items', 'weights'),
                 'rank': lower(indexing.rank, parameters | extra, 'items', 'weights', 'candidates')}
    writers |= more
  told |= {
    'git_revision': pipeline.revision(), 'jax_version': jax.__version__, 'platforms': list(PLATFORMS),
    'calling_convention': programs['scores'].calling_convention_version, 'model': _model(space.config),
    'functions': {name: _signature(program) for name, program in programs.items()},
    'items': prepared.dataset.items, 'warm_items': len(prepared.warm), 'score': _SCORE, 'scale': _UNIT,
    'parameters': {name: {'shape': list(array.shape), 'dtype': str(array.dtype)} for name, array in parameters.items()}}
  writers |= {f'{name}.jax_export': lambda file, program=program: file.write(program.serialize())
              for name, program in programs.items()}
  sizes = _write(out, writers, told)
  return '\n'.join(_words(out, told, sizes))


def parameters_of(base):
  """What scores are made of, name -> array, of a `ClosedFormParams`; nothing of its training users is among them."""
  flat = flax.traverse_util.flatten_dict(flax.serialization.to_state_dict(base), sep='.')
  return {name: np.asarray(value) for name, value in flat.items() if name not in _OF_USERS and value is not None}


def score_function(base):
  """The function that is exported, for models of the form of `base`, a `ClosedFormParams`.

  Returns:
    `scores(parameters, items int32 [batch, length], weights float32 [batch, length], gamma float32 scalar)`, which
    gives float32 `[batch, items]`: `closed_form.score_history` of parameters that `quantise` may have made, popularity
    taken out by gamma (`models/adventure.py`), and -inf for the items of the history. Weight 0 is padding.
  """
  form = jax.eval_shape(lambda: base)
  nobody = {'factors.users': (0, form.factors.users.shape[1]), 'offsets': 1, 'items': 0, 'weights': 0}

  def scores(parameters, items, weights, gamma):
    flat = flax.traverse_util.flatten_dict(flax.serialization.to_state_dict(form), sep='.')
    flat |= {name: jnp.zeros(shape) for name, shape in nobody.items()} | dequantised(parameters)
    params = flax.serialization.from_state_dict(form, flax.traverse_util.unflatten_dict(flat, sep='.'))
    found = closed_form.score_history(params, items, weights)
    deviation = jnp.std(params.popular, where=params.warm)
    found = adventure.damp(found, params.popular / jnp.where(deviation > 0, deviation, 1), params.warm, gamma)
    places = jnp.where(weights > 0, items, found.shape[1])
    return found.at[jnp.arange(items.shape[0])[:, None], places].set(-jnp.inf, mode='drop')
  return scores


def quantise(parameters):
  """The same with matrices of items as int8 `[rows, columns]` and, beside each, `NAME.step` float32 `[rows, 1]`.

  A row is its bytes times its step, the largest absolute value over 127.
  """
  found = {}
  for name, array in parameters.items():
    found[name] = array
    if name in _BY_ITEM:
      step = np.abs(array).max(1, keepdims=True, initial=0) / np.float32(127)
      found[name] = np.rint(array / np.where(step > 0, step, 1)).astype(np.int8)
      found[name + _STEP] = step
  return found


def dequantised(parameters):
  """The parameters that `quantise` has made as float32 again; others as they are."""
  return {name: array.astype(np.float32) * parameters[name + _STEP] if name + _STEP in parameters else array
          for name, array in parameters.items() if not name.endswith(_STEP)}


def loss(judge, base, scores, exact, approximate):
  """What other parameters cost on validation, where users are known by their training histories.

  Args:
    judge: `recommend.Judge`, on validation.
    base: `ClosedFormParams`, which holds the histories.
    scores: what `score_function` gives.
    exact: parameters, see `parameters_of`.
    approximate: likewise.

  Returns:
    {task: {'ndcg@20', 'ndcg@20_exact', 'equal_lists': the share of users whose best 20 are the same in order,
    'same_items': the share of those 20 that are in both}}.
  """
  def by_history(params, users):
    parameters, people = params
    return scores(parameters, *closed_form.history(people, users), 0.)

  found = {}
  for name in (name for name in MAIN if name in judge.tasks):
    task = judge.tasks[name]
    people = recommend.knowing(base, task).replace(factors=None, item_item=None)
    lists = [ranking.top_k(by_history, (parameters, people), task, k=20, devices=judge.devices)[0]
             for parameters in (approximate, exact)]
    ndcg = [float(ranking.metrics_per_user(one, task.targets)['ndcg@20'].mean()) for one in lists]
    found[name] = {'ndcg@20': ndcg[0], 'ndcg@20_exact': ndcg[1],
                   'equal_lists': float((lists[0] == lists[1]).all(1).mean()),
                   'same_items': indexing.shared(*lists)}
  return found


def lower(function, parameters, *names):
  """The `jax.export.Exported` of `function(parameters, *inputs)` for all `PLATFORMS`, with symbolic sizes.

  Args:
    function: pure.
    parameters: name -> array.
    names: of its inputs: items, weights, adventure or candidates.
  """
  batch, length, candidates = export.symbolic_shape('batch, length, candidates')
  known = {'items': ((batch, length), np.int32), 'weights': ((batch, length), np.float32),
           'adventure': ((), np.float32), 'candidates': ((batch, candidates), np.int32)}
  forms = {name: jax.ShapeDtypeStruct(array.shape, array.dtype) for name, array in parameters.items()}
  return export.export(jax.jit(function), platforms=PLATFORMS)(
    forms, *(jax.ShapeDtypeStruct(*known[name]) for name in names))


def seal(manifest):
  """The manifest with the SHA-256 of all that is in it."""
  return manifest | {'sha256': hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()}


def _signature(program):
  """The inputs of a program, without its first, the parameters, and its output, in words."""
  (_, *inputs), _ = program.in_tree.unflatten(program.in_avals)
  return {'inputs': [str(one) for one in inputs], 'output': str(program.out_avals[0])}


def _index(faiss, base, scores, parameters, seed):
  """The approximate index of a low-rank model: what the manifest tells, writers of its files, and its parameters."""
  users = np.flatnonzero(np.diff(np.asarray(base.offsets)))
  users = np.random.default_rng(seed).permutation(users)[:2 * _SAMPLE]
  users = np.resize(users, -(-len(users) // (2 * _HISTORIES_A_BATCH)) * 2 * _HISTORIES_A_BATCH)
  histories = [jax.device_get(closed_form.history(base, some)) for some in users.reshape(-1, _HISTORIES_A_BATCH)]
  fitting, measuring = histories[::2], histories[1::2]
  parameters = jax.device_put(parameters)
  extra, directions = indexing.parameters_for(parameters, fitting)
  index = indexing.build(faiss, parameters, directions, seed)
  exact = indexing.exact_lists(scores, parameters, measuring)
  found = indexing.tune(index, parameters | extra, measuring, exact)
  told = {'recall@20': found, 'histories': len(exact), 'width': index.d, 'lists': index.nlist,
          'searched': index.nprobe, 'candidates': min(indexing.CANDIDATES, index.ntotal),
          'faiss_version': faiss.__version__,
          'how': 'beyond the history a score is the inner product of what `propose` and the index keep in part; the '
                 'index proposes candidates, and `rank` gives their exact scores, without adventure'}
  writers = {'items.faiss': lambda file: file.write(faiss.serialize_index(index)),
             'index.safetensors': lambda file: _save(extra, file), 'answer_index.py': _copy_of('answer_index.py')}
  return told, writers, extra


def _faiss():
  try:
    import faiss
  except ImportError as error:
    raise UserError("--index needs faiss-cpu, which is not installed: pip install 'ganrec_jax[index]'") from error
  return faiss


def _table(prepared):
  catalogue = prepared.dataset.catalogue
  return pa.table({'id': catalogue.ids, 'title': catalogue.titles, 'text': catalogue.texts,
                   'warm': np.isin(np.arange(len(catalogue)), prepared.warm)})


def _copy_of(name):
  return lambda file: file.write(pathlib.Path(__file__).with_name(name).read_bytes())


def _model(config):
  kind = config.recommender.kind
  alone = 'the closed form, row no_augmentation of the results'
  return alone if kind == recommend.CLOSED_FORM else f'{alone}, without the network {kind!r} of the run'


def _look(out):
  """Refuses a path that is no folder, or a folder that holds more than an export or what a stopped one has left."""
  if os.path.exists(out) and not os.path.isdir(out):
    raise UserError(f'{out}: is a file; --out takes a folder, new or empty')
  ours = {name + end for name in _FILES + _OF_INDEX for end in ('', '.tmp')} | {'__pycache__'}
  others = set(os.listdir(out) if os.path.isdir(out) else ()) - ours
  if others:
    raise UserError(f'{out}: holds {sorted(others)[0]!r} and is no export; choose another --out, new or empty')


def _is_there(out, told):
  """Whether the folder `out` holds the whole export that `told` describes.

  Raises:
    UserError: where it holds another one, or a damaged one.
  """
  path = os.path.join(out, 'manifest.json')
  if not os.path.exists(path):
    return False
  manifest = artifacts.read_json(path) or {}
  if {name: manifest.get(name) for name in told} != told:
    raise UserError(f'{out}: holds the export of another run or of other options; choose another --out')
  for name, due in manifest['files'].items():
    if not os.path.exists(os.path.join(out, name)) or _hash(os.path.join(out, name)) != due:
      raise UserError(f'{out}: {name} is not what its manifest says; remove the folder or choose another --out')
  return True


def _write(out, writers, told):
  """Writes all files, {name: what writes it}, the manifest last, or none; returns {name: bytes}."""
  paths = {name: os.path.join(out, name) for name in (*writers, 'manifest.json')}
  try:
    for name, write in writers.items():
      artifacts.write_atomically(paths[name], write)
    sizes = {name: os.path.getsize(paths[name]) for name in writers}
    artifacts.write_json(paths['manifest.json'], seal(
      told | {'bytes': sizes, 'files': {name: _hash(paths[name]) for name in writers}}))
  except UserError:
    for path in paths.values():
      with contextlib.suppress(OSError):
        os.remove(path)
    raise
  return sizes | {'manifest.json': os.path.getsize(paths['manifest.json'])}


def _save(parameters, file):
  try:
    safetensors.numpy.save_file(parameters, file.name)
  except safetensors.SafetensorError as error:
    raise OSError(str(error)) from error


def _hash(path):
  with open(path, 'rb') as file:
    return hashlib.file_digest(file, 'sha256').hexdigest()


def _words(out, told, sizes):
  """The lines that the command prints."""
  yield from ['SIMULATED DATA'] if told['simulated'] else []
  yield f'{told["model"]}, for {", ".join(told["platforms"])}: {told["items"]} items'
  for task, found in told.get('int8', {}).items():
    yield (f'int8, validation {task}: NDCG@20 {found["ndcg@20"]:.4f}, exact {found["ndcg@20_exact"]:.4f}; '
           f'{found["same_items"]:.1%} of the best 20 are the same, {found["equal_lists"]:.1%} of the lists in order')
  if told['indexed']:
    found = told['index']
    yield (f'index: recall@20 {found["recall@20"]:.3f} over {found["histories"]} histories, from {found["searched"]} '
           f'of {found["lists"]} lists; the exact scores rank {found["candidates"]} candidates')
  for name, size in sizes.items():
    yield f'{os.path.join(out, name)}  {size:,} bytes'
  yield f'{sum(sizes.values()):,} bytes; ask it by python {os.path.join(out, "answer.py")} ITEM_ID ITEM_ID'
