"""The stages in order: prepare, encode, adversarial, expand, recommend, evaluate; each leaves its artifacts."""

import contextlib
import dataclasses
import functools
import hashlib
import importlib.metadata
import os
import pathlib
import platform
import subprocess
import sys
import time

import jax
import numpy as np
from absl import logging

from ganrec_jax import __version__, artifacts
from ganrec_jax.adversarial import expand
from ganrec_jax.data import split_files, splits
from ganrec_jax.errors import ConfigError, UserError
from ganrec_jax.evaluation import strata, table
from ganrec_jax.report import boards, index, telling
from ganrec_jax.stages import adversary, encode, profiles, recommend, tune, workspace
from ganrec_jax.stages.evaluate import Evaluation, show_people
from ganrec_jax.stages.prepare import prepare
from ganrec_jax.stages.validate import validate as look
from ganrec_jax.training import hosts, interrupt, logs, tracking

# Whose versions are written down with the results.
_LIBRARIES = ('jax', 'jaxlib', 'flax', 'optax', 'numpy')
_PACKAGE = pathlib.Path(__file__).parent


def revision():
  """The git revision of the code, 'unknown' outside a repository."""
  with contextlib.suppress(OSError, subprocess.SubprocessError):
    return subprocess.run(['git', 'rev-parse', 'HEAD'], cwd=_PACKAGE, capture_output=True, text=True,
                          check=True).stdout.strip()
  return 'unknown'


def _code_sha256():
  """The hash of the package's own code: other code may give other results."""
  found = hashlib.sha256()
  for path in sorted(_PACKAGE.rglob('*.py')):
    found.update(path.read_bytes())
  return found.hexdigest()


def use_compilation_cache(config):
  """Keeps compiled programs beside the prepared data, unless JAX has been told where to keep them."""
  if not jax.config.jax_compilation_cache_dir:
    jax.config.update('jax_compilation_cache_dir', os.path.join(os.path.expanduser(config.data.data_dir), 'compiled'))
  jax.config.update('jax_persistent_cache_min_compile_time_secs', 0)


def check(config):
  """Looks at the whole config before any work is done.

  Raises:
    ConfigError: for the first value out of range.
    UserError: where it asks for a package that is not installed.
  """
  if config.micro_batch < 0:
    raise ConfigError(f'micro_batch is {config.micro_batch}; allowed are whole numbers from 0 on')
  encode.check(config)
  splits.SplitConfig(**config.split.to_dict())
  recommend.closed(config)
  recommend.network(config)
  adversary.game(config)
  adversary.draws(config)
  adversary.rows_of(config)
  profiles.configured(config)
  tracking.check(config)
  workspace.guards_of(config)
  if config.evaluation.resamples < 1:
    raise ConfigError(f'evaluation.resamples is {config.evaluation.resamples}; allowed are whole numbers from 1 on')


class _Timer:
  """Runs stages: says what begins, stops between two where asked to, and knows the seconds of each."""

  def __init__(self):
    self.started, self.seconds = time.monotonic(), {}

  def __call__(self, name, stage, *arguments):
    interrupt.check()
    logging.info('%s ...', name)
    start = time.monotonic()
    result = stage(*arguments)
    self.seconds[name] = self.seconds.get(name, 0.) + time.monotonic() - start
    return result

  def elapsed(self):
    """Seconds since the start."""
    return time.monotonic() - self.started


def run(config, path, dataset=None, command='', profile=False):
  """Runs all stages, prints the table, and writes what design.md calls the artifacts of a run.

  A finished run of the same config, data and code is not repeated: its table is printed again. A report that cannot be
  made is said so, and the results stand.

  Args:
    config: the whole config.
    path: the work directory.
    dataset: a `Dataset` of one's own, where data.source is 'given'.
    command: the flags that were typed for it, for the report.
    profile: whether a trace of a few steps of each stage that is trained goes to `path/profile`.

  Raises:
    UserError: where config or data cannot be used.
    Interrupted: where a stop was asked for.
  """
  timed = _Timer()
  check(config)
  space = workspace.make(config, path, profile)
  use_compilation_cache(config)
  plain = config.to_dict()
  artifacts.write_json(os.path.join(path, 'config.json'), {
    'config': plain, 'sha256': artifacts.digest(plain), 'command': command})
  prepared = timed('prepare', hosts.in_turn, prepare, config, dataset)
  code = _code_sha256()
  hosts.check_alike(config=artifacts.digest(plain), data=artifacts.digest(prepared.sha256()), code=code)
  key = artifacts.digest(plain, prepared.sha256(), code, len(space.devices))
  done, table_path = space.artifact('done.json'), os.path.join(path, 'table.txt')
  if hosts.agreed(artifacts.read_json(done) == key and os.path.exists(table_path)):
    if hosts.first():
      logging.info('nothing has changed since this run was finished; to start afresh, choose another --workdir')
      if profile:
        logging.info('no stage is trained again, so there is no new trace')
      print(pathlib.Path(table_path).read_text(encoding='utf-8'), end='')
      _make_page(path, prepared)
    return
  with tracking.started(config, path, key) as tracked:
    tell = None if tracked is None else functools.partial(tracking.log, tracked)
    made = _work(dataclasses.replace(space, metrics=logs.Metrics(path, tell)), prepared, timed, tracked)
  if hosts.first():
    artifacts.write_json(done, key)
    _make_page(path, prepared, made)


def _work(space, prepared, timed, tracked):
  """All stages after prepare; what was generated, a `Generated` with the weights that were chosen."""
  split_files.write_split(os.path.join(space.path, 'split.csv.gz'), prepared.dataset, prepared.split)
  encoder = timed('encode', encode.text_encoder, space, prepared)
  content = timed('encode', encode.content, space, prepared, encoder)
  judge = recommend.judge_of(space, prepared)
  base, base_key, tuned = timed('recommend', tune.fit, space, prepared, content, judge)
  recommend.check_leaks(prepared, base)
  generated, reports = timed('adversarial', adversary.generate, space, prepared, base, content,
                             artifacts.digest(base_key, encode.sha256(content)))
  evaluation = Evaluation(space, prepared, content.texts, judge)
  first = None
  for row, extra in {'no_augmentation': None, **generated}.items():
    model = timed('recommend', recommend.fit_row, space, prepared, content, base, base_key, judge, extra, row)
    timed('evaluate', evaluation.add_model, row, model)
    first = first or model
  timed('evaluate', evaluation.add_references)
  evaluation.finish()
  weights = {row: evaluation.choices[row].get('weight', 1.) for row in generated}
  made = expand.joined(generated, weights)
  expand.write(os.path.join(space.path, 'generated.csv.gz'), made, prepared.dataset.user_ids,
               prepared.dataset.catalogue.ids)
  told = {'generated': reports, 'choices': evaluation.choices, 'base': tuned,
          'encoder': {} if encoder is None else encoder.summary}
  records = _report(space, prepared, evaluation, timed, told, show_people(space, prepared, first))
  texts = {} if content.texts is None else {'texts': content.texts}
  boards.write(space.path, prepared, texts | {'factors': np.asarray(base.factors.items)}, made)
  if tracked is not None:
    tracking.tell(tracked, records)
  return made


def _make_page(path, prepared, made=None):
  """Writes the report; one that cannot be made costs nobody his results, whatever the reason."""
  try:
    print(f'{index.write(path, prepared, made)}: the same and more as a page')
  except Exception as error:
    with contextlib.suppress(UserError):  # where the disk is full, there is no place for this either
      index.write_failure(path, error)
    print(f'error: {index.place_of(path)} could not be made ({type(error).__name__}: {telling.plain(error)}); the '
          f'results are complete, python -m ganrec_jax.report --workdir={path} tries again', file=sys.stderr)


def versions():
  """Name -> version of what the results depend on."""
  return {'ganrec_jax': __version__, 'python': platform.python_version()} | {
    name: importlib.metadata.version(name) for name in _LIBRARIES}


def validate(config, path, dataset=None):
  """Reads and checks config and data, prints what they are like, and writes `report/data.html`; trains nothing.

  Args:
    config, path, dataset: as in `run`.

  Raises:
    UserError: where config or data cannot be used.
  """
  check(config)
  workspace.devices(config)
  print(look(config, prepare(config, dataset), path), end='')


def _report(space, prepared, evaluation, timed, told, people):
  """Writes results.json and the table, prints the table, and returns its records."""
  config, data, resamples = space.config, prepared.dataset, space.config.evaluation.resamples
  results = {row: evaluation.results[row] for row in _order(evaluation.results)}
  elapsed = timed.elapsed()
  tasks = list(results['no_augmentation'])
  records = table.records(results, config.seed, resamples)
  found = table.differences(list(results), tasks, results, seed=config.seed, resamples=resamples)
  artifacts.write_json(os.path.join(space.path, 'results.json'), {
    'config': config.to_dict(), 'config_sha256': artifacts.digest(config.to_dict()), 'git_revision': revision(),
    'data_sha256': data.sha256(), 'split_sha256': prepared.split.sha256(), 'simulated': data.info['simulated'],
    'seed': config.seed, 'device': jax.devices()[0].device_kind, 'devices': len(space.devices),
    'wall_seconds': elapsed, 'versions': versions(),
    'dataset': {'users': data.users, 'items': data.items, 'interactions': len(data.interactions), **data.info,
                'split': splits.describe(prepared.split, data)},
    'stages': timed.seconds, 'costs': logs.read_costs(space.path), **told, 'rows': records,
    'differences': table.difference_records(found),
    'strata': strata.records({row: evaluation.strata[row] for row in results}, config.seed, resamples)})
  words = table.format_table(list(results), tasks, results, simulated=data.info['simulated'], found=found)
  lines = [words, *_generated_words(told), '', people,
           f'{space.path}: results.json and recommendations/ are complete; {elapsed:.0f} s']
  text = '\n'.join(lines) + '\n'
  artifacts.write_atomically(os.path.join(space.path, 'table.txt'), lambda file: file.write(text.encode()))
  space.metrics.close()
  print(text, end='')
  return records


def _order(rows):
  """The rows as the table shows them: what is not learned first, the ceiling last."""
  first = [row for row in ('popularity', 'never_cold', 'no_augmentation') if row in rows]
  return first + [row for row in rows if row not in (*first, 'oracle')] + [row for row in rows if row == 'oracle']


def _generated_words(told):
  """One line a generator or control: what it made, how its training ended, and the weight that validation chose."""
  for row, report in told['generated'].items():
    counts, how = report['counts'], f', training {report["status"]}' if 'status' in report else ''
    how += f' after {telling.number(report["restarts"], "restart")}' if report.get('restarts') else ''
    reason = f' ({report["reason"]})' if report.get('reason') else ''
    chosen = told['choices'][row].get('weight')
    taken = '' if chosen is None else f', each of weight {chosen:g}'
    if chosen == 0:
      taken = ', none taken: validation loses by them'
    yield f'{row}: {counts["kept"]} of {counts["asked"]} samples kept' + taken + how + reason
