"""The page in a browser: picks by the keyboard, lists that follow at once, titles that are only words, feedback."""

import csv
import dataclasses
import shutil
import time

import numpy as np
import pytest

from ganrec_jax.serving import answers, app, live

from . import runs

CHROMIUM = shutil.which('chromium') or shutil.which('chromium-browser') or shutil.which('google-chrome')
EVIL = '<img src=x onerror="document.title=\'hacked\'"> & co'


@pytest.fixture(scope='module')
def browser():
  playwright = pytest.importorskip('playwright.sync_api', reason='needs playwright')
  if CHROMIUM is None:
    pytest.skip('needs a chromium')
  with playwright.sync_playwright() as started:
    yield started.chromium.launch(executable_path=CHROMIUM, args=['--no-sandbox'])


@pytest.fixture(scope='module')
def url(dense, tmp_path_factory):
  folder = tmp_path_factory.mktemp('work')
  run = runs.small(dense)
  titles = run.catalogue.titles.astype('U100')
  titles[np.flatnonzero(~run.warm)[0]] = titles[np.argmax(run.popularity)] = EVIL
  run = dataclasses.replace(run, catalogue=dataclasses.replace(run.catalogue, titles=titles))
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(live, 'ready', lambda workdir: run)
    patch.setattr(answers, 'digest_of', lambda workdir: run.digest)
    with runs.serving(app.create(str(folder), key='k')) as url:
      yield url, folder


@pytest.fixture
def page(browser, url):
  context = browser.new_context(viewport={'width': 390, 'height': 800}, base_url=url[0])
  page = context.new_page()
  page.set_default_timeout(20_000)
  page.problems = []
  page.on('pageerror', lambda error: page.problems.append(str(error)))
  page.goto('/')
  page.fill('#key', 'k')
  page.keyboard.press('Enter')
  page.wait_for_selector('#simulated:visible')
  yield page
  assert page.problems == [] and page.title() == 'Recommendations'
  context.close()


def pick(page, words):
  """Finds and picks the first title by the keyboard alone."""
  page.focus('#search')
  page.keyboard.type(words)
  page.wait_for_selector('#found li')
  page.keyboard.press('ArrowDown')
  assert page.get_attribute('#search', 'aria-activedescendant') == 'found-0'
  before = page.locator('#picks li').count()
  page.keyboard.press('Enter')
  until(page, f"() => document.querySelectorAll('#picks li').length === {before + 1}")
  settle(page)


def until(page, condition, *arguments):
  """Waits until a function of the page is true; Playwright's own wait evaluates strings, which the page forbids."""
  end = time.monotonic() + 20
  while not page.evaluate(condition, *arguments):
    assert time.monotonic() < end, condition
    page.wait_for_timeout(20)


def settle(page):
  until(page, "() => !document.querySelector('#results').hasAttribute('aria-busy')")


def titles(page):
  return page.locator('#results h3').all_text_contents()


def test_picks_by_the_keyboard_give_a_list_with_reasons(page):
  pick(page, 'the')
  first = titles(page)
  assert len(first) == 12 and page.locator('#status').text_content().startswith('12 for what you picked (1)')
  pick(page, 'an')
  assert titles(page) != first
  chosen = [chip.removesuffix('×') for chip in page.locator('#picks button').all_text_contents()]
  assert all(any(one in reason for one in chosen) for reason in page.locator('.why').all_text_contents())
  page.reload()
  page.wait_for_selector('#results li')
  assert page.locator('#picks li').count() == 2  # they are kept in the browser
  page.focus('#picks button')
  page.keyboard.press('Enter')
  until(page, "() => document.querySelectorAll('#picks li').length === 1")


def test_titles_are_only_words(page):
  pick(page, 'img src')
  assert page.locator('#picks button').first.text_content() == EVIL + '×'
  assert page.locator('main img').count() == 0 and EVIL in page.locator('.why').first.text_content()


def test_the_switch_the_slider_and_attributes_change_the_list(page):
  pick(page, 'the')
  plain = titles(page)
  page.check('#only-new')
  until(page, "() => [...document.querySelectorAll('#results h3')].every(one => one.querySelector('.badge'))")
  page.uncheck('#only-new')
  page.focus('#adventure')
  page.keyboard.press('End')
  until(page, 'plain => [...document.querySelectorAll("#results h3")].some((one, place) => '
        'one.textContent !== plain[place])', plain)
  assert page.locator('#adventure-value').text_content() == '1'
  page.select_option('#attribute', index=1)
  name = page.locator('#attribute').input_value()
  until(page, 'name => [...document.querySelectorAll("#results li")]'
        '.every(one => one.textContent.toLowerCase().includes(name))', name)


def test_likes_and_skips_are_written_down_and_change_the_list(page, url):
  pick(page, 'the')
  liked, skipped = titles(page)[:2]
  page.locator('#results li').nth(1).get_by_role('button', name='Skip').press('Enter')
  until(page, "() => document.querySelectorAll('#history li').length === 2")
  settle(page)
  assert skipped not in titles(page)
  assert page.evaluate("document.activeElement.closest('#results li') !== null")  # the keyboard stays in the list
  page.locator('#results li').first.get_by_role('button', name='Like').press('Enter')
  until(page, "() => document.querySelectorAll('#picks li').length === 2")
  settle(page)
  assert liked not in titles(page) and liked in page.locator('#picks').text_content().replace('new', '')
  with open(url[1] / 'feedback.csv', newline='') as file:
    assert [row['event'] for row in csv.DictReader(file)][-2:] == ['skip', 'like']


@pytest.mark.parametrize('width', [390, 1280])
def test_nothing_is_wider_than_the_window(page, width):
  page.set_viewport_size({'width': width, 'height': 800})
  pick(page, 'img src')
  assert page.evaluate('document.documentElement.scrollWidth') <= width
  for control in ('#search', '#only-new', '#adventure', '#attribute'):
    page.focus(control)
    assert page.locator(control).evaluate('one => one.matches(":focus-visible")')
