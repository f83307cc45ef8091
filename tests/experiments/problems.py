"""A small problem for tests of peers and of the benchmark."""

import functools

import numpy as np

from experiments.peers.problem import Problem
from ganrec_jax.data import sample, text
from ganrec_jax.models import kernels
from ganrec_jax.stages import prepare
from tests.stages import worlds


@functools.cache
def small(draw=0, users=60, items=40):
  """A `Problem` of the sample world; its text vectors are random, but alike where the words are."""
  config = worlds.config(world={'users': users, 'items': items, 'events': 480})
  config.split.draw = draw
  dataset = sample.make_world(sample.WorldConfig(seed=config.seed, **config.world.to_dict())).dataset
  prepared = prepare.Prepared(*prepare.split(dataset, config), None)
  catalogue = prepared.dataset.catalogue
  terms, num_terms = text.tfidf(catalogue.phrases, catalogue.texts, prepared.warm)
  rng = np.random.default_rng(0)
  texts = (text.dense(terms, num_terms) @ rng.normal(size=(num_terms, 24))).astype(np.float32)
  whitened = np.asarray(kernels.whiten(texts, prepared.warm).apply(texts))
  return Problem('small', draw, config, prepared, texts, whitened, terms, num_terms, '')
