"""What the plots of a run share: how a row of the table looks, labels that do not overlap, curves over steps."""

import dataclasses
import unicodedata

import numpy as np
from scipy.optimize import isotonic_regression

from ganrec_jax.report.plots import LIGHT
from ganrec_jax.report.telling import plain

# Row -> colour, marker and line style; any other row looks like the controls.
_ROWS = {'popularity': ('soft', 's', ':'), 'never_cold': ('soft', 'P', ':'), 'no_augmentation': ('ink', 'o', '-'),
         'gan': ('first', 'D', '-'), 'generator_only': ('second', '^', '--'), 'oracle': ('third', '*', '-.')}
_CONTROL = ('fourth', 'v', '--')
_SMALL = 9.5  # points, of labels
_LETTER, _LINE = .58 * _SMALL, 1.25 * _SMALL  # of a label, about, in points

# Figures with room for labels at the ends of their lines.
LABELLED = (.145, .19, .59, .75)


def looks(row):
  """Colour, marker and line style of a row of the table."""
  colour, marker, line = _ROWS.get(row, _CONTROL)
  return {'color': LIGHT[colour], 'marker': marker, 'linestyle': line}


def letters(text, length=None):
  """A text of the data for a plot, cut to `length`: its dollar signs begin no formula."""
  return plain(text, length).replace('$', r'\$')


def apart(places, gap, low=0., high=1.):
  """The nearest numbers to `places [n]` that keep their order and are at least `gap` apart, if possible in a range."""
  places = np.asarray(places, float)
  order = np.argsort(places, kind='stable')
  steps = gap * np.arange(len(places))
  moved = isotonic_regression(places[order] - steps).x + steps if len(places) else places
  if len(moved):
    moved = moved - max(0, moved[-1] - high)
    moved = moved + max(0, low - moved[0])
  found = np.empty_like(places)
  found[order] = moved
  return found


def label_ends(axes, ends):
  """Writes names beside the right edge, at the height of the ends of their lines.

  Args:
    axes: whose limits stand.
    ends: (name, height in data, colour) each.
  """
  inverse = axes.transAxes.inverted()
  heights = [inverse.transform(axes.transData.transform((axes.get_xlim()[0], y)))[1] for _, y, _ in ends]
  points = axes.bbox.height / axes.figure.dpi * 72
  for (name, _, colour), height in zip(ends, apart(heights, _LINE / points), strict=True):
    axes.text(1.02, height, name, transform=axes.transAxes, color=colour, fontsize=_SMALL, va='center')


def label_points(axes, x, y, names, most=None):
  """Writes names beside points where neither another name nor a point is; those that find no room are left out.

  Args:
    axes: whose limits stand.
    x, y: float `[n]`, the points, those first whose name matters most.
    names: str `[m]`, of the first `m` points.
    most: names that are written at most.

  Returns:
    the names that found no room.
  """
  scale = 72 / axes.figure.dpi
  points = axes.transData.transform(np.column_stack([x, y])) * scale
  left, bottom, right, top = (scale * edge for edge in axes.bbox.extents)
  taken, homeless = [], []
  for (px, py), name in zip(points, names, strict=False):
    if most is not None and len(taken) >= most:
      break
    width = _LETTER * sum(1 + (unicodedata.east_asian_width(letter) in 'WF') for letter in name)
    spots = [(px + dx - (width if dx < 0 else width / 2 if not dx else 0), py + dy - _LINE / 2)
             for dy in (0, 9, -9, 16, -16, 24, -24) for dx in (6, -6, 0) if dx or dy]
    for x0, y0 in spots:
      x1, y1 = x0 + width, y0 + _LINE
      free = left <= x0 and x1 <= right and bottom <= y0 and y1 <= top and not any(
        x0 < b and a < x1 and y0 < d and c < y1 for a, b, c, d in taken)
      inside = (points[:, 0] > x0) & (points[:, 0] < x1) & (points[:, 1] > y0) & (points[:, 1] < y1)
      if free and inside.sum() <= len(points) // 400:
        taken.append((x0, x1, y0, y1))
        at = axes.transData.inverted().transform((x0 / scale, y0 / scale))
        axes.text(*at, letters(name), fontsize=_SMALL, va='bottom', zorder=9)
        break
    else:
      homeless.append(name)
  return homeless


@dataclasses.dataclass(frozen=True)
class Curves:
  """What `draw_curves` draws.

  Attributes:
    lines: (name, steps, values, looks) each.
    what: the label of the vertical axis.
    chosen: (step, colour) of what was kept of each stage.
    restarts: steps at which training went on after an interruption.
    level: a height worth comparing with and its name, or None.
  """
  lines: tuple
  what: str
  chosen: tuple = ()
  restarts: tuple = ()
  level: tuple | None = None


def draw_curves(axes, curves):
  """Draws measurements over steps, labelled at their ends, with the chosen step and restarts marked."""
  ends = []
  for name, steps, values, style in curves.lines:
    axes.plot(steps, values, markersize=4, linewidth=1.8, **style)
    ends.append((name, values[-1], style['color']))
  if curves.level is not None:
    height, name = curves.level
    axes.axhline(height, color=LIGHT['soft'], linewidth=1, linestyle=(0, (1, 2)))
    ends.append((name, height, LIGHT['soft']))
  axes.margins(y=.12)
  axes.xaxis.get_major_locator().set_params(integer=True)
  first, last = axes.get_xlim()
  for step, colour in dict.fromkeys(curves.chosen):
    axes.axvline(step, color=colour, linewidth=1, linestyle=(0, (5, 3)))
    near = step > (first + last) / 2
    axes.text(step, 1.01, 'chosen', transform=axes.get_xaxis_transform(), ha='right' if near else 'left',
              fontsize=_SMALL, color=colour)
  for step in curves.restarts:
    axes.axvline(step, color=LIGHT['soft'], linewidth=1, linestyle=(0, (1, 1)))
    axes.text(step, .02, ' restart', transform=axes.get_xaxis_transform(), rotation=90, fontsize=_SMALL,
              color=LIGHT['soft'], ha='right')
  axes.set_xlabel('step')
  axes.set_ylabel(curves.what)
  label_ends(axes, ends)


def series(records, name):
  """The steps and values of a measurement among a stage's records, without those that are not finite numbers."""
  found = [(record['step'], record[name]) for record in records
           if isinstance(record.get(name), int | float) and np.isfinite(record[name])]
  return ([], []) if not found else tuple(map(list, zip(*found, strict=True)))


def line(records, name, label, colour, marker, style='-', sign=1):
  """A line of `Curves`, as a tuple of one; an empty tuple where the records do not have the measurement."""
  steps, values = series(records, name)
  look = {'color': LIGHT[colour], 'marker': marker, 'linestyle': style}
  return ((label, steps, [sign * value for value in values], look),) if steps else ()
