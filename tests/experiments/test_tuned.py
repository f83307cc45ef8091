"""The measure of the tuner: what it changes in a config, and a command that is killed half way and run again."""

import sys

from experiments import tuned

# A tuner that keeps its trials in a file, takes none back, and ends when there are six.
SCRIPT = '''
import pathlib, sys
kept = pathlib.Path(sys.argv[1])
while True:
  with kept.open('a') as file:
    file.write('trial\\n')
  done = len(kept.read_text().splitlines())
  print(f'{done} of 6 trials; the best so far is worth 1.0', file=sys.stderr, flush=True)
  if done == 3 and sys.argv[2] == 'wait':
    import time
    sys.argv[2] = ''
    time.sleep(60)
  if done >= 6:
    break
'''


def test_the_command_is_killed_half_way_and_goes_on(tmp_path):
  heard = []
  seconds, left = tuned.tune([sys.executable, '-c', SCRIPT, str(tmp_path / 'kept'), 'wait'], 6, heard.append)
  assert left == 3 and heard == [1, 2, 3, 4, 5, 6] and seconds < 60
  assert (tmp_path / 'kept').read_text().count('trial') == 6


def test_what_differs_is_named_by_its_path():
  before = {'a': 1, 'b': {'c': 2, 'd': {'e': 3}}}
  after = {'a': 1, 'b': {'c': 5, 'd': {'e': 'x'}}}
  assert list(tuned.changes(before, after)) == [('b.c', 5), ('b.d.e', 'x')]
