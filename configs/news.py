"""News: readers, and the articles they clicked.

    python -m ganrec_jax.main --config=configs/news.py:mind_small --config.data.manual_dir=FOLDER
    python -m ganrec_jax.main --config=configs/news.py:mind_large --config.data.manual_dir=FOLDER

`mind_small` reads MINDsmall_train.zip and MINDsmall_dev.zip, `mind_large` MINDlarge_train.zip and MINDlarge_dev.zip (Wu
et al. 2020; research use). The split is in time, as published: the days of train but the last one for training, the
last one for validation, the day of dev for test. News that no one has read by then are the task `cold`.
"""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from configs import common  # noqa: E402  (configs are files beside the package, no part of it)


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


VARIANTS = {'mind_small': _mind_small, 'mind_large': _mind_large}


def get_config(variant=''):
  """The locked config of a variant.

  Raises:
    ValueError: for an unknown variant, naming the nearest ones.
  """
  if variant not in VARIANTS:
    raise ValueError(common.unknown('variant', variant, [name for name in VARIANTS if name]))
  config = common.base()
  VARIANTS[variant](config)
  return config.lock()
