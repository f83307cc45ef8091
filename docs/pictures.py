"""The pictures of the README: the report of a finished run and the page of its server, by Playwright.

    python docs/pictures.py --workdir=runs/music          (pip install playwright; a Chromium is on the path)
"""

import argparse
import contextlib
import json
import pathlib
import shutil
import subprocess
import sys

from playwright.sync_api import sync_playwright

from ganrec_jax.report import index

WIDTH, HEIGHT = 1280, 900
# What is typed into the search of the page; the first title that is found is picked.
PICKS = ('neon', 'velvet')


@contextlib.contextmanager
def served(workdir):
  """The URL of a server of a work directory; it is stopped in the end."""
  with subprocess.Popen([sys.executable, '-m', 'ganrec_jax.serve', f'--workdir={workdir}', '--port=0'],
                        stderr=subprocess.PIPE, text=True) as process:
    try:
      for line in process.stderr:
        with contextlib.suppress(json.JSONDecodeError):
          if url := json.loads(line).get('url'):
            yield url
            return
      raise RuntimeError(f'the server of {workdir} ended with exit code {process.wait()}')
    finally:
      process.terminate()


def take(workdir, folder):
  """Writes the pictures of a finished run into `folder`, a path: `report.png` and `page.png`."""
  browser = shutil.which('chromium') or shutil.which('google-chrome')
  with sync_playwright() as started, served(workdir) as url:
    opened = started.chromium.launch(executable_path=browser, args=['--no-sandbox'])
    page = opened.new_page(viewport={'width': WIDTH, 'height': HEIGHT})
    page.goto(pathlib.Path(index.place_of(workdir)).resolve().as_uri())
    page.screenshot(path=folder / 'report.png')
    page.goto(url)
    for words in PICKS:
      page.fill('#search', words)
      page.wait_for_selector('#found li')
      page.keyboard.press('ArrowDown')
      page.keyboard.press('Enter')
      page.wait_for_function("() => !document.querySelector('#results').hasAttribute('aria-busy')")
    page.screenshot(path=folder / 'page.png')
    opened.close()


def main():
  """Runs what the command line asks for."""
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('--workdir', required=True, help='A finished run.')
  parser.add_argument('--out', default=str(pathlib.Path(__file__).parent), help='Folder of the pictures.')
  options = parser.parse_args()
  take(options.workdir, pathlib.Path(options.out))


if __name__ == '__main__':
  main()
