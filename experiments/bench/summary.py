"""From test trials to what is stated: means and spreads over draws, intervals over users, paired differences."""

import dataclasses

import numpy as np

from experiments.bench import trials
from ganrec_jax.errors import DataError
from ganrec_jax.evaluation.significance import bootstrap_mean, holm, paired_bootstrap

COLUMNS = ('warm', 'cold', 'all', 'tail', 'sparse', 'best_tail')
COMPARED = COLUMNS[:5]
ONE, NEVER, BLEND = ', one trial', ', never cold', 'best blend'
_BEYOND = ('coverage', 'gini', 'tail_share')


@dataclasses.dataclass(frozen=True)
class Cell:
  """A figure of the table.

  Attributes:
    row: its row.
    column: one of `COLUMNS`.
    task: the task of `trials.TASKS` that is measured.
    peer: `Peer`.
    options: the peer's.
    valid: NDCG@20 on the first draw's validation, None where it has none.
  """
  row: str
  column: str
  task: str
  peer: trials.Peer
  options: dict
  valid: float | None


def cells(tuned, blends, blend_peer, blend_options):
  """All `Cell`s of a data set.

  A peer has a row in which each task takes its own trial, one with one trial for all tasks, and one that never
  recommends a cold item; ours (`single`) has one trial in all of them.

  Args:
    tuned: [(`Peer`, its points, validation values of each)].
    blends: what `blends.tune` gives.
    blend_peer, blend_options: `blends.peer` and `blends.options`.
  """
  out = []

  def add(row, column, peer, points, values, k, task=None):
    task = task or ('tail' if column == 'best_tail' else column)
    if k is not None and task in values[k]:
      out.append(Cell(row, column, task, peer, points[k], values[k][task]))

  for peer, points, values in tuned:
    chosen = trials.choose(values)
    for column in COLUMNS:
      add(peer.name, column, peer, points, values, chosen.get('one' if peer.single else column))
      if not peer.single:
        add(peer.name + ONE, column, peer, points, values, chosen.get('one'))
    add(peer.name + NEVER, 'all', peer, points, values, chosen.get('one' if peer.single else 'never'), 'never')
  for task, (parts, value, _) in blends.items():
    # Only the warm blend's own task: without cold parts, `all` is the same as never recommending a cold item.
    row, column, task = (BLEND + NEVER, 'all', 'all') if task == 'never' else (BLEND, task, task)
    out.append(Cell(row, column, task, blend_peer(parts), blend_options(parts), value))
  return out


def staying(before, names):
  """The results `before`, or None where no peer of them stays as it was once those called `names` are made anew."""
  return before if before is not None and set(before['trials']) - set(names) else None


def updated(before, result):
  """The results `before` with those rows made anew that `result` has, and its new ones.

  Raises:
    DataError: where the two are not of the same data.
  """
  shared = min(len(before['data_sha256']), len(result['data_sha256']))
  if before['data_sha256'][:shared] != result['data_sha256'][:shared]:
    raise DataError(f'{result["name"]}: the results that are there are of other data; remove them, or run all peers')
  rows = {cell['row'] for cell in result['cells']}
  kept = [{'git_revision': before['git_revision']} | cell for cell in before['cells'] if cell['row'] not in rows]
  compared = [one for one in before['comparisons'] if one['row'] not in rows] + result['comparisons']
  merged = {name: before[name] | result[name] for name in ('spaces', 'trials', 'chosen')}
  curves = before['frontier']['curves'] | result['frontier']['curves']
  return before | merged | {
    'cells': kept + result['cells'], 'comparisons': compared,
    'frontier': {'gammas': result['frontier']['gammas'], 'curves': curves},
    'data_sha256': max(before['data_sha256'], result['data_sha256'], key=len),
    'seeds': max(before['seeds'], result['seeds'], key=len),
    'wall_seconds': before['wall_seconds'] + result['wall_seconds']}


def rivals(result, peers, blend_peer, blend_options):
  """The `Cell`s of a result that ours is compared with: in each task the best peer on test and the best blend.

  Args:
    result: what `benchmark.run` gave.
    peers: of `Peer`.
    blend_peer, blend_options: `blends.peer` and `blends.options`.
  """
  known, out = {peer.name: peer for peer in peers}, []
  for column in COMPARED:
    there = {one['row']: one for one in result['cells'] if one['column'] == column and 'mean' in one}
    best = max((row for row in there if _is_peer(row, known.get(there[row]['peer']))), default=None,
               key=lambda row: there[row]['mean'])
    if best is not None:
      one = there[best]
      task = 'never' if best.endswith(NEVER) else column
      out.append(Cell(best, column, task, known[one['peer']], one['options'], one['valid']))
    if BLEND in there:
      parts = [(known[part['peer']], part['options'], part['warm'], part['cold'])
               for part in there[BLEND]['options']['parts']]
      out.append(Cell(BLEND, column, column, blend_peer(parts), blend_options(parts), there[BLEND]['valid']))
  return out


def _is_peer(row, peer):
  """Whether a row is one of a peer with a trial for each task, which is what ours is compared with beside the blend."""
  return row != BLEND and ONE not in row and peer is not None and not peer.single


def by_user(found, task):
  """User id -> [NDCG@20 of each draw he is in] of a cell's test trials `found`, without those that failed."""
  values = {}
  for one in found:
    if f'{task}.ndcg' in one:
      for user, value in zip(one[f'{task}.users'].tolist(), one[f'{task}.ndcg'].tolist(), strict=True):
        values.setdefault(user, []).append(value)
  return values


def record(cell, found, resamples=10000):
  """What is stated of a cell, as a dict for JSON.

  Args:
    cell: `Cell`.
    found: its test trials, one a draw.
    resamples: of the bootstrap.
  """
  done = [one for one in found if f'{cell.task}.ndcg' in one]
  each = {metric: [float(one[f'{cell.task}.{metric}'].mean()) for one in done if f'{cell.task}.{metric}' in one]
          for metric in ('ndcg', 'recall', *_BEYOND)}
  out = {'row': cell.row, 'column': cell.column, 'peer': cell.peer.name, 'options': cell.options, 'valid': cell.valid,
         'draws': {metric: values for metric, values in each.items() if values}, 'failed': len(found) - len(done),
         'seconds': [float(one['seconds']) for one in found], 'errors': [str(one['error']) for one in found]}
  if done:
    users = [np.mean(values) for values in by_user(done, cell.task).values()]
    low, high = bootstrap_mean(users, 0, resamples)
    out |= {'mean': float(np.mean(each['ndcg'])), 'half_width': (high - low) / 2, 'users': len(users),
            'sd': float(np.std(each['ndcg'], ddof=1)) if len(done) > 1 else None}
  return out


def compare(planned, found, ours, resamples=10000):
  """Ours minus the best peer and minus the best blend in each task, over all draws.

  The best peer is the one with the largest mean on test, each task taking its own trial: a choice against ours. Rows of
  the project itself (`single`) are no peers. A user's differences are averaged over the draws he is in, and users are
  resampled, so that a user counts as one however many draws ask him. p values are corrected by Holm over all
  differences here.

  Args:
    planned: all `Cell`s.
    found: the test trials of each, one a draw.
    ours: the row that is compared.
    resamples: of the bootstrap.
  """
  out = []
  for column in COMPARED:
    values = {cell.row: (cell, by_user(tests, cell.task), tests)
              for cell, tests in zip(planned, found, strict=True) if cell.column == column}
    values = {row: triple for row, triple in values.items() if triple[1]}
    if ours not in values:
      continue
    others = [row for row, (cell, *_) in values.items() if row != ours and _is_peer(row, cell.peer)]
    best = max(others, key=lambda row: _mean(*values[row][::2]), default=None)
    for against in (best, BLEND):
      if against in values:
        out.append({'row': ours, 'task': column, 'against': against}
                   | _difference(values[ours], values[against], resamples))
  for one, p in zip(out, holm([one['p'] for one in out]), strict=True):
    one['p_holm'] = float(p)
  return out


def _mean(cell, tests):
  return float(np.mean([one[f'{cell.task}.ndcg'].mean() for one in tests if f'{cell.task}.ndcg' in one]))


def _difference(mine, other, resamples):
  (cell, my_users, my_tests), (their_cell, their_users, their_tests) = mine, other
  users = sorted(my_users.keys() & their_users.keys())
  difference, low, high, p = paired_bootstrap(
    [np.mean(my_users[user]) for user in users], [np.mean(their_users[user]) for user in users], 0, resamples)
  pairs = [(a[f'{cell.task}.ndcg'].mean(), b[f'{their_cell.task}.ndcg'].mean())
           for a, b in zip(my_tests, their_tests, strict=True)
           if f'{cell.task}.ndcg' in a and f'{their_cell.task}.ndcg' in b]
  return {'difference': difference, 'low': low, 'high': high, 'p': p, 'users': len(users),
          'draws_ahead': int(sum(a > b for a, b in pairs)), 'draws': len(pairs)}


def table(result):
  """A data set's result as text: NDCG@20, its deviation over draws in brackets, half-width of the interval."""
  rows = list(dict.fromkeys(one['row'] for one in result['cells']))
  there = {(one['row'], one['column']): one for one in result['cells']}
  width = max(map(len, rows))
  lines = [f'{result["name"]}: NDCG@20 (deviation over draws) ± 95% half-width over users',
           ''.ljust(width) + ''.join(f'  {column:>18}' for column in COLUMNS) + '   seconds  trials (failed)']
  for row in rows:
    own = [there[row, column] for column in COLUMNS if (row, column) in there]
    tried = result['trials'].get(own[0]['peer'], [])
    number = len(tried) or sum(one['tried'] for one in result['blends'].values())
    failed = sum(bool(one['error']) for one in tried) + sum(one['failed'] for one in own)
    lines.append(row.ljust(width) + ''.join(f'  {_cell(there.get((row, column))):>18}' for column in COLUMNS)
                 + f'  {np.mean(own[0]["seconds"]):8.1f}  {number} ({failed})')
  if result['comparisons']:
    lines += ['', 'each minus the best peer (by test, against it) and the best blend; p after Holm']
  lines += [f'  {one["row"]:20} {one["task"]:7} {one["against"]:24} {one["difference"]:+.4f} '
            f'[{one["low"]:+.4f}, {one["high"]:+.4f}]  p {one["p_holm"]:.4f}  '
            f'ahead in {one["draws_ahead"]} of {one["draws"]} draws' for one in result['comparisons']]
  return '\n'.join(lines)


def _cell(one):
  if one is None or 'mean' not in one:
    return '-'
  spread = '' if one['sd'] is None else f' ({_short(one["sd"])})'
  return f'{_short(one["mean"])}{spread} ± {_short(one["half_width"])}'


def _short(value):
  return f'{value:.3f}'.removeprefix('0')


def markdown(results, columns=COMPARED):
  """All data sets in one Markdown table: a row a model, NDCG@20 with its deviation over draws; the best is bold."""
  rows = list(dict.fromkeys(one['row'] for result in results for one in result['cells']))
  head = [f'{result["name"]} {column}' for result in results for column in columns]
  lines = ['| | ' + ' | '.join(head) + ' |', '|---|' + '---|' * len(head)]
  there = {(result['name'], one['row'], one['column']): one for result in results for one in result['cells']
           if 'mean' in one}
  best = {(result['name'], column): max((one['mean'] for (name, _, c), one in there.items()
                                         if (name, c) == (result['name'], column)), default=None)
          for result in results for column in columns}
  for row in rows:
    line = []
    for result in results:
      for column in columns:
        one = there.get((result['name'], row, column))
        text = '' if one is None else _short(one['mean']) + (
          f' ({_short(one["sd"])})' if one['sd'] is not None else '')
        line.append(f'**{text}**' if one and one['mean'] == best[result['name'], column] else text)
    lines.append(f'| {row} | ' + ' | '.join(line) + ' |')
  return '\n'.join(lines)
