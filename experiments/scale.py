"""What slices of eight TPU cores or chips would make of a step: a projection from compiled programs, no measurement.

    python experiments/scale.py                    writes scale.md beside this file

Each step is compiled for eight simulated devices. Its matrix products are counted in the traced program, loops
included; bytes come from the compiler's cost analysis, which counts the body of a loop once, and are scaled by the
products it misses; collectives and the bytes they reduce are read from the compiled program's text, loops included.
The peaks are those that Google publishes.
"""

import dataclasses
import math
import os
import pathlib
import re
import sys

os.environ['XLA_FLAGS'] = os.environ.get('XLA_FLAGS', '') + ' --xla_force_host_platform_device_count=8'
os.environ['NPROC'] = os.environ.get('NPROC', '16')  # with fewer threads simulated devices wait for one another
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))  # a script sees only its own folder

import jax
import jax.numpy as jnp
import numpy as np

from experiments.races import games, sequences
from ganrec_jax.adversarial import step as adversarial
from ganrec_jax.training import profiling
from ganrec_jax.training.devices import AXIS, share

DEVICES = 8
_PATH = pathlib.Path(__file__).with_suffix('.md')
_SIZES = {'f32': 4, 'bf16': 2, 'f64': 8, 's32': 4, 'u32': 4, 'pred': 1, 's64': 8}
_KINDS = 'all-reduce|all-gather|reduce-scatter|collective-permute|all-to-all'
_REDUCED = re.compile(rf'= (\(?[^=]*?)\s*(?:{_KINDS})(?:-start)?\(')
_COMMENT = re.compile(r'/\*.*?\*/')  # long tuples number their parts
_SHAPE = re.compile(r'(\w+)\[([\d,]*)\]')
_OPENS = re.compile(r'^(ENTRY )?%?([\w.\-]+) .*\{$')
_LOOP = re.compile(r'\bwhile\(.*body=%?([\w.\-]+)')
_TRIPS = re.compile(r'"known_trip_count":\{"n":"(\d+)"\}')
_CALL = re.compile(r'\bcall\(.*to_apply=%?([\w.\-]+)')


@dataclasses.dataclass(frozen=True)
class Slice:
  """Eight devices of one kind, per device.

  Attributes:
    name: of the slice.
    flops: peak operations a second in bfloat16.
    memory: bytes a second of the high-bandwidth memory.
    room: bytes of it.
    reduce: bytes a second of an all-reduce, what is published for a pod over its chips.
    source: of the figures.
  """
  name: str
  flops: float
  memory: float
  room: float
  reduce: float
  source: str


# A v3 device is a core, half a chip; a v5e device a chip.
SLICES = (Slice('v3-8', 123e12 / 2, 900e9 / 2, 16 * 2.**30, 340e12 / 1024 / 2, 'cloud.google.com/tpu/docs/v3'),
          Slice('v5e-8', 197e12, 819e9, 16e9, 51.2e12 / 256, 'cloud.google.com/tpu/docs/v5e'))


@dataclasses.dataclass(frozen=True)
class Program:
  """A compiled step, per device.

  Attributes:
    name: what it does.
    rows: of the global batch.
    flops: operations in matrix products.
    bytes: read and written.
    held: bytes of arguments and of what is there at the peak.
    collectives: how many.
    reduced: bytes they reduce.
  """
  name: str
  rows: int
  flops: float
  bytes: float
  held: float
  collectives: int
  reduced: int


def collectives(text):
  """(number, bytes) of the collectives that a compiled program runs, those in loops once a turn.

  Raises:
    ValueError: for a loop with a collective whose number of turns the compiler does not know.
  """
  bodies, current, entry = {}, None, None
  for line in text.splitlines():
    opens = _OPENS.match(line)
    if opens:
      current = opens[2]
      bodies[current], entry = [], current if opens[1] else entry
    elif current:
      bodies[current].append(_COMMENT.sub('', line))

  def count(name):
    number = size = 0
    for line in bodies[name]:
      loop, call, reduced = _LOOP.search(line), _CALL.search(line), _REDUCED.search(line)
      if reduced:
        number, size = number + 1, size + _bytes(reduced[1])
      elif loop or call:
        more = count((loop or call)[1])
        trips = _TRIPS.search(line)
        if loop and more[0] and not trips:
          raise ValueError(f'{loop[1]}: a loop with collectives whose number of turns is not known')
        turns = int(trips[1]) if trips else 1
        number, size = number + turns * more[0], size + turns * more[1]
    return number, size
  return count(entry)


def _bytes(shapes):
  found = _SHAPE.findall(shapes)
  return sum(_SIZES[kind] * math.prod(int(n) for n in dims.split(',') if n) for kind, dims in found)


def compiled(name, step, sample, state, data, once=1.):
  """The `Program` of a step over `DEVICES` devices; `once` is by how much the cost analysis misses loops."""
  def on_each(state, data, key, device):
    del device
    return step(state, share(sample(key, data), DEVICES), axis=AXIS)

  mapped = jax.pmap(on_each, axis_name=AXIS, in_axes=(None, None, None, 0), out_axes=None)
  key, numbers = jax.random.key(0), np.arange(DEVICES)
  made = mapped.lower(state, data, key, numbers).compile()
  number, reduced = collectives(made.as_text())
  memory = made.memory_analysis()
  return Program(name, jax.eval_shape(sample, key, data)['weight'].shape[0],
                 profiling.matmul_flops(mapped, state, data, key, numbers) / DEVICES,
                 made.cost_analysis()['bytes accessed'] * once,
                 memory.argument_size_in_bytes + memory.temp_size_in_bytes + memory.output_size_in_bytes, number,
                 reduced)


def adversarial_step(batch):
  """The default adversarial step at Last.fm's sizes, with another batch."""
  at = games.table()
  config = dataclasses.replace(at.config, batch=batch)
  vectors, texts = jnp.asarray(at.items), jnp.asarray(at.texts)

  def operations(d_steps):
    of = dataclasses.replace(config, d_steps=d_steps)
    one = jax.eval_shape(adversarial.make_sample(of), jax.random.key(0), at.rows)
    return profiling.matmul_flops(adversarial.make_step(of, vectors, texts), at.state, one)

  return compiled(f'adversarial step, batch {batch:,}', adversarial.make_step(config, vectors, texts),
                  adversarial.make_sample(config), at.state, at.rows, operations(config.d_steps) / operations(1))


def transformer_step(batch):
  """The Transformer recommender at MovieLens 1M's sizes, in bfloat16."""
  step, sample, state, data = sequences.parts(sequences.histories(), batch, 16, 'bfloat16')
  return compiled(f'Transformer recommender, batch {batch:,}, bfloat16', step, sample, state, data)


def project(program, of):
  """Seconds of a step on a slice: products, memory, collectives, and together, the larger of two and the third."""
  products, memory = program.flops / of.flops, program.bytes / of.memory
  # A ring passes each byte there and back, but for the own share.
  reduce = 2 * (DEVICES - 1) / DEVICES * program.reduced / of.reduce
  return products, memory, reduce, max(products, memory) + reduce


_HEAD = f"""# What a slice of eight would make of a step

**A projection, not a measurement.** `python experiments/scale.py` compiles each step for {DEVICES} simulated devices
and divides what it counts by published peaks. Per device and step:

| step | GFLOP in matrix products | MB read and written | MB held | collectives | MB reduced |
|---|---|---|---|---|---|
"""
_PEAKS = """
Peaks per device (a v3 device is a core, half a chip; a v5e device a chip):

| slice | TFLOP/s, bfloat16 | GB/s of memory | GB of memory | GB/s of an all-reduce (a pod's by its devices) | source |
|---|---|---|---|---|---|
"""
_TIMES = """
An all-reduce takes 2 (n - 1) / n times its bytes over its bandwidth, n = 8; a step the larger of products and memory,
and the collectives on top:

| step | slice | products, us | memory, us | collectives, us | together, us | rows/s | bound by |
|---|---|---|---|---|---|---|---|
"""
_REST = """
What this leaves out: the bytes are those of a program fused for a CPU, and a TPU fuses more; a product of 64 columns
fills half of a systolic array of 128; each collective begins with some microseconds of latency, whatever its size. The
loop is one `lax.scan` over a chunk, so the host is asked once a chunk and not once a step.
"""


def page(programs):
  """The text of scale.md."""
  text = _HEAD + ''.join(
    f'| {p.name} | {p.flops / 1e9:.3f} | {p.bytes / 1e6:.1f} | {p.held / 1e6:.1f} | {p.collectives} | '
    f'{p.reduced / 1e6:.2f} |\n' for p in programs)
  text += _PEAKS + ''.join(
    f'| {s.name} | {s.flops / 1e12:.1f} | {s.memory / 1e9:.0f} | {s.room / 1e9:.0f} | {s.reduce / 1e9:.0f} | '
    f'{s.source} |\n' for s in SLICES)
  text += _TIMES
  for program in programs:
    for of in SLICES:
      *parts, together = project(program, of)
      bound = ('products', 'memory', 'collectives')[int(np.argmax(parts))]
      times = ' | '.join(f'{1e6 * seconds:.1f}' for seconds in (*parts, together))
      text += f'| {program.name} | {of.name} | {times} | {program.rows / together:,.0f} | {bound} |\n'
  one, of = programs[0], SLICES[0]
  products, memory, reduce, _ = project(one, of)
  return text + (
    f'\nThe first row by hand: {one.flops / 1e9:.3f} GFLOP / {of.flops / 1e12:.1f} TFLOP/s = {1e6 * products:.1f} us; '
    f'{one.bytes / 1e6:.1f} MB / {of.memory / 1e9:.0f} GB/s\n= {1e6 * memory:.1f} us; 2 x 7 / 8 x '
    f'{one.reduced / 1e6:.2f} MB / {of.reduce / 1e9:.0f} GB/s = {1e6 * reduce:.1f} us.\n') + _REST


def main():
  """Compiles, counts, and writes the page."""
  programs = [transformer_step(128), transformer_step(4096), adversarial_step(256)]
  _PATH.write_text(page(programs), encoding='utf-8')
  print(_PATH.read_text(encoding='utf-8'))


if __name__ == '__main__':
  main()
