"""The plots of a report as SVG, drawn once and coloured for a light and for a dark page."""

import io

import numpy as np

from ganrec_jax.report import texts
from ganrec_jax.report.telling import day, moment

# Colours of the light page and of the dark one: ink, grid, and two hues that differ in lightness too.
LIGHT = {'ink': '#3b3f46', 'grid': '#d9dce1', 'first': '#1f6fb2', 'second': '#d9731a'}
DARK = {'ink': '#c9ced6', 'grid': '#3a3f47', 'first': '#6db3f2', 'second': '#f0a35e'}
_SIZE = (5.2, 2.9)  # inches; small, so that the letters can be read on a phone
_PLACE = (.16, .19, .81, .77)  # of the axes: left, bottom, width, height; a layout engine takes half a second


def draw(facts):
  """Plot name -> (SVG for a light page, SVG for a dark one); only the plots that the data have."""
  makers = {'activity': _activity, 'words': _words if facts.texts.share else None,
            'values': _values if facts.values.distinct > 1 else None,
            'times': _times if facts.times is not None and facts.times.distinct > 1 else None}
  return {name: both(make, facts, 'both' if make is _activity else 'y') for name, make in makers.items() if make}


def both(make, found, grid):
  """A plot as SVG for a light and for a dark page: `make(axes, found)` draws it, `grid` says which axes have one."""
  import matplotlib  # takes a second
  from matplotlib.figure import Figure
  inks = ('axes.edgecolor', 'axes.labelcolor', 'text.color', 'xtick.color', 'ytick.color')
  settings = dict.fromkeys(inks, LIGHT['ink']) | {
    'svg.hashsalt': 'report', 'svg.fonttype': 'path', 'font.size': 11, 'axes.spines.top': False,
    'axes.spines.right': False, 'axes.formatter.limits': (-4, 6), 'axes.axisbelow': True, 'legend.frameon': False,
    'grid.color': LIGHT['grid']}
  with matplotlib.rc_context(settings):
    figure = Figure(_SIZE)
    axes = figure.add_axes(_PLACE)
    make(axes, found)
    axes.grid(True, which='major', axis=grid)
    written = io.StringIO()
    figure.savefig(written, format='svg', transparent=True, metadata={'Date': None, 'Creator': None})
  light = written.getvalue()
  dark = light
  for role, colour in LIGHT.items():
    dark = dark.replace(colour, DARK[role])
  return light, dark


def _activity(axes, facts):
  for kind, found, colour, style in (('users', facts.by_user, 'first', '-'), ('items', facts.by_item, 'second', '--')):
    axes.loglog(*found.curve, style, color=LIGHT[colour], label=kind, linewidth=2,
                marker='o' if found.number < 3 else '')
  _plain_ticks(axes.xaxis)
  _plain_ticks(axes.yaxis)
  axes.set_xlabel('rank, the most active first')
  axes.set_ylabel('interactions')
  axes.legend()


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
    _plain_ticks(axes.xaxis)
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
    _plain_ticks(axes.xaxis)
  axes.set_xlabel('value')
  axes.set_ylabel('interactions')


def _plain_ticks(axis):
  """1, 10, 1,000 instead of powers on a log axis."""
  axis.set_major_formatter(lambda value, _: f'{value:,.10g}')
  axis.set_minor_formatter('')
