"""An epoch of the Transformer recommender: ours against RecBole's own SASRec, full softmax, on the same sizes."""

import types

import jax
import jax.numpy as jnp
import numpy as np

from experiments.races.turns import OURS, Skipped, missing, races
from ganrec_jax.data.ragged import group
from ganrec_jax.models import recommenders
from ganrec_jax.models.recommenders import RecommenderConfig
from ganrec_jax.training import recommend
from ganrec_jax.training.devices import make_chunk
from ganrec_jax.training.update import gradient_update

ITEMS, USERS, LENGTH = 3700, 128, 48  # items and widths of MovieLens 1M and RecBole's defaults; a share of its users
LAYERS, HEADS, DIM, HIDDEN, RECBOLE_BATCH = 2, 2, 64, 256, 512
_WORK, _REFERENCE = 'Transformer recommender, an epoch', 'RecBole SASRec, cross-entropy'
_INSTALL = 'pip install --no-deps recbole colorlog colorama thop tabulate plotly texttable tensorboard'


def histories(seed=0):
  """Random histories int `[USERS, LENGTH + 1]`, of different items each."""
  rng = np.random.default_rng(seed)
  return np.stack([rng.choice(ITEMS, LENGTH + 1, replace=False) for _ in range(USERS)])


def parts(items, batch, places, dtype='float32'):
  """Step, sampler, first state and data of the training of our Transformer on histories int `[users, length]`."""
  users, length = items.shape
  config = RecommenderConfig('transformer', DIM, LAYERS, HEADS, HIDDEN, max_history=length, ordered=True, places=places,
                             batch=batch, dtype=dtype)
  log = group(np.repeat(np.arange(users), length), items.ravel(), users)
  data = jax.tree.map(jnp.asarray, recommend.prepare(log, None, np.ones(ITEMS, bool), config))
  optimizer = recommend.make_optimizer(config)
  params = recommenders.init(jax.random.key(0), config, ITEMS, data['texts'].shape[1])
  state = params, jax.jit(optimizer.init)(params)
  update = gradient_update(recommend.make_loss(config, data), optimizer)

  def step(state, batch, axis=None):
    params, opt_state, metrics = update(*state, batch, axis=axis)
    return (params, opt_state), metrics

  return step, recommend.make_sample(config, 1), state, data


def ours(items, batch, places):
  """A call that trains until as many targets have been seen as there are."""
  step, sample, state, data = parts(items, batch, places)
  chunk = make_chunk(step, sample, jax.devices()[:1])
  steps = USERS * LENGTH // (batch * places)
  return lambda: jax.block_until_ready(chunk(jax.tree.map(jnp.copy, state), data, jax.random.key(1), 0, steps)[1])


def recbole(items):
  """An epoch as RecBole trains it: each prefix of a history is a row, shuffled, in batches; Adam."""
  import torch
  from recbole.model.sequential_recommender.sasrec import SASRec
  config = {'USER_ID_FIELD': 'user', 'ITEM_ID_FIELD': 'item', 'LIST_SUFFIX': '_list', 'NEG_PREFIX': 'neg_',
            'ITEM_LIST_LENGTH_FIELD': 'length', 'MAX_ITEM_LIST_LENGTH': LENGTH, 'device': 'cpu', 'n_layers': LAYERS,
            'n_heads': HEADS,
            'hidden_size': DIM, 'inner_size': HIDDEN, 'hidden_dropout_prob': 0., 'attn_dropout_prob': 0.,
            'hidden_act': 'gelu', 'layer_norm_eps': 1e-12, 'initializer_range': .02, 'loss_type': 'CE'}
  model = SASRec(config, types.SimpleNamespace(num=lambda field: ITEMS + 1)).train()
  optimizer = torch.optim.Adam(model.parameters(), 1e-3)
  lengths = np.tile(np.arange(1, LENGTH + 1), USERS)
  rows = np.repeat(items[:, :-1] + 1, LENGTH, 0)  # 0 is padding
  rows[np.arange(LENGTH) >= lengths[:, None]] = 0
  found = {'item_list': torch.tensor(rows), 'length': torch.tensor(lengths),
           'item': torch.tensor(items[:, 1:].ravel() + 1)}

  def epoch():
    for some in torch.randperm(len(lengths)).split(RECBOLE_BATCH):
      optimizer.zero_grad()
      loss = model.calculate_loss({name: leaf[some] for name, leaf in found.items()})
      loss.backward()
      optimizer.step()
  return epoch


def transformer(options):
  """The races of the Transformer."""
  reason = missing('torch') or missing('recbole.model.sequential_recommender.sasrec')
  if reason:
    return [Skipped(_WORK, _REFERENCE, f'{reason}; {_INSTALL}')]
  items, found = histories(), []
  theirs = recbole(items)
  sizes = f'{USERS} histories of {LENGTH} items out of {ITEMS}, {LAYERS} layers, {DIM} wide'
  for work, due, batch, places in ((_WORK, 1.5, 128, 16), (f'{_WORK}, one target a pass', None, 512, 1)):
    note = f'{sizes}; targets to a pass over a history: {places} of ours, one of RecBole'
    found += races(work, 'targets', USERS * LENGTH, {OURS: ours(items, batch, places), _REFERENCE: theirs},
                   {_REFERENCE: due}, note, options.runs)
  return found
