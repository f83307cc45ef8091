"""The plots of a report as SVG, drawn once and coloured for a light and for a dark page."""

import io
import warnings
from xml.etree import ElementTree

import numpy as np

from ganrec_jax.report import texts
from ganrec_jax.report.telling import day, moment

# Colours of the light page and of the dark one: ink, grid, what is less important, and six hues that differ in
# lightness too, after Okabe and Ito (2008); two things that differ in hue differ in marker or line style as well.
LIGHT = {'ink': '#3b3f46', 'grid': '#d9dce1', 'soft': '#858c97', 'first': '#1f6fb2',
         'second': '#d9731a', 'third': '#12876a', 'fourth': '#ad4a92', 'fifth': '#b38a00', 'sixth': '#4fa3d6'}
DARK = {'ink': '#c9ced6', 'grid': '#3a3f47', 'soft': '#8b93a0', 'first': '#6db3f2',
        'second': '#f0a35e', 'third': '#4ec9a4', 'fourth': '#e592cf', 'fifth': '#e3cb58', 'sixth': '#bfe0fb'}
HUES = ('first', 'second', 'third', 'fourth', 'fifth', 'sixth')
MARKERS = ('o', '^', 's', 'D', 'v', 'P')
_SIZE = (5.2, 2.9)  # inches; small, so that the letters can be read on a phone
_SVG = '{http://www.w3.org/2000/svg}'
_PLACE = (.16, .19, .81, .77)  # of the axes: left, bottom, width, height; a layout engine takes half a second


def draw(facts):
  """Plot name -> (SVG for a light page, SVG for a dark one); only the plots that the data have."""
  makers = {'activity': _curves, 'words': _words if facts.texts.share else None,
            'values': _values if facts.values.distinct > 1 else None,
            'times': _times if facts.times is not None and facts.times.distinct > 1 else None}
  return {name: both(make, facts, 'both' if make is _curves else 'y') for name, make in makers.items() if make}


def both(make, found, grid, size=_SIZE, place=_PLACE):
  """A plot as SVG for a light and for a dark page.

  Args:
    make: `make(axes, found)` draws it.
    found: what is drawn.
    grid: which axes have a grid: 'x', 'y' or 'both'.
    size: of the figure in inches.
    place: of the axes: left, bottom, width, height, in shares of the figure.
  """
  light = dark = _drawn(make, found, grid, size, place)
  for role, colour in LIGHT.items():
    dark = dark.replace(colour, DARK[role])
  return light, dark


def inline(make, found, grid, titles, label, size=_SIZE, place=_PLACE):
  """A plot as an SVG element of the page itself, in the page's colours, whose points have a title on hover.

  Args:
    make, found, grid, size, place: as in `both`.
    titles: id of a group of points (`set_gid`) -> the title of each point, in their order.
    label: what the plot shows, for those who do not see it.
  """
  # Letters stay letters: the reader's browser knows more of them than the font of the plots.
  root = ElementTree.fromstring(_drawn(make, found, grid, size, place, 'none'))
  for metadata in root.findall(f'{_SVG}metadata'):
    root.remove(metadata)
  for style in root.findall(f'{_SVG}defs'):
    root.remove(style)
  root.attrib |= {'role': 'img', 'aria-label': label, 'style': 'stroke-linejoin: round'}
  for name, words in titles.items():
    points = root.find(f".//{_SVG}g[@id='{name}']").iter(f'{_SVG}use')
    for point, title in zip(points, words, strict=True):
      ElementTree.SubElement(point, f'{_SVG}title').text = title
  ElementTree.register_namespace('', _SVG[1:-1])
  ElementTree.register_namespace('xlink', 'http://www.w3.org/1999/xlink')
  text = ElementTree.tostring(root, encoding='unicode')
  for role, colour in LIGHT.items():
    text = text.replace(colour, f'var(--plot-{role})')
  return text


def _drawn(make, found, grid, size, place, letters='path'):
  import matplotlib  # takes a second
  from matplotlib.figure import Figure
  inks = ('axes.edgecolor', 'axes.labelcolor', 'text.color', 'xtick.color', 'ytick.color')
  settings = dict.fromkeys(inks, LIGHT['ink']) | {
    'svg.hashsalt': 'report', 'svg.fonttype': letters, 'font.size': 11, 'axes.spines.top': False,
    'axes.spines.right': False, 'axes.formatter.limits': (-4, 6), 'axes.axisbelow': True, 'legend.frameon': False,
    'grid.color': LIGHT['grid']}
  with matplotlib.rc_context(settings):
    figure = Figure(size)
    axes = figure.add_axes(place)
    make(axes, found)
    axes.grid(True, which='major', axis=grid)
    written = io.StringIO()
    with warnings.catch_warnings():
      warnings.filterwarnings('ignore', 'Glyph .* missing from font')
      figure.savefig(written, format='svg', transparent=True, metadata={'Date': None, 'Creator': None})
  return written.getvalue()


def activity(axes, found):
  """Draws the curves of two `facts.Activity`, of users and of items."""
  for kind, one, colour, style in zip(('users', 'items'), found, ('first', 'second'), ('-', '--'), strict=True):
    axes.loglog(*one.curve, style, color=LIGHT[colour], label=kind, linewidth=2,
                marker='o' if one.number < 3 else '')
  plain_ticks(axes.xaxis)
  plain_ticks(axes.yaxis)
  axes.set_xlabel('rank, the most active first')
  axes.set_ylabel('interactions')
  axes.legend()


def _curves(axes, facts):
  activity(axes, (facts.by_user, facts.by_item))


def _times(axes, facts):
  times = facts.times
  axes.stairs(times.counts, times.edges, fill=True, color=LIGHT['first'])
  ticks = np.linspace(times.first, times.last, 3)
  brief = times.last - times.first < 4 * 86400
  labels = axes.set_xticks(ticks, [moment(tick)[5:] if brief else day(tick) for tick in ticks])
  labels[0].label1.set_horizontalalignment('left')
  labels[-1].label1.set_horizontalalignment('right')
  axes.set_ylabel('interactions')


def _words(axes, facts):
  axes.stairs(facts.texts.counts, facts.texts.edges, fill=True, color=LIGHT['second'])
  if facts.texts.most > texts.EVEN:
    axes.set_xscale('log')
    plain_ticks(axes.xaxis)
  axes.set_xlabel('words of a text')
  axes.set_ylabel('items')


def _values(axes, facts):
  found = facts.values
  if len(found.edges) == len(found.counts):
    places = np.arange(len(found.edges))
    axes.bar(places, found.counts, color=LIGHT['first'])
    step = -(-len(places) // 12)
    axes.set_xticks(places[::step], [f'{value:g}' for value in found.edges[::step]])
  else:
    axes.stairs(found.counts, found.edges, fill=True, color=LIGHT['first'])
    axes.set_xscale('log')
    plain_ticks(axes.xaxis)
  axes.set_xlabel('value')
  axes.set_ylabel('interactions')


def plain_ticks(axis):
  """1, 10, 1,000 instead of powers on a log axis."""
  axis.set_major_formatter(lambda value, _: f'{value:,.10g}')
  axis.set_minor_formatter('')
