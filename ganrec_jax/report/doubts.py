"""What is doubtful about data that can be used, each with plain advice; nothing here refuses anything."""

import dataclasses

from ganrec_jax.report import costs
from ganrec_jax.report.telling import day, memory, number, percent, plain

FEW_USERS = 20  # of a task: with fewer, its interval says little
# Shares of the items, of the interactions, or of the texts above which something is doubtful.
LITTLE_TEXT = .5
CONCENTRATED = .5
CUT = .1
REPEATED_TITLES, REPEATED_TEXTS = .02, .2
BROKEN = .005
DROPPED = .5
FOREIGN = .2
LOW = .1


@dataclasses.dataclass(frozen=True)
class Doubt:
  """A warning: its `name`, what was found, and what can be done."""
  name: str
  found: str
  advice: str


def find(facts, config):
  """The `Doubt`s about `Facts` under a config, a tuple."""
  return (*_evaluation(facts), *_activity(facts), *_columns(facts), *_times(facts), *_texts(facts, config),
          *_machine(facts))


def _evaluation(facts):
  for task, (_, test) in facts.tasks.items():
    if test < FEW_USERS:
      yield Doubt('few test users', f'the task {task} has {number(test, "user")} on test',
                  'its figures will say little; bring more data, lower --config.data.min_user, or read the other tasks')
  notes = facts.info.get('dropped', {})
  dropped = sum(notes.get(reason, {}).get('interactions', 0) for reason in ('least_value', 'k_core'))
  if dropped > DROPPED * (dropped + facts.interactions):
    yield Doubt('most was dropped', f'{percent(dropped / (dropped + facts.interactions))} of the interactions were '
                'dropped as too few or too low', 'lower --config.data.min_user, min_item or least_value to keep more')


def _activity(facts):
  for kind, found, advice in (
    ('users', facts.by_user, 'look whether they are people; otherwise leave them out of the log'),
    ('items', facts.by_item, 'popularity will be hard to beat; read the task tail beside warm')):
    share = found.top[.01]
    if found.number >= 100 and share >= CONCENTRATED:
      yield Doubt(f'few {kind} dominate', f'{percent(share)} of the interactions come from 1% of the {kind}', advice)
  users, share = facts.by_user.heavy
  if users:
    yield Doubt('bots', f'{number(users, "user")} with up to {facts.by_user.most:,} interactions (the median is '
                f'{facts.by_user.median:g}) make {percent(share)} of the log',
                'bots, shared accounts or test accounts? --config.data.most_interactions=NUMBER leaves out users with '
                'more, if no person does that')


def _columns(facts):
  for kind, (count, example) in facts.mixed_ids.items():
    yield Doubt('leading zeros', f'{number(count, f"{kind} id")} are numbers with leading zeros, such as '
                f'{plain(example)}, beside numbers of other lengths',
                'a spreadsheet may have eaten zeros, so that one id became two; compare them with the source')
  found = facts.values
  if found.distinct == 1:
    yield Doubt('one value', f'every interaction has the value {found.most:g}',
                'fine for clicks; if there are counts or ratings, name their column '
                '(--config.data.tables.value=COLUMN for tables)')
  if found.stars and found.low >= LOW:
    yield Doubt('low ratings', f'values look like ratings up to {found.most:g}, and {percent(found.low)} of them are '
                f'{found.most / 2:g} or lower', 'every interaction counts as liked; '
                f'--config.data.least_value={.7 * found.most:g} keeps what was liked')


def _times(facts):
  times = facts.times
  if times is None:
    return
  if times.distinct == 1:
    yield Doubt('one time', f'every interaction has the time {day(times.first)}',
                'histories have no order then; leave the column out, or look for the right one')
  if times.future:
    yield Doubt('future', f'{number(times.future, "interaction")} later than today, up to {day(times.last)}',
                'look at the unit and the time zone of the time column')
  if times.early:
    yield Doubt('early times', f'{number(times.early, "interaction")} before 1990, from {day(times.first)} on',
                'times are seconds since 1970; look at the unit of the column, and whether it is a time at all')


def _texts(facts, config):
  texts, items = facts.texts, facts.items
  if texts.share < LITTLE_TEXT:
    yield Doubt('little text', f'{percent(1 - texts.share)} of the items have no text',
                'new items among them cannot be recommended; add titles, tags or descriptions to the catalogue')
  if texts.cut > CUT:
    yield Doubt('long texts', f'{percent(texts.cut)} of the texts are longer than {texts.limit} tokens and will be cut',
                f'--config.encoder.max_length={texts.long} would read 95% of them whole, and take longer; or put what '
                'matters first')
  count, example, most = texts.repeated_titles
  if count > REPEATED_TITLES * items:
    yield Doubt('repeated titles', f'{number(count, "item")} share a title with others, {plain(example, 40)!r} '
                f'{most} times', 'variants of one thing are better one item: its history is longer then')
  if texts.repeated_texts > REPEATED_TEXTS * items:
    yield Doubt('repeated texts', f'{number(texts.repeated_texts, "item")} share their text with others',
                'words that many items share tell them apart poorly; add what is particular to each')
  count, example = texts.broken
  if count > BROKEN * items:
    yield Doubt('broken letters', f'{number(count, "item")} have letters that were read wrongly, such as '
                f'{plain(example, 40)!r}', 'the file has another encoding: --config.data.tables.encoding=latin-1 or '
                'utf-16, or write it anew as UTF-8')
  foreign = sum(share for language, share in texts.languages.items() if language not in ('en', 'unclear'))
  if foreign > FOREIGN and config.encoder.kind == 'pretrained' and config.encoder.weights == 'minilm':
    yield Doubt('foreign texts', f'{percent(foreign)} of the texts are not English, which is what MiniLM reads',
                '--config.encoder.weights=FOLDER with a BERT of that language, or --config.encoder.kind=trained')


def _machine(facts):
  low, _ = costs.span(facts.cost.total_bytes)
  if facts.cost.total_bytes > facts.memory:
    name, share = costs.dominant(facts.cost.bytes)
    yield Doubt('memory', f'the run may need {memory(low)} or more, this machine has {memory(facts.memory)}; '
                f'{percent(share)} of it is: {name}',
                'raise --config.data.min_item so that fewer items remain (memory grows with their square up to '
                '--config.base.dense_items, which can be lowered), take a share of the users with '
                '--config.data.user_share, or a larger machine')
