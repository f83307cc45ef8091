"""The table and the records of the results, and the exported lists."""


import numpy as np

from ganrec_jax.evaluation.significance import holm, percentile_interval, resampled_means, two_sided_p

_WIDTH = 120
_CELL = 31


def differences(rows, tasks, results, baseline='no_augmentation', metric='ndcg@20', seed=0, resamples=10000):
  """The differences of the rows to the baseline by a paired bootstrap over users; the means are taken once.

  Args:
    rows, tasks, results, baseline, metric, seed, resamples: as in `format_table`.

  Returns:
    (row, task) -> (difference, low, high, is marked): in per cent of the baseline's mean with its 95% interval, NaN
    where that mean is 0; marked where the interval excludes zero and Holm's correction over all of them leaves it
    below 5%.

  Raises:
    ValueError: where two rows have other numbers of users in a task.
  """
  found, p_values = {}, {}
  for task in tasks:
    base = results.get(baseline, {}).get(task)
    others = [row for row in rows if row != baseline and task in results.get(row, {})]
    if base is None or not others:
      continue
    difference = np.stack([_paired(results[row][task], base, metric, row, task) for row in others], axis=1)
    means, mean = resampled_means(difference, seed, resamples), np.mean(base[metric])
    for row, d, interval, p in zip(others, difference.mean(axis=0), percentile_interval(means).T, two_sided_p(means),
                                   strict=True):
      p_values[row, task] = p
      found[row, task] = tuple(100 * x / mean if mean > 0 else np.nan for x in (d, *interval)), interval
  adjusted = dict(zip(p_values, holm(list(p_values.values())), strict=True))
  return {key: (*percent, bool((low > 0 or high < 0) and adjusted[key] < .05))
          for key, (percent, (low, high)) in found.items()}


def _paired(mine, base, metric, row, task):
  if len(mine[metric]) != len(base[metric]):
    raise ValueError(f'row {row}, task {task}: {len(mine[metric])} users where the baseline has {len(base[metric])}')
  return mine[metric] - base[metric]


def _cell(values, difference):
  if values is None:
    return '-'
  if difference is None:
    return f'{np.mean(values):.4f}'
  percent, low, high, marked = difference
  if not np.isfinite(percent):
    return f'{np.mean(values):.4f}    n/a' + '*' * marked
  return f'{np.mean(values):.4f} {percent:+6.1f}% [{low:+.1f}, {high:+.1f}]{"*" * marked}'


def format_table(rows, tasks, results, baseline='no_augmentation', metric='ndcg@20', seed=0, resamples=10000,
                 simulated=False, found=None) -> str:
  """The results as text of at most 120 columns: a line a row, a column a task, tasks in several blocks where needed.

  A cell is the mean over users, the difference to the baseline in per cent of the baseline's mean, its 95% interval by
  a paired bootstrap over users, and a mark where the interval excludes zero and Holm's correction over all differences
  of the table leaves it below 5%.

  Args:
    rows: names of the models, in order.
    tasks: names of the tasks, in order.
    results: row -> task -> metric -> float `[n]`, a value a user, the same users in each row; gaps are shown as '-'.
    baseline: the row that the others are compared to.
    metric: the metric shown.
    seed: of the bootstrap.
    resamples: of the bootstrap.
    simulated: whether the data are; the table then says so.
    found: what `differences` gave for the same, where it is known already.

  Raises:
    ValueError: where two rows have other numbers of users in a task.
  """
  found = differences(rows, tasks, results, baseline, metric, seed, resamples) if found is None else found
  name = max(map(len, (*rows, metric)))
  each = max(1, (_WIDTH - name) // (_CELL + 2))
  lines = ['SIMULATED DATA'] if simulated else []
  for start in range(0, len(tasks), each):
    block = tasks[start:start + each]
    users = {task: max((len(results[r][task][metric]) for r in rows if task in results.get(r, {})), default=0)
             for task in block}
    lines.append(metric.ljust(name) + ''.join(f'  {f"{task} ({users[task]} users)":{_CELL}}' for task in block))
    for row in rows:
      cells = (_cell(results.get(row, {}).get(task, {}).get(metric), found.get((row, task))) for task in block)
      lines.append(row.ljust(name) + ''.join(f'  {cell:{_CELL}}' for cell in cells))
    lines.append('')
  lines += [f'in brackets: 95% interval of the difference to {baseline} in per cent, paired bootstrap over users;',
            'it does not tell how another split would come out: new items differ much, a claim needs several draws',
            "*: the interval excludes zero, after Holm's correction over the differences of this table"]
  return '\n'.join(line.rstrip() for line in lines)


def difference_records(found) -> list[dict]:
  """The `differences` of results.json: row, task, and per cent, low and high, None where undefined, and marked."""
  return [{'row': row, 'task': task, 'marked': marked}
          | {name: value if np.isfinite(value) else None for name, value in
             zip(('percent', 'low', 'high'), values, strict=True)} for (row, task), (*values, marked) in found.items()]


def records(results, seed=0, resamples=10000) -> list[dict]:
  """The `rows` of results.json: a dict of row, task, metric, value, low, high and users for each figure.

  Values of users are averaged and get a 95% interval by the bootstrap over users, the same draws for all metrics of
  the same users. Users for whom a metric is undefined (NaN) are not counted. A figure of the whole list (a float) has
  no interval: low and high are None, users is 0. A figure that is undefined altogether has the value None.

  Args:
    results: row -> task -> metric -> float `[n]` or float.
    seed: of the bootstrap.
    resamples: of the bootstrap.
  """
  found = []
  for row, by_task in results.items():
    for task, by_metric in by_task.items():
      columns = {m: np.asarray(v, np.float64) for m, v in by_metric.items()}
      kept = {m: v[np.isfinite(v)] for m, v in columns.items() if v.ndim}
      intervals = {}
      for n in {len(v) for v in kept.values()} - {0}:
        names = [m for m, v in kept.items() if len(v) == n]
        means = resampled_means(np.stack([kept[m] for m in names], axis=1), seed, resamples)
        intervals |= dict(zip(names, percentile_interval(means).T.tolist(), strict=True))
      for metric, column in columns.items():
        values = kept.get(metric, np.atleast_1d(column))
        values = values[np.isfinite(values)]
        low, high = intervals.get(metric, (None, None))
        found.append({'row': row, 'task': task, 'metric': metric, 'value': float(np.mean(values)) if len(values) else
                      None, 'low': low, 'high': high, 'users': len(values) if column.ndim else 0})
  return found
