"""The report's section on the data: how they are spread, how they were split, and what was dropped."""

import dataclasses

import numpy as np

from ganrec_jax.report import facts, plots, sections
from ganrec_jax.report.run import METRIC
from ganrec_jax.report.sections import Section
from ganrec_jax.report.telling import day, number, percent, plain

_CAPTION = 'Interactions of users and of items, the most active first; both axes are logarithmic.'


def make(run):
  """The section and its plots, see `index.render`."""
  data, log = run.prepared.dataset, run.prepared.dataset.interactions
  spread = [facts.activity(np.bincount(index, minlength=size)) for index, size in (
    (log.user, data.users), (log.item, data.items))]
  when = 'no times' if log.time is None else f'{day(log.time.min())} to {day(log.time.max())}'
  lines = (('data', plain(data.info.get('name', '')) + ' (SIMULATED)' * bool(run.results['simulated'])),
           ('interactions', f'{number(len(log))} by {number(data.users, "user")} on {number(data.items, "item")}, '
            f'{percent(len(log) / (data.users * data.items))} of all pairs'), ('time', when))
  more = (dataclasses.replace(sections.activity(*spread), level=3), _split(run),
          dataclasses.replace(sections.source(data.info), level=3))
  return (Section('The data', lines), *more), {'activity': (plots.both(plots.activity, spread, 'both'), _CAPTION)}


def _split(run):
  split, config = run.results['dataset']['split'], run.results['config']
  how = f'read from {plain(config["data"]["split_file"])}' if config['data']['split_file'] else config['split']['kind']
  asked = (f'{task} {run.figures[task_row, task, METRIC]["users"]:,}' for task_row, task in (
    (next(row for row in run.rows if (row, task, METRIC) in run.figures), task) for task in run.tasks))
  lines = (('split', how),
           ('known', f'{number(split["warm_users"], "user")} and {number(split["warm_items"], "item")} in training'),
           ('new', f'{number(split["cold_items"], "cold item")}, {number(split["cold_users"], "cold user")}'),
           ('users of a task', f'on test: {"; ".join(asked)}'))
  return sections.parts(Section('Split', lines, level=3), split['rows'], len(run.prepared.dataset.interactions))
