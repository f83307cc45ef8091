"""The report's section on the results: tables with intervals, a plot a claim, and where a model is good."""

import numpy as np

from ganrec_jax.report import marks, plots
from ganrec_jax.report.plots import LIGHT
from ganrec_jax.report.run import BASE, METRIC
from ganrec_jax.report.sections import Section
from ganrec_jax.report.telling import number

TASKS = {'warm': 'known items', 'cold': 'new items', 'all': 'known and new items', 'tail': 'the tail',
         'sparse': 'users with short histories', 'cold_user': 'new users',
         **{f'cold_user_{known}': f'new users, {known} known' for known in (1, 3, 5, 10)}}
_BEYOND = {'coverage@20': 'coverage', 'gini@20': 'Gini', 'novelty@20': 'novelty, bits', 'diversity@20': 'diversity',
           'cold_share@20': 'share of new items', 'tail_share@20': 'share of the tail'}
_LINES = ('popularity', BASE, 'generator_only', 'gan', 'oracle')  # rows that plots by stratum show


def make(run):
  """The section and its plots, see `index.render`."""
  height = .5 + .62 * len(run.tasks)
  figures = {'tasks': (plots.both(_draw_tasks, run, 'x', (5.2, height), (.16, .62 / height, .81, 1 - 1.1 / height)),
                       'NDCG@20 of each task with 95% intervals over users.')} | _claims(run)
  figures |= {name: plot for name, plot in (
    ('frontier', _frontier(run)), ('by item', _strata(run, 'item')), ('by user', _strata(run, 'user'))) if plot}
  claims = tuple(name for name in figures if name.startswith('claim'))
  more = tuple(name for name in ('frontier', 'by item', 'by user') if name in figures)
  found = [Section('The results', plots=('tasks',), text=(
    'NDCG@20 by full ranking, the mean over users with its 95% interval (bootstrap over users). An interval does not '
    'tell how another split would come out; a claim needs several draws.'), **_table(run)), _difference_section(run)]
  if claims:
    found.append(Section('Claims', plots=claims, level=3, text=(
      f'Each row with generated data against {BASE}, in per cent of its NDCG@20, with 95% intervals. Filled: it stands '
      "Holm's correction; hollow: it may be chance.")))
  if more:
    found.append(Section('Where it is good', plots=more, level=3))
  return (*found, *_beyond(run), _everything(run)), figures


def short(value):
  """'.238', '1.000', '-' for nothing."""
  return '-' if value is None else f'{value:.3f}'.replace('0.', '.', 1) if abs(value) < 1 else f'{value:.3f}'


def _table(run):
  def cell(row, task):
    found = run.figures.get((row, task, METRIC))
    return '-' if found is None or found['value'] is None else (
      f'{short(found["value"])} [{short(found["low"])}, {short(found["high"])}]')
  users = (f'{task} ({run.figures[BASE, task, METRIC]["users"]:,} users)' for task in run.tasks)
  return {'header': ('row', *users), 'numeric': tuple(range(1, len(run.tasks) + 1)),
          'rows': tuple((row, *(cell(row, task) for task in run.tasks)) for row in run.rows)}


def told(found):
  """'+1.6 [+0.8, +2.5] *' of a record of a difference."""
  if found is None:
    return '-'
  if found['percent'] is None:
    return 'undefined' + ' *' * found['marked']
  value, low, high = (_signed(found[name]) for name in ('percent', 'low', 'high'))
  return f'{value} [{low}, {high}]' + ' *' * found['marked']


def _signed(value):
  text = f'{value:+.1f}' if abs(value) < 99.95 else f'{value:+,.0f}'
  return '0.0' if text in ('+0.0', '-0.0') else text


def _difference_section(run):
  title = f'Differences to {BASE}, per cent'
  if not run.differences:
    return Section(title, level=3, text='results.json was left by an older version, without differences.')
  rows = [row for row in run.rows if row != BASE]
  return Section(title, level=3, header=('row', *run.tasks), numeric=tuple(range(1, len(run.tasks) + 1)),
                 rows=tuple((row, *(told(run.differences.get((row, task))) for task in run.tasks)) for row in rows),
                 text='In brackets the 95% interval of a paired bootstrap over users. *: it excludes zero, after '
                      "Holm's correction over all differences of this table.")


def verdict(run, task):
  """What the rows with generated data do in a task, in one sentence."""
  found = {row: run.differences[row, task] for row in run.augmented if (row, task) in run.differences}
  sure = [f'{row} {"gains" if one["percent"] > 0 else "loses"} {abs(one["percent"]):.1f}%'
          for row, one in found.items() if one['marked'] and one['percent'] is not None]
  rest = 'no row' if not sure else 'no other row' if len(sure) < len(found) else ''
  return '; '.join([*sure, *([f'{rest} differs beyond chance'] if rest else [])])


def _claims(run):
  figures = {}
  for task in run.tasks:
    rows = [(row, run.differences[row, task]) for row in run.augmented if (row, task) in run.differences]
    rows = [(row, one) for row, one in rows if one['percent'] is not None]
    if rows:
      figures[f'claim {task}'] = claim(rows), f'{task} ({TASKS[task]}): {verdict(run, task)}.'
  return figures


def claim(rows):
  """The plot of differences, see `draw_claim`."""
  height = .85 + .3 * len(rows)
  return plots.both(draw_claim, rows, 'x', (5.2, height), (.3, .62 / height, .66, 1 - .7 / height))


def draw_claim(axes, rows):
  """Draws differences in per cent with their intervals: (row, record) each, the first on top.

  A row may be followed by a comma and the name of a run.
  """
  axes.axvline(0, color=LIGHT['ink'], linewidth=1, linestyle='--')
  for height, (row, one) in enumerate(reversed(rows)):
    look = marks.looks(row.partition(',')[0])
    axes.errorbar(one['percent'], height, xerr=[[one['percent'] - one['low']], [one['high'] - one['percent']]],
                  marker=look['marker'], color=look['color'], markersize=6, capsize=3, linestyle='',
                  markerfacecolor=look['color'] if one['marked'] else 'none')
  axes.set_yticks(range(len(rows)), [marks.letters(row, 24) for row, _ in reversed(rows)], fontsize=10)
  axes.set_ylim(-.6, len(rows) - .4)
  # Differences of a hair's breadth are not to look large.
  far = max(1., *(abs(one[end]) for _, one in rows for end in ('low', 'high')))
  axes.set_xlim(-1.08 * far, 1.08 * far)
  axes.set_xlabel('difference, per cent')


def _draw_tasks(axes, run):
  """A line of marks a task; rows are moved apart within it so that intervals can be seen."""
  rows = [row for row in _LINES if row in run.rows]
  drawn = {}
  for height, task in enumerate(reversed(run.tasks)):
    for k, row in enumerate(rows):
      found = run.figures.get((row, task, METRIC))
      if found is not None and found['value'] is not None:
        look = marks.looks(row)
        drawn[row] = axes.errorbar(
          found['value'], height + .13 * ((len(rows) - 1) / 2 - k), xerr=[[found['value'] - found['low']], [
            found['high'] - found['value']]], marker=look['marker'], color=look['color'], markersize=5, capsize=2,
          linestyle='', linewidth=1.2)
  axes.set_yticks(range(len(run.tasks)), reversed(run.tasks))
  axes.set_ylim(-.6, len(run.tasks) - .4)
  axes.set_xlim(left=-.02 * axes.get_xlim()[1])
  axes.set_xlabel('NDCG@20')
  axes.legend(drawn.values(), drawn, loc='lower right', ncols=len(drawn), bbox_to_anchor=(1.02, 1), fontsize=8,
              handletextpad=.1, columnspacing=.8, borderaxespad=.1)


def _frontier(run):
  task = next((name for name in ('all', 'warm') if name in run.tasks), None)
  found = [(row, run.figures[row, task, 'coverage@20']['value'], run.figures[row, task, METRIC]['value'])
           for row in run.rows if (row, task, 'coverage@20') in run.figures]
  if not found:
    return None
  return (plots.both(_draw_frontier, found, 'both', place=(.14, .19, .83, .77)),
          f'Accuracy against coverage in the task {task}: the share of its items that anybody is recommended.')


def _draw_frontier(axes, found):
  for row, x, y in found:
    look = marks.looks(row)
    axes.plot(x, y, marker=look['marker'], color=look['color'], markersize=7, linestyle='', alpha=.85)
  axes.set_xlim(0, 1.02)
  axes.set_ylim(0, 1.12 * max(y for _, _, y in found))
  axes.set_xlabel('coverage@20')
  axes.set_ylabel('NDCG@20')
  groups = together([(x, y / axes.get_ylim()[1]) for _, x, y in found], .045)
  names = [_joined([found[k][0] for k in group]) for group in groups]
  x, y = (np.array([np.mean([found[k][axis] for k in group]) for group in groups]) for axis in (1, 2))
  marks.label_points(axes, x, y, names)


def together(points, near):
  """Groups of the places of `points`, (x, y) each, every one within `near` of the first of its group."""
  groups = []
  for k, point in enumerate(points):
    home = next((group for group in groups if np.hypot(*np.subtract(points[group[0]], point)) < near), None)
    if home is None:
      groups.append([k])
    else:
      home.append(k)
  return groups


def _joined(names):
  """'no_augmentation, gan and 5 others' of names whose points lie on one another."""
  first = [name for name in (BASE, 'gan') if name in names] or names[:1]
  others = len(names) - len(first)
  return ', '.join(first) + (f' and {others} more' if others > 0 else '')


def _strata(run, kind):
  """The plot of accuracy by the popularity of the item, or by the activity of the user."""
  task = next((name for name in ('all', 'warm') if name in run.tasks), None)
  records = {}
  for one in run.results['strata']:
    which, _, span = one['stratum'].partition(' ')
    if (one['task'], one['metric'], which) == (task, METRIC, kind) and one['row'] in _LINES:
      records.setdefault(one['row'], {})[span] = one
  if not records:
    return None
  what = 'the item, 0 are new ones' if kind == 'item' else 'the user'
  return (plots.both(_draw_strata, (records, kind), 'y', place=marks.LABELLED),
          f'Accuracy in the task {task} by the training interactions of {what}; with 95% intervals.')


def _draw_strata(axes, found):
  records, kind = found
  names = sorted({span for one in records.values() for span in one},
                 key=lambda span: int(span.strip('+').split('-')[0]))
  ends = []
  for k, row in enumerate(row for row in _LINES if row in records):
    there = [name for name in names if name in records[row]]
    value, low, high = (np.array([records[row][name][end] for name in there]) for end in ('value', 'low', 'high'))
    at = np.array([names.index(name) for name in there]) + .07 * (k - (len(records) - 1) / 2)
    look = marks.looks(row)
    axes.errorbar(at, value, yerr=[value - low, high - value], markersize=4.5, capsize=2, linewidth=1.4, **look)
    ends.append((row, value[-1], look['color']))
  axes.set_xticks(range(len(names)), [name.replace('-', '–') for name in names])
  axes.set_ylim(bottom=0)
  axes.set_xlabel(f'training interactions of the {kind}')
  axes.set_ylabel('NDCG@20')
  marks.label_ends(axes, ends)


def _beyond(run):
  task = next((name for name in ('all', 'warm') if name in run.tasks), None)
  metrics = [metric for metric in _BEYOND if any((row, task, metric) in run.figures for row in run.rows)]

  def cell(row, metric):
    return short(run.figures[row, task, metric]['value']) if (row, task, metric) in run.figures else '-'
  if metrics:
    yield Section(f'Beyond accuracy, in the task {task}', level=3, header=('row', *(_BEYOND[one] for one in metrics)),
                  numeric=tuple(range(1, len(metrics) + 1)), rows=tuple(
                    (row, *(cell(row, metric) for metric in metrics)) for row in run.rows
                    if any((row, task, metric) in run.figures for metric in metrics)))


def _everything(run):
  found = [one for one in run.results['rows'] if one['metric'] in (METRIC, 'recall@20', 'mrr@20')]
  rows = ((one['row'], one['task'], one['metric'], short(one['value']), '-' if one['low'] is None else
           f'{short(one["low"])} to {short(one["high"])}', number(one['users'])) for one in found)
  return Section('Recall, MRR and NDCG of every row and task', folded=True, numeric=(3, 4, 5), rows=tuple(rows),
                 level=3, header=('row', 'task', 'metric', 'value', '95% interval', 'users'))


def flat(config, before=''):
  """Yields (name, value as a str) of every field of a nested config, names joined by dots."""
  for name, value in config.items():
    if isinstance(value, dict):
      yield from flat(value, f'{before}{name}.')
    else:
      yield f'{before}{name}', str(value)
