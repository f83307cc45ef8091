"""Where a model is good: the accuracy of its lists by the activity of users, the popularity of items, and the history.

- `user 1-5` and so on: the users of warm and all with so many training interactions.
- `item 1-10` and so on: only targets with so many training interactions count, as in the task tail; `item 0` are the
  new items of all. A user with targets in several such strata is in each of them.
- `history 1-2` and so on: the users of the cold_user tasks with so long a history, whatever the task shows of it. So
  the stratum `history 10+` has the same users in cold_user_1, _3, _5 and _10.
"""

import numpy as np

from ganrec_jax.data.ragged import select
from ganrec_jax.evaluation.ranking import metrics_per_user
from ganrec_jax.evaluation.significance import percentile_interval, resampled_means
from ganrec_jax.evaluation.tasks import HISTORIES

# The least number of each stratum.
USERS = (0, 1, 6, 11, 21, 51)
ITEMS = (0, 1, 11, 101, 1001)
METRICS = ('ndcg@20', 'recall@20', 'mrr@20')


def _strata(kind, edges, numbers):
  """(name, which of `numbers [n]` lie in it) of each stratum."""
  for low, high in zip(edges, (*edges[1:], np.inf), strict=True):
    span = f'{low}+' if high == np.inf else f'{low}-{high - 1}' if high - 1 > low else f'{low}'
    yield f'{kind} {span}', (numbers >= low) & (numbers < high)


def by_stratum(task, lists, values, user_counts, item_counts):
  """The metrics of each stratum of a task, as far as it has users: stratum -> metric -> float64 `[users of it]`.

  Args:
    task: `Task`; one that is neither warm, all nor of cold users has no strata.
    lists: int32 `[n, k]`, the recommendations.
    values: metric -> float64 `[n]`, the metrics of all targets.
    user_counts: int `[users]`, training interactions.
    item_counts: int `[items]`, likewise.
  """
  found = {}
  if task.histories is not None:
    strata = _strata('history', (0, *HISTORIES), task.histories.lengths[task.users])
  elif task.name in ('warm', 'all'):
    strata = _strata('user', USERS, user_counts[task.users])
    for name, inside in _strata('item', ITEMS, item_counts[task.targets.values]):
      targets = select(task.targets, inside)
      those = metrics_per_user(lists, targets)
      found[name] = {metric: those[metric][targets.lengths > 0] for metric in METRICS}
  else:
    return {}
  found = {name: {metric: values[metric][inside] for metric in METRICS} for name, inside in strata} | found
  return {name: those for name, those in found.items() if len(those[METRICS[0]])}


def records(found, seed=0, resamples=10000) -> list[dict]:
  """The `strata` of results.json: a dict of row, task, stratum, metric, value, low, high and users for each figure.

  The interval is the 95% of the bootstrap over the users of the stratum, the same draws for all rows.

  Args:
    found: row -> task -> what `by_stratum` gives.
    seed: of the bootstrap.
    resamples: of the bootstrap.
  """
  groups = {}
  for row, tasks in found.items():
    for task, strata in tasks.items():
      for stratum, values in strata.items():
        groups.setdefault((task, stratum), {})[row] = values
  out = []
  for (task, stratum), rows in groups.items():
    columns = np.stack([values[metric] for values in rows.values() for metric in METRICS], axis=1)
    low, high = percentile_interval(resampled_means(columns, seed, resamples)).tolist()
    names = [{'row': row, 'task': task, 'stratum': stratum, 'metric': metric} for row in rows for metric in METRICS]
    out += [name | {'value': value, 'low': low[k], 'high': high[k], 'users': len(columns)}
            for k, (name, value) in enumerate(zip(names, columns.mean(axis=0).tolist(), strict=True))]
  return out
