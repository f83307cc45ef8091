"""What the court found, in words, tables and one picture; all of it from the results files."""

import collections

from experiments.bench.rows import TASKS
from ganrec_jax import artifacts
from ganrec_jax.report.plots import LIGHT

_SHOWN = ('warm', 'cold')  # the tasks in the picture
_LEVEL = .05
_STATUSES = ('converged', 'collapsed', 'diverged')


def write(folder, results, rows):
  """Writes `adversary.png` and `adversary.md` into a folder.

  Args:
    folder: a path.
    results: what `experiments/adversary.py` leaves for each data set, a list.
    rows: name -> `Row`.
  """
  draw(folder / 'adversary.png', results, rows)
  text = words(results, rows)
  artifacts.write_atomically(str(folder / 'adversary.md'), lambda file: file.write(text.encode()))


def _cell(result, row, task, weight, against):
  found = [one for one in result['differences'] if (one['row'], one['task'], one['weight'], one['against'])
           == (row, task, weight, against)]
  return found[0] if found else None


def _percent(cell):
  """A difference as text: percent with its interval, * where it is significant after Holm's correction."""
  if cell is None or cell['percent']['mean'] is None:
    return ''
  mean, low, high = (cell['percent'][key] for key in ('mean', 'low', 'high'))
  return f'{mean:+.1f}{"*" * (cell["p_holm"] < _LEVEL)} [{low:+.1f}, {high:+.1f}]'


def table(result, weight='fixed'):
  """Every row's difference to no augmentation in percent, as Markdown; in the first row NDCG@20 itself."""
  lines = [f'| {result["name"]}, {weight} weight | way in | ' + ' | '.join(TASKS) + ' | weight | runs |',
           '|---' * (len(TASKS) + 4) + '|']
  for row in result['order']:
    found = result['rows'][row]
    if 'way' not in found:
      means = ' | '.join(f'{sum(found[task]) / len(found[task]):.4f}' for task in TASKS)
      lines.append(f'| {row} | | {means} | | |')
      continue
    cells = ' | '.join(_percent(_cell(result, row, task, weight, 'no augmentation')) for task in TASKS)
    chosen = [result['fixed']] if weight == 'fixed' else found['weights']
    lines.append(f'| {row} | {found["way"]} | {cells} | {", ".join(f"{one:g}" for one in chosen)} | '
                 f'{_counts(found["status"])} |')
  return '\n'.join(lines)


def _counts(statuses):
  count = collections.Counter(statuses)
  return ', '.join(f'{count[status]} {status}' for status in _STATUSES if count[status])


def adversaries(result, rows):
  """What the adversary itself adds: each design less its control in percent, as Markdown."""
  lines = [f'| {result["name"]} | less | weight | ' + ' | '.join(TASKS) + ' |', '|---' * (len(TASKS) + 3) + '|']
  for row in result['order']:
    if row in rows and rows[row].control in result['rows']:
      for weight in ('fixed', 'chosen'):
        cells = ' | '.join(_percent(_cell(result, row, task, weight, 'control')) for task in TASKS)
        lines.append(f'| {row} | {rows[row].control} | {weight} | {cells} |')
  return '\n'.join(lines)


def _tally(results, keep):
  """How many of the differences that `keep(cell)` lets through are significantly above and below 0, and how many."""
  cells = [cell for result in results for cell in result['differences'] if keep(cell)]
  sure = [cell for cell in cells if cell['p_holm'] < _LEVEL]
  return sum(cell['mean'] > 0 for cell in sure), sum(cell['mean'] < 0 for cell in sure), len(cells)


def _verdict(results, rows):
  """Sentences on what came out, counted."""
  designs = {name for name, row in rows.items() if row.control}
  out = []
  for weight, said in (('fixed', 'At the fixed weight'), ('chosen', 'At the weight that validation chose')):
    for members, who in ((designs, 'adversarial designs'), (set(rows) - designs, 'controls')):
      better, worse, total = _tally(results, lambda cell, weight=weight, members=members: (
        cell['weight'] == weight and cell['against'] == 'no augmentation' and cell['row'] in members))
      out.append(f'- {said} {who} are significantly better than no augmentation in {better} and worse in {worse} of '
                 f'{total} cells (row, task, data set).')
    better, worse, total = _tally(results, lambda cell, weight=weight: (
      cell['weight'] == weight and cell['against'] == 'control'))
    out.append(f'- {said} the adversary itself (design less its control) helps significantly in {better} and harms in '
               f'{worse} of {total} cells.')
  runs = collections.Counter(status for result in results for row, found in result['rows'].items()
                             if row in designs for status in found['status'])
  names = sorted({f'{row} ({result["name"]})' for result in results for row, found in result['rows'].items()
                  if row in designs and set(found['status']) - {'converged'}})
  out.append(f'- Of {sum(runs.values())} runs of adversarial designs {runs["converged"]} converged, '
             f'{runs["collapsed"]} collapsed, {runs["diverged"]} diverged' + (': ' + ', '.join(names) if names else '')
             + '.')
  zeros = [weight == 0 for result in results for row, found in result['rows'].items() if row in designs
           for weight in found['weights']]
  out.append(f'- For {sum(zeros)} of {len(zeros)} runs of adversarial designs validation chose the weight 0.')
  return '\n'.join(out)


def words(results, rows):
  """The page as Markdown."""
  parts = ['# Does an adversary help a recommender?', '', _how(results, rows), '', '![Differences](adversary.png)', '',
           '## What came out', '', _verdict(results, rows), '', '## Against no augmentation', '',
           'Differences in percent of NDCG@20 with 95% intervals; *: significant after Holm\'s correction over the '
           'table. The first row is NDCG@20 itself. `weight` is the one of each run.']
  for result in results:
    parts += ['', table(result), '', table(result, 'chosen')]
  parts += ['', '## Against the same without its adversary', '']
  for result in results:
    parts += [adversaries(result, rows), '']
  parts += ['## Reasons', ''] + _reasons(results) + ['', '## The rows', '', '| row | what it does |', '|---|---|']
  parts += [f'| {name} | {row.words}' + (f'; control: {row.control}' if row.control else '') + ' |'
            for name, row in rows.items()]
  return '\n'.join(parts) + '\n'


def _reasons(results):
  """Why runs count as collapsed or diverged."""
  found = [f'- {result["name"]}, {name}: {report["status"]}, {report["reason"]}' for result in results
           for name, row in result['rows'].items() for report in row.get('reports', ()) if report['reason']]
  return found or ['Every run converged.']


def _how(results, rows):
  def minutes(one):
    return sum(sum(row.get('seconds', ())) for row in one['rows'].values()) / 60
  told = '; '.join(f'{one["name"]}: {one["draws"]} draw{"s" * (one["draws"] > 1)}, {one["seeds"]} '
                   f'seed{"s" * (one["seeds"] > 1)}' + ', a quick look with a quarter of the steps' * one['quick']
                   + f', {len(one["order"]) - 1} of {len(rows)} rows, {minutes(one):.0f} minutes of fitting on '
                   f'{one["device"]}' for one in results)
  few = any(one['draws'] < 5 for one in results)
  return (
    'Written by `python experiments/adversary.py`. The base model is the closed form of this package with the content '
    'kernel of frozen texts, fitted to frozen draws and tuned on validation. Each row offers it something: 10 '
    'generated interactions a user, about half of them of new items; as many generated users as there are real ones; '
    f'or item vectors. It enters with a weight: {results[0]["fixed"]:g} for all rows, and the one that validation '
    f'likes best of {", ".join(f"{weight:g}" for weight in results[0]["weights"])} (by the rule that tunes the base '
    'model). Full ranking on test; intervals by a paired bootstrap over users. Where a network looks at the texts of '
    'new items in training (virtual and domain-adversarial), it reads nothing else of them.\n\n'
    f'Measured: {told}.' + (' Intervals over users say nothing of how a redraw of the split moves the figures; fewer '
                            'than five draws are a lead, above all for cold.' if few else ''))


def draw(path, results, rows):
  """Writes the picture: for each data set and task a row's difference to no augmentation, with its interval.

  Args:
    path: the file.
    results: a list, see `write`.
    rows: name -> `Row`; those with a control stand out.
  """
  import matplotlib  # takes a second
  from matplotlib.figure import Figure
  names = [name for name in rows if any(name in result['rows'] for result in results)]
  inks = ('axes.edgecolor', 'axes.labelcolor', 'text.color', 'xtick.color', 'ytick.color')
  settings = dict.fromkeys(inks, LIGHT['ink']) | {
    'font.size': 9, 'axes.spines.top': False, 'axes.spines.right': False, 'axes.axisbelow': True,
    'grid.color': LIGHT['grid'], 'axes.titlesize': 10, 'legend.frameon': False}
  with matplotlib.rc_context(settings):
    figure = Figure((2.6 + 2.6 * len(_SHOWN) * len(results), 1.5 + .21 * len(names)), layout='constrained')
    grid = figure.subplots(1, len(_SHOWN) * len(results), sharey=True, squeeze=False)[0]
    panels = [(result, task) for result in results for task in _SHOWN]
    for axes, (result, task) in zip(grid, panels, strict=True):
      for place, name in enumerate(names):
        colour = LIGHT['second' if rows[name].control else 'first']
        for weight, shift, face in (('fixed', -.15, colour), ('chosen', .15, 'none')):
          cell = _cell(result, name, task, weight, 'no augmentation')
          if cell is not None and cell['percent']['mean'] is not None:
            mean, low, high = (cell['percent'][key] for key in ('mean', 'low', 'high'))
            axes.plot([low, high], [place + shift] * 2, color=colour, linewidth=1)
            axes.plot([mean], [place + shift], 'o', markersize=4, color=colour, markerfacecolor=face)
      axes.axvline(0, color=LIGHT['ink'], linewidth=.8)
      axes.set_title(f'{result["name"]}, {task}', loc='left')
      axes.set_xlabel('% of NDCG@20')
      axes.grid(True, axis='x')
    grid[0].set_yticks(range(len(names)), names)
    grid[0].set_ylim(len(names) - .4, -.6)
    figure.suptitle('Difference to no augmentation. Blue: controls, orange: adversarial designs. '
                    'Filled: fixed weight, hollow: chosen on validation', fontsize=9, x=.01, ha='left')
    artifacts.write_atomically(str(path), lambda file: figure.savefig(file, format='png', dpi=130,
                                                                      metadata={'Software': None}))
