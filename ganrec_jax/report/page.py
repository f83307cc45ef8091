"""The report as one HTML file that opens offline: plots inside, no script, every word of the data escaped."""

import base64
import html
import re

from ganrec_jax.report.plots import DARK, LIGHT
from ganrec_jax.report.telling import plain


def _inks(colours):
  return ' '.join(f'--plot-{role}: {colour};' for role, colour in colours.items())


_STYLE = f"""
:root {{ {_inks(LIGHT)} }}
@media (prefers-color-scheme: dark) {{ :root {{ {_inks(DARK)} }} }}
""" + """
:root { color-scheme: light dark; --ink: #1d2025; --soft: #5a606a; --line: #d9dce1; --paper: #fff; --card: #f6f7f9;
  --doubt: #8a4b00; --doubt-paper: #fff4e2; --fine: #1e6b3a; --fine-paper: #e7f5ec; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e7eb; --soft: #a3aab5; --line: #3a3f47; --paper: #16181c;
  --card: #1f2227; --doubt: #ffc46b; --doubt-paper: #33260f; --fine: #7fd39c; --fine-paper: #14291c; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 60rem; padding: 1rem; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.5rem; line-height: 1.25; margin: .5rem 0; }
h2 { font-size: 1.15rem; margin: 2rem 0 .5rem; border-bottom: 1px solid var(--line); }
h3 { font-size: 1rem; margin: 1.5rem 0 .25rem; }
section > p, details > p { margin: .5rem 0; max-width: 44rem; }
nav { font-size: .875rem; margin: 1rem 0; }
nav a, a { color: var(--plot-first); }
nav a { margin-right: .9rem; white-space: nowrap; display: inline-block; padding: .15rem 0; }
summary { cursor: pointer; font-weight: 600; margin: 1rem 0 .5rem; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(7.5rem, 1fr)); gap: .5rem; margin: 1rem 0; }
.tile { background: var(--card); border-radius: .5rem; padding: .6rem .8rem; }
.tile b { display: block; font-size: 1.25rem; }
.tile span { color: var(--soft); font-size: .875rem; }
.doubts, .fine { border-radius: .5rem; padding: .6rem .9rem; margin: 1rem 0; }
.doubts { background: var(--doubt-paper); }
.doubts b { color: var(--doubt); }
.doubts ul { margin: .25rem 0; padding-left: 1.2rem; }
.doubts li { margin: .35rem 0; }
.fine { background: var(--fine-paper); color: var(--fine); }
dl { display: grid; grid-template-columns: minmax(7rem, 12rem) 1fr; gap: .25rem 1rem; margin: .5rem 0; }
dt { color: var(--soft); }
dd { margin: 0; }
.wide { overflow-x: auto; }
table { border-collapse: separate; border-spacing: 0; font-size: .9rem; overflow-wrap: normal; }
th, td { text-align: left; vertical-align: top; padding: .3rem 1rem .3rem 0; border-bottom: 1px solid var(--line); }
th { color: var(--soft); font-weight: 600; }
.short { white-space: nowrap; }
.middling { min-width: 9rem; }
.long { min-width: 14rem; overflow-wrap: anywhere; }
.number { text-align: right; font-variant-numeric: tabular-nums; min-width: 0; }
td.number { white-space: nowrap; }
th.number { min-width: 4.5rem; }
th:last-child, td:last-child { padding-right: 0; }
th:first-child, td:first-child { position: sticky; left: 0; background: var(--paper); }
figure { margin: 1rem 0; }
figure.whole { max-width: 38rem; }
.pair { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 22rem), 1fr)); gap: 0 1.5rem; }
svg text { font-family: system-ui, sans-serif !important; paint-order: stroke; stroke: var(--paper);
  stroke-width: 2.5px; }
img, svg { width: 100%; height: auto; display: block; }
figcaption, footer { color: var(--soft); font-size: .875rem; }
@media (max-width: 34rem) { dl { grid-template-columns: 1fr; gap: 0; } dd { margin-bottom: .5rem; }
  .stack tr:has(th), .stack td:empty { display: none; }
  .stack tr { display: block; padding: .5rem 0; border-bottom: 1px solid var(--line); }
  .stack td { display: block; text-align: left; padding: 0; border: 0; white-space: normal; }
  .stack td::before { content: attr(data-label) ' '; color: var(--soft); } }
"""
_SHORT, _LONG = 12, 40  # letters of a cell
_CAPTIONS = {
  'activity': 'Interactions of users and of items, the most active first; both axes are logarithmic.',
  'times': 'Interactions over time.', 'words': 'Items by the length of their texts.',
  'values': 'Interactions by their value.'}


def render(sections, doubts, plots, tiles):
  """The page about data as a str.

  Args:
    sections: `Section`s, the first one the overview.
    doubts: `Doubt`s.
    plots: name -> (SVG for a light page, SVG for a dark one).
    tiles: (figure, what it is) each, shown first.
  """
  return document(f'Data of {sections[0].lines[0][1]}', tiles, _doubts(doubts), sections, plots, _CAPTIONS,
                  'Nothing was trained. The same command without --validate runs.')


def document(title, tiles, notices, sections, plots, captions, footer, contents=False, inputs=''):
  """A whole page as a str.

  Args:
    title: its heading.
    tiles: (figure, what it is) each, shown first.
    notices: lines of HTML that follow.
    sections: `Section`s.
    plots: name -> (SVG for a light page, SVG for a dark one), or an SVG element in the page's colours.
    captions: name -> what the plot shows.
    footer: its last sentence.
    contents: whether it begins with links to its sections.
    inputs: the hash of all that it was made of.
  """
  sections = tuple(sections)
  parts = [f'<h1>{_escaped(title)}</h1>', '<div class="tiles">',
           *(f'<div class="tile"><b>{_escaped(figure)}</b><span>{_escaped(what)}</span></div>'
             for figure, what in tiles), '</div>', *notices]
  if contents:
    parts += ['<nav>', *(f'<a href="#{_anchor(section)}">{_escaped(section.title)}</a>'
                         for section in sections if section.level == 2), '</nav>']
  for section in sections:
    parts += _section(section, plots, captions)
  body = '\n'.join(parts)
  # The policy lets nothing be loaded or run even where an escape were missing.
  return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="inputs" content="{_escaped(inputs)}">
<title>{_escaped(title)}</title>
<style>{_STYLE}</style>
</head>
<body>
{body}
<footer><p>{_escaped(footer)}</p></footer>
</body>
</html>
"""


def inputs_of(text):
  """The hash that a page was written with, or '' where it has none."""
  found = re.search('<meta name="inputs" content="([0-9a-f]*)">', text[:20_000])
  return found[1] if found else ''


def notice(text, fine):
  """A line of HTML in the colour of what is fine, or of what is not."""
  return f'<p class="{"fine" if fine else "doubts"}">{_escaped(text)}</p>'


def _escaped(text):
  return html.escape(plain(text))


def _doubts(doubts):
  if not doubts:
    return [notice('Nothing doubtful was found.', True)]
  items = (f'<li>{_escaped(doubt.found)}: {_escaped(doubt.advice)}.</li>' for doubt in doubts)
  return ['<div class="doubts">', f'<b>Doubtful ({len(doubts)})</b>', '<ul>', *items, '</ul>', '</div>']


def _anchor(section):
  return '-'.join(re.findall('[a-z0-9]+', section.title.lower()))


def _section(section, plots, captions):
  if section.folded:
    yield f'<details><summary>{_escaped(section.title)}</summary>'
  else:
    anchor = f' id="{_anchor(section)}"' * (section.level == 2)
    yield f'<section><h{section.level}{anchor}>{_escaped(section.title)}</h{section.level}>'
  yield from _body(section, plots, captions)
  yield '</details>' if section.folded else '</section>'


def _body(section, plots, captions):
  if section.text:
    yield f'<p>{_escaped(section.text)}</p>'
  if section.lines:
    yield '<dl>'
    for label, sentence in section.lines:
      yield f'<dt>{_escaped(label)}</dt><dd>{_escaped(sentence)}</dd>'
    yield '</dl>'
  if section.plots:
    yield '<div class="pair">' if not any(isinstance(plots[name], str) for name in section.plots) else '<div>'
    for name in section.plots:
      yield _figure(captions[name], plots[name])
    yield '</div>'
  if section.rows:
    # On a phone the rows of a wide table stand under one another, each cell with its heading.
    stack = any(len(cell) > _LONG for row in section.rows for cell in row)
    yield f'<div class="wide"><table{" class=stack" * stack}>'
    for tag, row in (('th', section.header), *(('td', row) for row in section.rows)):
      yield '<tr>' + ''.join(_cell(tag, k, cell, section) for k, cell in enumerate(row)) + '</tr>'
    yield '</table></div>'


def _cell(tag, column, text, section):
  width = 'short' if len(text) <= _SHORT else 'middling' if len(text) <= _LONG else 'long'
  label = f' data-label="{_escaped(section.header[column])}"' * (tag == 'td')
  return f'<{tag} class="{width}{" number" * (column in section.numeric)}"{label}>{_escaped(text)}</{tag}>'


def _figure(caption, plot):
  if isinstance(plot, str):
    return f'<figure class="whole">{plot}<figcaption>{_escaped(caption)}</figcaption></figure>'

  def source(svg):
    return 'data:image/svg+xml;base64,' + base64.b64encode(svg.encode()).decode()
  light, dark = plot
  return (f'<figure><picture><source media="(prefers-color-scheme: dark)" srcset="{source(dark)}">'
          f'<img alt="{_escaped(caption)}" src="{source(light)}"></picture>'
          f'<figcaption>{_escaped(caption)}</figcaption></figure>')
