"""The report's section on the generated interactions: whom and what they reached, how real they look, examples."""

import numpy as np

from ganrec_jax.data.types import PARTS
from ganrec_jax.evaluation.tasks import train_counts
from ganrec_jax.models import als
from ganrec_jax.report import facts, marks, plots
from ganrec_jax.report.plots import LIGHT
from ganrec_jax.report.sections import Section
from ganrec_jax.report.telling import number, percent, plain

ROW = 'gan'
EXAMPLES = 20
_TOP = 8
_COUNTS = ('asked', 'exhausted', 'outliers', 'unreal', 'repeated', 'kept')
_HELD_OUT = ('valid', 'test', 'cold_valid', 'cold_test')


def make(run):
  """The section and its plots, see `index.render`."""
  mine = np.flatnonzero(run.generated.source == ROW)
  sections = [Section('The generated interactions', text=(
    'Filtered are samples without a candidate left (exhausted), beyond every real vector (outliers), the share that D '
    'finds least real (unreal), and repetitions. Generated interactions go to training only; met are those of '
    'them that are held out, beside how many would be by chance (popularity).'), **_counts(run))]
  if not len(mine):
    return (*sections, Section('Whom and what they reached', text='The generator left none.', level=3)), {}
  figures = _figures(run, mine)
  sections += [Section('Whom and what they reached', plots=tuple(name for name in figures if name != 'realness'),
                       level=3, header=('item most often generated', 'generated', 'in training'), numeric=(1, 2),
                       rows=_top(run, mine))]
  if 'realness' in figures:
    sections.append(Section('How real they look to D', plots=('realness',), level=3, text=_realness_words(run)))
  else:
    sections.append(Section('How real they look to D', text='No discriminator judged them.', level=3))
  return (*sections, _examples(run, mine)), figures


def _counts(run):
  """Header and rows of the table of what was asked, filtered and kept, and how often it met held-out pairs."""
  rows = []
  for row in run.augmented:
    report = run.results['generated'][row]
    counts, leaks, weight = report['counts'], report['leaks'], run.results['choices'].get(row, {}).get('weight')
    met = sum(leaks[kind]['coincidences'] for kind in ('warm', 'cold'))
    due = sum(leaks[kind]['expected_popularity'] for kind in ('warm', 'cold'))
    rows.append((row, *(number(counts[name]) if name in counts else '-' for name in _COUNTS),
                 '-' if weight is None else f'{weight:g}', number(met), f'{due:,.0f}'))
  return {'header': ('row', *_COUNTS, 'weight', 'met', 'by chance'), 'rows': tuple(rows),
          'numeric': tuple(range(1, len(_COUNTS) + 4))}


def _top(run, mine):
  data = run.prepared.dataset
  made, counts = np.bincount(run.generated.item[mine], minlength=data.items), train_counts(data, run.prepared.split)[1]
  best = np.argsort(-made, kind='stable')[:_TOP]
  return tuple((plain(data.catalogue.titles[item], 60), number(int(made[item])),
                number(int(counts[item])) if counts[item] else 'new') for item in best if made[item])


def _figures(run, mine):
  data, generated = run.prepared.dataset, run.generated
  counts = train_counts(data, run.prepared.split)
  # Controls copy how many each user gets, so they are shown by items alone.
  control = [row for row in ('random_pairs',) if (generated.source == row).any()]
  figures = {}
  for name, index, count, what in (('reached items', generated.item, counts[1], 'item'),
                                   ('reached users', generated.user, counts[0], 'user')):
    parts = {'real': by_class(count, count)} | {row: by_class(count, np.bincount(
      index[generated.source == row], minlength=len(count))) for row in (*control * (what == 'item'), ROW)}
    figures[name] = (
      plots.both(_draw_classes, (parts, what), 'y', place=marks.LABELLED),
      f'Share of the interactions by how many real ones the {what} has in training'
      + ('; 0 are new items.' if what == 'item' else '.'))
  told = run.results['generated'].get(ROW, {}).get('realness')
  judged = generated.realness[mine]
  judged = judged[np.isfinite(judged)]
  if len(judged):
    figures['realness'] = (plots.both(_draw_realness, (told, judged), 'both', place=(.14, .19, .83, .77)),
                           'Share of samples that D finds at most as real: the further right, the more real.')
  return figures


def by_class(counts, amounts):
  """Class of the `counts [n]` -> share of the `amounts [n]` in it; the classes are 0 and `facts.CLASSES`."""
  edges = (0, *facts.CLASSES)
  place = np.searchsorted(edges, counts, 'right') - 1
  sums = np.bincount(place, amounts, len(edges)) / max(amounts.sum(), 1)
  there = np.bincount(place, minlength=len(edges)) > 0
  return {least: float(sums[k]) for k, least in enumerate(edges) if there[k]}


def _draw_classes(axes, found):
  parts, what = found
  classes, ends = list(next(iter(parts.values()))), []
  style = {'real': {'color': LIGHT['ink'], 'marker': 'o', 'linestyle': '-'}}
  for name, shares in parts.items():
    look = style.get(name) or marks.looks(name)
    axes.plot(range(len(classes)), list(shares.values()), markersize=4.5, linewidth=1.8, **look)
    ends.append((name, shares[classes[-1]], look['color']))
  every = (0, *facts.CLASSES)
  most = {least: every[k + 1] - 1 if k + 1 < len(every) else None for k, least in enumerate(every)}
  labels = [f'{least:,}' if most[least] == least else f'{least:,}+' for least in classes]
  axes.set_xticks(range(len(classes)), labels, fontsize=8)
  axes.set_ylim(bottom=0)
  axes.yaxis.set_major_formatter(lambda value, _: f'{value:.0%}')
  axes.set_xlabel(f'real interactions of the {what}')
  axes.set_ylabel('share')
  marks.label_ends(axes, ends)


def _draw_realness(axes, found):
  told, judged = found
  even = np.linspace(0, 1, 201)
  axes.plot(np.quantile(judged, even), even, color=LIGHT['first'], linewidth=2, label='generated, kept')
  if told is not None:
    for name, colour, style, label in (('generated', 'second', ':', 'generated, before filtering'),
                                       ('real', 'ink', '--', 'real, held out')):
      axes.plot(told[name], np.linspace(0, 1, len(told[name])), style, color=LIGHT[colour], linewidth=2, label=label)
  axes.set_xlim(-.02, 1.02)
  axes.set_xlabel('realness, D(x)')
  axes.set_ylabel('share of samples')
  axes.yaxis.set_major_formatter(lambda value, _: f'{value:.0%}')
  axes.legend(fontsize=9.5)


def _realness_words(run):
  told = run.results['generated'].get(ROW, {}).get('realness')
  judged = run.generated.realness[run.generated.source == ROW]
  middle = f'In the middle D gives {np.nanmedian(judged):.2f} to those that were kept'
  if told is None:
    return middle + '; what it gives to real ones was not written down by this version.'
  real = told['real'][len(told['real']) // 2]
  return (f'{middle} and {real:.2f} to held-out real ones; .5 is where it cannot tell. Real ones are vectors that '
          'neither player has seen.')


def pick(generated, mine, warm):
  """At most `EXAMPLES` of the rows `mine`, int: of different users where there are enough, half known and half new
  items where there are both, evenly from what D finds most real to what it finds least real."""
  known = np.isin(generated.item[mine], warm)
  kinds = [mine[part] for part in (known, ~known) if part.any()]
  chosen, users = [], set()
  for kind in kinds:
    order = kind[np.argsort(-np.nan_to_num(generated.realness[kind]), kind='stable')]
    few = EXAMPLES // len(kinds)
    for start in np.linspace(0, len(order), few, endpoint=False).astype(int):
      near = order[start:start + max(1, len(order) // few)]
      fresh = [row for row in near.tolist() if int(generated.user[row]) not in users]
      if fresh or len(order) >= few:
        row = (fresh or near.tolist())[0]
        users.add(int(generated.user[row]))
        chosen.append(row)
  return np.array(list(dict.fromkeys(chosen)), int)


def _examples(run, mine):
  data, histories, generated = run.prepared.dataset, run.prepared.histories, run.generated
  titles, log, rows = data.catalogue.titles, data.interactions, []
  held = np.flatnonzero(np.isin(run.prepared.split.part, [PARTS.index(part) for part in _HELD_OUT]))
  codes = log.user[held].astype(np.int64) * data.items + log.item[held]
  known = np.zeros(data.items, bool)
  known[run.prepared.warm] = True
  for row in pick(generated, mine, run.prepared.warm):
    user, item = int(generated.user[row]), int(generated.item[row])
    near = als.reasons(run.factors, np.array([item]), histories.row(user), 3)[0] if histories.lengths[user] else ()
    real = generated.realness[row]
    rows.append((plain(data.user_ids[user], 24), plain(titles[item], 60) + ' (new)' * (not known[item]),
                 '-' if np.isnan(real) else f'{real:.2f}', '; '.join(plain(titles[one], 50) for one in near),
                 'yes' if user * data.items + item in codes else ''))
  met = np.isin(generated.user[mine].astype(np.int64) * data.items + generated.item[mine], codes).mean()
  return Section(f'{number(len(rows), "example")} in words', level=3, numeric=(2,), text=(
    'From what D finds most real to what it finds least real, known and new items; beside each the items of the '
    f"user's real history that are nearest to it. Held out: the user really chose it ({percent(met)} of all)."),
    header=('user', 'generated', 'D(x)', 'nearest real ones', 'held out'), rows=tuple(rows))
