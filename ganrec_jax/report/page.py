"""The report as one HTML file that opens offline: plots inside, no script, every word of the data escaped."""

import base64
import html

from ganrec_jax.report.telling import plain

_STYLE = """
:root { color-scheme: light dark; --ink: #1d2025; --soft: #5a606a; --line: #d9dce1; --paper: #fff; --card: #f6f7f9;
  --doubt: #8a4b00; --doubt-paper: #fff4e2; --fine: #1e6b3a; --fine-paper: #e7f5ec; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e7eb; --soft: #a3aab5; --line: #3a3f47; --paper: #16181c;
  --card: #1f2227; --doubt: #ffc46b; --doubt-paper: #33260f; --fine: #7fd39c; --fine-paper: #14291c; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 54rem; padding: 1rem; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.5rem; line-height: 1.25; margin: .5rem 0; }
h2 { font-size: 1.15rem; margin: 2rem 0 .5rem; border-bottom: 1px solid var(--line); }
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
table { border-collapse: collapse; font-size: .9rem; overflow-wrap: normal; }
th, td { text-align: left; vertical-align: top; padding: .3rem 1rem .3rem 0; border-bottom: 1px solid var(--line); }
th { color: var(--soft); font-weight: 600; }
.short { white-space: nowrap; }
.middling { min-width: 9rem; }
.long { min-width: 14rem; overflow-wrap: anywhere; }
.number { text-align: right; font-variant-numeric: tabular-nums; }
figure { margin: 1rem 0; max-width: 40rem; }
img { width: 100%; height: auto; display: block; }
figcaption, footer { color: var(--soft); font-size: .875rem; }
@media (max-width: 34rem) { dl { grid-template-columns: 1fr; gap: 0; } dd { margin-bottom: .5rem; }
  .stack th { display: none; }
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


def document(title, tiles, notices, sections, plots, captions, footer):
  """A whole page as a str.

  Args:
    title: its heading.
    tiles: (figure, what it is) each, shown first.
    notices: lines of HTML that follow.
    sections: `Section`s.
    plots: name -> (SVG for a light page, SVG for a dark one).
    captions: name -> what the plot shows.
    footer: its last sentence.
  """
  parts = [f'<h1>{_escaped(title)}</h1>', '<div class="tiles">',
           *(f'<div class="tile"><b>{_escaped(figure)}</b><span>{_escaped(what)}</span></div>'
             for figure, what in tiles), '</div>', *notices]
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
<title>{_escaped(title)}</title>
<style>{_STYLE}</style>
</head>
<body>
{body}
<footer><p>{_escaped(footer)}</p></footer>
</body>
</html>
"""


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


def _section(section, plots, captions):
  yield f'<h2>{_escaped(section.title)}</h2>'
  if section.lines:
    yield '<dl>'
    for label, sentence in section.lines:
      yield f'<dt>{_escaped(label)}</dt><dd>{_escaped(sentence)}</dd>'
    yield '</dl>'
  for name in section.plots:
    yield _figure(captions[name], *plots[name])
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


def _figure(caption, light, dark):
  def source(svg):
    return 'data:image/svg+xml;base64,' + base64.b64encode(svg.encode()).decode()
  return (f'<figure><picture><source media="(prefers-color-scheme: dark)" srcset="{source(dark)}">'
          f'<img alt="{_escaped(caption)}" src="{source(light)}"></picture>'
          f'<figcaption>{_escaped(caption)}</figcaption></figure>')
