"""The report's section on the duel of G and D: losses, what D can tell, how near the fakes came, what was kept."""

import math

from ganrec_jax.report import marks, plots
from ganrec_jax.report.plots import LIGHT
from ganrec_jax.report.sections import Section
from ganrec_jax.report.telling import number, plain

# Monitor -> what it is.
_MONITORS = {
  'frechet': 'Fréchet distance to held-out vectors', 'precision': 'precision: fakes among real ones',
  'recall': 'recall: real ones among fakes', 'd_ranked_accuracy': 'D ranks real above fake (.5 is a guess)',
  'd_accuracy_real': 'D takes real for real', 'd_accuracy_fake': 'D takes fake for fake',
  'distinct': 'distinct items reached', 'distinct_real': 'by held-out ones',
  'nearest': 'median distance to the nearest real one', 'nearest_real': 'of held-out ones'}
_RESTARTED = (' Dotted lines with the word restart: training went on from there, after an interruption, or after a '
              'fault at a lower rate.')


def make(run):
  """The section and its plots, see `index.render`."""
  reports = {row: run.results['generated'][row] for row in ('gan', 'generator_only')
             if 'status' in run.results['generated'].get(row, {})}
  if 'gan' not in reports:
    return (Section('The duel', text='This run has no adversary.'),), {}
  lines = [(row, _ending(report)) for row, report in reports.items()]
  options = run.results['config']['adversarial']
  lines.append(('players', f'design {options["design"]}, loss {options["loss"]}, penalty {options["penalty"]}, '
                f'lambda {options["adversarial_weight"]:g}, {number(options["d_steps"], "step")} of D for one of G'))
  text = ('' if options['adversarial_weight'] else
          'This run trained its generator without an adversary (adversarial_weight is 0); D only looked on.')
  figures = _figures(run, reports)
  rows = tuple((label, *(_told(report.get(name)) for report in reports.values()))
               for name, label in _MONITORS.items() if any(name in report for report in reports.values()))
  more = (Section('What was kept, on held-out samples', header=('', *reports), rows=rows, level=3,
                  numeric=tuple(range(1, len(reports) + 1))),) if rows else ()
  return (Section('The duel', tuple(lines), plots=tuple(figures), text=text), *more), figures


def _ending(report):
  reason = f' ({plain(report["reason"])})' if report['reason'] else ''
  if report.get('restarts'):
    reason += f', after {number(report["restarts"], "restart")} at a lower learning rate'
  if 'best_step' not in report:
    return report['status'] + reason
  return (f'{report["status"]}{reason}: {number(report["steps"], "step")} on {number(report["rows"], "real sample")}, '
          f'kept is step {report["best_step"]:,}, the nearest to {number(report["held_out"])} held-out ones')


def _told(value):
  return '-' if value is None or not math.isfinite(value) else f'{value:,.0f}' if value >= 20 else f'{value:.3f}'


def _figures(run, reports):
  """name -> (plot, caption) of what the records of the stages hold."""
  records, restarts = run.metrics.get('gan', ()), tuple(run.restarts.get('gan', ()))
  chosen = ((reports['gan']['best_step'], LIGHT['first']),) if 'best_step' in reports['gan'] else ()
  losses = (*marks.line(records, 'g_loss', 'G', 'first', 'D'), *marks.line(records, 'd_loss', 'D', 'second', '^', '--'))
  told = (*marks.line(records, 'd_accuracy_real', 'real as real', 'first', 'D'),
          *marks.line(records, 'd_accuracy_fake', 'fake as fake', 'second', '^', '--'))
  # Runs of older versions know the mean of the two only.
  told = told or marks.line(records, 'd_accuracy', 'both', 'first', 'D')
  told += marks.line(records, 'd_ranked_accuracy', 'ranked right', 'third', 's', '-.')
  near, kept = marks.line(records, 'frechet', 'gan', 'first', 'D'), chosen
  other = run.metrics.get('generator_only', ())
  if near and other:
    near += marks.line(other, 'frechet', 'generator only', 'second', '^', '--')
    kept += ((reports['generator_only']['best_step'], LIGHT['second']),) if 'best_step' in reports.get(
      'generator_only', {}) else ()
  spread = (*marks.line(records, 'precision', 'precision', 'first', 'D'),
            *marks.line(records, 'recall', 'recall', 'second', '^', '--'))
  made = {
    'duel losses': (marks.Curves(losses, 'loss', chosen, restarts), 'The losses of both players.'),
    'duel accuracy': (marks.Curves(told, 'share', chosen, restarts, (.5, 'a guess')),
                      'What D tells apart of held-out samples: 1 is everything, .5 a guess.'),
    'duel frechet': (marks.Curves(near, 'Fréchet distance', kept, restarts),
                     'Distance of the fakes from held-out real vectors; the step with the lowest is chosen.'),
    'duel spread': (marks.Curves(spread, 'share', chosen, restarts),
                    'Precision: fakes that look real. Recall: real ones that fakes come near.')}
  return {name: (plots.both(marks.draw_curves, curves, 'y', place=marks.LABELLED),
                 caption + _RESTARTED * bool(restarts)) for name, (curves, caption) in made.items() if curves.lines}
