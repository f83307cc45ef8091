"""The report's section on the recommender: networks and how they learned, knobs, weights, calibration."""

from ganrec_jax.report import marks, plots
from ganrec_jax.report.plots import LIGHT, MARKERS
from ganrec_jax.report.run import BASE
from ganrec_jax.report.sections import Section
from ganrec_jax.report.telling import number

_KNOBS = {
  'power': "how far the item-item model's columns are normalised; opens the tail",
  'warm_blend': 'weight of the item-item model for known items', 'cold_blend': 'the same for new items',
  'activity': "how the item-item model's weight grows with the length of a history",
  'popularity': "weight of a known item's popularity", 'cold_popularity': 'the same for new items, as texts predict it'}
_TASKS = {'warm': ('first', '-'), 'cold': ('second', '--'), 'tail': ('third', '-.'), 'sparse': ('fourth', ':'),
          'cold_user': ('fifth', (0, (5, 1, 1, 1)))}


def make(run):
  """The section and its plots, see `index.render`."""
  kind, choices = run.results['config']['recommender']['kind'], run.results['choices']
  figures = {**_networks(run), **_weights(run)}
  nets = tuple(name for name in figures if name.startswith('network'))
  weighted = tuple(name for name in figures if name.startswith('weight'))
  if kind == 'closed_form':
    text = 'The closed form recommends; no network was trained, so there are no learning curves.'
  else:
    how = 'alone' if run.results['config']['recommender']['alone'] else 'blended with the closed form'
    text = f'The network {kind} recommends, {how}.'
  found = [Section('The recommender', text=text, plots=nets), _knobs(run)]
  if any('calibration' in one for one in choices.values()):
    found.append(_calibration(choices))
  if weighted:
    found.append(Section('How much a generated interaction counts', plots=weighted, level=3, text=(
      'Each weight was tried on validation; kept is the one whose worst task is surest not to lose, or 0, none of '
      'the data, where even that one surely loses. '
      + '; '.join(f'{row} {choices[row]["weight"]:g}' for row in run.augmented if 'weight' in choices[row]) + '.')))
  if any('blend' in one for one in choices.values()):
    found.append(Section('The blend', header=('row', 'weight of the network, known items', 'new items'), level=3,
                         numeric=(1, 2), rows=tuple((row, *(f'{weight:g}' for weight in one['blend']))
                                    for row, one in choices.items() if 'blend' in one)))
  return tuple(found), figures


def _knobs(run):
  base, before = run.results['base'], run.results['config']['base']
  turned = 'turned on validation' if before['turn_knobs'] else 'left as the config has them (turn_knobs is off)'
  value = '; '.join(f'{regime} {value:.3f}' for regime, value in base['value'].items())
  return Section('The knobs', (('regime', base['regime']), ('value on validation', value), ('knobs', turned)),
                 ('knob', 'before', 'now', 'what it is'), level=3, numeric=(1, 2), rows=tuple(
                   (name, f'{before[name]:g}', f'{base["knobs"][name]:g}', what) for name, what in _KNOBS.items()))


def _calibration(choices):
  def cells(one):
    tried, cold = one['tried'], one['cold']
    how = 'new items never' if cold == 'never' else f'factor {cold[0]:g}, offset {cold[1]:.2f}'
    return (how, *(f'{tried[name]:.4f}' for name in ('as_it_is_value', 'best_value', 'never_value')))
  return Section('Calibration of new items', header=('row', 'kept', 'as it is', 'best', 'never a new item'), level=3,
                 text='In the task all the scores of new items are put on the scale of known ones by a factor and an '
                      'offset, where validation (NDCG@20, the last three columns) gains more than a standard error.',
                 rows=tuple((row, *cells(one['calibration'])) for row, one in choices.items() if 'calibration' in one),
                 numeric=(2, 3, 4))


def _weights(run):
  """The plots of the weights that were tried, of the GAN and of what validation gave most besides."""
  figures = {}
  for row in ('gan', 'generator_only'):
    chosen = run.results['choices'].get(row, {})
    if chosen.get('weights_tried'):
      figures[f'weight {row}'] = (
        plots.both(_draw_weights, chosen, 'y', place=marks.LABELLED),
        f'{row}: validation NDCG@20 at each weight, as a ratio to that without generated data.')
  return figures


def _draw_weights(axes, chosen):
  tried = {float(weight): ratios for weight, ratios in chosen['weights_tried'].items()}
  weights, ends = sorted(tried), [('without', 1., LIGHT['soft'])]
  axes.axhline(1, color=LIGHT['soft'], linewidth=1, linestyle=(0, (1, 2)))
  for marker, task in zip(MARKERS, tried[weights[0]], strict=False):
    colour, style = _TASKS[task]
    values = [tried[weight][task] for weight in weights]
    axes.plot(weights, values, color=LIGHT[colour], linestyle=style, marker=marker, markersize=4.5, linewidth=1.8)
    ends.append((task, values[-1], LIGHT[colour]))
  axes.set_xscale('log')
  axes.set_xticks(weights, [f'{weight:g}' for weight in weights])
  axes.minorticks_off()
  if chosen['weight']:  # 0 has no place on this axis
    axes.axvline(chosen['weight'], color=LIGHT['ink'], linewidth=1, linestyle=(0, (5, 3)))
    axes.text(chosen['weight'], 1.01, 'chosen', transform=axes.get_xaxis_transform(), fontsize=8.5)
  axes.set_xlabel('weight of a generated interaction')
  axes.set_ylabel('ratio')
  marks.label_ends(axes, ends)


def _networks(run):
  """The learning curves of the networks that were trained, one plot a row."""
  figures = {}
  for row in (BASE, *run.augmented):
    stage = f'recommender.{row}'
    records, found = run.metrics.get(stage, ()), run.results['choices'].get(row, {}).get('network', {})
    lines = (*marks.line(records, 'valid_warm', 'warm', 'first', 'D'),
             *marks.line(records, 'valid_cold', 'cold', 'second', '^', '--'))
    if lines:
      chosen = ((found['best_step'], LIGHT['ink']),) if 'best_step' in found else ()
      curves = marks.Curves(lines, 'NDCG@20 on validation', chosen, tuple(run.restarts.get(stage, ())))
      figures[f'network {row}'] = (
        plots.both(marks.draw_curves, curves, 'y', place=marks.LABELLED),
        f'{row}: the network on validation, known and new items; {number(found.get("steps", 0), "step")}.')
  return figures
