"""One knob at serving time from the likely to the rare: popularity is taken out of finished scores."""

import jax.numpy as jnp


def damp(scores, popularity, warm, gamma):
  """Scores less gamma times their standard deviation times the items' popularity.

  Args:
    scores: float32 `[batch, items]` of any model.
    popularity: float32 `[items]`, log popularity with mean 0 and deviation 1 over warm items.
    warm: bool `[items]`, over which each row's deviation is taken.
    gamma: float scalar; 0 leaves the scores as they are.
  """
  return scores - gamma * jnp.std(scores, 1, keepdims=True, where=warm) * popularity
