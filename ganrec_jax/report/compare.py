"""Runs side by side: their figures, and paired differences over the users that their exported lists share."""

import os

import numpy as np

from ganrec_jax import artifacts
from ganrec_jax.data import split_files
from ganrec_jax.data.types import PARTS, Catalogue, Dataset, Interactions, Split
from ganrec_jax.errors import UserError
from ganrec_jax.evaluation import ranking, table
from ganrec_jax.evaluation.tasks import NAMES, make_tasks
from ganrec_jax.report import outcome, page
from ganrec_jax.report.run import BASE, METRIC, finished, listed, places, read_lists
from ganrec_jax.report.sections import Section
from ganrec_jax.report.telling import number, plain

_K = 20
_RESAMPLES = 10_000  # with few, Holm's correction could leave no difference standing
# What must be the same, and what it is called.
_SAME = (('data_sha256', 'the data'), ('split_sha256', 'the split'))


def write(paths, out=None):
  """Writes `compare.html`; returns what is to be printed.

  Args:
    paths: work directories of at least two finished runs; the others are compared with the first.
    out: the folder of the page; `report` in the first work directory where there is none.

  Raises:
    UserError: where a run is not finished, a file is damaged, or the runs cannot be compared.
  """
  found = [finished(path)[0] for path in paths]
  names = _names(paths)
  for name, results in zip(names[1:], found[1:], strict=True):
    _check_same(names[0], found[0], name, results)
  place = os.path.join(out or os.path.join(paths[0], 'report'), 'compare.html')
  values = per_user(paths, names)
  differences = differ(values, names)
  text = render(names, paths, found, values, differences)
  artifacts.write_atomically(place, lambda file: file.write(text.encode()))
  return '\n'.join([*(f'{task}: {verdict(differences, task)}' for task in _tasks(values)),
                    f'{place}: the same with intervals and plots'])


def _names(paths):
  """What the runs are called: the last part of each path, or the whole path where these are not different."""
  short = [os.path.basename(os.path.normpath(path)) for path in paths]
  if len({os.path.realpath(path) for path in paths}) < len(paths):
    raise UserError(f'--workdir={paths[-1]}: given more than once; a run cannot be compared with itself')
  return short if len(set(short)) == len(short) else list(paths)


def _check_same(first, results, name, others):
  for key, what in _SAME:
    if results[key] != others[key]:
      raise UserError(f'{name} cannot be compared with {first}: {what} of the two are not the same ({key} '
                      f'{others[key][:12]} and {results[key][:12]}; {_told(others)} and {_told(results)}); paired '
                      'differences need the same users, asked for the same items')


def _told(results):
  data = results['dataset']
  return f'{plain(data["name"], 60)} with {number(data["interactions"], "interaction")}, seed {results["seed"]}'


def tasks_of(path):
  """The dataset and the test tasks of a run by its split.csv.gz alone: no data need to be read for them.

  Raises:
    DataError: where the file is missing or damaged.
  """
  users, items, parts, flags = split_files.read_columns(os.path.join(path, 'split.csv.gz'))
  (user_ids, user), (item_ids, item) = (np.unique(words, return_inverse=True) for words in (users, items))
  log = Interactions(user.astype(np.int32), item.astype(np.int32), np.ones(len(user), np.float32))
  empty = np.full(len(item_ids), '', 'U1')
  dataset = Dataset(log, Catalogue(item_ids, item_ids, empty, ((),) * len(item_ids)), user_ids, {'name': path})
  names, code = np.unique(parts, return_inverse=True)
  part = np.array([PARTS.index(name) for name in names], np.int8)[code]
  return dataset, make_tasks(dataset, Split(part, flags == '1'), seed=0)


def per_user(paths, names):
  """(row, task) -> name of a run -> NDCG@20 float64 `[users]`, of the users that all runs' lists have.

  Raises:
    UserError: where a file is missing or damaged.
  """
  dataset, tasks = tasks_of(paths[0])
  there = [set(listed(path)) for path in paths]
  order = {name: k for k, name in enumerate(NAMES)}
  found = {}
  for row, task in sorted(set.union(*there), key=lambda one: order.get(one[1], len(order))):
    if task not in tasks:
      continue
    asked, lists = tasks[task], {}
    for path, name, has in zip(paths, names, there, strict=True):
      if (row, task) in has:
        exported = read_lists(path, row, task)
        place = places(exported['users'], dataset.user_ids[asked.users])
        lists[name] = (place, places(exported['items'][:, :_K], dataset.catalogue.ids))
    shared = np.flatnonzero(np.all([np.isin(np.arange(len(asked.users)), place) for place, _ in lists.values()], 0))
    if len(shared):
      found[row, task] = {name: _ndcg(asked, place, items)[shared] for name, (place, items) in lists.items()}
  return found


def _ndcg(task, place, items):
  """NDCG@20 float64 `[users of the task]` of the lists `items [n, 20]` of the users at `place [n]` in the task."""
  lists = np.full((len(task.users), items.shape[1]), -1)
  lists[place[place >= 0]] = items[place >= 0]
  return ranking.metrics_per_user(lists, task.targets, _K)[METRIC]


def differ(values, names, resamples=_RESAMPLES):
  """(row, task, name) -> record of the difference to the first run, Holm's correction over all of them."""
  both = {key: by_run for key, by_run in values.items() if names[0] in by_run}
  results = {name: {key: {METRIC: by_run[name]} for key, by_run in both.items() if name in by_run} for name in names}
  found = table.differences(names, list(both), results, names[0], METRIC, resamples=resamples)
  return {(*one['task'], one['row']): one for one in table.difference_records(found)}


def verdict(differences, task):
  """What differs beyond chance in a task, in one sentence."""
  sure = [f'{name}, {row} {one["percent"]:+.1f}%' for (row, where, name), one in differences.items()
          if where == task and one['marked'] and one['percent'] is not None]
  return '; '.join(sure) if sure else 'nothing differs beyond chance'


def _tasks(values):
  return tuple(dict.fromkeys(task for _, task in values))


def _rows(values, task):
  rows = [row for row, where in values if where == task]
  return sorted(rows, key=lambda row: (row != BASE, row != 'gan', row))


def render(names, paths, found, values, differences):
  """The page as a str; see `write`, `per_user` and `differ`."""
  figures, sections = {}, [_runs(names, paths, found), _configs(names, found)]
  for task in _tasks(values):
    rows = [(row if len(names) == 2 else f'{row}, {name}', differences[row, task, name])
            for row in _rows(values, task) for name in names[1:] if (row, task, name) in differences]
    rows = [(row, one) for row, one in rows if one['percent'] is not None]
    if rows:
      figures[task] = outcome.claim(rows), f'{task} ({outcome.TASKS[task]}): {verdict(differences, task)}.'
    sections.append(_task(task, names, values, differences, (task,) if rows else ()))
  notices = [page.notice('SIMULATED DATA: no figure is about real people.', False)] if found[0]['simulated'] else []
  sure = [f'{task}: {verdict(differences, task)}' for task in _tasks(values)
          if any(one['marked'] for (_, where, _), one in differences.items() if where == task)]
  notices.append(page.notice(f'Beyond chance: {". ".join(sure) or "nothing differs, in any task"}.', True))
  return page.document(
    f'{" and ".join(plain(name) for name in names)} side by side', (), notices, sections,
    {name: plot for name, (plot, _) in figures.items()}, {name: caption for name, (_, caption) in figures.items()},
    'Computed from the exported lists and split.csv.gz of the runs.', contents=True)


def _runs(names, paths, found):
  fields = (('work directory', [plain(path) for path in paths]),
            *((label, [one(results) for results in found]) for label, one in (
              ('revision', lambda results: results['git_revision'][:12]),
              ('config', lambda results: results['config_sha256'][:12]),
              ('seed', lambda results: str(results['seed'])),
              ('device', lambda results: f'{results["devices"]} x {results["device"]}'),
              ('seconds', lambda results: f'{results["wall_seconds"]:,.0f}'))))
  return Section('The runs', header=('', *(plain(name) for name in names)),
                 rows=tuple((label, *cells) for label, cells in fields),
                 text=f'Data {found[0]["data_sha256"][:12]} and split {found[0]["split_sha256"][:12]} are the same in '
                      f'all. Differences are those to {plain(names[0])}.')


def _configs(names, found):
  """The fields in which the configs differ."""
  flat = [dict(outcome.flat(results['config'])) for results in found]
  fields = [field for field in dict.fromkeys(field for one in flat for field in one)
            if len({one.get(field) for one in flat}) > 1]
  rows = tuple((field, *(plain(one.get(field, 'not there'), 60) for one in flat)) for field in fields)
  return Section('What their configs differ in', header=('field', *(plain(name) for name in names)), rows=rows,
                 level=3, text='' if rows else 'Nothing: the configs are the same.')


def _task(task, names, values, differences, drawn):
  users = {len(one) for (_, where), by_run in values.items() if where == task for one in by_run.values()}

  def cells(row):
    for name in names:
      yield outcome.short(float(np.mean(values[row, task][name]))) if name in values[row, task] else '-'
    for name in names[1:]:
      yield outcome.told(differences.get((row, task, name)))
  shown = number(max(users), 'user')
  return Section(f'{task}: {outcome.TASKS[task]}', plots=drawn, numeric=tuple(range(1, 2 * len(names))),
                 header=('NDCG@20', *(plain(name) for name in names), *(f'{plain(name)}, %' for name in names[1:])),
                 rows=tuple((row, *cells(row)) for row in _rows(values, task)),
                 text=f'{shown} whom all lists answer. In brackets the 95% interval of a paired bootstrap over them. '
                      "*: it excludes zero, after Holm's correction over all differences of this page.")
