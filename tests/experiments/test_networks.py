"""The project's networks as rows of the benchmark: alone as they are trained, on top no worse on validation."""

import dataclasses

import jax
import numpy as np
import pytest

from experiments.bench import trials
from experiments.peers import networks
from ganrec_jax.models import blend, closed_form, recommenders
from ganrec_jax.stages import recommend, tune
from tests.experiments import problems


@pytest.fixture
def one(tmp_path):
  """The small problem, with little training and a content kernel of TF-IDF alone."""
  small = problems.small()
  config = small.config.copy_and_resolve_references()
  config.encoder.kind = 'none'
  config.base.update(sweeps=2, dim=4, turn_knobs=False)
  config.recommender.update(steps=4, chunk=2, batch=16, dim=8, hidden=16, max_history=8)
  return dataclasses.replace(small, config=config, workdir=str(tmp_path))


def test_a_network_alone_has_the_options_of_the_trial_and_scores_new_items(one):
  score, params = networks.mlp(one, {'learning_rate': .01, 'weight_decay': .3}, jax.random.key(0))
  assert score is recommenders.score
  found = params.config
  assert (found.kind, found.learning_rate, found.weight_decay, found.dim) == ('mlp', .01, .3, 8)
  scores = np.asarray(score(params, np.arange(4)))
  assert np.isfinite(scores).all() and (np.ptp(scores[:, ~one.warm], axis=1) > 0).all()


@pytest.mark.slow
def test_on_top_it_is_blended_with_the_closed_form_of_the_work_directory(one, monkeypatch):
  score, params = networks.mlp_on_top(one, {}, jax.random.key(0))
  monkeypatch.setattr(closed_form, 'fit', None)  # the second time it is there
  judge = recommend.Judge(one.tasks('valid'))
  space, content = networks._read(one)
  base = tune.fit(space, one.prepared, content, judge)[0]
  np.testing.assert_array_equal(params.base.item_item, base.item_item)
  assert score is blend.score and params.net_score is recommenders.score
  for task in ('warm', 'cold'):
    assert judge(score, params, task) >= judge(closed_form.score, base, task)


def test_rows_are_named_once_and_know_new_items():
  peers = [trials.Peer(*entry, cold=True, single=True) for entry in networks.PEERS]
  assert len({peer.name for peer in peers}) == 6
  assert {peer.fit.__name__.removesuffix('_on_top') for peer in peers} == set(recommenders.KINDS)
  assert all(trials.points(peer, 12)[0] == {name: values[0] for name, values in peer.space.items()} for peer in peers)
