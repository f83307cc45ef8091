"""What was typed, for the report: the same run elsewhere."""

import shlex
import sys

import pytest

from ganrec_jax import command


@pytest.mark.parametrize('typed', [
  '--config=a.py:b --workdir=/x/y --config.seed=1', '--workdir /x --config=a.py:b --config.seed=1',
  '-workdir=/x --config=a.py:b --config.seed=1', '--config=a.py:b --config.seed=1',
  '--config=a.py:b --coordinator=here:1 --processes 2 --process=0 --config.seed=1'])
def test_what_belongs_to_a_place_is_left_out(monkeypatch, typed):
  monkeypatch.setattr(sys, 'argv', ['main', *shlex.split(typed)])
  assert command.typed() == '--config=a.py:b --config.seed=1'


def test_what_a_shell_would_read_is_quoted(monkeypatch):
  words = ['--config=a b.py', "--config.data.tables.template={title} 'by' $x", '--config.data.workdir=x']
  monkeypatch.setattr(sys, 'argv', ['main', *words])
  assert shlex.split(command.typed()) == words
