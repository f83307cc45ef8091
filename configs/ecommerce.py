"""E-commerce: customers, and the products they reviewed.

    python -m ganrec_jax.main --config=configs/ecommerce.py:amazon_Video_Games --config.data.manual_dir=FOLDER
    python -m ganrec_jax.main --config=configs/ecommerce.py:amazon_2018_Video_Games --config.data.manual_dir=FOLDER

`amazon_<category>` is any category of Amazon Reviews 2023 (Hou et al. 2024): Video_Games.jsonl.gz and
meta_Video_Games.jsonl.gz. `amazon_2018_<category>` is any of 2018 (Ni, Li, McAuley 2019): Video_Games_5.json.gz, the
5-core, or the complete Video_Games.json.gz where the folder holds that one alone, and meta_Video_Games.json.gz.
"""

import functools
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from configs import common  # noqa: E402  (configs are files beside the package, no part of it)
from ganrec_jax.data import amazon  # noqa: E402


def _amazon(source, config):
  """Reviews of a category; the base was tuned on the validation part of Industrial and Scientific (2018)."""
  config.data.update(source=source, min_user=5, min_item=5)
  config.encoder.kind = 'pretrained'
  config.base.update(unobserved=.003, reg=.03, kappa=1., ridge=.3, item_reg=10., kernel_weight=30., power=0.,
                     warm_blend=1.2, cold_blend=.15)


VARIANTS = {
  **{f'amazon_{name}': functools.partial(_amazon, f'amazon_2023_{name}') for name in amazon.CATEGORIES_2023},
  **{f'amazon_2018_{name}': functools.partial(_amazon, f'amazon_2018_{name}') for name in amazon.CATEGORIES_2018}}


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
