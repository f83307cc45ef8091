"""validate: looks at prepared data before anything is trained, tells what it found, and writes the same as a page."""

import os
import time

from ganrec_jax import artifacts
from ganrec_jax.report import costs, doubts, facts, page, plots, sections, words
from ganrec_jax.report.telling import day, number, percent


def validate(config, prepared, path):
  """Writes `report/data.html` into the work directory `path`, and nothing else; returns what is to be printed.

  Raises:
    LeakError: where training would see what is held out.
    UserError: where the data cannot be used, or the page cannot be written.
  """
  found = facts.find(prepared, config, int(time.time()), costs.machine())
  doubtful, told = doubts.find(found, config), sections.make(found)
  written = page.render(told, doubtful, plots.draw(found), _tiles(found))
  place = os.path.join(path, 'report', 'data.html')
  artifacts.write_atomically(place, lambda file: file.write(written.encode()))
  return words.render(told, doubtful) + f'\n{place}: the same with plots; nothing was trained\n'


def _tiles(found):
  """The figures that the page begins with, and what they are."""
  times = found.times
  yield number(found.interactions), 'interactions'
  yield number(found.users), 'users'
  yield number(found.items), 'items'
  yield percent(found.interactions / (found.users * found.items)), 'of all pairs'
  yield percent(found.texts.share), 'of the items have a text'
  yield ('none', 'times') if times is None else (day(times.last)[:4] if day(times.first)[:4] == day(times.last)[:4] else
                                                 f'{day(times.first)[:4]} to {day(times.last)[:4]}', 'time')
