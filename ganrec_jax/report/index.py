"""The report of a run: one page, `report/index.html` in its work directory, its sections in the order of the pipeline.

A section is made by `make(run) -> (sections, figures)`: `Section`s, and name -> (plot, caption) of their plots.
"""

import hashlib
import os
import pathlib

from ganrec_jax import artifacts
from ganrec_jax.report import duel, encoder, generated, log, outcome, page, people, recommender, run
from ganrec_jax.report.run import BASE, METRIC
from ganrec_jax.report.sections import Section
from ganrec_jax.report.telling import number, plain

# What a run leaves that does not follow from these is none of the report's business.
_INPUTS = ('config.json', 'results.json', 'metrics.jsonl', 'restarts.jsonl', 'generated.csv.gz', 'split.csv.gz')
_SIMULATED = 'SIMULATED DATA: people, items and all they did were made by the package; no figure is about real people.'


def place_of(path):
  """Where the report of the work directory `path` is."""
  return os.path.join(path, 'report', 'index.html')


def write(path, prepared=None, made=None):
  """Writes the report of a finished run, unless it is there already and all that it was made of is still the same.

  Args:
    path: the work directory.
    prepared, made: its data and its generated interactions, where they are at hand, see `run.read`.

  Returns:
    where it is.

  Raises:
    UserError: where there is no finished run, a file is damaged, or the data are no longer those of the run.
  """
  run.finished(path)
  place, inputs = place_of(path), _inputs(path)
  if page.inputs_of(_text(place)) != inputs:
    text = render(run.read(path, prepared, made), inputs)
    artifacts.write_atomically(place, lambda file: file.write(text.encode()))
  return place


def write_failure(path, error):
  """Writes a page in place of the report that could not be made, so that no older one is taken for it."""
  text = page.document('Report', (), [page.notice(
    f'This report could not be made: {type(error).__name__}: {error}. The results of the run are complete, in '
    f'results.json and table.txt; python -m ganrec_jax.report --workdir={path} tries again.', False)], (), {}, {}, '')
  artifacts.write_atomically(place_of(path), lambda file: file.write(text.encode()))


def _text(place):
  return pathlib.Path(place).read_text(encoding='utf-8', errors='replace') if os.path.exists(place) else ''


def _inputs(path):
  """The hash of the files that the report is made of, and of the code that makes it."""
  found = hashlib.sha256()
  code = sorted(pathlib.Path(__file__).parent.glob('*.py'))
  for name in (*(pathlib.Path(path, name) for name in _INPUTS), *code):
    found.update(hashlib.sha256(name.read_bytes() if name.exists() else b'').digest())
  return found.hexdigest()


def render(finished, inputs=''):
  """The page of a `Run` as a str, with the hash of its `inputs`."""
  sections, figures = [], {}
  for part in (log, encoder, duel, generated, recommender, outcome, people):
    more, drawn = part.make(finished)
    sections += more
    figures |= drawn
  sections += _reproduce(finished)
  results = finished.results
  name = plain(finished.prepared.dataset.info.get('name', 'a run'))
  return page.document(
    f'A run on {name}', _tiles(finished), _notices(finished), sections,
    {one: plot for one, (plot, _) in figures.items()},
    {one: caption for one, (_, caption) in figures.items()},
    f'Made by ganrec_jax, revision {results["git_revision"][:12]}, from {len(results["rows"]):,} figures of '
    'results.json and what else the run left in its work directory.', contents=True, inputs=inputs)


def _tiles(finished):
  data = finished.prepared.dataset
  yield number(data.users), 'users'
  yield number(data.items), 'items'
  yield number(len(data.interactions)), 'interactions'
  for task in ('warm', 'cold', 'all'):
    found = finished.figures.get((BASE, task, METRIC))
    if found is not None and found['value'] is not None:
      yield outcome.short(found['value']), f'NDCG@20, {task}'
  yield f'{finished.results["wall_seconds"]:,.0f} s', f'on {number(finished.results["devices"])} x ' + plain(
    finished.results['device'], 24)


def _notices(finished):
  if finished.results['simulated']:
    yield page.notice(_SIMULATED, False)
  report = finished.results['generated'].get('gan', {})
  if finished.differences:
    found = {task: finished.differences.get(('gan', task), {'marked': False}) for task in finished.tasks}
    sure = {task: one['percent'] for task, one in found.items() if one['marked'] and one['percent'] is not None}
    told = ', '.join(f'{task} {percent:+.1f}%' for task, percent in sure.items())
    yield page.notice(f'What the GAN changed against {BASE}: ' + (f'{told}; nothing else beyond chance.' if sure else
                      'nothing beyond chance, in any task.'), min(sure.values(), default=0) >= 0)
  if report.get('status') in ('collapsed', 'diverged'):
    yield page.notice(f'The GAN {report["status"]}: {report["reason"]}.', False)


def _reproduce(finished):
  results = finished.results
  command = f'python -m ganrec_jax.main {finished.command}' if finished.command else (
    'pipeline.run(config, workdir), from Python, with the config below')
  versions = ', '.join(f'{name} {version}' for name, version in results.get('versions', {}).items())
  lines = (('command', command), ('seed', str(results['seed'])), ('revision', results['git_revision']),
           ('config', results['config_sha256']), ('data', results['data_sha256']), ('split', results['split_sha256']),
           ('device', f'{number(results["devices"])} x {results["device"]}'),
           ('versions', versions or 'not written down by the version that made this run'))
  total = results['wall_seconds']
  seconds = sorted(results['stages'].items(), key=lambda one: -one[1])
  yield Section('Reproduce', lines)
  yield Section('Time', level=3, header=('stage', 'seconds', 'share'), numeric=(1, 2), rows=tuple(
    (stage, f'{spent:,.1f}', f'{spent / total:.0%}') for stage, spent in seconds),
    text=f'{total:,.0f} seconds in all, this report left out.')
  yield Section('The whole config', folded=True, level=3, header=('field', 'value'),
                rows=tuple(outcome.flat(results['config'])))

