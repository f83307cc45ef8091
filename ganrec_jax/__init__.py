"""Recommendation with adversarially generated training data, in JAX and Flax."""

__version__ = '0.1.0'
