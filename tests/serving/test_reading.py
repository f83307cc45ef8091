"""Words are read as the content kernel reads an item with that text, by every kind of encoder and feature."""

import dataclasses

import jax
import numpy as np
import pytest

from ganrec_jax.encoding import tokenizer
from ganrec_jax.models import als, bert, closed_form
from ganrec_jax.serving import reading
from ganrec_jax.stages import encode, finished
from ganrec_jax.stages.prepare import Prepared, prepare

from ..stages import worlds


def _encoder(texts, adapted):
  words = tokenizer.train_wordpiece(texts.tolist(), 300)
  shape = dataclasses.replace(bert.VARIANTS['tiny'], layers=1, dim=16, heads=2, vocab_size=words.get_vocab_size())
  params, before = (bert.init(jax.random.key(seed), shape) for seed in (0, 1))
  return encode.TextEncoder(params, shape, words, {}, before if adapted else None)


@pytest.mark.parametrize(('adapted', 'features', 'phrases', 'low'), [
  (True, False, False, False), (True, True, True, False), (False, True, False, True)])
def test_a_new_text_is_read_like_an_item(tmp_path, adapted, features, phrases, low):
  config = worlds.config(encoder={'kind': 'trained', 'max_length': 16},
                         base={'dim': 8, 'dense_items': 20 if low else 10_000, 'rank': 60})
  space, prepared = worlds.workspace_of(config, tmp_path), prepare(config)
  catalogue, rng = prepared.dataset.catalogue, np.random.default_rng(0)
  ready = rng.normal(size=(len(catalogue), 5)).astype(np.float32) if features else None
  catalogue = dataclasses.replace(catalogue, vectors=ready,
                                  phrases=catalogue.phrases if phrases else ((),) * len(catalogue))
  prepared = Prepared(dataclasses.replace(prepared.dataset, catalogue=catalogue), prepared.split, None)
  encoder = _encoder(catalogue.texts, adapted)
  content = encode.content(space, prepared, encoder)
  items = jax.random.normal(jax.random.key(2), (len(catalogue), 8))
  factors = als.AlsParams(None, items, None, None, None)
  base = closed_form.ClosedFormParams(factors, *[None] * 9, length=1, config=closed_form.ClosedFormConfig())
  reader = reading.reader(space, prepared, encoder, content, base)
  reader.compile_all()
  words = 'A dreamy synth album of the 1980s: synthpop, rock'
  alike, factor = reader.read(words)
  kernel = finished.kernel_with(space, prepared, encoder, words, '--item_text')
  np.testing.assert_allclose(alike, finished.alike(kernel)[prepared.warm], atol=2e-3)
  if not low:
    warm, row = prepared.warm, np.asarray(kernel[-1, :-1], np.float64)
    system = np.asarray(kernel, np.float64)[np.ix_(warm, warm)] + base.config.factors.ridge * np.eye(len(warm))
    due = row[warm] @ np.linalg.solve(system, np.asarray(items, np.float64)[warm])
    np.testing.assert_allclose(factor, due, atol=.02)
