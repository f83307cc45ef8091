"""The adversarial steps: ours against eager torch and torch.compile, and what share of the matmul peak they reach."""

import dataclasses
import importlib.util
import pathlib

import jax
import jax.numpy as jnp
import numpy as np

from experiments.races.turns import OURS, Skipped, missing, races
from ganrec_jax.adversarial import step
from ganrec_jax.adversarial.step import AdversarialConfig
from ganrec_jax.profiles import game, likelihood
from ganrec_jax.profiles.config import ProfileConfig
from ganrec_jax.training import profiling
from ganrec_jax.training.devices import make_chunk

STEPS = 10
ITEMS, USERS, PAIRS, WIDTH, TEXT, WARM, LENGTH = 5000, 1900, 50_000, 64, 128, 3700, 27  # about those of Last.fm
_STEP, _CRITIC = 'adversarial step', 'profile critic step'


def default_game():
  """The `AdversarialConfig` of configs/common.py."""
  path = pathlib.Path(__file__).resolve().parents[2] / 'configs' / 'common.py'
  spec = importlib.util.spec_from_file_location('common', path)
  common = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(common)
  return AdversarialConfig(**common.base().adversarial.to_dict() | {'design': 'interaction'})


@dataclasses.dataclass(frozen=True)
class Table:
  """What the game of one interaction is played on: random data of Last.fm's sizes, and the state to start from."""
  config: AdversarialConfig
  items: np.ndarray
  texts: np.ndarray
  rows: dict
  state: step.GanState

  def step(self):
    """Our step."""
    return step.make_step(self.config, jnp.asarray(self.items), jnp.asarray(self.texts))

  def batches(self, many):
    """Batches as NumPy arrays, a list of dicts."""
    sampler = jax.jit(step.make_sample(self.config))
    return [jax.device_get(sampler(key, self.rows)) for key in jax.random.split(jax.random.key(1), many)]

  def chunk(self):
    """A call that takes `STEPS` steps of ours, batches drawn within."""
    run = make_chunk(self.step(), step.make_sample(self.config), jax.devices()[:1])
    return lambda: jax.block_until_ready(run(jax.tree.map(jnp.copy, self.state), self.rows, jax.random.key(2), 0,
                                             STEPS)[1])


def table():
  """The `Table` of the default config."""
  config, rng = default_game(), np.random.default_rng(0)
  draw = lambda *shape: rng.normal(size=shape).astype(np.float32)  # noqa: E731
  items, texts, users = draw(ITEMS, WIDTH), draw(ITEMS, TEXT), draw(USERS, 2, TEXT)
  pair = rng.integers(0, ITEMS, PAIRS)
  rows = jax.tree.map(jnp.asarray, {
    'x': np.concatenate([items[pair], draw(PAIRS, 1)], 1), 'item': pair, 'text': texts[pair],
    'owner': rng.integers(0, USERS, PAIRS), 'conditions': users})
  return Table(config, items, texts, rows, step.init_state(config, WIDTH, (2, TEXT), (TEXT,), jax.random.key(0)))


def apart(at, theirs, batches):
  """The largest difference of the losses of our steps and of those of `theirs`, a torch step, over `batches`."""
  import torch
  ours, mine, largest = jax.jit(at.step()), at.state, 0.
  for batch in batches:
    mine, metrics = ours(mine, batch)
    found = theirs({name: torch.tensor(np.asarray(leaf)) for name, leaf in batch.items()})
    largest = max(largest, *(abs(float(metrics[name]) - value) for name, value in found.items()))
  return largest


def adversary(options):
  """The races of the adversarial step; losses of the first steps are held against each other before."""
  names = {'torch, eager': 1.5, 'torch.compile (Inductor)': 1.1}
  reason = missing('torch')
  if reason:
    return [Skipped(_STEP, name, reason) for name in names]
  import torch

  from experiments import torch_compiled_step, torch_step
  at = table()
  batches = at.batches(3)
  as_torch = [{name: torch.tensor(np.asarray(leaf)) for name, leaf in batch.items()} for batch in batches]
  functions, skipped, furthest = {OURS: at.chunk()}, [], 0.
  for name, form in zip(names, (torch_step, torch_compiled_step), strict=True):
    theirs = form.Step(at.config, at.state, at.items, at.texts)
    try:
      furthest = max(furthest, apart(at, theirs, batches))
    except torch._dynamo.exc.TorchDynamoException as error:
      skipped.append(Skipped(_STEP, name, f'{type(error).__name__}: {str(error).splitlines()[0]}'))
      continue
    functions[name] = lambda theirs=theirs: [theirs(as_torch[k % len(as_torch)]) for k in range(STEPS)]
  return races(_STEP, 'steps', STEPS, functions, names,
               f'batch {at.config.batch}, {at.config.d_steps} steps of D, {at.config.penalty}, {ITEMS} items; losses '
               f'of {len(batches)} steps at most {furthest:.1e} apart', options.runs) + skipped


def profiles(options):
  """The races of the game of whole profiles, both sides drawing their own batches."""
  reason = missing('torch')
  if reason:
    return [Skipped(_CRITIC, 'torch, eager', reason)]
  from experiments import torch_profile_step
  config = dataclasses.replace(ProfileConfig(), warm_up=0)
  real, params, items, prior = torch_profile_step.world(config, USERS, WARM, LENGTH, 0)
  decoder, encoder = game.parted(params)
  state = game.init_state(decoder, items, config, jax.random.key(0))
  sampler, rows = game.make_sample(config, WARM, int(real.lengths.max()), prior), likelihood.flat(real)
  batches = [jax.jit(sampler)(key, rows) for key in jax.random.split(jax.random.key(1), 3)]
  furthest = torch_profile_step.apart(config, state, encoder, items, batches)
  chunk = make_chunk(game.make_step(config, WARM, encoder, items), sampler, jax.devices()[:1])
  theirs = torch_profile_step.Step(config, state, encoder, items)
  draw = torch_profile_step.Sampler(config, real, WARM, prior)

  def ours():
    jax.block_until_ready(chunk(jax.tree.map(jnp.copy, state), rows, jax.random.key(2), 0, STEPS)[1])

  return races(_CRITIC, 'steps', STEPS, {OURS: ours, 'torch, eager': lambda: [theirs(draw()) for _ in range(STEPS)]},
               {'torch, eager': 1.5}, f'batch {config.batch}, {WARM} items, {config.penalty}; metrics of '
               f'{len(batches)} steps at most {furthest:.1e} apart, relative', options.runs)


def matmul_share(options):
  """Our adversarial step against one large matrix product after the other with as many operations."""
  at = table()
  operations = STEPS * profiling.matmul_flops(at.step(), at.state, at.batches(1)[0])
  size = profiling.PEAK_SIZE
  square = jnp.ones((size, size))
  product, times = jax.jit(jnp.matmul), max(1, round(operations / (2 * size ** 3)))

  def products():
    for _ in range(times):
      jax.block_until_ready(product(square, square))

  name = f'products of {size} x {size}'
  note = f'{operations / STEPS / 1e9:.2f} GFLOP a step; the ratio is the share of the peak'
  return races(f'matrix products of an {_STEP}', 'GFLOP', operations / 1e9, {OURS: at.chunk(), name: products},
               {name: .6}, note, options.runs)
