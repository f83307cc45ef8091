"""What goes wrong with a generator of profiles, found and said in words: divergence, collapse, memorisation.

In training the steps measure on the device, and each chunk of them is judged when its metrics come anyway. A finished
generator is judged by what it draws.
"""

import numpy as np
from scipy import sparse

from ganrec_jax.data.ragged import take
from ganrec_jax.profiles import privacy
from ganrec_jax.training.guards import Watch

# Gradient norms of a player that is lost. The critic's inputs are normalised, and its norm stays below 10; the
# decoder's is about a third for each item of a profile.
_MOST_CRITIC, _MOST_DECODER = 1e3, 100.
# How many nats a profile may cost, relative to a guess that takes all items alike.
_MOST_NATS = 3.
# A collapse: generated profiles hold fewer than this share of the items that as many real ones hold, ...
LEAST_ITEMS = 1 / 3
# ... two of them are this many times as alike as two real ones (and by this much more), ...
MOST_ALIKE, MORE_ALIKE = 3., .05
# ... or fewer than this share of them differ, relative to real ones.
LEAST_DISTINCT = .5
# Memorisation: who was trained on is told as well as from copies, or more profiles are near copies than of people.
MOST_AUC, MOST_COPIES = .8, .01


def watch(columns, length):
  """The `Watch` of a game over `columns` items, with real profiles of the mean length `length`.

  A chunk is wrong, and player and metric are named, where its means are out of bounds or its profiles have collapsed.
  """
  bounds = {'d_grad_norm': ('critic', _MOST_CRITIC), 'g_grad_norm': ('decoder', _MOST_DECODER * length),
            'g_nll': ('decoder', _MOST_NATS * length * np.log(columns))}

  def chunk(means):
    for name, (player, most) in bounds.items():
      if not means[name] <= most:
        return f'the {player} diverged: {name} is {means[name]:.4g} on average, at most {most:.4g} is allowed'
    words = _narrow(means['items_fake'], means['items_real'], means['alike_fake'], means['alike_real'])
    return words and f'the decoder collapsed: {words}'

  return Watch(players=(('d_', 'critic'), ('g_', 'decoder')), chunk=chunk)


def faults(members, held_out, generated, auc, copies, num_items, asked=False):
  """What is wrong with generated profiles, a tuple of sentences; a healthy generator has none.

  Args:
    members: `Ragged` over the users that it was trained on.
    held_out: over those that it never saw.
    generated: its profiles, of items that they may have.
    auc: of membership inference.
    copies: of `privacy.copies`.
    num_items: of the catalogue.
    asked: whether users of one kind were asked for; then they may be alike.
  """
  found, most = [], min(len(members), len(generated))
  real, fake = (spread(take(rows, np.arange(most)), num_items) for rows in (members, generated))
  words = _narrow(fake['items'], real['items'], fake['alike'], real['alike'])
  if not words and fake['distinct'] < LEAST_DISTINCT * real['distinct']:
    words = (f'{fake["distinct"]:.3f} of the profiles differ, of real ones {real["distinct"]:.3f}; at least '
             f'{LEAST_DISTINCT:g} of that are due')
  if words and not asked:
    found.append(f'the generator collapsed: {words} ({most} profiles)')
  if auc > MOST_AUC:
    found.append(f'the generator memorised: the AUC of membership inference is {auc:.3f}, at most {MOST_AUC:g} is due '
                 f'({len(members)} users seen, {len(held_out)} unseen)')
  near = f'near_{privacy.NEAR[-1]}'
  mine, theirs = (copies[side][near] for side in ('synthetic', 'held_out'))
  if mine - theirs > MOST_COPIES:
    found.append(f'the generator memorised: {mine:.3f} of the profiles are near copies of users that it has seen, of '
                 f'unseen users {theirs:.3f}; at most {MOST_COPIES:g} more are due')
  return tuple(found)


def spread(profiles, num_items):
  """How far profiles spread, at least two of them: a dict of floats.

  `items`: how many different ones they hold together; `alike`: the mean cosine of two of them; `distinct`: different
  profiles for each profile.
  """
  rows, users = np.repeat(1 / np.sqrt(np.maximum(profiles.lengths, 1)), profiles.lengths), len(profiles)
  total = sparse.csr_array((rows, profiles.values, profiles.offsets), (users, num_items)).sum(0)
  # Profiles are compared as sets.
  order = np.lexsort((profiles.values, np.repeat(np.arange(users), profiles.lengths)))
  different = {part.tobytes() for part in np.split(profiles.values[order], profiles.offsets[1:-1])}
  full = np.count_nonzero(profiles.lengths)
  return {'items': float(len(np.unique(profiles.values))), 'distinct': len(different) / users,
          'alike': float((np.square(total).sum() - full) / max(users * (users - 1), 1))}


def _narrow(items_fake, items_real, alike_fake, alike_real):
  """How profiles have collapsed, or ''."""
  if items_fake < LEAST_ITEMS * items_real:
    return (f'its profiles hold {items_fake:.0f} distinct items, as many real ones {items_real:.0f}; at least '
            f'{LEAST_ITEMS:.2f} of that are due')
  most = MOST_ALIKE * alike_real + MORE_ALIKE
  if alike_fake > most:
    return (f'two of its profiles have a cosine of {alike_fake:.3f}, two real ones {alike_real:.3f}; at most '
            f'{most:.3f} is due')
  return ''
