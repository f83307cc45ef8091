"""The report of a synthetic log, in words and as a page: what it is worth, how alike it is, what it gives away."""

import numpy as np

from ganrec_jax.report import page
from ganrec_jax.report.plots import LIGHT, both
from ganrec_jax.report.sections import Section
from ganrec_jax.report.telling import number, percent

_NAMES = {'ease': 'EASE', 'ials': 'iALS', 'item_knn': 'item-kNN', 'ours': 'the base model'}
_CAPTIONS = {
  'utility': 'NDCG@20 on real test pairs of recommenders that saw generated users only, in per cent of the same that '
             'saw the real ones; whiskers are 95% intervals.',
  'popularity': 'Share of the interactions that each item has, the most popular first, both axes logarithmic.',
  'nearness': 'Profiles by their similarity (Jaccard) to the nearest profile that the generator has seen: generated '
              'ones, and real ones that it has not seen. Generated ones further to the right would be copies.'}
_FIDELITY = {
  'spearman': 'rank correlation of popularity', 'jensen_shannon': 'divergence of popularity, bits',
  'pair_correlation': 'correlation of co-occurrences', 'pair_error': 'relative error of co-occurrences',
  'pair_overlap': 'most frequent pairs that are the same', 'length_ks': 'distance of the lengths (Kolmogorov-Smirnov)',
  'coverage': 'items covered', 'tail_synthetic': 'share of the tail', 'gini_synthetic': 'Gini coefficient of items',
  'frechet': 'Fréchet distance of mean item vectors'}


def words(report, out):
  """The report in a few lines for the terminal."""
  told, attack, copied = report['provenance'], report['privacy']['membership'], report['privacy']['copies']
  lines = [f'WARNING: {fault}' for fault in report['faults']] + [
    f'{_source(told)}: {number(told["users"], "generated user")}; critic {told["chosen"]["steps"]} steps, temperature '
    f'{told["chosen"]["temperature"]:g}, seed {told["seed"]}',
    f'privacy: {_membership(attack, told["max_auc"])}; near copies {_percent(copied["synthetic"]["near_0.8"])} '
    f'(of real users unseen {_percent(copied["held_out"]["near_0.8"])})',
    f'utility, per cent of real data, by {number(report["utility"]["profiles"], "generated user")}:']
  lines += [f'  {task:5s}' + ', '.join(f'{_NAMES[one["recommender"]]} {_ratio(one)}' for one in ones)
            for task, ones in _by_task(report)]
  found = report['fidelity']
  lines.append('fidelity (real users unseen beside it): ' + ', '.join(
    f'{_FIDELITY[name]} {_figure(found["synthetic"][name])} ({_figure(found["held_out"][name])})'
    for name in ('spearman', 'pair_correlation', 'length_ks')))
  return '\n'.join([*lines, f'{out}: interactions.csv, items.csv, report.json and report.html are complete'])


def write(report, curves, nearness):
  """The page as a str.

  Args:
    report: what goes into report.json.
    curves: name of a log -> float `[items]`, each item's share of the interactions, falling.
    nearness: name -> float `[profiles]`, similarities to the nearest profile that the generator has seen.
  """
  told, attack = report['provenance'], report['privacy']['membership']
  tiles = [(number(told['users']), 'generated users'), (f'{attack["auc"]:.3f}', 'AUC of membership inference'),
           *((f'{100 * one["value"]:.0f}%', f'{task}, {_NAMES[one["recommender"]]}, of real data')
             for task, ones in _by_task(report) for one in ones if one['recommender'] == 'ours')]
  within = attack['auc'] <= told['max_auc']
  verdict = 'Within' if within else 'OVER'
  notices = [page.notice(f'{verdict} the leakage budget: {_membership(attack, told["max_auc"])}.', within),
             *(page.notice(f'{fault[0].upper()}{fault[1:]}.', False) for fault in report['faults'])]
  if not report['faults']:
    notices.append(page.notice('The generator neither diverged nor collapsed, and it memorised nobody.', True))
  drawn = {'utility': both(_utility, report, 'x'), 'popularity': both(_popularity, curves, 'both'),
           'nearness': both(_nearness, nearness, 'y')}
  return page.document(f'Generated users of {_source(told)}', tiles, notices, _sections(report), drawn, _CAPTIONS,
                       'How each figure is made is said in the docstrings of ganrec_jax/profiles.')


def _source(told):
  return told['source'] + ' (SIMULATED)' * told['simulated']


def _membership(attack, budget):
  return (f'membership inference AUC {attack["auc"]:.3f} [{attack["low"]:.3f}, {attack["high"]:.3f}], allowed '
          f'{budget:g}')


def _by_task(report):
  tasks = dict.fromkeys(one['task'] for one in report['utility']['ratios'])
  return [(task, [one for one in report['utility']['ratios'] if one['task'] == task]) for task in tasks]


def _ratio(one):
  if one['value'] is None:
    return 'undefined (0 on real data)'
  interval = 'no interval' if one['low'] is None else f'{100 * one["low"]:.1f}, {100 * one["high"]:.1f}'
  return f'{100 * one["value"]:.1f} [{interval}]'


def _sections(report):
  told, copied, found = report['provenance'], report['privacy']['copies'], report['fidelity']
  yield Section('What it is worth', plots=('utility',), numeric=(2, 3, 4), rows=tuple(
    (task, _NAMES[one['recommender']], _ratio(one), f'{one["synthetic"]:.4f}', f'{one["real"]:.4f}')
    for task, ones in _by_task(report) for one in ones),
    header=('task', 'recommender', 'per cent', 'NDCG@20, generated', 'real'))
  yield Section('What it gives away', plots=('nearness',), numeric=(1, 2), header=('', 'generated', 'real, unseen'),
                rows=tuple((label, *(_figure(copied[side][name]) for side in ('synthetic', 'held_out')))
                           for label, name in (('median similarity to the nearest', 'median'), ('99% below', 'q99'),
                                               ('as near as .8', 'near_0.8'), ('exact copies', 'exact'))))
  yield Section('How alike it is', plots=('popularity',), numeric=(1, 2), header=('', 'generated', 'real, unseen'),
                rows=tuple((label, *(_figure(found[side][name]) for side in ('synthetic', 'held_out')))
                           for name, label in _FIDELITY.items()),
                lines=(('new items', f'{percent(found["new_items"])} of the generated interactions'),))
  chosen = told['chosen']
  yield Section('How it was made', lines=(
    ('generator', f'critic of whole profiles, {chosen["steps"]} steps, temperature {chosen["temperature"]:g}'),
    *([('asked for', told['like'])] if told['like'] else []),
    ('seed', str(told['seed'])), ('revision', told['git_revision']), ('data', told['data_sha256'][:16]),
    ('split', told['split_sha256'][:16])), numeric=(0, 1, 2, 3),
    header=('critic steps', 'temperature', 'AUC', 'completes unseen users (NDCG@20)'),
    rows=tuple((str(one['steps']), f'{one["temperature"]:g}', f'{one["auc"]:.3f}', f'{one["completion"]:.4f}')
               for one in told['tried']))


def _figure(value):
  return 'undefined' if value is None else f'{value:.3f}'


def _percent(share):
  return 'undefined' if share is None else percent(share)


def _utility(axes, report):
  rows = [one for _, ones in _by_task(report) for one in ones if one['value'] is not None]
  places = -np.arange(len(rows))
  # Where some resample finds nothing in the real log there is no interval, and no bar.
  value, low, high = (100 * np.array([one[name] for one in rows], float) for name in ('value', 'low', 'high'))
  axes.errorbar(value, places, xerr=[value - low, high - value], fmt='o', color=LIGHT['first'], capsize=3)
  axes.axvline(100, color=LIGHT['second'], linestyle='--')
  axes.set_yticks(places, [f'{one["task"]}, {_NAMES[one["recommender"]].removeprefix("the ")}' for one in rows])
  axes.set_position([.34, .19, .63, .77])
  axes.set_xlabel('per cent of real data')


def _popularity(axes, curves):
  for (name, shares), colour, style in zip(curves.items(), ('second', 'first'), ('--', '-'), strict=True):
    shares = shares[shares > 0]
    axes.loglog(np.arange(1, len(shares) + 1), shares, style, color=LIGHT[colour], label=name, linewidth=2)
  axes.set_xlabel('rank of the item')
  axes.set_ylabel('share of interactions')
  axes.legend()


def _nearness(axes, nearness):
  top = max(float(np.quantile(values, .999)) for values in nearness.values())
  edges = np.linspace(0, max(top, .1), 40)
  for (name, values), colour, style in zip(nearness.items(), ('second', 'first'), ('--', '-'), strict=True):
    density, _ = np.histogram(np.minimum(values, edges[-1]), edges)
    axes.stairs(density / max(len(values), 1), edges, color=LIGHT[colour], linestyle=style, label=name, linewidth=2)
  axes.set_xlabel('similarity to the nearest seen profile')
  axes.set_ylabel('share of profiles')
  axes.legend()
