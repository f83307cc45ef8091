"""The domains of the sample worlds, by name."""

from ganrec_jax.data.worlds.music import MUSIC

DOMAINS = {domain.name: domain for domain in (MUSIC,)}
