"""The command line that most scripts share."""

import argparse

from experiments.peers import problem


def parser_of(doc, name, draws=True):
  """A parser of --dataset, --data, --workdir and, if they are asked for, --draws.

  Args:
    doc: of the script, whose first line says what it does.
    name: of the script, after which its work directory is named.
    draws: whether it takes several draws.
  """
  made = argparse.ArgumentParser(description=doc.splitlines()[0])
  made.add_argument('--dataset', choices=list(problem.SETS), required=True, help='The data set.')
  made.add_argument('--data', default='data', help='Folder with the data sets and their splits.')
  made.add_argument('--workdir', default=f'runs/{name}', help='Where what is done is kept.')
  if draws:
    made.add_argument('--draws', type=int, default=5, choices=range(1, 6), help='Draws.')
  return made
