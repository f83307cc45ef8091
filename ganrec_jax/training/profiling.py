"""Where the time of a trained stage goes: its parts, its matrix products against the machine's best, and a trace."""

import contextlib
import functools
import math
import time

import jax
import jax.extend.core
import jax.numpy as jnp

PARTS = ('start', 'compute', 'input', 'evaluate', 'save')
PEAK_SIZE = 1024  # rows of the square matrices whose product is the machine's best
_WINDOW = 5  # steps of a trace: each is thousands of events on a CPU
_ROUNDS = 5


class Clock:
  """Sums the wall seconds of the parts of a stage; `with clock('save'): ...` adds to one."""

  def __init__(self):
    self._began, self.seconds = time.monotonic(), dict.fromkeys(PARTS, 0.)

  @contextlib.contextmanager
  def __call__(self, part):
    start = time.monotonic()
    try:
      yield
    finally:
      self.seconds[part] += time.monotonic() - start

  def told(self, examples, first, flops, devices):
    """What the stage cost, a dict for JSON.

    Args:
      examples: rows of all batches since the clock began.
      first: those of the first chunk among them.
      flops: operations in matrix products for one example.
      devices: how many computed.

    Returns:
      `seconds` since the clock began; `examples`; `share` of the seconds in each of `PARTS` ('start' is the first chunk
      with its compilation) and in what is left, 'other'; and, where more than the first chunk was taken,
      `examples_per_second` of all but that one, `flops_per_second` in matrix products, and `matmul_share`, what that is
      of `peak`.
    """
    seconds = max(time.monotonic() - self._began, 1e-9)
    share = {part: spent / seconds for part, spent in self.seconds.items()}
    found = {'seconds': seconds, 'examples': examples, 'share': share | {'other': max(0., 1 - sum(share.values()))}}
    if examples > first:
      rate = (examples - first) / max(self.seconds['compute'], 1e-9)
      found |= {'examples_per_second': rate, 'flops_per_second': rate * flops,
                'matmul_share': rate * flops / peak(devices)}
    return found


def words(costs):
  """The costs of a stage in one line."""
  share = ', '.join(f'{part} {value:.0%}' for part, value in costs['share'].items())
  line = f'{costs["examples"]} examples in {costs["seconds"]:.1f} s ({share})'
  if 'examples_per_second' in costs:
    line += (f'; {costs["examples_per_second"]:,.0f} examples/s after the first chunk, '
             f'{costs["flops_per_second"] / 1e9:.3g} GFLOP/s in matrix products, {costs["matmul_share"]:.0%} of the '
             "machine's best")
  return line


@functools.cache
def peak(devices):
  """The operations a second of the best of a few large matrix products, in the default precision, on `devices`.

  Simulated devices share one CPU, whose threads one product uses already.
  """
  square = jnp.ones((PEAK_SIZE, PEAK_SIZE), jnp.float32)
  product = jax.jit(jnp.matmul)
  jax.block_until_ready(product(square, square))
  best = math.inf
  for _ in range(_ROUNDS):
    start = time.perf_counter()
    jax.block_until_ready(product(square, square))
    best = min(best, time.perf_counter() - start)
  return 2 * PEAK_SIZE ** 3 / best * (1 if jax.default_backend() == 'cpu' else devices)


def matmul_flops(function, *arguments, static=()):
  """The operations (a product and a sum are two) of all matrix products in one call of a function, loops counted.

  A compiler's own estimate counts the body of a loop once. Of a `while` without a known length the body counts once
  here too; of a `cond` the largest branch.

  Args:
    function: what JAX can trace.
    arguments: its arguments, arrays or their shapes.
    static: the place, or places, of what is static; a compiled function that was called with the like is not traced
      anew.
  """
  return _flops(jax.make_jaxpr(function, static_argnums=static)(*arguments).jaxpr)


def _flops(jaxpr):
  return sum(_of_equation(equation) for equation in jaxpr.eqns)


def _of_equation(equation):
  if equation.primitive.name == 'dot_general':
    (contracted, _), _ = equation.params['dimension_numbers']
    left = equation.invars[0].aval.shape
    return 2 * math.prod(equation.outvars[0].aval.shape) * math.prod(left[axis] for axis in contracted)
  inner = [_flops(body) for body in _bodies(equation.params)]
  if equation.primitive.name == 'cond':
    return max(inner)
  times = {'scan': lambda params: params['length'], 'shard_map': lambda params: params['mesh'].size}
  return sum(inner) * times.get(equation.primitive.name, lambda params: 1)(equation.params)


def _bodies(params):
  """The jaxprs among the parameters of an equation."""
  for value in params.values():
    for one in value if isinstance(value, tuple | list) else (value,):
      if isinstance(one, jax.extend.core.ClosedJaxpr):
        yield one.jaxpr
      elif isinstance(one, jax.extend.core.Jaxpr):
        yield one


def trace(chunk, state, data, key, folder):
  """Writes a trace of a few steps into `folder`, for TensorBoard and Perfetto; what they do is thrown away.

  Args:
    chunk: as `devices.make_chunk` makes it.
    state, data, key: what it is called with; the state is copied.
    folder: made where it does not exist.

  Returns:
    How many steps the trace is of.
  """
  def run():
    jax.block_until_ready(chunk(jax.tree.map(jnp.copy, state), data, key, 0, _WINDOW))

  run()  # compiles
  options = jax.profiler.ProfileOptions()
  options.python_tracer_level = 0
  with jax.profiler.trace(folder, profiler_options=options):
    run()
  return _WINDOW
