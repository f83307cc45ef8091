"""The projection for slices: collectives counted from a program with known ones, and the arithmetic."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import scale


def test_collectives_are_counted_once_a_turn():
  def f(x):
    def turn(x, _):
      return jax.lax.psum(jnp.tanh(x @ x), 'i') / 4, None
    x = jax.lax.scan(turn, x, None, length=3)[0]
    return jax.lax.psum(x[0], 'i')

  mapped = jax.pmap(f, axis_name='i', devices=jax.devices()[:4])
  text = mapped.lower(np.ones((4, 8, 8), np.float32)).compile().as_text()
  assert scale.collectives(text) == (4, 3 * 8 * 8 * 4 + 8 * 4)


def test_a_tuple_counts_all_of_its_parts():
  text = ('ENTRY %main (p: f32[4]) -> f32[4] {\n'
          '  %r = (f32[2,3]{1,0}, /*index=1*/bf16[5]{0}) all-reduce(%a, %b), to_apply=%add\n}\n')
  assert scale.collectives(text) == (1, 2 * 3 * 4 + 5 * 2)


def test_a_loop_of_unknown_length_is_refused():
  text = ('%body (p: f32[4]) -> f32[4] {\n  %r = f32[4]{0} all-reduce(%a), to_apply=%add\n}\n'
          'ENTRY %main (p: f32[4]) -> f32[4] {\n  %w = f32[4]{0} while(%p), condition=%c, body=%body\n}\n')
  with pytest.raises(ValueError, match='turns is not known'):
    scale.collectives(text)


def test_a_step_takes_the_larger_of_products_and_memory_and_its_collectives():
  of = scale.Slice('x', flops=100., memory=10., room=1., reduce=7., source='')
  program = scale.Program('p', 8, flops=200., bytes=50., held=1., collectives=1, reduced=4)
  assert scale.project(program, of) == (2., 5., 1., 6.)
  page = scale.page([program])
  assert 'A projection, not a measurement' in page and '| p | v3-8 |' in page
