"""Ours against tuned peers on real data, by full ranking over five frozen draws.

    python experiments/benchmark.py --dataset=lastfm --data=DIR --workdir=DIR
    python experiments/benchmark.py --markdown

The protocol. A peer declares its search space; `--trials` points of it are tried on the first draw, three times as many
of peers that fit in seconds, the default first, the others at random without replacement, smaller spaces whole.
Validation chooses, and what is chosen there is fitted anew on every draw. Test lists are made for chosen trials only.

- A peer may take another trial for each task (generous); the rows 'one trial' show it with a single trial for all, the
  best by the mean of warm and cold validation, each relative to the peer's best. Ours always has a single trial, and so
  have the project's own networks, alone and on top of ours; none of them is a peer in comparisons and blends.
- Tail takes the best trial among those that lose at most 1% of the peer's best warm validation; 'best tail' is free.
- All: cold scores get factor and offset on each draw's validation, by the same rule for everybody; 'never cold' leaves
  cold items out, and models without cold ability always do.
- 'Best blend': two or three peers, each user's scores standardised, weights chosen on validation for each task.
- Stated are mean and deviation over draws, the bootstrap over users, and paired differences with Holm's correction.
  Seconds are of fitting, compilation included.

Everything done is kept in the work directory under a hash of peer, options, the source of the peer and the data, so a
run that was killed goes on where it was. It leaves `benchmark.NAME.json` and `frontier.NAME.png` beside this file.
Where the results are there already, `--peers` makes the rows of these peers anew; each figure carries the revision that
made it. Where others are left as they were, so are the blends, and ours is compared with the best peers and blends that
are there, fitted anew as they were chosen.
"""

import argparse
import json
import os
import pathlib
import sys
import time

# With more threads BLAS takes twenty times as long for the many small systems of iALS with 256 factors.
os.environ.setdefault('OPENBLAS_NUM_THREADS', '1')

import jax
from tqdm import tqdm

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))  # a script sees only its own folder

from experiments.bench import blends, frontier, summary, trials
from experiments.bench.trials import Peer
from experiments.peers import classic, content, factors, networks, neural, ours, problem
from ganrec_jax import artifacts, pipeline

_HERE = pathlib.Path(__file__).resolve().parent
PEERS = (
  Peer('popularity', classic.popularity, classic.POPULARITY, cold=False),
  Peer('item-kNN', classic.item_knn, classic.ITEM_KNN, cold=False, quick=True),
  Peer('EASE', classic.ease, classic.EASE, cold=False, quick=True),
  Peer('SLIM', classic.slim, classic.SLIM, cold=False, quick=True),
  Peer('iALS', factors.ials, factors.IALS, cold=False),
  Peer('kernel ridge to iALS', factors.ridge_factors, factors.RIDGE_FACTORS, cold=True),
  Peer('kernel ridge to rows', factors.ridge_rows, factors.RIDGE_ROWS, cold=True, quick=True),
  Peer('iALS and kernel ridge', factors.hybrid, factors.HYBRID, cold=True),
  Peer('CEASE', content.cease, content.CEASE, cold=True, quick=True),
  Peer('TF-IDF kNN', content.tfidf_knn, content.TFIDF_KNN, cold=True, quick=True),
  Peer('BM25 kNN', content.bm25_knn, content.BM25_KNN, cold=True, quick=True),
  Peer('MiniLM kNN', content.minilm_knn, content.MINILM_KNN, cold=True, quick=True),
  *(Peer(*entry) for entry in neural.PEERS),
  *(Peer(*entry, cold=True, single=True) for entry in networks.PEERS),
  Peer('ours', ours.fit, ours.SPACE, cold=True, single=True),
)


def tune(peers, first, number, workdir):
  """[(`Peer`, its points, validation NDCG@20 of each, its records)] on the first draw."""
  data, out = trials.data_hash(first), []
  planned = [(peer, trials.points(peer, number)) for peer in peers]
  with tqdm(total=sum(len(points) for _, points in planned), unit='trial', mininterval=5) as bar:
    for peer, points in planned:
      values, records = [], []
      for options in points:
        bar.set_description(f'{first.name}: {peer.name}')
        found = trials.trial(peer, options, first, data, 'valid', workdir)
        values.append(trials.means(found))
        records.append({'options': options, 'valid': values[-1], 'seconds': float(found['seconds']),
                        'error': str(found['error']), 'calibration': json.loads(str(found.get('calibration', '{}')))})
        bar.update()
      out.append((peer, points, values, records))
  return out


def test(planned, draws, load, workdir):
  """The test trials of each of the `planned` cells, one a draw, and the hash of each draw's data."""
  keys = [artifacts.digest(cell.peer.name, cell.options) for cell in planned]
  distinct = dict(zip(keys, planned, strict=True))
  found, hashes = {key: [] for key in distinct}, []
  with tqdm(total=len(distinct) * draws, unit='test', mininterval=5) as bar:
    for draw in range(draws):
      one = load(draw)
      hashes.append(trials.data_hash(one))
      for key, cell in distinct.items():
        bar.set_description(f'{one.name}, draw {draw}: {cell.peer.name}')
        found[key].append(trials.trial(cell.peer, cell.options, one, hashes[-1], 'test', workdir))
        bar.update()
  return [found[key] for key in keys], hashes


def run(load, peers, number, draws, workdir, before=None):
  """The whole benchmark of one data set, as a dict for JSON.

  Args:
    load: `load(draw) -> Problem`.
    peers: of `Peer`.
    number: trials of each.
    draws: how many.
    workdir: where trials are kept.
    before: results of all peers, of which only those of `peers` are made anew; nothing is blended then.
  """
  start, first = time.perf_counter(), load(0)
  data = trials.data_hash(first)
  found = tune(peers, first, number, workdir)
  tuned = [entry[:3] for entry in found]
  blended = {} if before else blends.tune([entry for entry in tuned if not entry[0].single], first, data, workdir)
  planned = summary.cells(tuned, blended, blends.peer, blends.options)
  drawn = [cell for cell in planned if cell.column == 'warm' and summary.ONE not in cell.row]
  curves = {cell.row: frontier.curve(cell.peer, cell.options, first, data, workdir)
            for cell in tqdm(drawn, f'{first.name}: frontier', unit='curve', mininterval=5)}
  singles, revision = [peer.name for peer in peers if peer.single], pipeline.revision()
  rivals = summary.rivals(before, PEERS, blends.peer, blends.options) if before is not None and singles else []
  rivals = [cell for cell in rivals if cell.row not in {other.row for other in planned}]
  tests, hashes = test(planned + rivals, draws, lambda draw: first if draw == 0 else load(draw), workdir)
  result = {
    'name': first.name, 'config_sha256': artifacts.digest(first.config.to_dict()), 'data_sha256': hashes,
    'git_revision': revision, 'seeds': list(range(draws)), 'device': jax.devices()[0].device_kind,
    'jax': jax.__version__, 'wall_seconds': time.perf_counter() - start,
    'spaces': {peer.name: peer.space for peer in peers},
    'trials': {peer.name: records for peer, _, _, records in found},
    'chosen': {peer.name: trials.choose(values) for peer, _, values in tuned},
    'blends': {task: blends.options(parts) | {'valid': value, 'tried': tried}
               for task, (parts, value, tried) in blended.items()},
    'cells': [summary.record(cell, those) | {'git_revision': revision}
              for cell, those in zip(planned, tests, strict=False)],
    'comparisons': [one for name in singles for one in summary.compare(planned + rivals, tests, name)],
    'frontier': {'gammas': frontier.GAMMAS, 'curves': curves}}
  return result if before is None else summary.updated(before, result)


def _options():
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('--dataset', choices=list(problem.SETS), help='The data set.')
  parser.add_argument('--data', default='data', help='Folder with the data sets and their splits.')
  parser.add_argument('--workdir', default='runs/benchmark', help='Where trials are kept.')
  parser.add_argument('--peers', help='Names of peers, separated by commas; all where not given.')
  parser.add_argument('--trials', type=int, default=12, help='Trials of each peer.')
  parser.add_argument('--draws', type=int, default=5, choices=range(1, 6), help='Draws.')
  parser.add_argument('--out', default=str(_HERE), help='Folder for results and pictures.')
  parser.add_argument('--markdown', action='store_true', help='Prints the results that are there as a Markdown table.')
  options, names = parser.parse_args(), [peer.name for peer in PEERS]
  options.peers = names if options.peers is None else options.peers.split(',')
  if not options.markdown and options.dataset is None:
    parser.error(f'--dataset is missing; allowed are {", ".join(problem.SETS)}')
  if set(options.peers) - set(names):
    parser.error(f'--peers has {", ".join(sorted(set(options.peers) - set(names)))}; allowed are {", ".join(names)}')
  if options.trials < 1:
    parser.error(f'--trials is {options.trials}; allowed are whole numbers from 1 on')
  return options


def main():
  """Runs what the command line asks for."""
  options = _options()
  out, workdir, name = pathlib.Path(options.out), pathlib.Path(options.workdir), options.dataset
  if options.markdown:
    print(summary.markdown([artifacts.read_json(path) for path in sorted(out.glob('benchmark.*.json'))]))
    return
  path, peers = out / f'benchmark.{name}.json', [peer for peer in PEERS if peer.name in options.peers]
  before = summary.staying(artifacts.read_json(path) if path.exists() else None, options.peers)
  result = run(lambda draw: problem.load(name, draw, options.data, str(workdir / 'problems')), peers, options.trials,
               options.draws, str(workdir / name), before)
  artifacts.write_json(path, result)
  frontier.draw(out / f'frontier.{name}.png', result['frontier']['curves'], ('ours', summary.BLEND),
                f'{name}: taking popularity out of the scores')
  print(summary.table(result))


if __name__ == '__main__':
  main()
