"""The domains of the sample worlds, by name."""

from ganrec_jax.data.worlds.ecommerce import ECOMMERCE
from ganrec_jax.data.worlds.games import GAMES
from ganrec_jax.data.worlds.music import MUSIC
from ganrec_jax.data.worlds.news import NEWS
from ganrec_jax.data.worlds.video import VIDEO

DOMAINS = {domain.name: domain for domain in (MUSIC, VIDEO, ECOMMERCE, NEWS, GAMES)}
