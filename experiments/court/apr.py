"""Adversarial personalised ranking (He et al. 2018): factors are trained against the worst small change of them."""

import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments.court import case as court
from experiments.peers import training
from ganrec_jax.models import regression

_PAIRS, _STEPS, _RATE = 1024, 600, 3e-3
# Norm of a row's perturbation, relative to the root mean square norm of the rows, and its weight in the loss.
_SIZE, _WEIGHT, _DECAY = .3, 1., 1e-4
KINDS = ('none', 'random', 'adversarial')


def ranking_loss(rows):
  """-log sigmoid(u (v_i - v_j)) `[batch]`, rows `user`, `real`, `other` `[batch, dim]` (Rendle et al. 2009)."""
  return jax.nn.softplus((rows['user'] * (rows['other'] - rows['real'])).sum(1))


def along(directions, sizes):
  """The `directions`, a dict of `[batch, dim]`, with rows of the length `sizes` says by name; rows of zeros stay."""
  return {name: sizes[name] * x / jnp.maximum(jnp.linalg.norm(x, axis=1, keepdims=True), 1e-12)
          for name, x in directions.items()}


def perturbation(rows, sizes):
  """The change of given row lengths that raises the loss most, to first order (He et al. 2018, equation 8)."""
  slopes = jax.grad(lambda rows: ranking_loss(rows).sum())(rows)
  return along(jax.lax.stop_gradient(slopes), sizes)


def make_step(kind):
  """Makes `step(state, batch, axis=None) -> (state, metrics)` with a perturbation of one of `KINDS`."""
  def objective(params, batch):
    rows = {'user': params['users'][batch['user']], 'real': params['items'][batch['real']],
            'other': params['items'][batch['other']]}
    values = ranking_loss(rows)
    if kind != 'none':
      size = {name: _SIZE * jnp.sqrt(jnp.square(params[table]).sum(1).mean())
              for name, table in (('user', 'users'), ('real', 'items'), ('other', 'items'))}
      size = jax.lax.stop_gradient(size)
      change = perturbation(rows, size) if kind == 'adversarial' else along(batch['noise'], size)
      values += _WEIGHT * ranking_loss({name: rows[name] + change[name] for name in rows})
    decay = _DECAY * sum(jnp.square(one).sum(1) for one in rows.values())
    return (batch['weight'] * (values + decay)).mean(), {}

  return court.stepping(objective, _RATE)


def sample(key, data):
  """A batch of training pairs, each with an item at random, and the noise of random perturbations."""
  chosen, other, noise = jax.random.split(key, 3)
  rows = jax.random.randint(chosen, (_PAIRS,), 0, len(data['user']))
  normal = jax.random.normal(noise, (_PAIRS, 3, data['width'].shape[0]))
  return {'user': data['user'][rows], 'real': data['item'][rows], 'weight': jnp.ones(_PAIRS),
          'other': jax.random.randint(other, (_PAIRS,), 0, data['items'].shape[0]),
          'noise': {name: normal[:, i] for i, name in enumerate(('user', 'real', 'other'))}}


def fit(case, seed, kind):
  """The base model's factors trained on by pairwise ranking; new items' are predicted from their texts."""
  key, base = court.key_of(f'ranking, {kind}', seed), case.base.factors
  unit = (base.users[case.data.users[:512]] @ base.items[case.warm].T).std()
  user, item = training.pairs(case.problem)
  params = {'users': base.users / unit, 'items': base.items[case.warm]}
  data = {'user': user, 'item': item, 'items': jnp.zeros(len(case.warm)), 'width': jnp.zeros(base.items.shape[1])}
  state = court.Player(params, optax.adam(_RATE).init(params))
  found, report = court.trained(case, f'ranking, {kind}', make_step(kind), sample, state, data, key, _STEPS,
                                keep=lambda state: state.params)
  if found is None:
    return court.nothing(case, 'vectors', report)
  cold = np.flatnonzero(case.data.cold)
  texts = regression.fit(case.kernel, case.warm, cold, case.base.config.factors.ridge)
  items = base.items.at[case.warm].set(found['items']).at[cold].set(texts.predict(found['items']))
  return court.of_vectors(case, items, report, unit * found['users'])
