"""Games: players, and the hours they spent on each game.

    python -m ganrec_jax.main --config=configs/games.py            an embedded, simulated world
    python -m ganrec_jax.main --config=configs/games.py:testing    the same, small

NDCG@20 of the row no_augmentation to expect on two CPU cores, seed 0: warm .240 (popularity .121), cold .247 (a random
order .102), in 2 to 3 minutes.
"""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from configs import common  # noqa: E402  (configs are files beside the package, no part of it)


def _sample(config):
  """The embedded sample world; the base was tuned on its validation part, one field after another."""
  common.sample(config, 'games')
  config.base.update(reg=.06, item_reg=1000., dim=32, ridge=3.)


def _testing(config):
  """The embedded sample world in seconds."""
  _sample(config)
  common.testing(config)


VARIANTS = {'': _sample, 'testing': _testing}


def get_config(variant=''):
  """The locked config of a variant, see `common.choose`."""
  return common.choose(VARIANTS, variant)
