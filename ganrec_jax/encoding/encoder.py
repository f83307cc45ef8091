"""BERT and GPT-2 under one interface: which one a folder or a shape stands for."""

import dataclasses
import json

import jax.numpy as jnp

from ganrec_jax.errors import DataError
from ganrec_jax.models import bert, gpt


def apply(params, config, ids, mask, dtype=jnp.float32, remat=False):
  """The hidden states `[batch, length, dim]` of the encoder of the shape `config`, a `BertConfig` or `GptConfig`."""
  return _model(config).apply(params, config, ids, mask, dtype, remat)


def read_config(path):
  """The `BertConfig` or `GptConfig` of a Hugging Face `config.json`, by its `model_type`; a BERT where it has none.

  Raises:
    DataError: where the file cannot be read or the model is neither.
  """
  try:
    with open(path, encoding='utf-8') as file:
      raw = json.load(file)
  except (OSError, ValueError) as error:
    raise DataError(f'{path}: cannot be read as a JSON configuration ({error})') from error
  decoder = isinstance(raw, dict) and raw.get('model_type') == 'gpt2'
  return (gpt if decoder else bert).read_config(path)


def to_json(config):
  """A shape as a JSON string."""
  return json.dumps({'model': type(config).__name__} | dataclasses.asdict(config))


def from_json(text):
  """The shape that `to_json` wrote."""
  fields = json.loads(text)
  return {'BertConfig': bert.BertConfig, 'GptConfig': gpt.GptConfig}[fields.pop('model')](**fields)


def _model(config):
  return gpt if isinstance(config, gpt.GptConfig) else bert
