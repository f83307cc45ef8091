"""GPT-2 against torch's, its parameter counts, its causality, and its folder from texts to vectors."""

import json

import jax
import numpy as np
import pytest
import safetensors.numpy
import tokenizers

from ganrec_jax.encoding import encoder, tokenizer, vectors, weights
from ganrec_jax.errors import DataError
from ganrec_jax.models import gpt

# Published sizes.
COUNTS = {'distilgpt2': 81912576, 'gpt2': 124439808, 'gpt2-medium': 354823168}
RAW = {'model_type': 'gpt2', 'vocab_size': 50, 'n_embd': 24, 'n_layer': 2, 'n_head': 3, 'n_positions': 20,
       'layer_norm_epsilon': 1e-5, 'bos_token_id': 0, 'eos_token_id': 0}
CONFIG = gpt.GptConfig(50, 24, 2, 3, 96, positions=20)


def _write(folder, params, raw=RAW, prefix='transformer.'):
  """Writes parameters under Hugging Face's names."""
  tensors = {'wte.weight': params['word']['embedding'], 'wpe.weight': params['position']['embedding'],
             'ln_f.weight': params['norm']['scale'], 'ln_f.bias': params['norm']['bias']}
  names = {('attention', 'qkv'): 'attn.c_attn', ('attention', 'out'): 'attn.c_proj', ('feed', 'up'): 'mlp.c_fc',
           ('feed', 'down'): 'mlp.c_proj', ('attention_norm',): 'ln_1', ('feed_norm',): 'ln_2'}
  for i in range(raw['n_layer']):
    for path, name in names.items():
      part = params['blocks']
      for step in path:
        part = part[step]
      tensors |= {f'h.{i}.{name}.{"bias" if leaf == "bias" else "weight"}': value[i] for leaf, value in part.items()}
  safetensors.numpy.save_file({prefix + name: np.asarray(value) for name, value in tensors.items()},
                              folder / 'model.safetensors')
  (folder / 'config.json').write_text(json.dumps(raw))


def test_every_variant_has_its_published_number_of_parameters():
  assert {name: gpt.parameter_count(config) for name, config in gpt.VARIANTS.items()} == COUNTS


@pytest.mark.parametrize('head', [False, True])
def test_hidden_states_equal_those_of_torch(tmp_path, head):
  torch = pytest.importorskip('torch', reason='parity needs torch')
  transformers = pytest.importorskip('transformers')
  torch.manual_seed(0)
  model = (transformers.GPT2LMHeadModel if head else transformers.GPT2Model)(transformers.GPT2Config(**RAW)).eval()
  with torch.no_grad():  # biases start at 0 and norms at 1: move them, so that a forgotten one shows
    for parameter in model.parameters():
      parameter.add_(.1 * torch.randn_like(parameter))
  model.save_pretrained(tmp_path)
  loaded = weights.load(tmp_path)
  assert loaded.config == CONFIG
  ids = np.random.default_rng(3).integers(0, 50, (4, 11))
  mask = (np.arange(11) < np.array([11, 7, 2, 1])[:, None]).astype(np.int64)
  with torch.no_grad():
    want = (model.transformer if head else model)(torch.tensor(ids), attention_mask=torch.tensor(mask))
  got = np.asarray(encoder.apply(loaded.params, loaded.config, ids, mask))
  assert np.abs(got - want.last_hidden_state.numpy())[mask == 1].max() < 1e-5


@pytest.mark.parametrize('prefix', ['transformer.', ''])
def test_a_folder_gives_back_the_parameters_written(tmp_path, prefix):
  params = gpt.init(jax.random.key(0), CONFIG)
  _write(tmp_path, params, prefix=prefix)
  loaded = weights.load(weights.find(tmp_path))
  assert loaded.config == CONFIG == encoder.from_json(encoder.to_json(CONFIG))
  jax.tree.map(np.testing.assert_array_equal, loaded.params, params)
  _write(tmp_path, params, RAW | {'n_embd': 12}, prefix)
  with pytest.raises(DataError, match=rf'{prefix}wte.weight has the shape \[50, 24\], due is \[50, 12\]'):
    weights.load(tmp_path)


def test_a_position_reads_what_comes_before_it_and_last_pooling_takes_the_end():
  params, ids = gpt.init(jax.random.key(0), CONFIG), np.arange(12).reshape(1, 12)
  states = [np.asarray(gpt.apply(params, CONFIG, row, np.ones_like(row))) for row in (ids, np.where(ids < 7, ids, 40))]
  np.testing.assert_allclose(states[0][:, :7], states[1][:, :7], atol=1e-6)
  assert np.abs(states[0][:, 7:] - states[1][:, 7:]).max() > .01
  found = vectors.encode(params, CONFIG, [ids[0, :7], ids[0]], pooling='last', devices=jax.devices()[:1])
  np.testing.assert_allclose(found, states[0][0, [6, 11]], atol=2e-6)


def test_texts_become_vectors_from_a_folder_alone(tmp_path):
  words = tokenizers.Tokenizer(tokenizers.models.BPE())
  words.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
  words.train_from_iterator(['one two two', 'two three'], tokenizers.trainers.BpeTrainer(
    vocab_size=50, special_tokens=['<|endoftext|>'], show_progress=False))
  words.save(str(tmp_path / 'tokenizer.json'))
  _write(tmp_path, gpt.init(jax.random.key(0), CONFIG))
  loaded = weights.load(tmp_path)
  ids = tokenizer.encode(tokenizer.load(tmp_path), ['two two three', '', 'two'], 16)
  assert ids[0].tolist() == words.encode('two two three').ids and ids[1].tolist() == [0]
  found = vectors.encode(loaded.params, loaded.config, ids, devices=jax.devices()[:1])
  assert found.shape == (3, 24) and np.isfinite(found).all() and np.abs(found[0] - found[2]).max() > 1e-3


@pytest.mark.parametrize('change, message', [
  ({'activation_function': 'relu'}, "field activation_function: 'relu'; only 'gelu_new'"),
  ({'scale_attn_by_inverse_layer_idx': True}, 'field scale_attn_by_inverse_layer_idx'),
  ({'n_layer': 0}, 'field n_layer: 0; a positive'), ({'n_head': 5}, 'field n_head: 5 does not divide n_embd 24'),
  ({'n_inner': -1}, 'field n_inner: -1'), ({'layer_norm_epsilon': 2.}, 'field layer_norm_epsilon: 2.0')])
def test_unsupported_configs_are_refused(tmp_path, change, message):
  (tmp_path / 'config.json').write_text(json.dumps(RAW | change))
  with pytest.raises(DataError, match=message):
    encoder.read_config(tmp_path / 'config.json')


def test_the_width_inside_may_be_given(tmp_path):
  (tmp_path / 'config.json').write_text(json.dumps(RAW | {'n_inner': 30}))
  assert encoder.read_config(tmp_path / 'config.json').hidden == 30
