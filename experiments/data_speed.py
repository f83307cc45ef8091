"""How fast logs are read: rows a second against pandas, the slope from size to size, the peak of memory.

    pip install pandas && python experiments/data_speed.py --rows=1e5,1e6,1e7 --runs=3

A log is generated as CSV (user_id, item_id, rating, timestamp; users and items by power laws), then read, checked,
encoded, merged to one row a pair and cut to users with five and items with three interactions, by this package and by
the same steps in pandas, each in a process of its own, in turn. Memory is what a process holds at its peak beyond what
its imports took; the columnar size is 20 bytes a pair (two int32, a float32, an int64). Written are the medians.
"""

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time

import duckdb
from absl import app, flags

_ROWS = flags.DEFINE_list('rows', ['1e5', '1e6', '1e7'], 'Sizes of the logs.')
_RUNS = flags.DEFINE_integer('runs', 3, 'Runs of each reader and size.', lower_bound=1)
_PANDAS = flags.DEFINE_bool('pandas', True, 'Whether pandas reads as well.')
_READ = flags.DEFINE_string('read', None, 'Internal: NAME,PATH reads a log once and prints what it took.')
_OUT = flags.DEFINE_string('out', None, 'A JSON file for the figures.')
BYTES_A_PAIR = 20


def generate(path, rows):
  """Writes a log of `rows` rows: a user for 150 rows, at most 60,000 items, both by power laws; the same every time."""
  users, items = max(rows // 150, 50), min(60_000, max(rows // 20, 50))
  with duckdb.connect(config={'threads': 1}) as connection:
    connection.execute('select setseed(.5)')
    connection.execute(f"""copy (select 'u' || lpad((random() ** 2 * {users})::bigint::varchar, 8, '0') as user_id,
      'item-' || (random() ** 2.5 * {items})::bigint as item_id, (1 + floor(random() * 10)) / 2 as rating,
      1500000000 + (random() * 1e8)::bigint as timestamp from range({rows})) to '{path}' (header)""")


def read_here(path, folder):
  """Reads a log by this package, keeps its columns in `folder`, and cuts it to its core."""
  from ganrec_jax.data import clean, tables
  return clean.k_core(tables.kept(tables.TablesConfig(path), folder), 5, 3)


def read_pandas(path):
  """The same by pandas: ids as text, numbers and times checked, one row a pair, cut to its core."""
  import pandas as pd
  log = pd.read_csv(path, dtype=str)
  user, item = log['user_id'].str.strip(), log['item_id'].str.strip()
  value, moment = pd.to_numeric(log['rating'], errors='coerce'), pd.to_numeric(log['timestamp'], errors='coerce')
  good = user.ne('') & item.ne('') & user.notna() & item.notna() & value.gt(0) & moment.between(0, time.time())
  log = pd.DataFrame({'user': pd.factorize(user[good], sort=True)[0], 'item': pd.factorize(item[good], sort=True)[0],
                      'value': value[good].to_numpy(), 'time': moment[good].astype('int64').to_numpy()})
  log = log.groupby(['user', 'item'], as_index=False).agg({'value': 'sum', 'time': 'max'})
  log = log.astype({'user': 'int32', 'item': 'int32', 'value': 'float32'})
  while True:
    enough = (log.groupby('user')['user'].transform('size') >= 5) & (log.groupby('item')['item'].transform('size') >= 3)
    if enough.all():
      return len(log)
    log = log[enough]


def measure(name, path):
  """Reads once and prints seconds, rows left and the peak of memory in bytes beyond that of the imports.

  For this package also the seconds of a random split, and of a second reading, from the columns that were kept.
  """
  if name == 'pandas':
    import pandas  # noqa: F401
  else:
    import pyarrow  # noqa: F401

    from ganrec_jax.data import clean, splits, tables  # noqa: F401
  before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
  with tempfile.TemporaryDirectory(dir=os.path.dirname(path)) as folder:
    start = time.perf_counter()
    found = read_pandas(path) if name == 'pandas' else read_here(path, folder)
    took = {'seconds': time.perf_counter() - start, 'left': found if name == 'pandas' else len(found.interactions),
            'bytes': (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024}
    if name != 'pandas':
      start = time.perf_counter()
      splits.make_split(found.interactions, found.users, found.items, seed=0)
      took['split'] = time.perf_counter() - start
      start = time.perf_counter()
      read_here(path, folder)
      took['again'] = time.perf_counter() - start
  print(json.dumps(took))


def _run(name, path):
  done = subprocess.run([sys.executable, __file__, f'--read={name},{path}'], capture_output=True, text=True, check=True)
  return json.loads(done.stdout.splitlines()[-1])


def compare(rows, runs, names):
  """The medians of `runs` runs of each reader on a log of `rows` rows, as a dict."""
  with tempfile.TemporaryDirectory() as folder:
    path = os.path.join(folder, 'log.csv')
    generate(path, rows)
    found = {name: [] for name in names}
    for _ in range(runs):  # in turn, so that what else the machine does falls on all alike
      for name in names:
        found[name].append(_run(name, path))
    left = {run['left'] for name in names for run in found[name]}
    if len(left) > 1:
      raise SystemExit(f'the readers disagree: {left} interactions are left')
    return {'rows': rows, 'left': left.pop()} | {
      name: {key: statistics.median(run[key] for run in found[name]) for key in found[name][0] if key != 'left'}
      for name in names}


def main(_):
  if _READ.value:
    return measure(*_READ.value.split(',', 1))
  names, figures = ['ganrec_jax'] + ['pandas'] * _PANDAS.value, []
  for rows in (int(float(rows)) for rows in _ROWS.value):
    figures.append(found := compare(rows, _RUNS.value, names))
    columnar = BYTES_A_PAIR * found['left']
    words = [f'{rows:>11,} rows'] + [f'{name}: {rows / found[name]["seconds"]:,.0f} rows/s, '
                                     f'{found[name]["bytes"] / 2**20:,.0f} MiB at most '
                                     f'({found[name]["bytes"] / columnar:.1f} of the columns)' for name in names]
    words.append(f'split {found["ganrec_jax"]["split"]:.1f} s, read again {found["ganrec_jax"]["again"]:.1f} s')
    if _PANDAS.value:
      words.append(f'ratio {found["pandas"]["seconds"] / found["ganrec_jax"]["seconds"]:.2f}')
    if len(figures) > 1:
      before = figures[-2]
      words.append(f'{rows / before["rows"]:g} times the rows take '
                   f'{found["ganrec_jax"]["seconds"] / before["ganrec_jax"]["seconds"]:.1f} times as long')
    print('; '.join(words), flush=True)
  if _OUT.value:
    with open(_OUT.value, 'w', encoding='utf-8') as file:
      json.dump({'cpus': os.cpu_count(), 'figures': figures}, file, indent=1)
  return 0


if __name__ == '__main__':
  app.run(main)
