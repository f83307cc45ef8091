"""Answers from a run: right, whole, explained, and told in words where there are none."""

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ganrec_jax.errors import UserError
from ganrec_jax.models import closed_form
from ganrec_jax.serving import answers, scoring
from ganrec_jax.serving.questions import Audience, Recommend, Similar
from ganrec_jax.stages import finished

from . import runs


@pytest.fixture(scope='module', params=['dense', 'low_rank'])
def fitted(request, dense, tmp_path_factory):
  return dense if request.param == 'dense' else runs.parts(tmp_path_factory.mktemp('low'), dense_items=20, rank=40)


@pytest.fixture(scope='module')
def run(fitted):
  return runs.small(fitted)


def ids(run, items):
  return run.catalogue.ids[items].tolist()


def named(answer):
  return [item['id'] for item in answer['items']]


def longest(run):
  return str(run.users.names[np.argmax(run.histories.lengths)])


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 300), st.integers(1, 300), st.integers(0, 2**32 - 1))
def test_the_best_are_those_of_a_sort(size, k, seed):
  rng = np.random.default_rng(seed)
  scores, allowed = rng.integers(-9, 9, size).astype(np.float32), rng.random(size) < rng.random()
  places = np.flatnonzero(allowed)
  assert answers._best(scores, allowed, k).tolist() == places[np.argsort(-scores[places], kind='stable')][:k].tolist()


def test_known_users_get_the_best_of_the_model_beyond_their_histories(run):
  users = np.flatnonzero(run.histories.lengths)[:9]
  found = answers.answer(run, [Recommend(user=str(run.users.names[user]), k=12) for user in users])
  scores = np.array(closed_form.score(run.base, users))
  for row, user, answer in zip(scores, users, found, strict=True):
    row[run.histories.row(user)] = -np.inf
    np.testing.assert_allclose([item['score'] for item in answer['items']], np.sort(row)[::-1][:12], atol=2e-3)
    assert not set(named(answer)) & set(ids(run, run.histories.row(user)))
    assert all(item['new'] == (not run.base.warm[run.items.place(item['id'])]) for item in answer['items'])


def test_new_users_are_scored_as_the_model_scores_them(run):
  rng, warm = np.random.default_rng(0), np.flatnonzero(run.warm)
  histories = [np.sort(rng.choice(warm, size, replace=False)) for size in (1, 2, 30, 70)]
  found = answers.answer(run, [Recommend(history=ids(run, items), k=1000) for items in histories])
  for items, answer in zip(histories, found, strict=True):
    due = np.asarray(closed_form.score_history(run.base, jnp.asarray(items)[None], jnp.ones((1, len(items)))))[0]
    assert len(answer['items']) == len(due) - len(items)
    np.testing.assert_allclose([item['score'] for item in answer['items']],
                               due[[run.items.place(one) for one in named(answer)]], atol=2e-3)


def test_an_answer_does_not_depend_on_the_batch(run):
  questions = [Recommend(user=str(run.users.names[user]), k=5, explain=True) for user in
               np.flatnonzero(run.histories.lengths)[:70]] + [Recommend(history=ids(run, [3, 5]), adventure=.5)]
  together = answers.answer(run, questions)
  for place in (0, 40, 69, 70):
    alone = answers.one(run, questions[place])
    assert named(alone) == named(together[place])
    np.testing.assert_allclose([item['score'] for item in alone['items']],
                               [item['score'] for item in together[place]['items']], atol=1e-3)


def test_long_histories_of_known_users_are_cut_into_batches_that_fit(run, monkeypatch):
  questions = [Recommend(user=str(run.users.names[user]), k=3) for user in np.flatnonzero(run.histories.lengths)[:20]]
  whole = answers.answer(run, questions)
  monkeypatch.setattr(scoring, '_ROOM', run.base.length)
  assert [named(one) for one in answers.answer(run, questions)] == [named(one) for one in whole]


def test_adventure_moves_a_list_from_the_popular_to_the_rare(run):
  found = [named(answers.one(run, Recommend(user=longest(run), adventure=gamma))) for gamma in (0., .5, 3.)]
  popular = [np.mean([run.popularity[run.items.place(one)] for one in items]) for items in found]
  assert popular[0] > popular[1] > popular[2]


def test_what_speaks_for_an_item_adds_up_to_its_score(run):
  flat = run.base.turned(closed_form.Knobs(popularity=0., cold_popularity=0., activity=.3))
  user = int(np.argmax(run.histories.lengths))
  profile = scoring.Profile(run.histories.row(user), run.histories.weights[run.histories.offsets[user]:
                                                                           run.histories.offsets[user + 1]])
  found, = scoring.score(flat, run.popularity, [profile])
  items = np.arange(len(run.warm))
  parts = closed_form.contributions(flat, found.deviations, profile.items, profile.weights, items)
  np.testing.assert_allclose(parts.sum(1), found.scores, atol=5e-3)


def test_reasons_are_of_the_history_and_shares_of_one(run):
  history = run.history(longest(run))
  answer = answers.one(run, Recommend(user=longest(run), explain=True, k=20))
  for item in answer['items']:
    shares = [reason['share'] for reason in item['because']]
    assert {reason['id'] for reason in item['because']} <= set(history)
    assert shares == sorted(shares, reverse=True) and 0 < sum(shares) + item['popularity'] <= 1.002


def test_only_what_is_asked_for_is_named(run):
  phrase = max(run.attributes, key=lambda name: len(run.attributes[name]))
  plain = named(answers.one(run, Recommend(history=ids(run, [0]), k=1000)))
  excluded = answers.one(run, Recommend(history=ids(run, [0]), k=1000, exclude=plain[:4]))
  assert named(excluded) == plain[4:]
  new = answers.one(run, Recommend(history=ids(run, [0]), k=1000, only_new=True))
  assert set(named(new)) == set(ids(run, np.flatnonzero(~run.warm))) - {ids(run, [0])[0]}
  some = answers.one(run, Recommend(history=ids(run, [0]), k=1000, filters=[phrase.upper()]))
  assert named(some) and all(phrase in [one.lower() for one in item['attributes']] for item in some['items'])
  assert named(answers.one(run, Recommend(history=ids(run, [0]), exclude=plain))) == []


def test_repeated_items_count_once(run):
  assert (answers.one(run, Recommend(history=ids(run, [4, 4, 6, 4])))
          == answers.one(run, Recommend(history=ids(run, [6, 4]))))


def test_similar_items_are_the_nearest_factors(run):
  answer = answers.one(run, Similar(item=ids(run, [2])[0], k=5))
  factors = np.asarray(run.base.factors.items)
  cosine = factors @ factors[2] / (np.linalg.norm(factors, axis=1) * np.linalg.norm(factors[2]))
  cosine[2] = -1
  assert named(answer) == ids(run, np.argsort(-cosine)[:5])


def test_words_are_read_as_the_kernel_reads_them(fitted, run):
  words = f'An album: {", ".join(run.catalogue.phrases[int(run.reader.warm[7])])}'
  space, prepared, encoder, _, base = fitted
  alike, factor = run.reader.read(words)
  kernel = finished.kernel_with(space, prepared, encoder, words, '--item_text')
  np.testing.assert_allclose(alike, finished.alike(kernel)[prepared.warm], atol=2e-3)
  assert factor.shape == (base.factors.items.shape[1],)
  near = answers.one(run, Audience(text=words))['nearest']
  assert near[0]['id'] == ids(run, [run.reader.warm[7]])[0]


def test_texts_ask_like_the_items_they_describe(run):
  item = int(run.reader.warm[7])
  words = f'An album: {", ".join(run.catalogue.phrases[item])}'
  answer = answers.one(run, Recommend(texts=[words, 'rock'], explain=True))
  assert answer['read_as'][0]['read_as'][0]['id'] == ids(run, [item])[0]
  reasons = {reason['text'] for one in answer['items'] for reason in one['because']}
  assert reasons <= {words, 'rock'} and reasons


def test_an_audience_is_who_scores_the_predicted_factor_highest(run):
  answer = answers.one(run, Audience(text='a dreamy synth album: synthpop', k=7))
  _, factor = run.reader.read('a dreamy synth album: synthpop')
  scores = np.asarray(run.base.factors.users) @ factor
  assert [user['id'] for user in answer['users']] == run.users.names[np.argsort(-scores)[:7]].tolist()


@pytest.mark.parametrize(('question', 'words'), [
  (Recommend(user='u99999'), "unknown user 'u99999'"), (Recommend(history=['a0001', 'b0002']), 'a0002'),
  (Recommend(history=['a0001'], filters=['rokc']), 'rock'), (Recommend(texts=['zzqqxx']), 'none of its words'),
  (Similar(item='../../etc/passwd'), 'unknown item'), (Audience(text='zzqqxx'), 'none of its words'),
  (Recommend(history=['a0001'], exclude=['x' * 200]), 'unknown item'),
])
def test_what_cannot_be_answered_is_told_and_spoils_no_other_answer(run, question, words):
  error, answer = answers.answer(run, [question, Recommend(history=['a0001'])])
  assert isinstance(error, UserError) and words in str(error) and len(str(error)) < 400
  assert len(answer['items']) == 10
