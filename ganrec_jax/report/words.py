"""The report in a terminal: plain text of at most 120 columns, doubts last, where they are seen."""

import textwrap

_WIDTH = 120
_LABEL = 20


def render(sections, doubts):
  """The text of `Section`s and `Doubt`s, with a line end."""
  lines = []
  for section in sections:
    lines += ['', section.title, '-' * len(section.title)]
    for label, sentence in section.lines:
      lines += _labelled(label, sentence)
    if section.rows:
      lines += _table(section)
  return '\n'.join([*lines[1:], '', *_doubts(doubts)]) + '\n'


def _labelled(label, sentence):
  gap = f'{label:<{_LABEL}} ' if len(label) <= _LABEL else f'{label}: '
  return textwrap.wrap(sentence, _WIDTH, initial_indent=gap, subsequent_indent=' ' * (_LABEL + 1),
                       break_on_hyphens=False) or [gap.rstrip()]


def _table(section):
  rows = [section.header, *section.rows]
  widths = [max(len(row[k]) for row in rows) for k in range(len(section.header))]
  for row in rows:
    cells = (cell.rjust(width) if k in section.numeric else cell.ljust(width)
             for k, (cell, width) in enumerate(zip(row, widths, strict=True)))
    line = '  '.join(cells).rstrip()
    yield line if len(line) <= _WIDTH else line[:_WIDTH - 1] + '…'


def _doubts(doubts):
  if not doubts:
    return ['Nothing doubtful was found.']
  lines = [f'Doubtful ({len(doubts)}):']
  for doubt in doubts:
    lines += textwrap.wrap(f'{doubt.found}: {doubt.advice}', _WIDTH, initial_indent='! ', subsequent_indent='  ',
                           break_on_hyphens=False)
  return lines
