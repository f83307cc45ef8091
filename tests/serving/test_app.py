"""The server as a client sees it: right answers, clear refusals, nothing compiled, nothing lost when runs change."""

import concurrent.futures
import json
import logging
import math
import shutil
import time

import httpx
import jax
import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from ganrec_jax.serving import app, guard

from . import runs

LIMITS = guard.Limits(body=50_000, seconds=30.)
_compiled = []
jax.monitoring.register_event_duration_secs_listener(
  lambda event, *_, **__: _compiled.append(event) if '/compile/' in event else None)


@pytest.fixture(scope='module')
def workdir(finished_run, tmp_path_factory):
  return shutil.copytree(finished_run, tmp_path_factory.mktemp('served') / 'work')


@pytest.fixture(scope='module')
def client(workdir):
  with (runs.serving(app.create(str(workdir), LIMITS, poll=.05), LIMITS) as url,
        httpx.Client(base_url=url, timeout=60) as client):
    yield client


@pytest.fixture(scope='module')
def user(client):
  return client.post('/audience', json={'text': 'a dreamy synth album: synthpop'}).json()['users'][0]['id']


def test_every_question_is_answered(client, user):
  known = client.post('/recommend', json={'user': user, 'k': 3, 'explain': True})
  assert known.status_code == 200 and known.headers['content-type'] == 'application/json'
  first = known.json()['items'][0]
  assert {'id', 'title', 'score', 'new', 'attributes', 'because', 'popularity'} == set(first)
  assert known.json()['simulated'] is True and len(known.json()['items']) == 3
  for question in ({'history': [first['id']]}, {'texts': ['rock', 'jazz'], 'k': 4, 'only_new': True}):
    found = client.post('/recommend', json=question)
    assert found.status_code == 200 and len(found.json()['items']) == question.get('k', 10)
  assert len(client.post('/similar', json={'item': first['id']}).json()['items']) == 10
  people = client.post('/audience', json={'text': 'a quiet folk album', 'k': 2}).json()
  assert len(people['users']) == 2 and people['nearest']
  found = client.get('/items', params={'q': first['title'][:4]}).json()['items']
  assert found and all(set(one) == {'id', 'title', 'new'} for one in found)
  about = client.get('/about').json()
  assert about['simulated'] and about['items'] > about['new_items'] > 0 and about['attributes']
  assert client.get('/health').json() == {'status': 'ok', 'run': known.json()['run']}


def test_more_than_the_catalogue_is_all_of_it(client):
  about = client.get('/about').json()
  found = client.post('/recommend', json={'history': ['a0001'], 'k': 1000}).json()
  assert len(found['items']) == about['items'] - 1


@pytest.mark.parametrize(('question', 'status', 'words'), [
  ('{bad', 400, 'no JSON'), ('', 422, 'body is missing'), ('[]', 422, 'dictionary'), ('null', 422, ''),
  ('\xff', 400, ''), ('[' * 40_000, 400, ''), ('{"k": ' + '9' * 5000 + '}', 400, ''),
  ({}, 422, 'exactly one of'), ({'user': 'u0001', 'history': ['a0001']}, 422, 'exactly one of'),
  ({'user': 1}, 422, 'user: '), ({'user': ''}, 422, 'user: '), ({'user': 'u' * 201}, 422, 'at most 200'),
  ({'user': 'a\x00b'}, 422, 'control character'), ({'user': '../../etc/passwd'}, 404, 'the nearest ids are u'),
  ({'history': []}, 422, 'history: '), ({'history': ['a0001'] * 1001}, 422, 'at most 1000'),
  ({'history': ['a'] * 100_000}, 413, 'allowed are 50000 bytes'), ({'history': 'a0001'}, 422, 'history: '),
  ({'history': ['a0001', 'b0002']}, 404, "unknown item 'b0002'"), ({'history': [None]}, 422, 'history.0'),
  ({'history': ['a0001'], 'k': 0}, 422, 'k: '), ({'history': ['a0001'], 'k': 1001}, 422, '1000'),
  ({'history': ['a0001'], 'k': 2.5}, 422, 'k: '), ({'history': ['a0001'], 'k': '3'}, 422, 'k: '),
  ({'history': ['a0001'], 'k': True}, 422, 'k: '), ({'history': ['a0001'], 'adventure': math.nan}, 422, 'finite'),
  ({'history': ['a0001'], 'adventure': math.inf}, 422, 'adventure'),
  ({'history': ['a0001'], 'adventure': -1}, 422, 'greater than or equal to 0'),
  ({'history': ['a0001'], 'adventurous': 1}, 422, 'adventurous'),
  ({'history': ['a0001'], '\ud800': 1}, 422, ''), ({'history': ['\ud800']}, 422, ''),
  ({'history': ['a0001'], 'filters': ['rokc']}, 422, 'rock'), ({'texts': [' ']}, 422, 'is empty'),
  ({'texts': ['zzqqxx']}, 422, 'none of its words'), ({'texts': ['x' * 2001]}, 422, 'at most 2000'),
])
def test_what_cannot_be_answered_is_told_in_json(client, question, status, words):
  content = question.encode('latin-1') if isinstance(question, str) else json.dumps(question).encode()
  found = client.post('/recommend', content=content, headers={'content-type': 'application/json'})
  assert found.status_code == status and words in found.json()['error']
  assert not any(word in found.text for word in ('Traceback', '.py', str(app.__file__)))
  assert client.get('/health').status_code == 200


@pytest.mark.parametrize(('method', 'path', 'status'), [
  ('GET', '/nothing', 404), ('GET', '/recommend', 405), ('GET', '/docs', 404), ('GET', '/redoc', 404),
  ('GET', '/page/../app.py', 404), ('GET', '/%2e%2e/%2e%2e/etc/passwd', 404), ('GET', '/items?k=0&q=a', 422),
  ('GET', '/items?q=' + 'a' * 201, 422), ('PUT', '/feedback', 405)])
def test_other_paths_are_refused_in_json(client, method, path, status):
  found = client.request(method, path)
  assert found.status_code == status and found.json()['error']


def test_an_unknown_id_is_named_by_itself_too(client):
  assert client.post('/similar', json={'item': 'a99'}).json()['unknown'] == 'a99'


def test_nothing_is_compiled_by_a_request(client, user):
  """Other numbers of users, lengths of histories, filters and lengths of texts find their programs ready."""
  items = [item['id'] for item in client.post('/recommend', json={'user': user, 'k': 1000}).json()['items']]
  rng = np.random.default_rng(0)
  assert _compiled
  before = len(_compiled)

  def ask(number):
    size = int(rng.integers(1, len(items)))
    asked = [('/recommend', {'user': user, 'adventure': .2}),
             ('/recommend', {'history': items[:size], 'explain': True}),
             ('/recommend', {'history': items[:3], 'filters': ['rock'], 'k': size, 'explain': True}),
             ('/recommend', {'texts': ['rock ' * (number + 1)], 'explain': True}), ('/similar', {'item': items[size]}),
             ('/audience', {'text': 'a dreamy album: jazz, ' + 'folk, ' * number})]
    path, question = asked[number % len(asked)]
    return client.post(path, json=question).status_code

  with concurrent.futures.ThreadPoolExecutor(20) as threads:
    assert set(threads.map(ask, range(180))) == {200}
  assert _compiled[before:] == []
  sizes = {sample.labels['le']: sample.value for family in
           text_string_to_metric_families(client.get('/metrics').text) for sample in family.samples
           if sample.name == 'ganrec_batch_size_bucket' and sample.labels['lane'] == 'quick'}
  assert sizes['1.0'] < sizes['64.0']  # some were answered together


def test_headers_let_the_page_load_nothing_from_elsewhere(client):
  for path in ('/', '/page.css', '/page.js', '/icon.svg', '/health', '/nothing'):
    found = client.get(path)
    assert "default-src 'none'; script-src 'self'" in found.headers['content-security-policy']
    assert found.headers['x-content-type-options'] == 'nosniff' and 'server' not in found.headers
    assert '//' not in found.text.replace('http://www.w3.org/2000/svg', '').replace('// ', '')


def test_openapi_describes_what_there_is(client):
  paths = client.get('/openapi.json').json()['paths']
  assert set(paths) == {'/recommend', '/similar', '/audience', '/feedback', '/items', '/about', '/health', '/metrics'}


def test_requests_are_counted_and_logged_a_line_each(client, caplog):
  def counted():
    return {tuple(sample.labels.values()): sample.value for family in
            text_string_to_metric_families(client.get('/metrics').text) for sample in family.samples
            if sample.name == 'ganrec_requests_total'}

  before = counted()
  with caplog.at_level(logging.INFO, 'ganrec_jax.serving.guard'):
    client.post('/recommend', json={'history': ['a0001']})
    client.get('/a-path-that-nobody-has')
  after = counted()
  assert after['/recommend', '200'] == before['/recommend', '200'] + 1
  assert after['other', '404'] == before.get(('other', '404'), 0) + 1
  fields = [record.fields for record in caplog.records if record.message == 'request']
  assert [(one['path'], one['status']) for one in fields] == [('/recommend', 200), ('/a-path-that-nobody-has', 404)]
  assert all(one['ms'] > 0 and one['client'] == '127.0.0.1' for one in fields)


def test_feedback_is_written_once_it_is_acknowledged(client, workdir):
  body = {'user': 'a "visitor", new', 'item': 'a0001', 'event': 'like'}
  assert client.post('/feedback', json=body).status_code == 201
  assert (workdir / 'feedback.csv').read_text().splitlines()[-1].startswith('"a ""visitor"", new","a0001","like","')
  for wrong in ({'item': '../a0001'}, {'event': 'love'}, {'user': 'a\nb'}, {'user': ' '}):
    assert client.post('/feedback', json=body | wrong).status_code == (404 if 'item' in wrong else 422)
  assert len((workdir / 'feedback.csv').read_text().splitlines()) == 2


def test_a_newer_run_takes_over_without_a_failed_request(client, workdir):
  before, path = client.get('/health').json()['run'], workdir / 'results.json'
  found = json.loads(path.read_text())
  # A run of another config has begun, and then results that belong to no run: the one before goes on.
  path.write_text(json.dumps(found | {'config_sha256': 'another'}))
  time.sleep(.5)
  assert client.get('/health').json()['run'] == before
  path.write_text(json.dumps(found | {'newer': True}))
  statuses, seen, end = [], set(), time.monotonic() + 60
  while time.monotonic() < end and len(seen) < 2:
    answer = client.post('/recommend', json={'history': ['a0001']})
    statuses.append(answer.status_code)
    seen.add(answer.json()['run'])
  assert set(statuses) == {200} and len(seen) == 2
  assert 'ganrec_reloads_total{result="failed"} 1.0' in client.get('/metrics').text
