"""Whole user profiles: a generator, its critic, and what its profiles are worth."""
