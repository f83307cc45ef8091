"""What prepared data are like, in plain figures: counts, activity, times, values, sample rows, split, leak check."""

import dataclasses

import numpy as np

from ganrec_jax.data import splits
from ganrec_jax.data.types import PARTS
from ganrec_jax.errors import DataError
from ganrec_jax.evaluation import leaks
from ganrec_jax.evaluation.tasks import NAMES, make_tasks
from ganrec_jax.report import costs, texts

# The least interactions of each class of users or items.
CLASSES = (1, 2, 3, 5, 10, 20, 50, 100, 200, 500, 1000, 10_000, 100_000)
SHARES = (.01, .1, .5)
SAMPLE_ROWS = 10
_POINTS = 400  # of a curve
_BINS = 60
_FEW_VALUES = 20
_SAMPLE = 0xda7a  # the purpose of the draw of sample rows


@dataclasses.dataclass(frozen=True)
class Activity:
  """How interactions are spread over the users, or over the items.

  Attributes:
    number: how many users or items have any.
    least, median, mean, most: interactions of one of them.
    classes: (least, most, share of the users or items, share of the interactions) of each class that is there.
    top: share of them (the most active first) -> share of the interactions; at least one of them.
    curve: (ranks, interactions): the interactions of the r-th most active, at ranks that are even on a log scale.
    heavy: how many have at least 100 interactions and ten times as many as 95 of 100 others; and their share of the
      interactions.
  """
  number: int
  least: int
  median: float
  mean: float
  most: int
  classes: tuple
  top: dict
  curve: tuple
  heavy: tuple


@dataclasses.dataclass(frozen=True)
class Times:
  """When things happened, in seconds since 1970, UTC.

  Attributes:
    first, last: the earliest and the latest time.
    distinct: how many different times there are.
    future: interactions later than today.
    early: interactions before 1990, when few logs began and wrong units end.
    edges, counts: interactions in even bins of time, `[bins + 1]` and `[bins]`.
  """
  first: int
  last: int
  distinct: int
  future: int
  early: int
  edges: tuple
  counts: tuple


@dataclasses.dataclass(frozen=True)
class Values:
  """What the interactions' values are.

  Attributes:
    least, median, most: of the values.
    distinct: how many different values there are.
    stars: whether they look like ratings: a few steps from at most 1 to 5 or 10.
    low: the share of the values in the lower half of that scale.
    edges: the values themselves where they are few, else the edges of bins that are even on a log scale.
    counts: interactions of each value or bin.
  """
  least: float
  median: float
  most: float
  distinct: int
  stars: bool
  low: float
  edges: tuple
  counts: tuple


@dataclasses.dataclass(frozen=True)
class Row:
  """An interaction as it will be read."""
  user: str
  item: str
  title: str
  value: float
  time: int | None
  part: str
  text: str
  phrases: tuple


@dataclasses.dataclass(frozen=True)
class Facts:
  """All that is to be known of prepared data before a run.

  Attributes:
    info: the dataset's own notes, as they are.
    users, items, interactions: counts.
    by_user, by_item: `Activity`.
    times: `Times`, or None where the log has none.
    values: `Values`.
    texts: `texts.Texts`.
    rows: ten `Row`s.
    split: kind, where it comes from, and `splits.describe`.
    tasks: task -> users on validation and on test; every task that the split is meant to have.
    training_pairs: checked by the leak check, none held out.
    mixed_ids: 'user' or 'item' -> how many ids are numbers with leading zeros beside numbers of other lengths, and an
      example; only where there are some.
    cost: `costs.Cost`.
    memory: bytes of this machine.
    today: seconds since 1970.
  """
  info: dict
  users: int
  items: int
  interactions: int
  by_user: Activity
  by_item: Activity
  times: Times | None
  values: Values
  texts: texts.Texts
  rows: tuple
  split: dict
  tasks: dict
  training_pairs: int
  mixed_ids: dict
  cost: costs.Cost
  memory: int
  today: int


def find(prepared, config, today, machine):
  """The `Facts` of `Prepared` data under a config.

  Args:
    prepared: `Prepared`.
    config: the whole config.
    today: seconds since 1970, by which times are in the future.
    machine: `costs.Machine`.

  Raises:
    LeakError: where training would see what is held out.
    DataError: where the split has nothing to train on or a target that is no candidate, or where the encoder's
      tokenizer cannot be found.
  """
  data, log = prepared.dataset, prepared.dataset.interactions
  pairs = check_leaks(prepared)
  words = texts.find(data.catalogue, prepared.warm, config)
  return Facts(
    info=data.info, users=data.users, items=data.items, interactions=len(log),
    by_user=activity(np.bincount(log.user, minlength=data.users)),
    by_item=activity(np.bincount(log.item, minlength=data.items)),
    times=None if log.time is None else times(log.time, today), values=values(log.value), texts=words,
    rows=sample_rows(prepared, config.seed), split=_split(prepared, config), tasks=_tasks(prepared, config),
    training_pairs=pairs, mixed_ids=_mixed(data),
    cost=costs.estimate(costs.sizes(prepared, config, words.tokens), config, machine), memory=machine.memory,
    today=today)


def activity(counts):
  """The `Activity` of the interactions `counts [n]` of users or items, all at least 1."""
  ordered = np.sort(counts)[::-1]
  total, number = int(ordered.sum()), len(ordered)
  running = np.cumsum(ordered)
  place = np.searchsorted(CLASSES, ordered, 'right') - 1
  classes = []
  for k, least in enumerate(CLASSES):
    inside = place == k
    if inside.any():
      most = CLASSES[k + 1] - 1 if k + 1 < len(CLASSES) else None
      classes.append((least, most, float(inside.mean()), float(ordered[inside].sum() / total)))
  ranks = np.unique(np.geomspace(1, number, min(number, _POINTS)).round().astype(int))
  # Without the upper twentieth nobody raises the bar that he is measured by.
  heavy = (ordered >= 100) & (ordered > 10 * ordered[min(int(np.ceil(.05 * number)), number - 1)])
  return Activity(number, int(ordered[-1]), float(np.median(ordered)), total / number, int(ordered[0]), tuple(classes),
                  {share: float(running[max(1, round(share * number)) - 1] / total) for share in SHARES},
                  (tuple(ranks.tolist()), tuple(ordered[ranks - 1].tolist())),
                  (int(heavy.sum()), float(ordered[heavy].sum() / total)))


def times(time, today):
  """The `Times` of the column `time` int64 `[n]`."""
  first, last = int(time.min()), int(time.max())
  # Counted from the first one: floats cannot tell large times apart.
  counts, edges = np.histogram(time - first, bins=_BINS if last > first else 1, range=(0, max(last - first, 1)))
  # Sorting is much faster here than np.unique, which NumPy 2 does by hashing.
  distinct = 1 + int(np.count_nonzero(np.diff(np.sort(time))))
  return Times(first, last, distinct, int((time > today).sum()), int((time < 631152000).sum()),
               tuple((first + edges).tolist()), tuple(counts.tolist()))


def values(value):
  """The `Values` of the column `value` float32 `[n]`."""
  found, counts = np.unique(value, return_counts=True)
  least, most = float(found[0]), float(found[-1])
  stars = bool(3 <= len(found) <= 10 and most in (5., 10.) and least <= 1 and (found * 2 % 1 == 0).all())
  low = float(counts[found <= most / 2].sum() / len(value)) if stars else 0.
  edges = found
  if len(found) > _FEW_VALUES:
    whole = (found == np.floor(found)).all()
    edges = np.unique(np.geomspace(least, most + 1, 31).round()) if whole else np.geomspace(least, most, 31)
    bins = len(edges) - 1
    counts = np.bincount(np.clip(np.searchsorted(edges, found, 'right') - 1, 0, bins - 1), counts, bins).astype(int)
  return Values(least, float(np.median(value)), most, len(found), stars, low, tuple(edges.tolist()),
                tuple(counts.tolist()))


def sample_rows(prepared, seed):
  """`SAMPLE_ROWS` rows of the log, drawn by `seed`, in the order of the log."""
  data, log = prepared.dataset, prepared.dataset.interactions
  drawn = np.random.default_rng([seed, _SAMPLE]).choice(len(log), min(SAMPLE_ROWS, len(log)), replace=False)
  names = data.catalogue
  return tuple(Row(str(data.user_ids[log.user[row]]), str(names.ids[log.item[row]]), str(names.titles[log.item[row]]),
                   float(log.value[row]), None if log.time is None else int(log.time[row]),
                   PARTS[prepared.split.part[row]], str(names.texts[log.item[row]]), names.phrases[log.item[row]])
               for row in np.sort(drawn).tolist())


def check_leaks(prepared):
  """The number of training pairs that a run would fit, after the leak check of these and of the warm items.

  Raises:
    LeakError: where one of them is held out.
    DataError: where there are none.
  """
  histories = prepared.histories
  if not len(histories.values):
    raise DataError('the split has no row of the part train; allowed are splits with something to train on')
  users = np.repeat(np.arange(len(histories)), histories.lengths)
  leaks.check(prepared.dataset, prepared.split, {'training pairs': (users, histories.values)},
              {'warm items': prepared.warm}, {'training users': np.flatnonzero(histories.lengths)})
  return len(users)


def _split(prepared, config):
  return {'kind': config.split.kind, 'file': config.data.split_file,
          **splits.describe(prepared.split, prepared.dataset)}


def _tasks(prepared, config):
  """Task -> (users on validation, users on test); 0 where a task that is due has none."""
  made = [make_tasks(prepared.dataset, prepared.split, config.seed, held_out) for held_out in ('valid', 'test')]
  drawn = not config.data.split_file
  due = {'cold': drawn and config.split.cold_items > 0, 'cold_user': drawn and config.split.cold_users > 0}
  return {name: tuple(len(tasks[name].users) if name in tasks else 0 for tasks in made) for name in NAMES
          if due.get(name, True) or any(name in tasks for tasks in made)}


def _mixed(data):
  """Which ids are numbers, some with leading zeros and not all of one length, so that zeros may have been lost."""
  found = {}
  for kind, ids in (('user', data.user_ids), ('item', data.catalogue.ids)):
    numbers = ids[np.strings.isdigit(ids)]
    zeros = numbers[np.strings.startswith(numbers, '0') & (np.strings.str_len(numbers) > 1)]
    if len(zeros) and len(np.unique(np.strings.str_len(numbers))) > 1:
      found[kind] = (len(zeros), str(zeros[0]))
  return found
