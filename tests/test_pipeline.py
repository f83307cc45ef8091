"""The leak check of a run looks at what the fitted model holds."""

import dataclasses
import importlib.util
import pathlib

import jax.numpy as jnp
import numpy as np
import pytest

from ganrec_jax import pipeline
from ganrec_jax.data.types import PARTS, Split
from ganrec_jax.evaluation.leaks import LeakError

ROOT = pathlib.Path(__file__).resolve().parents[1]


@pytest.fixture(scope='module')
def fitted(tmp_path_factory):
  spec = importlib.util.spec_from_file_location('music', ROOT / 'configs' / 'music.py')
  music = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(music)
  config = music.get_config('testing')
  prepared = pipeline.prepare(config)
  return prepared, pipeline.fit_base(config, prepared, None, str(tmp_path_factory.mktemp('work')))


def test_a_model_of_this_split_passes(fitted):
  pipeline.check_leaks(*fitted)


@pytest.mark.parametrize('part', ['valid', 'test', 'cold_valid', 'cold_test'])
def test_a_model_of_another_split_fails(fitted, part):
  prepared, base = fitted
  codes = prepared.split.part.copy()
  codes[prepared.split.rows('train')[7]] = PARTS.index(part)
  other = dataclasses.replace(prepared, split=Split(codes, prepared.split.in_all))
  with pytest.raises(LeakError, match='leak in base'):
    pipeline.check_leaks(other, base)


def test_a_held_out_item_slipped_into_a_history_fails(fitted):
  prepared, base = fitted
  row = prepared.split.rows('cold_test')[0]
  items = np.asarray(base.items).copy()
  items[0] = prepared.dataset.interactions.item[row]
  with pytest.raises(LeakError, match='leak in base'):
    pipeline.check_leaks(prepared, base.replace(items=jnp.asarray(items)))
