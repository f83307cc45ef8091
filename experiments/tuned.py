"""What `python -m ganrec_jax.tune` gains over the defaults: tuned on the first draw's validation, judged on all draws.

    python experiments/tuned.py --dataset=movielens --data=DIR --workdir=DIR --trials=40

The command is killed by SIGKILL when half of the trials are done, and run again to its end. The best trial's values are
then held against the config as it is, on the test part of the frozen draws: paired over users, with Holm's correction
over the tasks. The knobs of both are turned on each draw's own validation, as in every run. What is done is kept in the
work directory. It leaves `tuned.NAME.json` beside this file.
"""

import functools
import pathlib
import re
import runpy
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))  # a script sees only its own folder

from experiments.bench import rows
from experiments.bench.options import parser_of
from experiments.peers import ours, problem
from ganrec_jax import artifacts

_HERE = pathlib.Path(__file__).resolve().parent
OWN, TUNED = 'the config as it is', 'tuned'
_TABLES = 'data.tables.'


def command(name, data, workdir, trials):
  """The words of the command that tunes a data set's config on its first draw."""
  file, variant, _ = problem.SETS[name]
  given = problem.config_of(file, variant).to_dict()
  fields = dict(changes(given, problem.configured(name, 0, data).to_dict()))
  # A field with the name of a method of the config is no flag, so one's own tables are named by the variant.
  tables = ','.join(f'{path.removeprefix(_TABLES)}={fields.pop(path)}' for path in list(fields)
                    if path.startswith(_TABLES))
  return [sys.executable, '-m', 'ganrec_jax.tune', f'--config=configs/{file}.py' + f':{variant or tables}'.rstrip(':'),
          *(f'--config.{path}={value}' for path, value in fields.items()), f'--workdir={workdir}', f'--trials={trials}']


def changes(before, after, path=''):
  """Yields (path, value) of what differs between two dicts of dicts."""
  for name, value in after.items():
    if isinstance(value, dict):
      yield from changes(before[name], value, f'{path}{name}.')
    elif value != before[name]:
      yield f'{path}{name}', value


def tune(words, trials, report):
  """Runs the command, kills it half way, and runs it again; the seconds of both, and how many trials the kill left.

  Args:
    words: of the command.
    trials: how many there shall be.
    report: told of each finished trial, `report(done)`.
  """
  start, left = time.perf_counter(), 0
  for most in (trials // 2, trials + 1):
    with subprocess.Popen(words, cwd=problem.ROOT, stderr=subprocess.PIPE, text=True) as process:
      for line in process.stderr:
        if found := re.search(r'(\d+) of \d+ trials', line):
          report(int(found[1]))
          if int(found[1]) >= most:
            left = int(found[1])
            process.kill()
            break
      rest = process.stderr.read()  # what it still had to say, so that it can end
    if process.returncode == 0:
      return time.perf_counter() - start, left
  raise SystemExit(f'{" ".join(words)} ended with exit code {process.returncode}: {rest.strip() or line.strip()}')


def best(config, folder):
  """The fields of the tuned config in a folder that differ from `config`, name -> value."""
  found = runpy.run_path(str(folder / 'tuned.py'))['get_config']().base.to_dict()
  own = config.to_dict()['base']
  return {name: value for name, value in found.items() if value != own[name]}


def fit(fields, one, key):
  """The closed form of a `Problem` with other `fields` of config.base: (score, params)."""
  return ours.fit_kernel(one, one.own_kernel(), key, fields)


def _options():
  parser = parser_of(__doc__, 'tuned')
  parser.add_argument('--trials', type=int, default=40, help='Trials.')
  return parser.parse_args()


def main():
  """Runs what the command line asks for."""
  options = _options()
  name, workdir = options.dataset, pathlib.Path(options.workdir).resolve()
  folder = workdir / 'problems' / f'{name}-0'
  load = functools.partial(problem.load, name, data=options.data, workdir=str(workdir / 'problems'))
  seconds, left = tune(command(name, options.data, folder, options.trials), options.trials,
                       lambda done: print(f'{name}: {done} of {options.trials} trials', flush=True))
  fields = best(problem.configured(name, 0, options.data), folder)
  # Where nothing is better than the config as it is, there is nothing to hold against it.
  held = {OWN: functools.partial(fit, {})} | ({TUNED: functools.partial(fit, fields)} if fields else {})
  result = rows.run(name, held, options.draws, 'test', load, workdir)
  result |= {'trials': options.trials, 'killed_after': left, 'tune_seconds': seconds, 'fields': fields}
  artifacts.write_json(str(_HERE / f'tuned.{name}.json'), result)
  print(rows.markdown(result))


if __name__ == '__main__':
  main()
