"""Single questions to a finished run: what a user would like, known or new, and who would like a new item.

    python -m ganrec_jax.recommend --workdir=DIR --user=ID
    python -m ganrec_jax.recommend --workdir=DIR --history='ID;ID' --adventure=.3
    python -m ganrec_jax.recommend --workdir=DIR --item_text='...'

`python -m ganrec_jax.serve` answers the same questions and more over HTTP.
"""

from absl import flags, logging

from ganrec_jax import terminal
from ganrec_jax.errors import UserError
from ganrec_jax.serving import answers
from ganrec_jax.serving.questions import MOST, MOST_ADVENTUROUS, Audience, Recommend, made
from ganrec_jax.serving.scoring import LONGEST

_WORKDIR = flags.DEFINE_string('workdir', None, 'The work directory of a finished run.')
_USER = flags.DEFINE_string('user', None, 'The id of a known user.')
_HISTORY = flags.DEFINE_string('history', None, 'The item ids of a new user, separated by semicolons.')
_ITEM_TEXT = flags.DEFINE_string('item_text', None, 'The text of a new item.')
_ADVENTURE = flags.DEFINE_float('adventure', 0., 'Takes popularity out of the scores: 0 names what is likeliest, 1 '
                                'mostly what few know; .1 costs little. Not with --item_text.')
_K = flags.DEFINE_integer('k', 10, 'How many to name.')


def answer(workdir, user=None, history=None, item_text=None, k=10, gamma=0.):
  """The answer in words to one of the three questions.

  Raises:
    UserError: for anything but one question, an unknown id, or a work directory without a finished run.
  """
  if sum(q is not None for q in (user, history, item_text)) != 1:
    raise UserError('give one of --user, --history and --item_text')
  if not 1 <= k <= MOST:
    raise UserError(f'--k is {k}; allowed are whole numbers from 1 to {MOST}')
  if not 0 <= gamma <= MOST_ADVENTUROUS:
    raise UserError(f'--adventure is {gamma}; allowed are numbers from 0 to {MOST_ADVENTUROUS:g}')
  if gamma and item_text is not None:
    raise UserError('--adventure goes with --user or --history; --item_text asks for people')
  if item_text is not None and not item_text.strip():
    raise UserError('--item_text is empty; it takes the words that describe the item')
  items = None if history is None else [one.strip() for one in history.split(';') if one.strip()]
  if items is not None and not 1 <= len(items) <= LONGEST:
    raise UserError('the history is empty; nothing can be recommended by it' if not items else
                    f'the history holds {len(items)} items; allowed are 1 to {LONGEST}')
  run = answers.load(workdir)
  lines = ['SIMULATED DATA'] if run.simulated else []
  if run.network is not None:
    lines.append(f'answered by the closed form, without the network {run.network!r} of the run')
  if item_text is not None:
    return '\n'.join(lines + _people(answers.one(run, made(Audience, text=item_text, k=k))))
  known = run.history(user) if user is not None else items
  lines.append('history: ' + '; '.join(run.catalogue.titles[run.items.place(item)] for item in known[-10:]))
  found = answers.one(run, made(Recommend, user=user, history=items, k=k, adventure=gamma, explain=True))
  return '\n'.join(lines + [
    f'{rank:3d}. {one["title"]} ({one["id"]})  {one["score"]:.3f}  because of {"; ".join(_reasons(one))}'
    for rank, one in enumerate(found['items'], 1)])


def _people(found):
  return ['nearest known items: ' + '; '.join(item['title'] for item in found['nearest'])] + [
    f'{rank:3d}. user {user["id"]}  {user["score"]:.3f}' for rank, user in enumerate(found['users'], 1)]


def _reasons(item):
  return [reason['title'] for reason in item['because']] or ['its popularity']


def _answer():
  logging.set_verbosity(logging.WARNING)
  if not _WORKDIR.value:
    raise UserError('--workdir=DIR is missing: the work directory of a finished run')
  print(answer(_WORKDIR.value, _USER.value, _HISTORY.value, _ITEM_TEXT.value, _K.value, _ADVENTURE.value))
  return 0


if __name__ == '__main__':
  terminal.run(_answer)
