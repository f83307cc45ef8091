"""The facts put into words: sections of labelled sentences and tables, alike for the terminal and the page."""

import dataclasses

from ganrec_jax.report import costs
from ganrec_jax.report.telling import day, duration, memory, number, percent, plain, span

_WORDS = 12  # of a sample row's text
_LISTED = 12  # entries of a list that is shown
# What the notes of the readers and filters mean; a note that is not here is shown by its name.
_MEANINGS = {
  'rows': 'rows of the log', 'catalogue': 'the catalogue', 'columns': 'columns that are read',
  'ignored_columns': 'columns that are not read', 'counts': 'counts of the source',
  'dropped.least_value': 'dropped, value below data.least_value',
  'dropped.subsample_users': 'dropped, user not in the drawn share (data.user_share)',
  'dropped.k_core': 'dropped, too few interactions of the user or item (data.min_user, data.min_item)',
  'dropped.not_in_split_file': 'dropped, pair not in the split file'}
_PARTS = {
  'train': 'fitted', 'valid': 'choices: known users and items', 'test': 'the figures: known users and items',
  'cold_valid': 'choices: new items', 'cold_test': 'the figures: new items', 'history': 'what is known of new users',
  'user_valid': 'choices: new users', 'user_test': 'the figures: new users', 'unused': 'left out by the split'}


@dataclasses.dataclass(frozen=True)
class Section:
  """A part of the report.

  Attributes:
    title: its heading.
    lines: (label, sentence) each.
    header, rows: a table, or nothing.
    plots: names of the plots that go with it.
    numeric: the columns of the table that hold numbers.
    text: a paragraph under the heading.
    level: 2 for a section, 3 for a part of the section before it.
    folded: whether it is shown only when it is opened.
  """
  title: str
  lines: tuple = ()
  header: tuple = ()
  rows: tuple = ()
  plots: tuple = ()
  numeric: tuple = ()
  text: str = ''
  level: int = 2
  folded: bool = False


def make(facts):
  """The `Section`s of `Facts`, in order."""
  return (_glance(facts), _samples(facts), source(facts.info), activity(facts.by_user, facts.by_item),
          _columns(facts), _texts(facts), _split(facts), _cost(facts))


def _glance(facts):
  density = facts.interactions / (facts.users * facts.items)
  when = 'no times' if facts.times is None else f'{day(facts.times.first)} to {day(facts.times.last)}'
  lines = [('data', plain(facts.info.get('name', '')) + (' (SIMULATED)' if facts.info.get('simulated') else '')),
           ('interactions', f'{number(facts.interactions)} by {number(facts.users, "user")} on '
            f'{number(facts.items, "item")}, {percent(density)} of all pairs'),
           ('time', when)]
  return Section('At a glance', tuple(lines))


def _samples(facts):
  timed = facts.times is not None

  def cells(row):
    text = plain(row.text)
    first = ' '.join(text.split()[:_WORDS])
    first += ' …' * (first != text)
    return (plain(row.user, 24), plain(row.title, 40), f'{row.value:g}', *((day(row.time),) if timed else ()),
            row.part, plain(first, 90) or '(no text)')
  header = ('user', 'title', 'value', *(('time',) if timed else ()), 'part', 'first words of the text')
  return Section(f'{number(len(facts.rows), "row")} as they will be read', header=header,
                 rows=tuple(cells(row) for row in facts.rows), numeric=(2,))


def source(info):
  """What a dataset's notes `info` say of its reading, as a `Section`."""
  lines = []
  for key, value in info.items():
    if key not in ('name', 'simulated'):
      lines += _note(key, value)
  return Section('Read, dropped, merged and repaired', tuple(lines) or (('', 'nothing was dropped or changed'),))


def _note(key, value):
  """Lines of a note of any form: a dict of dicts has a line an entry, all else is one line."""
  if isinstance(value, dict) and any(isinstance(part, dict) for part in value.values()):
    for name, part in value.items():
      yield from _note(f'{key}.{name}', part)
  elif value is not None and not (isinstance(value, str | list | tuple | set | dict) and not value):
    yield _MEANINGS.get(key, plain(key.replace('_', ' ').replace('.', ', '))), _shown(value)


def _shown(value):
  if isinstance(value, dict):
    # There are many reasons for which rows are dropped; those that never occurred are no news.
    told = {name: part for name, part in value.items() if part is not False and part != 0}
    return ', '.join(f'{plain(str(name).replace("_", " "))} {_shown(part)}' for name, part in told.items()) or 'none'
  if isinstance(value, list | tuple | set):
    more = len(value) - _LISTED
    return ', '.join(_shown(part) for part in list(value)[:_LISTED]) + (f' and {more} more' if more > 0 else '')
  if isinstance(value, int) and not isinstance(value, bool):
    return number(value)
  return plain(value, 200)


def activity(by_user, by_item):
  """How interactions are spread over users and items, two `facts.Activity`, as a `Section`."""
  lines, both = [], (('user', by_user), ('item', by_item))
  for kind, found in both:
    lines.append((f'{kind}s', f'{found.least:,} to {found.most:,} interactions, {found.median:g} in the middle, '
                  f'{found.mean:.1f} on average; of the log the most active '
                  + ', '.join(f'{part:.0%} have {percent(share)}' for part, share in found.top.items())))
  classes = {kind: {least: (most, share, part) for least, most, share, part in found.classes}
             for kind, found in both}
  rows = []
  for least in sorted({*classes['user'], *classes['item']}):
    most = (classes['user'].get(least) or classes['item'][least])[0]
    cells = (percent(classes[kind].get(least, (0, 0., 0.))[place]) for kind in ('user', 'item') for place in (1, 2))
    rows.append((f'{least:,} and more' if most is None else f'{least:,}' if least == most else f'{least:,} to {most:,}',
                 *cells))
  return Section('Users and items by activity', tuple(lines),
                 ('interactions each', 'users', 'their share of the log', 'items', 'their share of the log'),
                 tuple(rows), ('activity',), (1, 2, 3, 4))


def _columns(facts):
  value, times = facts.values, facts.times
  told = (f'{value.least:g} to {value.most:g}, {value.median:g} in the middle, '
          f'{number(value.distinct, "different value")}') if value.distinct > 1 else f'all are {value.most:g}'
  lines, plots = [('values', told)], ('values',) if value.distinct > 1 else ()
  if times is None:
    lines.append(('times', 'none: histories have no order, and a temporal split is not possible'))
  else:
    lines.append(('times', f'{day(times.first)} to {day(times.last)}, {number(times.distinct, "different time")}'))
    plots += ('times',) if times.distinct > 1 else ()
  return Section('Values and times', tuple(lines), plots=plots)


def _texts(facts):
  texts = facts.texts
  lines = [('items with a text', percent(texts.share)), ('items with phrases', percent(texts.phrase_share))]
  if texts.share:
    lines.append(('words of a text', f'{texts.median:g} in the middle, {texts.most:,} at most'))
    spoken = ', '.join(f'{language} {percent(share)}' for language, share in list(texts.languages.items())[:8])
    lines.append(('languages', f'{spoken} (of {number(texts.read, "text")}; short ones are unclear)'))
  if texts.limit:
    lines.append(('tokens', f'95% of the texts have {texts.long} or fewer; the encoder reads {texts.limit}, which cuts '
                  f'{percent(texts.cut)} of them'))
  return Section('Words', tuple(lines), plots=('words',) if texts.share else ())


def _split(facts):
  split, log = facts.split, facts.interactions
  how = f'read from {plain(split["file"])}' if split['file'] else split['kind']
  if not split['file'] and split['kind'] == 'random' and facts.times is not None:
    how += '; there are times, so --config.split.kind=temporal would test on the latest tenth'
  tasks = '; '.join(f'{task} {valid:,} and {test:,}' for task, (valid, test) in facts.tasks.items())
  lines = (('split', how),
           ('known', f'{number(split["warm_users"], "user")} and {number(split["warm_items"], "item")} in training'),
           ('new', f'{number(split["cold_items"], "cold item")}, {number(split["cold_users"], "cold user")}'),
           ('users of a task', f'on validation and on test: {tasks}'),
           ('leak check', f'ok, {number(facts.training_pairs, "training pair")}, none held out'))
  return parts(Section('Split', lines), split['rows'], log)


def parts(section, rows, log):
  """The `Section` with a table of the parts of a split: part -> interactions, of `log` in all."""
  return dataclasses.replace(
    section, header=('part', 'interactions', 'share', 'what for'), numeric=(1, 2),
    rows=tuple((part, number(count), percent(count / log), _PARTS[part]) for part, count in rows.items()))


def _cost(facts):
  cost = facts.cost
  slow, slow_share = costs.dominant(cost.seconds)
  large, large_share = costs.dominant(cost.bytes)
  time, size = (span(*costs.span(total), tell) for total, tell in (
    (cost.total_seconds, duration), (cost.total_bytes, memory)))
  lines = (('estimate', f"about {time}, {size} of memory on this machine's {number(cost.cores, 'core')} and "
            f'{memory(facts.memory)}; part of the time is compilation, which a second run of this kind is spared'),
           ('longest', f'{slow}, {percent(slow_share)} of the time'),
           ('largest', f'{large}, {percent(large_share)} of the memory'),
           ('item-item', f'one matrix of {facts.items:,} by {facts.items:,} items is '
            f'{memory(4. * facts.items ** 2)}; ' + (
              f'about {costs.MATRICES} are there at once' if 'item-item matrices' in cost.bytes else
              'factors of it are held instead, since there are more items than base.dense_items')))
  return Section('What a run will take', lines, ('part', 'seconds'),
                 tuple((part, f'{seconds:,.0f}') for part, seconds in cost.seconds.items()), numeric=(1,))
