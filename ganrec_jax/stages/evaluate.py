"""evaluate: every row ranks every task once on real test data; lists, figures, and three listeners in words."""

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


def oracle(prepared):
  """The true log probabilities float32 `[users, items]` of a simulated world: the ceiling of what can be known."""
  world, data = prepared.world, prepared.dataset
  users, items = (np.searchsorted(all_ids, ids) for all_ids, ids in (
    (world.dataset.user_ids, data.user_ids), (world.dataset.catalogue.ids, data.catalogue.ids)))
  return jnp.asarray(sample.log_probability(world, users)[:, items])


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
      self.add('oracle', by_matrix, oracle(self._prepared))

  def _rank(self, row, name, score, params):
    interrupt.check()
    data, task = self._prepared.dataset, self._tasks[name]
    lists, scores = ranking.top_k(score, params, task, devices=len(self._workspace.devices))
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


def show_listeners(workspace, prepared, model, listeners=3, k=10):
  """The history and the top ten of a few listeners in words, new releases marked with a star."""
  seed = workspace.config.seed
  tasks = make_tasks(prepared.dataset, prepared.split, seed)
  task = tasks.get('all') or next(iter(tasks.values()))
  chosen = np.sort(np.random.default_rng([seed, 3]).choice(len(task.users), min(listeners, len(task.users)), False))
  lists, _ = ranking.top_k(model.score, model.params, task, k=k)
  histories, titles = prepared.histories, prepared.dataset.catalogue.titles
  warm, lines = item_masks(prepared.dataset, prepared.split)['warm'], []
  for place in chosen:
    user = task.users[place]
    lines += [f'{prepared.dataset.user_ids[user]} listened to: ' + '; '.join(titles[histories.row(user)[-8:]]),
              '  and is recommended: ' + '; '.join(
                titles[i] + ('' if warm[i] else ' * (new)') for i in lists[place] if i >= 0)]
  return '\n'.join(lines)
