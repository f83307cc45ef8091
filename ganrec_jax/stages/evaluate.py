"""evaluate: every row ranks every task once on real test data; lists, figures, and three people in words."""

import glob
import os

import jax.numpy as jnp
import numpy as np

from ganrec_jax import artifacts
from ganrec_jax.data import sample
from ganrec_jax.evaluation import beyond, ranking, strata
from ganrec_jax.evaluation.tasks import item_masks, make_tasks, train_counts
from ganrec_jax.models import blend
from ganrec_jax.stages.recommend import for_all, knowing
from ganrec_jax.training import interrupt


def by_popularity(counts, users):
  """The same scores float32 `[batch, items]` for everybody: training `counts [items]`."""
  return jnp.broadcast_to(counts, (len(users), len(counts)))


def by_matrix(scores, users):
  """The rows `[batch, items]` of ready `scores [users, items]`; for small simulated worlds only."""
  return scores[users]


def oracle(prepared, least=0.):
  """The true log probabilities float32 `[users, items]` of a simulated world: the ceiling of what can be known.

  They are those of a row in the log, so of a value of `least` or more where smaller ones are dropped; and where all
  test rows come later than what was there to learn from (a split in time), those of a row from the first of them on.
  """
  world, data, split = prepared.world, prepared.dataset, prepared.split
  time = data.interactions.time
  known, asked = (time[split.rows(*parts)] for parts in (
    ('train', 'valid', 'cold_valid', 'user_valid'), ('test', 'cold_test', 'user_test')))
  since = asked.min() if len(asked) and known.max() <= asked.min() else None
  users, items = (np.searchsorted(all_ids, ids) for all_ids, ids in (
    (world.dataset.user_ids, data.user_ids), (world.dataset.catalogue.ids, data.catalogue.ids)))
  return jnp.asarray(sample.log_probability(world, users, since, least)[:, items])


class Evaluation:
  """The test tasks of a split, and the results of the rows ranked so far.

  Attributes:
    results: row -> task -> metric -> values, see `table.records`.
    strata: row -> task -> stratum -> metric -> values, see `strata.records`.
    choices: row -> what was chosen on validation.
  """

  def __init__(self, workspace, prepared, texts, judge):
    self._workspace, self._prepared, self._texts, self._judge = workspace, prepared, texts, judge
    self._tasks = make_tasks(prepared.dataset, prepared.split, workspace.config.seed)
    self._masks = item_masks(prepared.dataset, prepared.split)
    self._activity, self._counts = train_counts(prepared.dataset, prepared.split)
    self._users = int((self._activity > 0).sum())
    self.results, self.strata, self.choices = {}, {}, {}

  def add(self, row, score, params, skip=()):
    """Ranks all tasks but those of `skip` by one score function."""
    for task in self._tasks:
      if task not in skip:
        self._rank(row, task, score, params)

  def add_model(self, row, model):
    """Ranks all tasks by a fitted `Model`; in `all` its cold scores are calibrated, or left out as `never_cold`."""
    calibrated, chosen = for_all(self._prepared, model, self._judge)
    self.choices[row] = model.choices | ({'calibration': chosen} if chosen else {})
    for name, task in self._tasks.items():
      if name != 'all':
        self._rank(row, name, model.score, knowing(model.params, task))
    if 'all' in self._tasks:
      self._rank(row, 'all', blend.score_calibrated, calibrated)
      if row == 'no_augmentation' and chosen:
        self._rank('never_cold', 'all', blend.score_calibrated,
                   calibrated.replace(factor=jnp.float32(0), offset=jnp.float32(-jnp.inf)))

  def add_references(self):
    """Ranks by popularity, which knows no new item, and by the truth where the data are simulated."""
    self.add('popularity', by_popularity, jnp.asarray(self._counts, jnp.float32), skip=('cold',))
    if self._prepared.world is not None:
      self.add('oracle', by_matrix, oracle(self._prepared, self._workspace.config.data.least_value))

  def _rank(self, row, name, score, params):
    interrupt.check()
    data, task = self._prepared.dataset, self._tasks[name]
    lists, scores = ranking.top_k(score, params, task, devices=len(self._workspace.local))
    artifacts.save_lists(_lists(self._workspace, f'{row}.{name}'), data.user_ids, data.catalogue.ids, task.users,
                         lists, scores)
    cold = self._masks['cold_valid'] | self._masks['cold_test']
    values = ranking.metrics_per_user(lists, task.targets)
    self.strata.setdefault(row, {})[name] = strata.by_stratum(task, lists, values, self._activity, self._counts)
    self.results.setdefault(row, {})[name] = values | beyond.beyond_accuracy(
      lists, task.candidates, self._counts, self._users, cold, self._masks['tail'], self._texts)

  def finish(self):
    """Removes the lists of rows and tasks that this run does not have."""
    kept = {_lists(self._workspace, f'{row}.{task}') for row, tasks in self.results.items() for task in tasks}
    for path in glob.glob(_lists(self._workspace, '*')):
      if path not in kept:
        os.remove(path)


def _lists(workspace, name):
  return os.path.join(workspace.path, 'recommendations', f'{name}.npz')


def show_people(workspace, prepared, model, people=3, k=10):
  """The history and the top ten of a few people in words, new releases marked with a star."""
  seed = workspace.config.seed
  tasks = make_tasks(prepared.dataset, prepared.split, seed)
  task = tasks.get('all') or next(iter(tasks.values()))
  chosen = np.sort(np.random.default_rng([seed, 3]).choice(len(task.users), min(people, len(task.users)), False))
  lists, _ = ranking.top_k(model.score, model.params, task, k=k)
  histories, titles = prepared.histories, prepared.dataset.catalogue.titles
  verb = prepared.dataset.info.get('verb', 'chose')
  warm, lines = item_masks(prepared.dataset, prepared.split)['warm'], []
  for place in chosen:
    user = task.users[place]
    lines += [f'{prepared.dataset.user_ids[user]} {verb}: ' + '; '.join(titles[histories.row(user)[-8:]]),
              '  and is recommended: ' + '; '.join(
                titles[i] + ('' if warm[i] else ' * (new)') for i in lists[place] if i >= 0)]
  return '\n'.join(lines)
