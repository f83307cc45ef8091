"""IRGAN (Wang et al. 2017): a policy that picks items for a user against a judge of (user, item) pairs."""

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments.court import case as court
from ganrec_jax.adversarial.losses import LOSSES
from ganrec_jax.training.update import gradient_update

_USERS, _ITEMS, _STEPS, _RATE = 64, 16, 400, 1e-3
# Of the policy at the start: that at which pairs are drawn from scores in standard deviations.
_TEMPERATURE = .5


@flax.struct.dataclass
class State:
  """All that a step changes: the factors of the policy and of the judge."""
  policy: dict
  judge: dict
  policy_opt: tuple
  judge_opt: tuple


def picks(chances, uniform):
  """Items int `[batch, n]` drawn by `chances [batch, items]`, with replacement, from `uniform [batch, n]` in [0, 1)."""
  total = jnp.cumsum(chances, 1)
  return jax.vmap(lambda row, u: jnp.searchsorted(row, u * row[-1], side='right'))(total, uniform)


def policy_loss(log_chance, reward):
  """The policy gradient's surrogate -r log p(item | user), for `[batch, n]` (Wang et al. 2017, equation 11)."""
  return -(jax.lax.stop_gradient(reward) * log_chance).mean(1)


def make_step(warm, adversarial):
  """Makes `step(state, batch, axis=None) -> (state, metrics)`.

  Adversarial: the judge learns to tell real pairs from the policy's picks by cross-entropy, then the policy is
  rewarded by 2 D - 1 for its picks. Otherwise the policy ascends the likelihood of the real pairs.

  Args:
    warm: bool `[items]`, what can be picked in training.
    adversarial: which of the two.
  """
  loss = LOSSES['cross_entropy']

  def log_chances(params, user):
    return jax.nn.log_softmax(jnp.where(warm, params['users'][user] @ params['items'].T, -jnp.inf))

  def judged(params, user, items):
    return jnp.einsum('bd,bnd->bn', params['users'][user], params['items'][items]) + params['bias'][items]

  def against(params, policy, batch):
    found = picks(jnp.exp(log_chances(policy, batch['user'])), batch['uniform'][:, 0])
    real, fake = (judged(params, batch['user'], items) for items in (batch['real'], found))
    return loss.d_loss(real, fake, batch['weight'][:, None]), {}

  def objective(policy, params, batch):
    logs = log_chances(policy, batch['user'])
    found = picks(jnp.exp(jax.lax.stop_gradient(logs)), batch['uniform'][:, 1]) if adversarial else batch['real']
    reward = 2 * jax.nn.sigmoid(judged(params, batch['user'], found)) - 1 if adversarial else jnp.ones(found.shape)
    values = policy_loss(jnp.take_along_axis(logs, found, 1), reward)
    return (batch['weight'] * values).mean(), {'reward': reward.mean()}

  update, update_judge = (gradient_update(one, optax.adam(_RATE)) for one in (objective, against))

  def step(state, batch, axis=None):
    params, judge_opt = state.judge, state.judge_opt
    if adversarial:
      params, judge_opt, _ = update_judge(params, judge_opt, state.policy, batch, axis=axis)
    policy, policy_opt, metrics = update(state.policy, state.policy_opt, params, batch, axis=axis)
    return State(policy, params, policy_opt, judge_opt), metrics

  return step


def sample(key, data):
  """A batch of users, items of their histories `[batch, n]`, and the uniform numbers behind the picks of both."""
  chosen, real, uniform = jax.random.split(key, 3)
  user = jax.random.choice(chosen, data['users'], (_USERS,))
  start, stop = (data['offsets'][user + i][:, None] for i in (0, 1))
  place = start + (jax.random.uniform(real, (_USERS, _ITEMS)) * (stop - start)).astype(jnp.int32)
  return {'user': user, 'real': data['values'][jnp.minimum(place, stop - 1)],
          'uniform': jax.random.uniform(uniform, (_USERS, 2, _ITEMS)), 'weight': jnp.ones(_USERS)}


def fit(case, seed, adversarial):
  """Pairs drawn by the policy; both players start from the base model's factors."""
  name = 'irgan' if adversarial else 'policy'
  keys = jax.random.split(court.key_of(name, seed), 2)
  users, items, histories = case.base.factors.users, case.base.factors.items, case.data.histories
  unit = (users[case.data.users[:512]] @ items[case.warm].T).std() * _TEMPERATURE
  policy, judge = ({'users': users / unit, 'items': items}, {'users': users / unit, 'items': items,
                                                             'bias': jnp.zeros(len(items))})
  state = State(policy, judge, optax.adam(_RATE).init(policy), optax.adam(_RATE).init(judge))
  data = {'users': jnp.asarray(case.data.users), 'offsets': jnp.asarray(histories.offsets, jnp.int32),
          'values': jnp.asarray(np.asarray(histories.values, np.int32))}
  found, report = court.trained(case, name, make_step(jnp.asarray(case.problem.warm), adversarial), sample, state, data,
                                keys[0], _STEPS, keep=lambda state: state.policy)
  if found is None:
    return court.nothing(case, 'interactions', report)
  made = court.drawn(case, found['items'][None], keys[1], users=found['users'])
  return court.of_pairs(case, made, name, report)
