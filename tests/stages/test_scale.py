"""With more items than base.dense_items a run goes the whole way, and its model comes back as it was left."""

import dataclasses

import jax
import numpy as np
import pytest

from ganrec_jax import pipeline
from ganrec_jax import recommend as ask
from ganrec_jax.errors import ConfigError
from ganrec_jax.models.kernels import LowRankKernel
from ganrec_jax.stages import encode, recommend
from ganrec_jax.stages.prepare import prepare

from . import worlds


def _config(**base):
  return worlds.config(encoder={'kind': 'none'}, base={'sweeps': 2, 'dense_items': 20, **base},
                       controls='self_labelled', adversarial={'steps': 4, 'chunk': 2}, expand={'weights': (.01,)})


def test_features_of_all_warm_items_are_the_kernel(tmp_path, monkeypatch):
  monkeypatch.setattr(encode, '_ITEMS_A_BLOCK', 40)
  config, rng = _config(rank=500), np.random.default_rng(0)
  prepared = prepare(config)
  catalogue, warm = prepared.dataset.catalogue, prepared.warm
  read = [rng.normal(size=(len(catalogue), 16)).astype(np.float32) for _ in range(2)]
  low = encode.content_kernel(worlds.workspace_of(config, tmp_path), catalogue, warm, read)
  config.base.dense_items = len(catalogue)
  dense = np.asarray(encode.content_kernel(worlds.workspace_of(config, tmp_path), catalogue, warm, read))
  assert isinstance(low, LowRankKernel) and low.features.shape == (len(catalogue), len(warm))
  np.testing.assert_allclose(low.features @ low.features[warm].T, dense[:, warm], atol=2e-3)
  right = rng.normal(size=(len(warm), 2)).astype(np.float32)
  np.testing.assert_allclose(low.times(warm, right), dense[:, warm] @ right, atol=.02)
  assert encode.sha256(low) != encode.sha256(dataclasses.replace(low, features=-low.features))


@pytest.mark.slow
def test_the_whole_run_and_a_question(tmp_path, capsys):
  config = _config(rank=32)
  pipeline.run(config, str(tmp_path))
  assert 'self_labelled' in capsys.readouterr().out
  assert len(ask.answer(str(tmp_path), item_text='a dreamy synth album').splitlines()) > 5


def test_the_model_comes_back_as_it_was_left(tmp_path):
  config = _config(rank=32)
  space, prepared = worlds.workspace_of(config, tmp_path), prepare(config)
  content = encode.content(space, prepared, None)
  assert content.kernel.features.shape == (prepared.dataset.items, 32)
  first, again = (recommend.fit_base(space, prepared, content, 'dense')[0] for _ in range(2))
  assert jax.tree.structure(first) == jax.tree.structure(again)
  jax.tree.map(np.testing.assert_array_equal, first, again)


@pytest.mark.parametrize(('field', 'value'), [('rank', 0), ('dense_items', -1)])
def test_values_out_of_range_are_named(field, value):
  with pytest.raises(ConfigError, match=f'{field} is {value}'):
    pipeline.check(_config(**{field: value}))
