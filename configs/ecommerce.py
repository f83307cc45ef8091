"""E-commerce: customers, and the products they bought within a budget, or reviewed.

    python -m ganrec_jax.main --config=configs/ecommerce.py            an embedded, simulated world
    python -m ganrec_jax.main --config=configs/ecommerce.py:testing    the same, small
    python -m ganrec_jax.main --config=configs/ecommerce.py:amazon_Video_Games --config.data.manual_dir=FOLDER
    python -m ganrec_jax.main --config=configs/ecommerce.py:amazon_2018_Video_Games --config.data.manual_dir=FOLDER

`amazon_<category>` is any category of Amazon Reviews 2023 (Hou et al. 2024): Video_Games.jsonl.gz and
meta_Video_Games.jsonl.gz. `amazon_2018_<category>` is any of 2018 (Ni, Li, McAuley 2019): Video_Games_5.json.gz, the
5-core, or the complete Video_Games.json.gz where the folder holds that one alone, and meta_Video_Games.json.gz.

NDCG@20 of the row no_augmentation to expect of the sample on two CPU cores, seed 0: warm .272 (popularity .158), cold
.267 (a random order .116), in 2 to 3 minutes.
"""

import functools
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from configs import common  # noqa: E402  (configs are files beside the package, no part of it)
from ganrec_jax.data import amazon  # noqa: E402


def _sample(config):
  """The embedded sample world; the base was tuned on its validation part, one field after another."""
  common.sample(config, 'ecommerce')
  config.base.update(reg=.06, item_reg=300., dim=32, warm_blend=.4, ridge=1.)
  config.encoder.share = .1


def _testing(config):
  """The embedded sample world in seconds."""
  _sample(config)
  common.testing(config)


def _amazon(source, config):
  """Reviews of a category; the base was tuned on the validation part of Industrial and Scientific (2018)."""
  config.data.update(source=source, min_user=5, min_item=5)
  config.encoder.kind = 'pretrained'
  config.base.regime = 'sparse'


VARIANTS = {
  '': _sample, 'testing': _testing,
  **{f'amazon_{name}': functools.partial(_amazon, f'amazon_2023_{name}') for name in amazon.CATEGORIES_2023},
  **{f'amazon_2018_{name}': functools.partial(_amazon, f'amazon_2018_{name}') for name in amazon.CATEGORIES_2018}}


def get_config(variant=''):
  """The locked config of a variant, see `common.choose`."""
  return common.choose(VARIANTS, variant)
