"""Small random datasets with every part of a split, and the definitions of the tasks once more, in plain Python."""

import collections
import math

import numpy as np

from ganrec_jax.data.types import PARTS, Catalogue, Dataset, Interactions, Split


def make_dataset(pairs, users, items):
  """A dataset of the (user, item) `pairs`; ids are such that their string order is not that of the indices."""
  pairs = np.array(pairs, np.int32).reshape(-1, 2)
  ids = np.array([str(7919 * i % 10007) for i in range(items)])
  empty = np.array([''] * items)
  log = Interactions(pairs[:, 0].copy(), pairs[:, 1].copy(), np.ones(len(pairs), np.float32))
  return Dataset(log, Catalogue(ids, ids, empty, ((),) * items), np.array([f'u{j}' for j in range(users)]), {})


def random_world(seed, users=23, items=29, density=.4):
  """A dataset and a split that has rows of every part: 4 cold items each, the last three users are cold."""
  rng = np.random.default_rng(np.random.SeedSequence([seed, 1]))
  pairs = np.argwhere(rng.random((users, items)) < density)
  pairs = rng.permutation(pairs if len(pairs) else np.array([[0, 0]]))
  kind = rng.choice(['train', 'train', 'train', 'valid', 'test', 'unused'], len(pairs)).astype(object)
  kind[pairs[:, 1] < 4], kind[(pairs[:, 1] >= 4) & (pairs[:, 1] < 8)] = 'cold_valid', 'cold_test'
  cold = pairs[:, 0] >= users - 3
  kind[cold] = rng.choice(['history', 'user_valid', 'user_test'], cold.sum())
  part = np.array([PARTS.index(k) for k in kind], np.int8)
  return make_dataset(pairs, users, items), Split(part, rng.random(len(pairs)) < .7)


def reference_tasks(dataset, split, held_out):
  """name -> (set of candidates, user -> targets, user -> seen), by loops over the rows."""
  rows = [(int(u), int(i), PARTS[p], bool(a)) for u, i, p, a in
          zip(dataset.interactions.user, dataset.interactions.item, split.part, split.in_all, strict=True)]
  cold = {i for _, i, p, _ in rows if p.startswith('cold_')}
  warm = {i for _, i, p, _ in rows if p != 'unused'} - cold
  fresh = {i for _, i, p, _ in rows if p == 'cold_' + held_out}
  popularity = collections.Counter(i for _, i, p, _ in rows if p == 'train')
  length = collections.Counter(u for u, _, p, _ in rows if p == 'train')
  ranked = sorted(warm, key=lambda i: (-popularity[i], str(dataset.catalogue.ids[i])))
  head = set(ranked[:round(.2 * len(warm))])
  quartile = np.percentile(list(length.values()), 25) if length else -1
  known = ('train', 'valid') if held_out == 'test' else ('train',)

  def lists(condition):
    found = collections.defaultdict(set)
    for row in rows:
      if condition(*row):
        found[row[0]].add(row[1])
    return dict(found)
  seen = lists(lambda u, i, p, a: p in known)
  history = lists(lambda u, i, p, a: p == 'history')
  short = {f'cold_user_{least}': (
      warm, lists(lambda u, i, p, a, least=least: p == 'user_' + held_out and i in warm and len(
          history.get(u, ())) >= least), history) for least in (1, 3, 5, 10)}
  return {
      'warm': (warm, lists(lambda u, i, p, a: p == held_out), seen),
      'cold': (fresh, lists(lambda u, i, p, a: p == 'cold_' + held_out), {}),
      'all': (warm | fresh, lists(lambda u, i, p, a: p in (held_out, 'cold_' + held_out) and a), seen),
      'tail': (warm, lists(lambda u, i, p, a: p == held_out and i not in head), seen),
      'sparse': (warm, lists(lambda u, i, p, a: p == held_out and length[u] <= quartile), seen),
      'cold_user': (warm, lists(lambda u, i, p, a: p == 'user_' + held_out and i in warm),
                    history), **short}


def reference_list(scores, candidates, seen, k):
  """The best `k` of the `candidates`, by a stable sort of their scores; -inf and seen items are left out."""
  open_to = [i for i in candidates if i not in seen and scores[i] > -math.inf]
  return sorted(open_to, key=lambda i: -scores[i])[:k]


def reference_metrics(ranked, targets, k):
  """(NDCG, recall, MRR) of one list."""
  hits = [rank for rank, item in enumerate(ranked[:k], 1) if item in targets]
  best = min(k, len(targets))
  ideal = sum(1 / math.log2(rank + 1) for rank in range(1, best + 1))
  return sum(1 / math.log2(rank + 1) for rank in hits) / ideal, len(hits) / best, 1 / hits[0] if hits else 0.
