"""How well generated profiles stand for real ones, without a look at any evaluated ranking: by completing others."""

import jax.numpy as jnp
import numpy as np

from ganrec_jax.data.ragged import Ragged, pad, select, take
from ganrec_jax.evaluation.ranking import metrics_per_user
from ganrec_jax.models import cease

# Items of the item-item model: the most popular ones; more would cost more than they tell.
_MOST = 3000
_HIDDEN = .3
_CUT = 20


def hide(profiles, seed):
  """Two `Ragged` over the same users: what is shown of each profile, and what is hidden, 30% and at least one item.

  Profiles of a single item are shown in full and hide nothing.
  """
  rng = np.random.default_rng(seed)
  owner = np.repeat(np.arange(len(profiles)), profiles.lengths)
  order = np.lexsort((rng.random(len(owner)), owner))
  rank = np.empty(len(owner), np.int64)
  rank[order] = np.arange(len(owner)) - np.repeat(profiles.offsets[:-1], profiles.lengths)
  number = np.where(profiles.lengths > 1, np.maximum(1, np.round(_HIDDEN * profiles.lengths)), 0)
  hidden = rank < number[owner]
  return select(profiles, ~hidden), select(profiles, hidden)


def completion(synthetic, held_out, num_items, reg, seed):
  """NDCG@20 of hidden items of held-out real profiles, by EASE that has seen the synthetic ones alone.

  It is what synthetic profiles are for, on users whom neither the generator nor a task has anything to do with; items
  beyond the 3,000 most popular of the synthetic profiles are left out.

  Args:
    synthetic: `Ragged` over generated users.
    held_out: `Ragged` over real users.
    num_items: of the catalogue.
    reg: regularisation of EASE for as many synthetic users as there are.
    seed: of what is hidden.

  Returns:
    float64 `[users]`, of the held-out users with a hidden item that is known.
  """
  counts = np.bincount(synthetic.values, minlength=num_items)
  known = np.sort(np.argsort(-counts, kind='stable')[:min(_MOST, int((counts > 0).sum()))])
  place = np.full(num_items, -1, np.int32)
  place[known] = np.arange(len(known))
  synthetic, shown, hidden = (_kept(rows, place) for rows in (synthetic, *hide(held_out, seed)))
  weights = cease.fit(synthetic, len(known), None, reg, 0.).weights
  users = np.flatnonzero((hidden.lengths > 0) & (shown.lengths > 0))
  items, there = pad(shown, users, max(1, int(shown.lengths.max())), 0)
  x = cease.densify(jnp.asarray(items), jnp.asarray(there), len(known))
  scores = jnp.where(x > 0, -jnp.inf, x @ weights)
  lists = np.asarray(jnp.argsort(-scores, axis=1)[:, :_CUT])
  return metrics_per_user(lists, take(hidden, users))[f'ndcg@{_CUT}']



def _kept(profiles, place):
  """The profiles in other item numbers `place [items]`, without those whose place is -1."""
  moved = Ragged(profiles.offsets, place[profiles.values], profiles.weights)
  return select(moved, moved.values >= 0)
