"""Video: viewers and movies.

    python -m ganrec_jax.main --config=configs/video.py:movielens_small --config.data.manual_dir=FOLDER
    python -m ganrec_jax.main --config=configs/video.py:movielens_small_testing --config.data.manual_dir=FOLDER
    python -m ganrec_jax.main --config=configs/video.py:movielens_1m --config.data.manual_dir=FOLDER
    python -m ganrec_jax.main --config=configs/video.py:movielens_32m --config.data.manual_dir=FOLDER

They read ml-latest-small.zip, ml-1m.zip and ml-32m.zip (Harper and Konstan 2015; research use), from the folder or,
with a network, from GroupLens. A rating of 3.5 or more is an interaction.

NDCG@20 of the row no_augmentation to expect of `movielens_small` on the frozen split `movielens`, seed 0, on CPU: warm
.253, cold .334, in 3 minutes of processor time and 2.7 GiB; cold moves by .03 from draw to draw.
"""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from configs import common  # noqa: E402  (configs are files beside the package, no part of it)


def _movielens_small(config):
  """MovieLens ml-latest-small: 610 viewers, 9,724 movies; the base was tuned on the frozen split's validation part."""
  config.data.update(source='movielens_small', least_value=3.5)
  config.encoder.kind = 'pretrained'
  config.base.update(unobserved=.1, reg=.02, kappa=3., ridge=1., item_reg=100., kernel_weight=100., power=.6,
                     warm_blend=.8)


def _movielens_small_testing(config):
  """A tenth of ml-latest-small's viewers, without the pretrained encoder."""
  _movielens_small(config)
  config.data.user_share = .1
  config.encoder.kind = 'none'
  config.evaluation.resamples = 1000
  config.base.sweeps = 4
  config.adversarial.update(steps=100, chunk=50, layers=1, dim=32, batch=128)
  config.expand.weights = (.01, .1)


def _movielens_1m(config):
  """MovieLens 1M: 6,040 viewers; the base is that of ml-latest-small."""
  _movielens_small(config)
  config.data.source = 'movielens_1m'


def _movielens_32m(config):
  """MovieLens 32M: 200,948 viewers, the movies that 100 or more of them liked; the base is that of ml-latest-small."""
  _movielens_small(config)
  # The item-item model is a matrix of items x items.
  config.data.update(source='movielens_32m', min_item=100)


VARIANTS = {'movielens_small': _movielens_small, 'movielens_small_testing': _movielens_small_testing,
            'movielens_1m': _movielens_1m, 'movielens_32m': _movielens_32m}


def get_config(variant='movielens_small'):
  """The locked config of a variant.

  Raises:
    ValueError: for an unknown variant, naming the nearest ones.
  """
  if variant not in VARIANTS:
    raise ValueError(common.unknown('variant', variant, VARIANTS))
  config = common.base()
  VARIANTS[variant](config)
  return config.lock()
