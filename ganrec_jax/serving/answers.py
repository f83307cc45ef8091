"""From a finished run to answers: what a user would like, what an item is like, and who would like a new item."""

import dataclasses
import functools
import hashlib
import os

import numpy as np

from ganrec_jax import artifacts
from ganrec_jax.data.ragged import Ragged
from ganrec_jax.data.types import Catalogue
from ganrec_jax.errors import UserError
from ganrec_jax.models import closed_form
from ganrec_jax.serving import reading, scoring, search
from ganrec_jax.serving.questions import Recommend, Similar
from ganrec_jax.stages import finished
from ganrec_jax.stages.recommend import CLOSED_FORM

_REASONS = 2  # items of a history that are named for an item
_GROUP = 64  # scores that are looked at together for their maximum
# Known items that stand for a text; together they count as one item of a history.
_READ_AS = 10


@dataclasses.dataclass(frozen=True)
class Run:
  """A finished run, ready to answer.

  Attributes:
    digest: of its results, which another run does not share.
    name: of the data.
    simulated: whether the data are.
    network: the kind of the run's network, which takes no part in the answers, or None.
    catalogue: the items.
    base: the fitted closed form.
    histories: the training histories with their strengths.
    popularity: float32 `[items]`, log popularity of deviation 1 over warm items.
    units: float32 `[items, dim]`, item factors of length 1.
    items: the `Names` of the items.
    users: the `Names` of the users.
    attributes: the items of each attribute, bool `[items]` by its folded name.
    make_reader: makes the `Reader` of the run.
  """
  digest: str
  name: str
  simulated: bool
  network: str | None
  catalogue: Catalogue
  base: closed_form.ClosedFormParams
  histories: Ragged
  popularity: np.ndarray
  units: np.ndarray
  items: search.Names
  users: search.Names
  attributes: dict
  make_reader: functools.partial

  @functools.cached_property
  def reader(self):
    """The `Reader`, made when words are first read."""
    return self.make_reader()

  @functools.cached_property
  def titles(self):
    """The index of the titles, made when they are first searched."""
    return search.Titles.of(self.catalogue.titles, self.popularity)

  @functools.cached_property
  def warm(self):
    """bool `[items]`, which items are known from training."""
    return np.asarray(self.base.warm)

  def history(self, user):
    """The ids of a known user's training history, a list of str."""
    return self.catalogue.ids[self.histories.row(self.users.place(user))].tolist()

  def named(self, item):
    """An item as it is shown."""
    return {'id': str(self.catalogue.ids[item]), 'title': str(self.catalogue.titles[item])}


def load(workdir):
  """The finished run of a work directory.

  Raises:
    UserError: where there is none, or another run is under way in it.
  """
  results = artifacts.read_json(os.path.join(workdir, 'results.json'))
  config = artifacts.read_json(os.path.join(workdir, 'config.json'))
  if results and config and results['config_sha256'] != config['sha256']:
    raise UserError(f'{workdir}: a run of another config is under way; its results are not there yet')
  return make(*finished.load(workdir), digest_of(workdir))


def make(space, prepared, encoder, content, base, digest):
  """The `Run` of what `finished.load` returns, and what tells it from others."""
  data, kind = prepared.dataset, space.config.recommender.kind
  popular, deviation = np.asarray(base.popular), np.asarray(base.popular)[np.asarray(base.warm)].std()
  factors = np.asarray(base.factors.items)
  return Run(
    digest, data.info.get('name', ''), data.info['simulated'], None if kind == CLOSED_FORM else kind, data.catalogue,
    base, prepared.strengths(space.config.base.strength), popular / (deviation if deviation > 0 else 1),
    factors / np.maximum(np.linalg.norm(factors, axis=1, keepdims=True), 1e-12),
    search.Names.of('item', data.catalogue.ids), search.Names.of('user', data.user_ids),
    _attributes(data.catalogue), functools.partial(reading.reader, space, prepared, encoder, content, base))


def digest_of(workdir):
  """What tells the run of a work directory from the next one in it, a str; None where there is none."""
  try:
    with open(os.path.join(workdir, 'results.json'), 'rb') as file:
      return hashlib.sha256(file.read()).hexdigest()[:16]
  except OSError:
    return None


def _attributes(catalogue):
  found = {}
  for item, phrases in enumerate(catalogue.phrases):
    for phrase in phrases:
      found.setdefault(search.folded(phrase), []).append(item)
  return {phrase: np.unique(items) for phrase, items in found.items()}


def answer(run, questions):
  """The answers to several questions: for each a dict, or the `UserError` that says why there is none.

  Users are scored together. Nothing of the size of users times items is ever made.
  """
  out, asked = [None] * len(questions), []
  for place, question in enumerate(questions):
    try:
      if isinstance(question, Recommend):
        asked.append((place, question, *_profile(run, question), _allowed(run, question)))
      elif isinstance(question, Similar):
        out[place] = _similar(run, question)
      else:
        out[place] = _audience(run, question)
    except UserError as error:
      out[place] = error
  scores = scoring.score(run.base, run.popularity, [profile for _, _, profile, _, _ in asked])
  for (place, question, profile, sources, allowed), found in zip(asked, scores, strict=True):
    out[place] = _recommended(run, question, profile, sources, allowed, found)
  return out


def one(run, question):
  """The answer to one question, a dict.

  Raises:
    UserError: where there is none.
  """
  found, = answer(run, [question])
  if isinstance(found, UserError):
    raise found
  return found


def _profile(run, question):
  """The `Profile` behind a question, and what its entries stand for: [(name, places in the history)]."""
  if question.user is not None:
    user = run.users.place(question.user)
    entries = slice(run.histories.offsets[user], run.histories.offsets[user + 1])
    items, weights = run.histories.values[entries], run.histories.weights[entries]
    if not len(items):
      raise UserError(f'user {question.user!r} has no training history; nothing can be recommended by it')
    factor = np.asarray(run.base.factors.users)[user]
    return scoring.Profile(items, weights, factor, question.adventure), _sources(run, items)
  if question.history is not None:
    items = np.unique([run.items.place(one) for one in question.history]).astype(np.int32)
    return scoring.Profile(items, np.ones(len(items), np.float32), None, question.adventure), _sources(run, items)
  items, weights, sources = [], [], []
  for words in question.texts:
    near, alike = _like(run, words, _READ_AS)
    sources.append(({'text': words, 'read_as': [run.named(item) for item in near[:3]]},
                    np.arange(len(near)) + sum(map(len, items))))
    items.append(near)
    weights.append(alike / alike.sum())
  return scoring.Profile(np.concatenate(items).astype(np.int32), np.concatenate(weights).astype(np.float32), None,
                         question.adventure), sources


def _sources(run, items):
  return [(run.named(item), [place]) for place, item in enumerate(items)]


def _like(run, words, count):
  """The known items that read most like a text, int `[count]`, and by how much more than others, float `[count]`."""
  alike, _ = run.reader.read(words)
  best = np.argsort(-alike, kind='stable')[:count]
  return run.reader.warm[best], np.maximum(alike[best] - alike.mean(), 1e-3)


def _allowed(run, question):
  """Which items may be named, bool `[items]`."""
  allowed = ~run.warm if question.only_new else np.ones(len(run.warm), bool)
  for words in question.filters:
    mask = np.zeros(len(allowed), bool)
    mask[_with_attribute(run, words)] = True
    allowed &= mask
  allowed[[run.items.place(one) for one in question.exclude]] = False
  return allowed


def _with_attribute(run, words):
  if not run.attributes:
    raise UserError('filters: the items of this run have no attributes')
  found = run.attributes.get(search.folded(words))
  if found is None:
    near = ', '.join(search.nearest(search.folded(words), np.array(list(run.attributes), str)))
    raise UserError(f'filters: no item has the attribute {words[:100]!r}; the nearest are {near}')
  return found


def _best(scores, allowed, k):
  """The places of the `k` best scores among those that are allowed, best first, int `[up to k]`."""
  k = min(k, int(allowed.sum()))
  if not k:
    return np.zeros(0, np.int64)
  kept = np.where(allowed, scores, -np.inf)
  # The k greatest maxima of groups are k scores, so none of the k best is below the least of them.
  most = np.maximum.reduceat(kept, np.arange(0, len(kept), _GROUP))
  best = np.flatnonzero(kept >= (np.partition(most, -k)[-k] if k <= len(most) else -np.inf))
  return best[np.lexsort((best, -kept[best]))[:k]]


def _recommended(run, question, profile, sources, allowed, found):
  if question.texts is None:
    allowed[profile.items] = False
  items = _best(found.scores, allowed, question.k)
  shown = [_shown(run, item, found.scores[item]) for item in items]
  if question.explain and shown:
    reasons = _reasons(run, profile, sources, found, items)
    shown = [one | reason for one, reason in zip(shown, reasons, strict=True)]
  answer = {'items': shown, 'simulated': run.simulated, 'run': run.digest}
  return answer if question.texts is None else answer | {'read_as': [source for source, _ in sources]}


def _shown(run, item, score):
  return run.named(item) | {'score': round(float(score), 4), 'new': not run.warm[item],
                            'attributes': list(run.catalogue.phrases[item])}


def _reasons(run, profile, sources, found, items):
  """For each item the sources that say most for it and their shares of all that speaks for it, and popularity's."""
  parts = closed_form.contributions(run.base, found.deviations, profile.items, profile.weights, items)
  popular = np.maximum(found.scores[items] - parts.sum(1), 0)
  parts = np.maximum(np.stack([parts[:, places].sum(1) for _, places in sources], 1), 0)
  total = np.maximum(parts.sum(1) + popular, 1e-12)
  for row, more, everything in zip(parts, popular, total, strict=True):
    best = [source for source in np.argsort(-row, kind='stable')[:_REASONS] if row[source] > 0]
    yield {'because': [sources[one][0] | {'share': round(float(row[one] / everything), 3)} for one in best],
           'popularity': round(float(more / everything), 3)}


def _similar(run, question):
  item, allowed = run.items.place(question.item), _allowed(run, question)
  allowed[item] = False
  scores = run.units @ run.units[item]
  shown = [_shown(run, one, scores[one]) for one in _best(scores, allowed, question.k)]
  return {'item': run.named(item), 'items': shown, 'simulated': run.simulated, 'run': run.digest}


def _audience(run, question):
  alike, factor = run.reader.read(question.text)
  scores = np.asarray(run.base.factors.users) @ factor
  users = _best(scores, np.ones(len(scores), bool), question.k)
  near = run.reader.warm[np.argsort(-alike, kind='stable')[:3]]
  return {'users': [{'id': str(run.users.names[user]), 'score': round(float(scores[user]), 4)} for user in users],
          'nearest': [run.named(item) for item in near], 'simulated': run.simulated, 'run': run.digest}
