"""What a run will take: seconds and bytes, from formulas of what the stages hold and do, measured on two CPU cores."""

import dataclasses
import os

import numpy as np

from ganrec_jax.evaluation.tasks import MAIN, train_counts
from ganrec_jax.models import bert
from ganrec_jax.stages import adversary, encode, recommend

GIB = 2.**30
# Estimates are told as a range of this factor down and up.
SPREAD = 1.5

# Measured on two cores of a CPU server in float32; other numbers of cores are scaled from there.
_CORES = 2
_SOLVE = 180e9  # operations a second in products and factorisations of matrices
_SMALL = 12e9  # operations a second in many small products, as in ALS
_TINY = 45e9  # operations a second of a small BERT
_BERT = 200e9  # operations a second of a large one
_GAN_STEP = .0062  # seconds a forward and backward pass of 256 rows through two blocks of width 64
_PASSES = {'none': 1., 'gradient': 2., 'r1': 2., 'r1_r2': 3.}  # a step of D, with what its penalty adds

# Seconds that do not depend on the size of the data, most of them compilation.
_START = 5.
_COMPILE = {'none': 2., 'pretrained': 6., 'trained': 12., 'adapt': 5., 'base': 6., 'gan': 10., 'penalty': 5., 'row': 6.,
            'evaluation': 5., 'network': 15.}
_TURNS = 20  # passes over the users of one task while knobs are turned
# Bytes that do not: libraries, compiled programs, weights.
_LIBRARIES, _PROGRAMS, _PRETRAINED = 1.5 * GIB, .5 * GIB, .6 * GIB
# Matrices of items times items, 4 bytes an entry, that are there at once while the closed form is fitted beside the
# content kernel and the model without generated data.
MATRICES = 9
# Beyond base.dense_items, likewise: factors of items times base.rank, 4 bytes an entry.
FACTORS = 14


@dataclasses.dataclass(frozen=True)
class Machine:
  """What a run has at its disposal: `cores`, and `memory` in bytes."""
  cores: int
  memory: int


@dataclasses.dataclass(frozen=True)
class Sizes:
  """What the costs depend on.

  Attributes:
    users, items, warm, pairs: numbers; `pairs` of training.
    tasks: evaluation tasks.
    longest: the longest training history.
    tokens: mean tokens of a text as the encoder reads it; 0 without encoder or texts.
    interactions: rows of the log.
    words: bytes of all ids, titles and texts.
  """
  users: int
  items: int
  warm: int
  pairs: int
  tasks: int
  longest: int
  tokens: float
  interactions: int
  words: int


@dataclasses.dataclass(frozen=True)
class Cost:
  """The estimate: part -> seconds, part -> bytes, and the number of cores it holds for."""
  seconds: dict
  bytes: dict
  cores: int

  @property
  def total_seconds(self):
    """Of all parts."""
    return sum(self.seconds.values())

  @property
  def total_bytes(self):
    """Of all parts at their peak."""
    return sum(self.bytes.values())


def machine():
  """The cores and the memory that this process may use, container limits heeded."""
  memory = os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES')
  for path in ('/sys/fs/cgroup/memory.max', '/sys/fs/cgroup/memory/memory.limit_in_bytes'):
    try:
      with open(path, encoding='ascii') as file:
        memory = min(memory, int(file.read()))
    except (OSError, ValueError):  # no such limit, or 'max'
      continue
  return Machine(len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1, memory)


def sizes(prepared, config, tokens):
  """The `Sizes` of prepared data whose texts have `tokens` on average."""
  data, words, lengths = prepared.dataset, prepared.dataset.catalogue, train_counts(prepared.dataset, prepared.split)[0]
  absent = sum((config.split.cold_items <= 0, config.split.cold_users <= 0)) if not config.data.split_file else 1
  return Sizes(data.users, data.items, len(prepared.warm), int(lengths.sum()), len(MAIN) - absent,
               int(lengths.max(initial=0)), tokens, len(data.interactions),
               data.user_ids.nbytes + words.ids.nbytes + words.titles.nbytes + words.texts.nbytes)


def estimate(size, config, machine):
  """The `Cost` of a run on data of a `Sizes` under a config, on a `Machine`."""
  rows = adversary.rows_of(config)
  faster = machine.cores / _CORES
  seconds = {'start and reading': (_START + 1e-6 * size.interactions, 0.), 'text encoder': _encode(size, config),
             'adversarial training': _adversarial(config, rows), 'closed form': _closed_form(size, config, len(rows)),
             'evaluation': _evaluate(size, config, len(rows))}
  if config.recommender.kind != recommend.CLOSED_FORM:
    seconds['network'] = _network(size, config, len(rows) + 1)
  return Cost({part: fixed + work / faster for part, (fixed, work) in seconds.items()}, _bytes(size, config),
              machine.cores)


def matrix(size):
  """The bytes of one matrix of items times items."""
  return 4. * size.items ** 2


def dense(size, config):
  """Whether content kernel and item-item model are matrices."""
  return size.items <= config.base.dense_items


def _encode(size, config):
  """Fixed seconds and seconds of work: training and adapting a BERT, encoding, and the content kernel."""
  encoder = config.encoder
  fixed, work = _COMPILE[encoder.kind], 2. * size.items ** 2 * 600 / _SOLVE
  if not dense(size, config):
    marks = min(encode.LANDMARKS * config.base.rank, size.warm)
    work = 2. * size.items * marks * 300 / _SMALL + 36. * marks ** 3 / _SOLVE
  if encoder.kind == 'none' or not size.tokens:
    return fixed, work
  shape = bert.VARIANTS['tiny' if encoder.kind == 'trained' else 'minilm-l6']
  speed = _TINY if encoder.kind == 'trained' else _BERT
  token = 2. * shape.layers * (4 * shape.dim ** 2 + 2 * shape.dim * shape.hidden)
  texts = size.items + (size.users if config.adversarial.design == 'interaction' else 0)
  work += token * size.tokens * texts / speed
  if encoder.kind == 'trained':
    work += encoder.steps * 64 * size.tokens * 3 * (token + 2 * .15 * shape.dim * shape.vocab_size) / speed
  if encoder.adapt_steps:
    fixed += _COMPILE['adapt']
    reads = 2 if encoder.adapt_kind == 'contrastive' else 1  # a pair of items, or one
    work += encoder.adapt_steps * reads * 64 * size.tokens * 3 * token / speed
    if encoder.kind == 'pretrained':  # the texts are read by the encoder as it was, too
      work += token * size.tokens * size.items / speed
  return fixed, work


def _adversarial(config, rows):
  """Likewise for the alternating training, of which generator_only is a second one, and the expansion."""
  game = config.adversarial
  step = _GAN_STEP * game.batch / 256 * game.layers / 2 * (game.dim / 64) ** 1.5 * game.samples ** .5
  passes = game.d_steps * _PASSES[game.penalty] + 1.5
  fixed = _COMPILE['gan'] + (_COMPILE['penalty'] if game.penalty != 'none' else 0)
  work = game.steps * step * passes
  if 'generator_only' in rows:
    fixed, work = fixed + _COMPILE['gan'], work + game.steps * step * (game.d_steps + 1.5)
  return fixed, work


def _closed_form(size, config, rows):
  """Likewise for the closed form: without generated data, and for each row at each weight and once more."""
  base, weights = config.base, len(config.expand.weights)
  solves, read = 10. * size.warm ** 3 + 2. * size.users * size.items ** 2, 0.
  others = size.warm
  if not dense(size, config):
    # Products with the co-occurrences: three of this rank and one of twice; then bases, two inverses and squares.
    others, solves, read = base.rank, 60. * size.items * base.rank ** 2, 250. * size.pairs * base.rank
  sweep = (4. * size.pairs * base.dim ** 2 + (size.users + size.warm) * base.dim ** 3 / 2)
  sweep += 2. * size.warm * others * base.dim * _SMALL / _SOLVE
  one = solves / _SOLVE + (read + base.sweeps * sweep) / _SMALL
  regimes = 2 if base.regime == 'auto' else 1
  return _COMPILE['base'] + rows * _COMPILE['row'], one * (regimes + rows * (weights + 1))


def _evaluate(size, config, rows):
  """Likewise for full ranking: on validation for each turn of a knob and each weight, on test once a row."""
  others = size.items if dense(size, config) else 6 * config.base.rank  # there and back, of twice the rank and once
  ranked = 2. * size.users * size.items * others * size.tasks / _SOLVE
  turns = _TURNS / max(size.tasks, 1) * config.base.turn_knobs * (2 if config.base.regime == 'auto' else 1)
  return _COMPILE['evaluation'], ranked * (2 + turns + rows * (len(config.expand.weights) + 2))


def _network(size, config, rows):
  """Likewise for a network, once a row."""
  network = config.recommender
  length = min(network.max_history, max(size.longest, 1))
  places = 1 if network.kind == 'mlp' else length
  outputs = size.warm if network.loss == 'full' else min(network.negatives, size.warm)
  row = places * (outputs * network.dim + network.layers * (8 * network.dim ** 2 + 2 * network.dim * network.hidden))
  return _COMPILE['network'] * rows, rows * network.steps * 6. * network.batch * row / _SMALL


def _bytes(size, config):
  found = {'libraries and compiled programs': _LIBRARIES + (_PROGRAMS if config.adversarial.penalty != 'none' else 0)}
  if config.encoder.kind == 'pretrained':
    found['pretrained encoder'] = _PRETRAINED
  if dense(size, config):
    found['item-item matrices'] = MATRICES * matrix(size)
  else:
    found['item factors'] = FACTORS * 4. * size.items * config.base.rank
  found['log, words and vectors'] = 200. * size.interactions + 3. * size.words + 16. * config.base.dim * (
    size.users + size.items)
  if config.recommender.kind != recommend.CLOSED_FORM:
    found['network'] = 24. * size.users * min(config.recommender.max_history, max(size.longest, 1)) + (
      4. * config.recommender.batch * config.recommender.max_history * config.recommender.negatives)
  return found


def dominant(parts):
  """The largest part of a dict and its share of the sum."""
  name = max(parts, key=parts.get)
  return name, parts[name] / sum(parts.values())


def span(value):
  """The range that an estimate is told as."""
  return np.array([1 / SPREAD, SPREAD]) * value
