"""The stages in order; each is a function of the config and of earlier stages, and leaves one artifact."""

import contextlib
import dataclasses
import hashlib
import os
import subprocess
import time

import jax
import jax.numpy as jnp
import numpy as np
from absl import logging

from ganrec_jax import artifacts
from ganrec_jax.data import clean, ragged, sample, splits, text
from ganrec_jax.data.types import Dataset, Split
from ganrec_jax.errors import ConfigError, UserError
from ganrec_jax.evaluation import beyond, leaks, ranking, table
from ganrec_jax.evaluation.tasks import item_masks, make_tasks, train_counts
from ganrec_jax.models import als, closed_form, kernels
from ganrec_jax.training import interrupt

# Written into every artifact's key: raise it where the meaning of an artifact changes.
VERSION = 1


@dataclasses.dataclass(frozen=True)
class Prepared:
  """What `prepare` leaves: the data, the split, and the world behind them where they are simulated."""
  dataset: Dataset
  split: Split
  world: sample.World | None


def prepare(config):
  """Reads and checks the log, drops what is too thin, and splits it.

  Raises:
    UserError: where the data or the config cannot be used.
  """
  world = None
  if config.data.source == 'sample':
    world = sample.make_world(sample.WorldConfig(seed=config.seed, **config.world.to_dict()))
    dataset = world.dataset
  elif config.data.source == 'lastfm':
    from ganrec_jax.data import lastfm  # imports TFDS, which takes seconds
    dataset = lastfm.load(config.data.manual_dir or None, os.path.expanduser(config.data.data_dir))
  else:
    raise ConfigError(f'data.source is {config.data.source!r}; allowed are sample, lastfm')
  if not 0 < config.data.user_share <= 1:
    raise ConfigError(f'data.user_share is {config.data.user_share}; allowed are numbers above 0, up to 1')
  if config.data.user_share < 1:
    dataset = clean.subsample_users(dataset, config.data.user_share, config.seed)
  dataset = clean.k_core(dataset, config.data.min_user, config.data.min_item)
  if config.data.split_file:
    dataset, split = splits.read_split(config.data.split_file, dataset)
  else:
    split = splits.make_split(dataset.interactions, dataset.users, dataset.items, kind=config.split.kind,
                              cold_items=config.split.cold_items, cold_users=config.split.cold_users,
                              seed=config.seed)
  return Prepared(dataset, split, world)


def training_histories(prepared):
  """The training items of each user, as a `Ragged` over users, oldest first where there are times."""
  log = prepared.dataset.interactions.take(prepared.split.rows('train'))
  return ragged.group(log.user, log.item, prepared.dataset.users, order=log.time)


def encode(config, prepared, workdir):
  """The text vectors float32 `[items, dim]` of all items, or None where no encoder is asked for."""
  if config.encoder.kind == 'none':
    return None
  if config.encoder.kind != 'pretrained':
    raise ConfigError(f'encoder.kind is {config.encoder.kind!r}; allowed are none, pretrained')
  key, compute = _encoding(config, prepared.dataset.catalogue.texts)
  arrays, _ = artifacts.cached(os.path.join(workdir, 'artifacts', 'encode.npz'), key, lambda: {'vectors': compute()})
  return arrays['vectors']


def encode_texts(config, texts):
  """The vectors float32 `[texts, dim]` of any texts by the config's pretrained BERT."""
  return _encoding(config, texts)[1]()


def _encoding(config, texts):
  """The hash of all that the vectors of `texts` depend on, and the function that computes them."""
  from ganrec_jax.encoding import tokenizer, vectors, weights  # these import tokenizers and safetensors
  pretrained = weights.load(weights.find(config.encoder.weights))
  words = tokenizer.encode(tokenizer.load(pretrained.folder), [str(t) for t in texts], config.encoder.max_length)
  options = {'pooling': config.encoder.pooling, 'dtype': jnp.dtype(config.encoder.dtype)}
  return (vectors.key_hash(pretrained.params, pretrained.config, words, **options),
          lambda: vectors.encode(pretrained.params, pretrained.config, words, devices=devices(config), **options))


def content(prepared, vectors):
  """The content kernel float32 `[items, items]` of the catalogue."""
  return content_of(prepared.dataset.catalogue,
                    np.flatnonzero(item_masks(prepared.dataset, prepared.split)['warm']), vectors)


def content_of(catalogue, warm, vectors):
  """The content kernel float32 `[items, items]`; whitening and vocabulary are fitted on the `warm` items only."""
  terms, num_terms = text.tfidf(catalogue.phrases, catalogue.texts, warm)
  alike = text.similarities(terms, terms, num_terms)
  if vectors is None:
    return kernels.with_unit_diagonal(kernels.content_kernel(alike, alike))
  z = kernels.whiten(vectors, warm).apply(vectors)
  return kernels.with_unit_diagonal(kernels.content_kernel(z @ z.T, alike))


def fit_base(config, prepared, vectors, workdir):
  """Fits the closed-form recommender on the training pairs, or takes it from the work directory."""
  histories = training_histories(prepared)
  key = artifacts.digest(VERSION, config.base.to_dict(), config.seed, prepared.dataset.sha256(),
                         prepared.split.sha256(),
                         '' if vectors is None else hashlib.sha256(vectors.tobytes()).hexdigest())

  def compute():
    warm = np.flatnonzero(item_masks(prepared.dataset, prepared.split)['warm'])
    params = closed_form.fit(histories, prepared.dataset.items, warm, content(prepared, vectors),
                             closed_form.ClosedFormConfig(**config.base.to_dict()), jax.random.key(config.seed))
    factors = {f'factors.{name}': value for name, value in vars(params.factors).items()}
    rest = {name: value for name, value in vars(params).items() if name != 'factors'}
    return {name: np.asarray(value) for name, value in (factors | rest).items()}

  arrays, there = artifacts.cached(os.path.join(workdir, 'artifacts', 'base.npz'), key, compute)
  if there:
    logging.info('base: taken from the work directory')
  factors = als.AlsParams(**{name.removeprefix('factors.'): jnp.asarray(value)
                             for name, value in arrays.items() if name.startswith('factors.')})
  rest = {name: jnp.asarray(value) for name, value in arrays.items() if '.' not in name and name != 'length'}
  return closed_form.ClosedFormParams(factors=factors, length=int(arrays['length']), **rest)


def check_leaks(prepared, base):
  """Fails where the fitted model holds a pair, an item or a user that it may not know.

  It reads the histories in the model itself, so that a model left by another split does not pass.

  Raises:
    LeakError: naming the user and the item.
  """
  users = np.repeat(np.arange(len(base.offsets) - 1), np.diff(np.asarray(base.offsets)))
  items = np.asarray(base.items)[:len(users)]
  leaks.check(prepared.dataset, prepared.split, {'base': (users, items)})


def by_popularity(counts, users):
  """The same scores float32 `[batch, items]` for everybody: training `counts [items]`."""
  return jnp.broadcast_to(counts, (len(users), len(counts)))


def by_matrix(scores, users):
  """The rows `[batch, items]` of ready `scores [users, items]`; for small simulated worlds only."""
  return scores[users]


def rows_to_judge(prepared, base):
  """Row name -> (score function, its parameters)."""
  counts = train_counts(prepared.dataset, prepared.split)[1]
  rows = {'popularity': (by_popularity, jnp.asarray(counts, jnp.float32)),
          'no_augmentation': (closed_form.score, base)}
  if prepared.world is not None:
    world, data = prepared.world, prepared.dataset
    users, items = (np.searchsorted(all_ids, ids) for all_ids, ids in (
      (world.dataset.user_ids, data.user_ids), (world.dataset.catalogue.ids, data.catalogue.ids)))
    rows['oracle'] = by_matrix, jnp.asarray(sample.log_probability(world, users)[:, items])
  return rows


def evaluate(config, prepared, rows, workdir, vectors):
  """Ranks every task of every row once, exports the lists, and returns row -> task -> metric -> values."""
  tasks = make_tasks(prepared.dataset, prepared.split, config.seed)
  masks, (user_counts, item_counts) = (item_masks(prepared.dataset, prepared.split),
                                       train_counts(prepared.dataset, prepared.split))
  cold = masks['cold_valid'] | masks['cold_test']
  results = {}
  for row, (score, params) in rows.items():
    results[row] = {}
    for name, task in tasks.items():
      if name == 'cold' and row == 'popularity':
        continue  # no cold item has a count
      interrupt.check()
      lists, scores = ranking.top_k(score, params, task, devices=len(devices(config)))
      artifacts.save_lists(os.path.join(workdir, 'recommendations', f'{row}.{name}.npz'), prepared.dataset.user_ids,
                       prepared.dataset.catalogue.ids, task.users, lists, scores)
      results[row][name] = ranking.metrics_per_user(lists, task.targets) | beyond.beyond_accuracy(
        lists, task.candidates, item_counts, int((user_counts > 0).sum()), cold, masks['tail'], vectors)
  return results


def show_listeners(prepared, base, seed, listeners=3, k=10):
  """The history and the top ten of a few listeners in words, new releases marked with a star."""
  tasks = make_tasks(prepared.dataset, prepared.split, seed)
  task = tasks.get('all') or next(iter(tasks.values()))
  chosen = np.sort(np.random.default_rng([seed, 3]).choice(len(task.users), min(listeners, len(task.users)), False))
  lists, _ = ranking.top_k(closed_form.score, base, task, k=k)
  histories, titles = training_histories(prepared), prepared.dataset.catalogue.titles
  warm, lines = item_masks(prepared.dataset, prepared.split)['warm'], []
  for place in chosen:
    user = task.users[place]
    lines += [f'{prepared.dataset.user_ids[user]} listened to: ' + '; '.join(titles[histories.row(user)[-8:]]),
              '  and is recommended: ' + '; '.join(
                titles[i] + ('' if warm[i] else ' * (new)') for i in lists[place] if i >= 0)]
  return '\n'.join(lines)


def devices(config):
  """The devices that the config asks for.

  Raises:
    ConfigError: where there are fewer.
  """
  found = jax.devices()
  if not 0 <= config.devices <= len(found):
    raise ConfigError(f'devices is {config.devices}; allowed are 0 (all) to {len(found)}')
  return tuple(found[:config.devices or len(found)])


def _revision():
  with contextlib.suppress(OSError, subprocess.SubprocessError):
    return subprocess.run(['git', 'rev-parse', 'HEAD'], cwd=os.path.dirname(__file__), capture_output=True, text=True,
                          check=True).stdout.strip()
  return 'unknown'


def _claim(workdir, config):
  """Makes the work directory and refuses one that another version has left."""
  path = os.path.join(workdir, 'artifacts', 'version.json')
  if os.path.exists(path):
    with open(path, encoding='utf-8') as file:
      found = file.read().strip()
    if found != str(VERSION):
      raise UserError(f'{workdir}: was left by version {found} of the artifacts, this is version {VERSION}; '
                      'choose another --workdir')
  else:
    artifacts.write_json(path, VERSION)
  plain = config.to_dict()
  artifacts.write_json(os.path.join(workdir, 'config.json'), {'config': plain, 'sha256': artifacts.digest(plain)})


def run(config, workdir):
  """Runs all stages, prints the table, and writes what design.md calls the artifacts of a run.

  Returns:
    The content of results.json.

  Raises:
    UserError: where config or data cannot be used.
    Interrupted: where a stop was asked for.
  """
  started, seconds = time.monotonic(), {}

  def timed(name, stage, *arguments):
    interrupt.check()
    logging.info('%s ...', name)
    start = time.monotonic()
    result = stage(*arguments)
    seconds[name] = time.monotonic() - start
    return result

  _claim(workdir, config)
  prepared = timed('prepare', prepare, config)
  data, split = prepared.dataset, prepared.split
  splits.write_split(os.path.join(workdir, 'split.csv.gz'), data, split)
  vectors = timed('encode', encode, config, prepared, workdir)
  base = timed('recommend', fit_base, config, prepared, vectors, workdir)
  check_leaks(prepared, base)
  rows = rows_to_judge(prepared, base)
  results = timed('evaluate', evaluate, config, prepared, rows, workdir, vectors)
  report = {
    'config': config.to_dict(), 'config_sha256': artifacts.digest(config.to_dict()), 'git_revision': _revision(),
    'data_sha256': data.sha256(), 'split_sha256': split.sha256(), 'simulated': data.info['simulated'],
    'seed': config.seed, 'device': jax.devices()[0].device_kind, 'devices': len(devices(config)),
    'wall_seconds': time.monotonic() - started,
    'dataset': {'users': data.users, 'items': data.items, 'interactions': len(data.interactions), **data.info,
                'split': splits.describe(split, data)},
    'stages': seconds, 'rows': table.records(results, config.seed, config.evaluation.resamples)}
  artifacts.write_json(os.path.join(workdir, 'results.json'), report)
  tasks = list(results['no_augmentation'])
  print(table.format_table(list(results), tasks, results, seed=config.seed, resamples=config.evaluation.resamples,
                           simulated=data.info['simulated']))
  print(show_listeners(prepared, base, config.seed))
  print(f'{workdir}: results.json and recommendations/ are complete; {report["wall_seconds"]:.0f} s')
  return report
