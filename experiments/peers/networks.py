"""The project's own networks by the contract of a peer: MLP, GRU and Transformer, alone and on top of the closed form.

They are trained as a run of the pipeline trains them. What they read of the items is the content kernel of the config's
own encoder, as for ours. On top, the weights of warm and cold items are chosen on validation, as in the pipeline. The
closed form is kept in the problem's work directory, so seconds on top are without it.
"""

import jax

from ganrec_jax.models import blend, closed_form, recommenders
from ganrec_jax.stages import encode, recommend, tune, workspace
from ganrec_jax.training import loop

SPACE = {
  'learning_rate': (.001, .002),
  'weight_decay': (.1, .3),
}


def alone(kind, problem, options, key):
  """A network of one of `recommenders.KINDS`, with `options` of config.recommender that differ: (score, params)."""
  return recommenders.score, _network(kind, problem, options, key, *_read(problem))


def on_top(kind, problem, options, key):
  """The closed form of the config, its knobs turned on validation, with the network of `alone`: (score, params)."""
  space, content = _read(problem)
  judge, prepared = recommend.Judge(problem.tasks('valid')), problem.prepared
  base = tune.fit(space, prepared, content, judge)[0]
  net = _network(kind, problem, options, key, space, content)
  mixed = blend.make(closed_form.score, base, recommenders.score, net, recommend.some_users(prepared), problem.warm)
  return blend.score, blend.tune(mixed, judge)[0]


def _read(problem):
  space = workspace.make(problem.config, problem.workdir)
  return space, encode.content(space, problem.prepared, encode.text_encoder(space, problem.prepared))


def _network(kind, problem, options, key, space, content):
  config = problem.config.copy_and_resolve_references().unlock()
  config.recommender.update({'kind': kind, **options})
  items = encode.features(space, content.kernel, problem.prepared.warm)
  return recommend.fit_network(problem.prepared, items, recommend.network(config),
                               recommend.Judge(problem.tasks('valid')), key,
                               loop.Surroundings(kind, tuple(jax.devices()[:1])))[0]


def mlp(problem, options, key):
  """The MLP alone."""
  return alone('mlp', problem, options, key)


def gru(problem, options, key):
  """The GRU alone."""
  return alone('gru', problem, options, key)


def transformer(problem, options, key):
  """The Transformer alone."""
  return alone('transformer', problem, options, key)


def mlp_on_top(problem, options, key):
  """The MLP on top of the closed form."""
  return on_top('mlp', problem, options, key)


def gru_on_top(problem, options, key):
  """The GRU on top of the closed form."""
  return on_top('gru', problem, options, key)


def transformer_on_top(problem, options, key):
  """The Transformer on top of the closed form."""
  return on_top('transformer', problem, options, key)


# (name, fit, space) of each; those on top have the defaults alone, as ours has.
PEERS = (
  ('MLP', mlp, SPACE),
  ('GRU', gru, SPACE),
  ('Transformer', transformer, SPACE),
  ('ours and MLP', mlp_on_top, {}),
  ('ours and GRU', gru_on_top, {}),
  ('ours and Transformer', transformer_on_top, {}),
)
