"""The report's section on people: three users in words, what they were recommended, and why."""

import numpy as np

from ganrec_jax.evaluation.tasks import make_tasks
from ganrec_jax.models import als
from ganrec_jax.report.run import BASE
from ganrec_jax.report.sections import Section
from ganrec_jax.report.telling import number, plain

_K = 10
_SHOWN = 8  # titles of a history
_QUANTILES = {'a short history': .1, 'a middling one': .5, 'a long one': .9}


def make(run):
  """The section and its plots, see `index.render`."""
  task = next((name for name in ('all', 'warm') if name in run.tasks), None)
  if task is None:
    return (Section('Three users', text='The split has no task of known users, so there are no lists to show.'),), {}
  users, lists = run.lists(BASE, task, _K)
  histories, results = run.prepared.histories, run.results
  targets = make_tasks(run.prepared.dataset, run.prepared.split, results['config']['seed'])[task].targets
  text = (f'Users of the task {task} with a history of three lengths; the first {_K} items of the exported lists of '
          f'{BASE}. The reasons are the items of the history that are nearest to it among the collaborative vectors.')
  found = [Section('Three users', text=text)]
  for what, place in choose(histories.lengths[users]).items():
    found.append(_person(run, users[place], lists[place], set(targets.row(place).tolist()), what))
  return tuple(found), {}


def choose(lengths):
  """What is said of a user -> his place among `lengths [n]`, the lengths of histories: three different ones."""
  order = np.argsort(lengths, kind='stable')
  places = {what: order[int(quantile * (len(order) - 1))] for what, quantile in _QUANTILES.items()}
  return {what: place for k, (what, place) in enumerate(places.items()) if place not in list(places.values())[:k]}


def _person(run, user, items, wanted, what):
  data, history = run.prepared.dataset, run.prepared.histories.row(user)
  titles, warm = data.catalogue.titles, np.isin(items, run.prepared.warm)
  there = items >= 0
  why = als.reasons(run.factors, items[there], history) if len(history) else [[]] * there.sum()
  rows = tuple((str(rank), plain(titles[item], 60) + ' (new)' * (not known), 'yes' if int(item) in wanted else '',
                '; '.join(plain(titles[reason], 50) for reason in reasons))
               for rank, (item, known, reasons) in enumerate(zip(items[there], warm[there], why, strict=True), 1))
  verb = data.info.get('verb', 'chose')
  latest = '; '.join(plain(title, 50) for title in titles[history[-_SHOWN:]])
  last = 'the last ' * run.prepared.ordered
  more = f' ({last}{_SHOWN} of {number(len(history))})' if len(history) > _SHOWN else ''
  return Section(f'User {plain(data.user_ids[user], 40)}, {what}: {number(len(history), "item")}', level=3,
                 text=f'{verb[0].upper()}{verb[1:]}{more}: {latest}.',
                 header=('rank', 'recommended', 'chosen in test', 'because of'), rows=rows)
