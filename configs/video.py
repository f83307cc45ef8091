"""Video: viewers, and the films they rated 3.5 of 5 or better.

    python -m ganrec_jax.main --config=configs/video.py            an embedded, simulated world
    python -m ganrec_jax.main --config=configs/video.py:testing    the same, small

NDCG@20 of the row no_augmentation to expect on two CPU cores, seed 0: warm .187 (popularity .087), cold .237 (a random
order .110), in 2 to 3 minutes.
"""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from configs import common  # noqa: E402  (configs are files beside the package, no part of it)


def _sample(config):
  """The embedded sample world; the base was tuned on its validation part, one field after another."""
  common.sample(config, 'video')
  config.world.events = 45_000
  config.data.least_value = 3.5
  config.base.update(reg=.06, item_reg=300., kernel_weight=15., dim=32, ridge=3., cold_blend=.4)
  config.encoder.share = .1


def _testing(config):
  """The embedded sample world in seconds."""
  _sample(config)
  common.testing(config)


VARIANTS = {'': _sample, 'testing': _testing}


def get_config(variant=''):
  """The locked config of a variant, see `common.choose`."""
  return common.choose(VARIANTS, variant)
