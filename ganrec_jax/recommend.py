"""Single questions to a finished run: what a user would like, known or new, and who would like a new item.

    python -m ganrec_jax.recommend --workdir=DIR --user=ID
    python -m ganrec_jax.recommend --workdir=DIR --history='ID;ID' --adventure=.3
    python -m ganrec_jax.recommend --workdir=DIR --item_text='...'
"""

import difflib

import jax.numpy as jnp
import jax.scipy
import numpy as np
from absl import flags, logging

from ganrec_jax import terminal
from ganrec_jax.errors import UserError
from ganrec_jax.models import adventure, closed_form, regression
from ganrec_jax.models.kernels import LowRankKernel
from ganrec_jax.stages import finished, recommend

_WORKDIR = flags.DEFINE_string('workdir', None, 'The work directory of a finished run.')
_USER = flags.DEFINE_string('user', None, 'The id of a known user.')
_HISTORY = flags.DEFINE_string('history', None, 'The item ids of a new user, separated by semicolons.')
_ITEM_TEXT = flags.DEFINE_string('item_text', None, 'The text of a new item.')
_ADVENTURE = flags.DEFINE_float('adventure', 0., 'Takes popularity out of the scores: 0 names what is likeliest, 1 '
                                'mostly what few know; .1 costs little. Not with --item_text.')
_K = flags.DEFINE_integer('k', 10, 'How many to name.')


def place_of(identity, ids, what):
  """The index of `identity` among `ids`.

  Raises:
    UserError: where it is none of them, naming the nearest.
  """
  found = np.flatnonzero(ids == identity)
  if not len(found):
    near = difflib.get_close_matches(identity, ids.tolist(), n=5, cutoff=0.)
    raise UserError(f'unknown {what} {identity!r}; the nearest ids are {", ".join(near)}')
  return int(found[0])


def for_history(base, history, weights, k, gamma=0.):
  """The best `k` items beyond `history [length]`: (items, scores, reasons), a reason the items that say most for it.

  `gamma` takes popularity out of the scores, see `models/adventure.py`.
  """
  scores = closed_form.score_history(base, jnp.asarray(history)[None], jnp.asarray(weights)[None])
  if gamma:
    deviation = jnp.std(base.popular, where=base.warm)
    scores = adventure.damp(scores, base.popular / jnp.where(deviation > 0, deviation, 1), base.warm, gamma)
  scores = np.array(scores[0])
  scores[history] = -np.inf
  items = np.argsort(-scores, kind='stable')[:min(k, len(scores) - len(history))]
  factors = np.asarray(base.factors.items)
  units = factors / np.maximum(np.linalg.norm(factors, axis=1, keepdims=True), 1e-12)
  alike = units[items] @ units[history].T
  reasons = [[int(history[h]) for h in np.argsort(-row, kind='stable')[:2]] for row in alike]
  return items, scores[items], reasons


def for_item(space, prepared, encoder, base, words, k):
  """The `k` users who would like an item with the text `words` most: (users, scores, nearest warm items)."""
  warm, new = prepared.warm, len(prepared.dataset.catalogue)
  kernel = finished.kernel_with(space, prepared, encoder, words, '--item_text')
  if isinstance(kernel, LowRankKernel):
    alike = np.asarray(kernel.features[warm] @ kernel.features[-1])
    texts = regression.fit(kernel, warm, np.array([new]), base.config.factors.ridge)
    vector = texts.predict(base.factors.items[warm])[0]
  else:
    kernel = np.asarray(kernel)
    alike = kernel[-1, warm]
    ridge = kernel[np.ix_(warm, warm)] + base.config.factors.ridge * np.eye(len(warm), dtype=np.float32)
    vector = jnp.asarray(alike) @ jax.scipy.linalg.solve(jnp.asarray(ridge), base.factors.items[warm], assume_a='pos')
  scores = np.asarray(base.factors.users @ vector)
  users = np.argsort(-scores, kind='stable')[:k]
  return users, scores[users], warm[np.argsort(-alike, kind='stable')[:3]]


def answer(workdir, user=None, history=None, item_text=None, k=10, gamma=0.):
  """The answer in words to one of the three questions.

  Raises:
    UserError: for anything but one question, an unknown id, or a work directory without a finished run.
  """
  if sum(q is not None for q in (user, history, item_text)) != 1:
    raise UserError('give one of --user, --history and --item_text')
  if k < 1:
    raise UserError(f'--k is {k}; allowed are whole numbers from 1 on')
  if not 0 <= gamma <= 10:
    raise UserError(f'--adventure is {gamma}; allowed are numbers from 0 to 10')
  if gamma and item_text is not None:
    raise UserError('--adventure goes with --user or --history; --item_text asks for people')
  space, prepared, encoder, _, base = finished.load(workdir)
  titles, ids = prepared.dataset.catalogue.titles, prepared.dataset.catalogue.ids
  lines = ['SIMULATED DATA'] if prepared.dataset.info['simulated'] else []
  if space.config.recommender.kind != recommend.CLOSED_FORM:
    lines.append(f'answered by the closed form, without the network {space.config.recommender.kind!r} of the run')
  if item_text is not None:
    if not item_text.strip():
      raise UserError('--item_text is empty; it takes the words that describe the item')
    users, scores, near = for_item(space, prepared, encoder, base, item_text, k)
    lines.append('nearest known items: ' + '; '.join(titles[near]))
    return '\n'.join(lines + [f'{rank:3d}. user {prepared.dataset.user_ids[u]}  {s:.3f}'
                              for rank, (u, s) in enumerate(zip(users, scores, strict=True), 1)])
  if user is not None:
    place, strengths = place_of(user, prepared.dataset.user_ids, 'user'), prepared.strengths(space.config.base.strength)
    items, weights = strengths.row(place), strengths.weights[strengths.offsets[place]:strengths.offsets[place + 1]]
  else:
    items = np.unique([place_of(one.strip(), ids, 'item') for one in history.split(';') if one.strip()])
    weights = np.ones(len(items), np.float32)
  if not len(items):
    raise UserError('the history is empty; nothing can be recommended by it')
  lines.append('history: ' + '; '.join(titles[items][-10:]))
  found = zip(*for_history(base, items, weights, k, gamma), strict=True)
  return '\n'.join(lines + [f'{rank:3d}. {titles[i]} ({ids[i]})  {s:.3f}  because of {"; ".join(titles[why])}'
                            for rank, (i, s, why) in enumerate(found, 1)])


def _answer():
  logging.set_verbosity(logging.WARNING)
  if not _WORKDIR.value:
    raise UserError('--workdir=DIR is missing: the work directory of a finished run')
  print(answer(_WORKDIR.value, _USER.value, _HISTORY.value, _ITEM_TEXT.value, _K.value, _ADVENTURE.value))
  return 0


if __name__ == '__main__':
  terminal.run(_answer)
