"""E-commerce: customers, and the products they bought, within a budget.

    python -m ganrec_jax.main --config=configs/ecommerce.py            an embedded, simulated world
    python -m ganrec_jax.main --config=configs/ecommerce.py:testing    the same, small

NDCG@20 of the row no_augmentation to expect on two CPU cores, seed 0: warm .272 (popularity .158), cold .267 (a random
order .116), in 2 to 3 minutes.
"""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from configs import common  # noqa: E402  (configs are files beside the package, no part of it)


def _sample(config):
  """The embedded sample world; the base was tuned on its validation part, one field after another."""
  common.sample(config, 'ecommerce')
  config.base.update(reg=.06, item_reg=300., dim=32, warm_blend=.4, ridge=1.)
  config.encoder.share = .1


def _testing(config):
  """The embedded sample world in seconds."""
  _sample(config)
  common.testing(config)


VARIANTS = {'': _sample, 'testing': _testing}


def get_config(variant=''):
  """The locked config of a variant, see `common.choose`."""
  return common.choose(VARIANTS, variant)
