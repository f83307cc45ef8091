"""Video: viewers, and the films they rated 3.5 of 5 or better.

    python -m ganrec_jax.main --config=configs/video.py            an embedded, simulated world
    python -m ganrec_jax.main --config=configs/video.py:testing    the same, small
    python -m ganrec_jax.main --config=configs/video.py:movielens_small --config.data.manual_dir=FOLDER
    python -m ganrec_jax.main --config=configs/video.py:movielens_small_testing --config.data.manual_dir=FOLDER

Likewise `movielens_1m` and `movielens_32m`. They read ml-latest-small.zip, ml-1m.zip and ml-32m.zip (Harper and Konstan
2015; research use), from the folder or, with a network, from GroupLens.

NDCG@20 of the row no_augmentation to expect on two CPU cores, seed 0: sample warm .187 (popularity .087), cold .237 (a
random order .110), in 2 to 3 minutes; `movielens_small` over the five frozen draws
warm .265, cold .335, all .243, tail .028; cold moves by .04 from draw to draw.
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


def _movielens_small(config):
  """MovieLens ml-latest-small: 610 viewers, 9,724 movies; the base was tuned on the frozen split's validation part."""
  config.data.update(source='movielens_small', least_value=3.5)
  config.encoder.update(kind='pretrained', share=.7)
  config.base.update(unobserved=.1, reg=.02, kappa=3., ridge=1., item_reg=100., kernel_weight=100., strength=2.)


def _movielens_small_testing(config):
  """A tenth of ml-latest-small's viewers, without the pretrained encoder."""
  _movielens_small(config)
  common.quick(config)


def _movielens_1m(config):
  """MovieLens 1M: 6,040 viewers; the base is that of ml-latest-small."""
  _movielens_small(config)
  config.data.source = 'movielens_1m'


def _movielens_32m(config):
  """MovieLens 32M: 200,948 viewers, the movies that 100 or more of them liked; the base is that of ml-latest-small."""
  _movielens_small(config)
  # The item-item model is a matrix of items x items.
  config.data.update(source='movielens_32m', min_item=100)


VARIANTS = {'': _sample, 'testing': _testing, 'movielens_small': _movielens_small,
            'movielens_small_testing': _movielens_small_testing, 'movielens_1m': _movielens_1m,
            'movielens_32m': _movielens_32m}


def get_config(variant=''):
  """The locked config of a variant, see `common.choose`."""
  return common.choose(VARIANTS, variant)
