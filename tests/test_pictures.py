"""The pictures of the README can be taken anew from any finished run."""

import importlib.util
import os
import shutil
import subprocess
import sys

import pytest

from .stages import worlds


@pytest.mark.slow
def test_the_pictures_show_a_report_and_a_page(tmp_path):
  pytest.importorskip('playwright', reason='needs playwright')
  if not (shutil.which('chromium') or shutil.which('google-chrome')):
    pytest.skip('needs a browser, chromium or google-chrome, and there is none')
  workdir = tmp_path / 'run'
  subprocess.run([sys.executable, '-m', 'ganrec_jax.main', '--config=configs/music.py:testing',
                  f'--workdir={workdir}'], cwd=worlds.ROOT, check=True, capture_output=True, env=os.environ)
  spec = importlib.util.spec_from_file_location('pictures', worlds.ROOT / 'docs' / 'pictures.py')
  pictures = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(pictures)
  pictures.take(str(workdir), tmp_path)
  for name in ('report', 'page'):
    head = (tmp_path / f'{name}.png').read_bytes()
    assert head.startswith(b'\x89PNG') and len(head) > 20_000  # an empty page is smaller
    assert int.from_bytes(head[16:20], 'big') == pictures.WIDTH
