"""Texts to vectors: what a trained BERT may see, what is kept, and what users are."""

import dataclasses
import os

import jax
import numpy as np
import pytest

from ganrec_jax.data import text
from ganrec_jax.data.ragged import group
from ganrec_jax.data.types import Catalogue
from ganrec_jax.encoding import pretrain, tokenizer
from ganrec_jax.errors import ConfigError
from ganrec_jax.stages import encode
from ganrec_jax.stages.prepare import prepare

from . import worlds


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
  config = worlds.config(encoder={'steps': 4, 'adapt_steps': 2, 'max_length': 16},
                         adversarial={'design': 'interaction'})
  space, prepared = worlds.workspace_of(config, tmp_path_factory.mktemp('work')), prepare(config)
  return space, prepared, encode.text_encoder(space, prepared)


def test_the_vocabulary_and_the_language_model_see_warm_items_only(tmp_path, monkeypatch):
  config = worlds.config(encoder={'steps': 2, 'adapt_steps': 0})
  space, prepared, seen = worlds.workspace_of(config, tmp_path), prepare(config), []
  vocabulary, model = tokenizer.train_wordpiece, pretrain.masked_language_model
  monkeypatch.setattr(tokenizer, 'train_wordpiece',
                      lambda texts, size: (seen.append(texts), vocabulary(texts, size))[1])
  monkeypatch.setattr(pretrain, 'masked_language_model',
                      lambda ids, *rest, **options: (seen.append(ids), model(ids, *rest, **options))[1])
  encode.text_encoder(space, prepared)
  warm = prepared.dataset.catalogue.texts[prepared.warm].tolist()
  assert seen[0] == warm and len(seen[1]) == len(warm) < prepared.dataset.items


def test_a_trained_encoder_is_kept_and_trained_anew_for_other_data(trained, monkeypatch):
  space, prepared, encoder = trained
  assert set(encoder.summary) == {'mlm', 'adapt'} and encoder.summary['mlm']['steps'] == 4
  again = encode.text_encoder(space, prepared)
  words = ['a quiet folk album', 'synthpop']
  np.testing.assert_array_equal(encode.text_vectors(space, encoder, words), encode.text_vectors(space, again, words))
  def train(*_):
    raise KeyboardInterrupt('trained anew')
  monkeypatch.setattr(encode, '_train', train)
  config = space.config.copy_and_resolve_references()
  config.encoder.remat = True  # takes less memory, and ends in the same parameters
  encode.text_encoder(dataclasses.replace(space, config=config), prepared)
  other = dataclasses.replace(prepared, split=dataclasses.replace(
    prepared.split, part=np.roll(prepared.split.part, 1)))
  with pytest.raises(KeyboardInterrupt, match='trained anew'):
    encode.text_encoder(space, other)


def test_distillation_reads_warm_items_and_their_factors_only(tmp_path, monkeypatch):
  config = worlds.config(encoder={'steps': 2, 'adapt_steps': 2, 'adapt_kind': 'distil', 'lora_rank': 2},
                         base={'sweeps': 2})
  space, prepared, seen = worlds.workspace_of(config, tmp_path), prepare(config), []

  def stand_in(params, shape, ids, targets, *rest, **options):
    seen.append((len(ids), targets, options))
    return params, {}

  monkeypatch.setattr(encode.distil, 'distil', stand_in)
  encoder = encode.text_encoder(space, prepared)
  (number, targets, options), = seen
  assert set(encoder.summary) == {'mlm', 'adapt'} and options['rank'] == 2
  heard = np.unique(prepared.histories.values)  # some of them have no text
  assert number == len(targets) == (prepared.dataset.catalogue.texts[heard] != '').sum() < len(heard)
  assert targets.shape[1] == config.base.dim and (np.abs(targets).sum(1) > 0).all()


@pytest.mark.parametrize('field, value', [('adapt_kind', 'prompt'), ('lora_rank', -1), ('pooling', 'max')])
def test_bad_fields_of_the_encoder_are_refused(field, value):
  with pytest.raises(ConfigError, match=rf'encoder\.{field} is .*{value}'):
    encode.check(worlds.config(encoder={field: value}))


def test_stale_checkpoints_are_removed(trained):
  space, _, _ = trained
  there = os.path.join(space.path, 'checkpoints', 'mlm')
  assert len(os.listdir(there)) == 1
  around = space.surroundings('mlm', 'another key of a hash')
  assert os.listdir(there) == [] and around.checkpoints.startswith(there)


def test_content_has_both_forms_of_a_user(trained):
  space, prepared, encoder = trained
  content = encode.content(space, prepared, encoder)
  users, items = prepared.dataset.users, prepared.dataset.items
  assert content.users.shape == (users, 2, content.items.shape[1]) and content.kernel.shape == (items, items)
  assert np.isfinite(content.users).all() and np.abs(content.users[0, 0] - content.users[0, 1]).max() > 1e-3
  bare = encode.content(space, prepared, None)
  assert bare.users.shape == (users, 1, bare.items.shape[1]) and bare.texts is None
  # The projected kernel keeps what is alike.
  kernel, alike = np.asarray(bare.kernel)[prepared.warm][:, prepared.warm], bare.items[prepared.warm]
  off = ~np.eye(len(kernel), dtype=bool)
  assert np.corrcoef((alike @ alike.T)[off], kernel[off])[0, 1] > .5


def test_attention_in_batches_is_attention_one_by_one(monkeypatch):
  rng = np.random.default_rng(0)
  items = rng.normal(size=(9, 4)).astype(np.float32)
  there = rng.random((7, 9)) < .4
  there[2] = False
  monkeypatch.setattr(encode, '_USERS_A_BATCH', 3)
  found = encode.attend(items, group(*np.nonzero(there), 7))
  for user in range(7):
    rows = items[there[user]]
    expected = np.zeros(4)
    if len(rows):
      odds = np.exp(rows @ rows.mean(0) / 2)
      expected = odds / odds.sum() @ rows
    np.testing.assert_allclose(found[user], expected, atol=1e-5)


def test_ready_vectors_stand_beside_texts():
  texts = np.array([[3., 4.], [0., 0.], [0., 2.], [0., 0.]], np.float32)
  ready = np.array([[0., 0., 0.], [0., 5., 0.], [7., 0., 0.], [0., 0., 0.]], np.float32)
  warm = np.array([0, 1])
  found = encode.beside(texts, ready, warm)
  np.testing.assert_allclose(found, [[.6, .8, 0, 1, 0], [.6, .8, 0, 1, 0], [0, 1, 1, 0, 0], [0] * 5], atol=1e-6)
  assert encode.beside(None, ready, warm) is ready and encode.beside(texts, None, warm) is texts
  assert encode.beside(None, None, warm) is None


def test_half_of_an_adapted_encoders_kernel_is_the_encoder_as_it_was(trained):
  space, prepared, after = trained
  before = dataclasses.replace(after, params=jax.tree.map(lambda x: x * 1.5, after.params))
  both = dataclasses.replace(after, before=before.params)
  kernels = [np.asarray(encode.content(space, prepared, encoder).kernel) for encoder in (after, before, both)]
  assert np.abs(kernels[0] - kernels[1]).max() > 1e-3
  np.testing.assert_allclose(kernels[2], (kernels[0] + kernels[1]) / 2, atol=1e-5)
  found = encode.content(space, prepared, both)
  np.testing.assert_array_equal(found.texts, encode.content(space, prepared, after).texts)


def test_titles_letters_count_where_no_item_has_phrases():
  catalogue = Catalogue(np.array(['a', 'b', 'c']), np.array(['GT2 pulley', 'GT2-20T belt', 'foil tape']),
                        np.array(['one', 'two', 'three']), ((), (), ()))
  words, letters = (text.similarities(rows, rows, num_terms)
                    for rows, num_terms in encode.terms_of(catalogue, np.arange(3)))
  assert words[0, 1] == 0 and letters[0, 1] > .1 > letters[0, 2]
  with_phrases = dataclasses.replace(catalogue, phrases=(('tools',), (), ()))
  assert len(encode.terms_of(with_phrases, np.arange(3))) == 1
