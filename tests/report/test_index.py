"""The report of a run: every section, deaf to what strangers write, whole where parts are missing, never in the way."""

import dataclasses
import json
import os
import re
import shutil
import subprocess

import numpy as np
import pytest

from ganrec_jax import pipeline
from ganrec_jax.errors import UserError
from ganrec_jax.report import duel, encoder, generated, index, marks, outcome, page, people, recommender, run
from ganrec_jax.training.logs import Metrics

from . import runs, worlds
from .test_page import EVIL, TAGS, Reader

FORMULA = '$x_^{ 夜 $'  # what a plot would take for a broken formula, and letters that its font does not have
SECTIONS = ('The data', 'The encoder', 'The duel', 'The generated interactions', 'The recommender', 'The results',
            'Three users', 'Reproduce')
PARTS = ('Users and items by activity', 'Split', 'Read, dropped, merged and repaired', 'How it learned',
         'What was kept, on held-out samples', 'Whom and what they reached', 'How real they look to D',
         '20 examples in words', 'The knobs', 'Calibration of new items', 'How much a generated interaction counts',
         'Differences to no_augmentation, per cent', 'Claims', 'Where it is good', 'Time', 'The whole config')
DRAWING = {'nav', 'a', 'section', 'h3', 'details', 'summary', 'svg', 'g', 'path', 'use', 'title', 'defs', 'clippath',
           'rect', 'text'}


def written(path, prepared=None):
  with open(index.write(str(path), prepared), encoding='utf-8') as file:
    return file.read()


@pytest.fixture(scope='module')
def workdir(tmp_path_factory):
  return runs.make(tmp_path_factory.mktemp('run'))


@pytest.fixture(scope='module')
def text(workdir):
  return written(workdir)


@pytest.fixture
def copy(workdir, text, tmp_path):
  return shutil.copytree(workdir, tmp_path / 'copy')


def headings(text):
  return re.findall('<(?:h2|h3|summary)[^>]*>([^<]*)</', text)


def changed(path, name, value):
  found = json.loads((path / name).read_text())
  found.update(value)
  (path / name).write_text(json.dumps(found))


def test_sections_stand_in_the_order_of_the_pipeline(text):
  found = headings(text)
  assert [one for one in found if one in SECTIONS] == list(SECTIONS)
  assert set(PARTS) <= set(found)
  assert re.findall('<a href="#([^"]*)">([^<]*)</a>', text) == re.findall('<h2 id="([^"]*)">([^<]*)</h2>', text)
  assert text.index('SIMULATED DATA') < text.index('<h2')
  assert len(text.encode()) < 5_000_000


def test_nothing_is_loaded_and_nothing_runs(text):
  reader = Reader(text)
  assert not reader.open and reader.tags <= TAGS | DRAWING and 'script' not in reader.tags
  links = [value for name, value in reader.attributes if name in ('src', 'srcset', 'href', 'xlink:href')]
  assert len(links) > 20 and all(link.startswith(('data:image/svg+xml;base64,', '#')) for link in links)
  assert not [name for name, _ in reader.attributes if name.startswith('on')]
  assert "default-src 'none'" in text and 'url(' not in text.replace('url(#', '') and '@import' not in text


def test_every_item_of_the_map_has_its_title(text):
  titles = re.findall('<use[^>]*><title>([^<]*)</title></use>', text)
  assert sorted(titles) == sorted(worlds.small().dataset.catalogue.titles.tolist())


def test_what_was_measured_is_told(text, workdir):
  shown = ' '.join(' '.join(Reader(text).words).split())
  results = json.loads((workdir / 'results.json').read_text())
  for one in results['rows']:
    if one['metric'] == 'ndcg@20' and one['row'] != 'never_cold':
      assert f'{outcome.short(one["value"])} [{outcome.short(one["low"])}, {outcome.short(one["high"])}]' in shown
  for one in results['differences']:
    assert outcome.told(one) in shown
  for words in (results['data_sha256'], results['split_sha256'], 'configs/music.py:testing', 'jax 1.2.3', 'r' * 40,
                'converged: 40 steps', 'data.source', 'step 20'):
    assert words in shown, words


def test_the_three_users_are_shown_with_their_own_lists(workdir, text):
  found = run.read(str(workdir))
  users, lists = found.lists('no_augmentation', 'all', 10)
  lengths = found.prepared.histories.lengths[users]
  chosen = people.choose(lengths)
  assert len(chosen) == 3 and list(lengths[list(chosen.values())]) == sorted(lengths[list(chosen.values())])
  shown = Reader(text).words
  for place in chosen.values():
    name = found.prepared.dataset.user_ids[users[place]]
    at = next(k for k, words in enumerate(shown) if words.startswith(f'User {name},'))
    table = ' '.join(shown[at:at + 60])
    assert all(title in table for title in found.prepared.dataset.catalogue.titles[lists[place]])


def test_a_page_is_the_same_each_time(workdir, text):
  assert index.render(run.read(str(workdir)), page.inputs_of(text)) == text


def test_a_page_is_rewritten_only_when_its_inputs_changed(copy, monkeypatch):
  asked = []
  monkeypatch.setattr(index, 'render', lambda found, inputs: asked.append(inputs) or page.document(
    'short', (), (), (), {}, {}, '', inputs=inputs))
  index.write(str(copy))
  assert not asked
  Metrics(str(copy)).write('gan', 60, {'frechet': 1.25})
  for _ in range(2):
    index.write(str(copy))
  assert len(asked) == 1
  os.remove(index.place_of(str(copy)))
  index.write(str(copy))
  assert asked == [asked[0]] * 2


def captions(part, path):
  return ' '.join(caption for _, caption in part.make(run.read(str(path)))[1].values())


def test_restarts_are_marked(copy):
  assert 'restart' not in captions(duel, copy)
  Metrics(str(copy)).rewind('gan', 20)
  assert captions(duel, copy).count('restart') == 4


def test_a_script_in_titles_phrases_ids_and_reasons_is_only_words(tmp_path):
  data = worlds.small().dataset
  users, ids = (np.array([f'{EVIL}{k}' for k in range(n)]) for n in (data.users, data.items))
  titles = np.array([EVIL, FORMULA] * data.items)[:data.items]
  catalogue = dataclasses.replace(data.catalogue, ids=ids, titles=titles, texts=ids,
                                  phrases=(((EVIL,), (FORMULA,), ()) * data.items)[:data.items])
  prepared = worlds.split_of(dataclasses.replace(
    data, catalogue=catalogue, user_ids=users, info={**data.info, 'name': EVIL, EVIL: EVIL, 'verb': EVIL}))
  report = runs._report(runs._generated(prepared, np.random.default_rng(0)), 'gan') | {
    'status': 'collapsed', 'reason': EVIL}
  runs.make(tmp_path, prepared, device=EVIL, versions={EVIL: EVIL}, git_revision=EVIL, generated=dict.fromkeys(
    ('gan', 'generator_only', 'random_pairs'), report))
  text = written(tmp_path, prepared)
  reader = Reader(text)
  assert reader.tags <= TAGS | DRAWING and not reader.open and '\u202e' not in text and '\x1b' not in text
  assert not [name for name, _ in reader.attributes if name.startswith('on')]
  assert '<script>alert(1)</script>' in ''.join(reader.words) and FORMULA in reader.words


def test_missing_parts_are_said_in_a_sentence(tmp_path):
  found = runs.make(tmp_path / 'bare', encoder=False, differences=None, versions=None, generated={}, choices={})
  text = written(found)
  assert [one for one in headings(text) if one in SECTIONS] == list(SECTIONS)
  for words in ('read no texts with an encoder', 'has no adversary', 'without differences', 'no network was trained'):
    assert words in text, words
  assert '<svg' not in text


def test_a_duel_that_diverged_left_no_interactions_and_is_said_at_the_top(copy):
  results = json.loads((copy / 'results.json').read_text())
  results['generated']['gan'] = {'status': 'diverged', 'reason': 'gan: d_loss is nan at step 3', 'counts': {
    'asked': 0, 'kept': 0}, 'leaks': results['generated']['random_pairs']['leaks']}
  (copy / 'results.json').write_text(json.dumps(results))
  found = run.read(str(copy))
  keep = found.generated.source != 'gan'
  fewer = dataclasses.replace(found.generated, **{name: getattr(found.generated, name)[keep] for name in (
    'user', 'item', 'weight', 'source', 'realness')})
  found = dataclasses.replace(found, generated=fewer)
  assert 'The GAN diverged: gan: d_loss is nan at step 3.' in ''.join(index._notices(found))
  assert dict(duel.make(found)[0][0].lines)['gan'] == 'diverged (gan: d_loss is nan at step 3)'
  assert generated.make(found)[0][-1].text == 'The generator left none.'


def test_learning_curves_of_networks_are_shown(copy):
  metrics = Metrics(str(copy))
  for step in (30, 60):
    metrics.write('recommender.gan', step, {'loss': 2., 'valid_warm': .1, 'valid_cold': step / 200})
  metrics.close()
  results = json.loads((copy / 'results.json').read_text())
  results['choices']['gan'] |= {'network': {'steps': 60, 'best': -1., 'best_step': 30}, 'blend': [.5, .25]}
  results['config']['recommender']['kind'] = 'gru'
  (copy / 'results.json').write_text(json.dumps(results))
  sections, figures = recommender.make(run.read(str(copy)))
  assert sections[0].text == 'The network gru recommends, blended with the closed form.'
  assert list(figures)[0] == 'network gan' and sections[0].plots == ('network gan',)
  assert sections[-1].title == 'The blend' and sections[-1].rows == (('gan', '0.5', '0.25'),)


@pytest.mark.parametrize(('name', 'value', 'words'), [
  ('config.json', {'sha256': 'other'}, 'begun there and not finished'),
  ('results.json', {'data_sha256': 'other'}, 'no longer those of the run'),
  ('results.json', None, 'no finished run'),
  ('artifacts/base.dense.npz', None, 'base.dense.npz: cannot be read'),
  ('artifacts/encode.npz', None, 'encode.npz: cannot be read'),
  ('recommendations/no_augmentation.all.npz', None, 'no_augmentation.all.npz: cannot be read'),
  ('generated.csv.gz', None, 'generated.csv.gz: the columns are')])
def test_what_cannot_be_read_is_refused_with_its_name(copy, name, value, words):
  os.remove(index.place_of(str(copy)))
  (copy / name).write_bytes(b'') if value is None else changed(copy, name, value)
  with pytest.raises(UserError, match=words):
    index.write(str(copy))


def test_a_report_that_cannot_be_made_is_visible_and_costs_no_results(copy, capsys, monkeypatch):
  before = (copy / 'results.json').read_bytes()
  monkeypatch.setattr(index, 'render', lambda *arguments: {}['<script>'])
  monkeypatch.setattr(index, '_inputs', lambda path: 'ab')
  pipeline._make_page(str(copy), worlds.small())
  told = capsys.readouterr()
  assert 'could not be made (KeyError' in told.err and 'Traceback' not in told.err and not told.out
  text = (copy / 'report' / 'index.html').read_text()
  # The next look at it tries again.
  assert 'could not be made: KeyError' in text and '<script>' not in text and page.inputs_of(text) == ''
  assert (copy / 'results.json').read_bytes() == before


def opened(browser, path, folder):
  """What a browser makes of a page: its elements, its messages, and the requests that came from it."""
  log = folder / 'net.json'
  done = subprocess.run(
    [browser, '--headless', '--no-sandbox', '--disable-gpu', '--no-first-run', '--enable-logging=stderr', '--dump-dom',
     f'--log-net-log={log}', f'--user-data-dir={folder}', f'file://{path}'], capture_output=True, text=True,
    timeout=120, env={**os.environ, 'HOME': str(folder)})
  assert done.returncode == 0, done.stderr
  # What the browser asks for by itself, such as updates, has no page as its initiator.
  return done.stdout, [line for line in done.stderr.splitlines() if 'CONSOLE' in line], re.findall(
    '"initiator":"null"', log.read_text())


def test_a_browser_opens_it_without_an_error_or_a_request(workdir, text, tmp_path):
  browser = shutil.which('chromium') or shutil.which('google-chrome')
  if browser is None:
    pytest.skip('needs a browser, chromium or google-chrome, and there is none')
  (tmp_path / 'bad.html').write_text('<img src="http://nowhere.invalid/x.png"><script>console.error("bad")</script>')
  _, messages, requests = opened(browser, tmp_path / 'bad.html', tmp_path)
  assert messages and requests
  elements, messages, requests = opened(browser, index.place_of(str(workdir)), tmp_path)
  assert not messages and not requests
  assert headings(elements) == headings(text) and elements.count('<use') == text.count('<use')


def test_two_components_are_those_of_a_singular_value_decomposition():
  rng = np.random.default_rng(0)
  vectors = rng.normal(size=(50, 7)) @ rng.normal(size=(7, 7)) + 3
  found, shares = encoder.project(vectors)
  left, sizes, _ = np.linalg.svd(vectors - vectors.mean(0), full_matrices=False)
  np.testing.assert_allclose(np.abs(found), np.abs(left[:, :2] * sizes[:2]), atol=1e-8)
  np.testing.assert_allclose(shares, sizes[:2] ** 2 / (sizes ** 2).sum())
  for width in (1, 2):
    assert encoder.project(vectors[:, :width])[0].shape == (50, 2)


def test_kinds_are_the_most_frequent_phrases_and_the_rest():
  phrases = (('rock', 'loud'), ('rock',), ('jazz', 'loud'), (), ('loud',))
  classes, names = encoder.kinds(phrases, np.arange(5), np.arange(3))
  assert names == ['loud', 'rock', 'other'] and classes.tolist() == [0, 1, 0, 2, 0]
  classes, names = encoder.kinds(((),) * 3, np.arange(3), np.array([0, 2]))
  assert names == ['known', 'new'] and classes.tolist() == [0, 1, 0]


def test_neighbours_of_clusters_are_alike_and_chance_is_that_of_pairs():
  units = np.repeat(np.eye(3)[:2], 6, axis=0)
  near, chance = encoder.neighbours(np.vstack([units, np.eye(3)[2:]]), np.array([0] * 6 + [1] * 6 + [2]), 2)
  pairs = [(a, b) for a in range(12) for b in range(12) if a != b]
  assert chance == pytest.approx(np.mean([(a < 6) == (b < 6) for a, b in pairs]))
  assert near == pytest.approx(.5)  # ten neighbours: the five others of the cluster, and five of the other one


def test_labels_are_kept_apart_and_in_order():
  rng = np.random.default_rng(0)
  for count in range(1, 8):
    wanted = rng.random(count)
    found = marks.apart(wanted, .1)
    order = np.argsort(wanted)
    assert (np.diff(found[order]) >= .1 - 1e-9).all() and found.min() >= -1e-9 and found.max() <= 1 + 1e-9
  np.testing.assert_allclose(marks.apart([.1, .5, .9], .1), [.1, .5, .9])


def test_shares_by_class_sum_to_one():
  counts = np.array([0, 1, 4, 4, 30])
  found = generated.by_class(counts, np.array([2, 0, 1, 1, 4]))
  assert found == {0: .25, 1: 0., 3: .25, 20: .5}


def test_examples_are_of_different_users_known_and_new_from_most_to_least_real():
  rng = np.random.default_rng(0)
  user, item = np.repeat(np.arange(40), 5), np.tile(np.arange(5), 40)
  found = runs.expand.made(user, item, .1, 'gan', rng.random(200), {})
  rows = generated.pick(found, np.arange(200), np.arange(3))
  assert len(rows) == generated.EXAMPLES == len(set(found.user[rows].tolist()))
  known = found.item[rows] < 3
  assert known.sum() == 10
  for kind in (known, ~known):
    real = found.realness[rows][kind]
    assert real[0] > .8 and real[-1] < .2 and (np.diff(real) < .1).all()


def test_points_that_lie_on_one_another_share_a_label():
  assert outcome.together([(0., 0.), (.01, 0.), (1., 1.), (0., .02)], .05) == [[0, 1, 3], [2]]
  assert outcome._joined(['random_pairs', 'gan', 'no_augmentation', 'x']) == 'no_augmentation, gan and 2 more'


def test_a_config_is_told_field_by_field():
  flat = dict(outcome.flat(worlds.config().to_dict()))
  assert flat['split.cold_items'] == '0.2' and not any('{' in value for value in flat.values())
