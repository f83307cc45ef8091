"""Full ranking of many users, and the best items of one: ours against NumPy, RecBole's steps, implicit and faiss."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from experiments.races.turns import OURS, Skipped, missing, races
from ganrec_jax.data.ragged import group
from ganrec_jax.evaluation import ranking
from ganrec_jax.evaluation.tasks import Task

ITEMS, USERS, ALL_USERS, DIM, SEEN, K = 100_000, 1024, 100_000, 64, 20, 100
MANY, FEW = 1_000_000, 20
_BATCH, _LEAST = 64, 256  # users of a batch of the others, and of one of ours
_WORK, _ONE = f'full ranking of {ITEMS:,} items, the best {K}', f'the best {FEW} of {MANY:,} items for one user'


# As the package's own networks score: the candidates' vectors are looked up once, not the scores of each user.
_SCORE = ranking.Blocks(lambda params, users: params['users'][users],
                        lambda params, items: params['items'] if items is None else params['items'][items],
                        lambda users, items: users @ items.T)


def everyone(options):
  """The races of full ranking; all rank the same users and must find the same items."""
  rng, many = np.random.default_rng(0), max(_LEAST, round(USERS * options.share))
  users, items = (rng.standard_normal((size, DIM)).astype(np.float32) for size in (many, ITEMS))
  seen = np.stack([rng.choice(ITEMS, SEEN + 1, replace=False) for _ in range(many)])
  seen, target = seen[:, :SEEN], seen[:, SEEN]
  owner = np.repeat(np.arange(many), SEEN)
  task = Task('race', np.arange(many), np.arange(ITEMS), targets=group(np.arange(many), target, many),
              seen=group(owner, seen.ravel(), many))
  params, found = {'users': jnp.asarray(users), 'items': jnp.asarray(items)}, {}

  def ours():
    found[OURS] = ranking.top_k(_SCORE, params, task, K)[0]

  def by_numpy():
    lists = []
    for start in range(0, many, _BATCH):
      scores = users[start:start + _BATCH] @ items.T
      scores[np.arange(len(scores))[:, None], seen[start:start + _BATCH]] = -np.inf
      best = np.argpartition(scores, ITEMS - K, 1)[:, -K:]
      order = np.argsort(-np.take_along_axis(scores, best, 1), 1)
      lists.append(np.take_along_axis(best, order, 1))
    found['NumPy, argpartition'] = np.concatenate(lists)

  products = jax.jit(lambda users, items: jax.lax.map(lambda some: (some @ items.T).max(1), users))
  batches = users[:many - many % _BATCH].reshape(-1, _BATCH, DIM)
  functions = {OURS: ours, 'NumPy, argpartition': by_numpy,
               'the products alone': lambda: jax.block_until_ready(products(batches, params['items']))}
  skipped = []
  due = {'NumPy, argpartition': 2, "RecBole's steps in torch": 3, 'implicit, topk': 1}
  for name, make in (("RecBole's steps in torch", _recbole), ('implicit, topk', _implicit)):
    reason = missing('torch' if make is _recbole else 'implicit')
    if reason:
      skipped.append(Skipped(_WORK, name, reason))
    else:
      functions[name] = make(users, items, seen, target, functools.partial(found.__setitem__, name))
  result = races(_WORK, 'users', many, functions, due, '', options.runs)
  same = min(np.mean(found[name] == found[OURS]) for name in found)
  note = (f'{many} users of {ALL_USERS:,}, {DIM} wide, {SEEN} seen items each ruled out; at least {same:.2%} of all '
          'places hold the same item')
  return [type(one)(**vars(one) | {'note': note}) for one in result] + skipped


def _recbole(users, items, seen, target, keep):
  """What RecBole 1.2 does for a batch: scores of all, -inf where seen, topk, and hits by a matrix of all positives.

  `Trainer._full_sort_batch_eval` and `Collector.eval_batch_collect`. Its batches would be 4096 // items users, that is
  one, or 4096 of a sequential model; as many as ours are kinder to it than either.
  """
  import torch
  users, items, seen, target = (torch.tensor(array) for array in (users, items, seen, target))

  @torch.no_grad()
  def rank():
    lists, hits = [], []
    for start in range(0, len(users), _BATCH):
      rows = torch.arange(min(_BATCH, len(users) - start))
      scores = torch.matmul(users[start:start + _BATCH], items.transpose(0, 1))
      scores[rows.repeat_interleave(seen.shape[1]), seen[start:start + _BATCH].ravel()] = -np.inf
      best = torch.topk(scores, K, dim=-1)[1]
      positive = torch.zeros_like(scores, dtype=torch.int)
      positive[rows, target[start:start + _BATCH]] = 1
      hits.append(torch.cat([torch.gather(positive, 1, best), positive.sum(1, keepdim=True)], 1))
      lists.append(best)
    keep(torch.cat(lists).numpy())
  return rank


def _implicit(users, items, seen, target, keep):
  del target
  import scipy.sparse
  from implicit.cpu.topk import topk
  known = scipy.sparse.csr_matrix((np.ones(seen.size, np.float32), seen.ravel(), np.arange(len(seen) + 1) * SEEN),
                                  (len(users), len(items)))
  known.sort_indices()
  return lambda: keep(topk(items, users, K, filter_query_items=known)[0])


@functools.partial(jax.jit, static_argnames='k')
def best_of(items, user, k):
  """The best `k` of `items [items, dim]` for one `user [dim]`: scores and places."""
  return jax.lax.top_k(items @ user, k)


def one_user(options, calls=10):
  """The race of the best items of one user, of `calls` users one after the other."""
  reason = missing('faiss')
  if reason:
    return [Skipped(_ONE, 'faiss, IndexFlatIP', reason)]
  import faiss
  rng = np.random.default_rng(0)
  users, items = (rng.standard_normal((many, DIM)).astype(np.float32) for many in (calls, MANY))
  index, table, found = faiss.IndexFlatIP(DIM), jnp.asarray(items), {}
  index.add(items)

  def ours():
    found[OURS] = np.stack([np.asarray(best_of(table, user, FEW)[1]) for user in users])

  def theirs():
    found['faiss'] = np.concatenate([index.search(user[None], FEW)[1] for user in users])

  name = 'faiss, IndexFlatIP'
  result = races(_ONE, 'users', calls, {OURS: ours, name: theirs}, {name: 1}, '', options.runs)
  same = np.mean(found[OURS] == found['faiss'])
  note = f'{DIM} wide, one user at a time; {same:.2%} of all places hold the same item'
  return [type(one)(**vars(one) | {'note': note}) for one in result]
