"""The plots of a report as SVG, drawn once and coloured for a light and for a dark page."""

import datetime
import io

import numpy as np

# Colours of the light page and of the dark one: ink, grid, and two hues that differ in lightness too.
LIGHT = {'ink': '#3b3f46', 'grid': '#d9dce1', 'first': '#1f6fb2', 'second': '#d9731a'}
DARK = {'ink': '#c9ced6', 'grid': '#3a3f47', 'first': '#6db3f2', 'second': '#f0a35e'}
_SIZE = (6.4, 3.0)  # inches; the letters are as large on a phone as the page's


def draw(facts):
  """Plot name -> (SVG for a light page, SVG for a dark one); only the plots that the data have."""
  makers = {'activity': _activity, 'words': _words if facts.texts.share else None,
            'values': _values if facts.values.distinct > 1 else None,
            'times': _times if facts.times is not None and facts.times.distinct > 1 else None}
  return {name: _both(make, facts) for name, make in makers.items() if make}


def _both(make, facts):
  import matplotlib  # takes a second
  from matplotlib.figure import Figure
  settings = {'svg.hashsalt': 'report', 'svg.fonttype': 'path', 'font.size': 11, 'axes.spines.top': False,
              'axes.spines.right': False, 'axes.axisbelow': True, 'axes.edgecolor': LIGHT['ink'],
              'axes.labelcolor': LIGHT['ink'], 'text.color': LIGHT['ink'], 'xtick.color': LIGHT['ink'],
              'ytick.color': LIGHT['ink'], 'grid.color': LIGHT['grid'], 'legend.frameon': False}
  with matplotlib.rc_context(settings):
    figure = Figure(_SIZE, layout='constrained')
    axes = figure.subplots()
    make(axes, facts)
    axes.grid(True, which='major', axis='both' if make is _activity else 'y')
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
  axes.set_xlabel('rank, the most active first')
  axes.set_ylabel('interactions')
  axes.legend()


def _times(axes, facts):
  edges = np.array([datetime.datetime(1970, 1, 1) + datetime.timedelta(seconds=edge) for edge in facts.times.edges])
  axes.stairs(facts.times.counts, edges, fill=True, color=LIGHT['first'])
  axes.xaxis.set_major_locator(_dates().AutoDateLocator(maxticks=6))
  axes.xaxis.set_major_formatter(_dates().ConciseDateFormatter(axes.xaxis.get_major_locator()))
  axes.set_ylabel('interactions')


def _dates():
  from matplotlib import dates
  return dates


def _words(axes, facts):
  axes.stairs(facts.texts.counts, facts.texts.edges, fill=True, color=LIGHT['second'])
  axes.set_xscale('log')
  _plain_ticks(axes)
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
    _plain_ticks(axes)
  axes.set_xlabel('value')
  axes.set_ylabel('interactions')


def _plain_ticks(axes):
  """1, 10, 1,000 instead of powers on a log axis."""
  axes.xaxis.set_major_formatter(lambda value, _: f'{value:,.10g}')
  axes.xaxis.set_minor_formatter('')
