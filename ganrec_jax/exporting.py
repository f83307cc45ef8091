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
from ganrec_jax import artifacts, pipeline
from ganrec_jax.errors import UserError
from ganrec_jax.evaluation import ranking
from ganrec_jax.evaluation.tasks import MAIN
from ganrec_jax.models import adventure, closed_form
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
_SCORE = (
  'S / sd(S) + n^activity b_j E_j / sd(E) + n^-.5 c_j popular_j for item j. S is the product of item factors with the '
  'factors that a ridge regression gives the history; E the sum over the history of weight x item_item[i, j], over the '
  'root of square_j to the power; n the length of the history over mean_length; b, c, power and activity the knobs for '
  'warm or cold items. Less adventure x sd(score) x popular_j / sd(popular). Standard deviations are over the warm '
  'items of each history. Items of the history have -inf.')
_UNIT = (
  'the standard deviation of what the factors alone say of warm items to the same history; scores order the items of '
  'one history, and are neither probabilities nor of one scale for different histories')


def run(workdir, out, int8=False):
  """Writes the export of a finished run into the folder `out`; returns in words what is in it.

  Args:
    workdir: of a finished run.
    out: the folder, new or empty; one that holds this very export already is left as it is.
    int8: whether item vectors and matrices are kept as bytes.

  Raises:
    UserError: for a work directory without a finished run, a folder with other content, or one that cannot be written.
  """
  _look(out)
  space, prepared, _, _, base = finished.load(workdir)
  pipeline.use_compilation_cache(space.config)
  exact = parameters_of(base)
  told = {'format': FORMAT, 'package': 'ganrec_jax', 'package_version': ganrec_jax.__version__,
          'config_sha256': artifacts.digest(space.config.to_dict()), 'data_sha256': prepared.dataset.sha256(),
          'split_sha256': prepared.split.sha256(), 'data': prepared.dataset.info['name'],
          'simulated': prepared.dataset.info['simulated'], 'parameters_sha256': artifacts.digest(
            {name: sha256(array) for name, array in exact.items()}), 'quantised': 'int8' if int8 else 'none'}
  if _is_there(out, told):
    return f'{out}: holds this export already; nothing was written'
  scores = score_function(base)
  parameters = quantise(exact) if int8 else exact
  if int8:
    told['int8'] = loss(recommend.judge_of(space, prepared), base, scores, exact, dequantised(parameters))
  program = lower(scores, parameters)
  told |= {
    'git_revision': pipeline.revision(), 'jax_version': jax.__version__, 'platforms': list(program.platforms),
    'calling_convention': program.calling_convention_version, 'model': _model(space.config),
    'function': {'inputs': [str(one) for one in program.in_avals[len(parameters):]],
                 'names': ['items', 'weights (0 is padding)', 'adventure'], 'output': str(program.out_avals[0])},
    'items': prepared.dataset.items, 'warm_items': len(prepared.warm), 'score': _SCORE, 'scale': _UNIT,
    'parameters': {name: {'shape': list(array.shape), 'dtype': str(array.dtype)} for name, array in parameters.items()}}
  sizes = _write(out, program, parameters, prepared, told)
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
                   'same_items': shared(lists[0], lists[1])}
  return found


def shared(lists, exact):
  """The share of the entries of `exact` that are in the same row of `lists`, both int `[n, k]`, -1 for none."""
  rows = np.arange(len(exact), dtype=np.int64)[:, None] * (1 + max(lists.max(initial=0), exact.max(initial=0)))
  return float(np.isin((rows + exact)[exact >= 0], (rows + lists)[lists >= 0]).mean())


def lower(scores, parameters):
  """The `jax.export.Exported` of a score function for all `PLATFORMS`, with symbolic batch and length."""
  batch, length = export.symbolic_shape('batch, length')
  forms = {name: jax.ShapeDtypeStruct(array.shape, array.dtype) for name, array in parameters.items()}
  histories = [jax.ShapeDtypeStruct((batch, length), kind) for kind in (np.int32, np.float32)]
  return export.export(jax.jit(scores), platforms=PLATFORMS)(forms, *histories, jax.ShapeDtypeStruct((), np.float32))


def seal(manifest):
  """The manifest with the SHA-256 of all that is in it."""
  return manifest | {'sha256': hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()}


def _model(config):
  kind = config.recommender.kind
  alone = 'the closed form, row no_augmentation of the results'
  return alone if kind == recommend.CLOSED_FORM else f'{alone}, without the network {kind!r} of the run'


def _look(out):
  """Refuses a path that is no folder, or a folder that holds more than an export or what a stopped one has left."""
  if os.path.exists(out) and not os.path.isdir(out):
    raise UserError(f'{out}: is a file; --out takes a folder, new or empty')
  others = set(os.listdir(out) if os.path.isdir(out) else ()) - {name + end for name in _FILES for end in ('', '.tmp')}
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


def _write(out, program, parameters, prepared, told):
  """Writes all files, the manifest last, or none; returns {name: bytes}."""
  catalogue = prepared.dataset.catalogue
  warm = np.isin(np.arange(len(catalogue)), prepared.warm)
  table = pa.table({'id': pa.array(catalogue.ids), 'title': pa.array(catalogue.titles),
                    'text': pa.array(catalogue.texts), 'warm': pa.array(warm)})
  writers = {'scores.jax_export': lambda file: file.write(program.serialize()),
             'parameters.safetensors': lambda file: _save(parameters, file),
             'items.parquet': lambda file: pyarrow.parquet.write_table(table, file),
             'answer.py': lambda file: file.write(pathlib.Path(__file__).with_name('answer.py').read_bytes())}
  paths = {name: os.path.join(out, name) for name in _FILES}
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
  for name, size in sizes.items():
    yield f'{os.path.join(out, name)}  {size:,} bytes'
  yield f'{sum(sizes.values()):,} bytes; ask it by python {os.path.join(out, "answer.py")} ITEM_ID ITEM_ID'
