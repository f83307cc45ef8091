"""News: readers, and articles that nobody reads any more a few days after they came out.

The split is in time, so that most of what is read in the test days is new: the task `cold`.

    python -m ganrec_jax.main --config=configs/news.py            an embedded, simulated world
    python -m ganrec_jax.main --config=configs/news.py:testing    the same, small
    python -m ganrec_jax.main --config=configs/news.py:mind_small --config.data.manual_dir=FOLDER
    python -m ganrec_jax.main --config=configs/news.py:mind_large --config.data.manual_dir=FOLDER

`mind_small` reads MINDsmall_train.zip and MINDsmall_dev.zip, `mind_large` MINDlarge_train.zip and MINDlarge_dev.zip (Wu
et al. 2020; research use), split as published: the days of train but the last one for training, the last one for
validation, the day of dev for test.

NDCG@20 of the row no_augmentation to expect of the sample on two CPU cores, seed 0: cold .361 (a random order .162), in
2 to 3 minutes. Warm is .061 (popularity .036) for the few who still read an old article: the model does not know that
the others are dead, the oracle does.
"""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from configs import common  # noqa: E402  (configs are files beside the package, no part of it)


def _sample(config):
  """The embedded sample world; the base was tuned on its validation part, one field after another."""
  common.sample(config, 'news')
  config.split.update(kind='temporal', cold_items=0.)
  config.base.update(dim=16, reg=.06, item_reg=300., power=.25, warm_blend=.4, ridge=3., kappa=1.)


def _testing(config):
  """The embedded sample world in seconds."""
  _sample(config)
  common.testing(config)


def _mind(config):
  """The split and the encoder of both sets."""
  config.split.update(kind='temporal', cold_items=0., valid_from='2019-11-14', test_from='2019-11-15')
  config.encoder.kind = 'pretrained'


def _mind_small(config):
  """MIND-small: the logs of 50,000 users."""
  _mind(config)
  # The item-item model is dense in the items, of which most are rare.
  config.data.update(source='mind_small', min_item=20)


def _mind_large(config):
  """MIND-large: the logs of a million users."""
  _mind(config)
  config.data.update(source='mind_large', min_item=200)


VARIANTS = {'': _sample, 'testing': _testing, 'mind_small': _mind_small, 'mind_large': _mind_large}


def get_config(variant=''):
  """The locked config of a variant, see `common.choose`."""
  return common.choose(VARIANTS, variant)
