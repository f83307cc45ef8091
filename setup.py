"""Packaging of ganrec_jax."""

import pathlib
import re

from setuptools import find_packages, setup

HERE = pathlib.Path(__file__).parent
VERSION = re.search(r"__version__ = '(.+)'", (HERE / 'ganrec_jax/__init__.py').read_text(encoding='utf-8'))[1]

setup(
    name='ganrec_jax',
    version=VERSION,
    description='Recommendation with adversarially generated training data, in JAX and Flax',
    long_description=(HERE / 'README.md').read_text(encoding='utf-8'),
    long_description_content_type='text/markdown',
    license='Apache-2.0',
    package_data={'ganrec_jax.serving': ['page/*']},
    packages=find_packages(include=['ganrec_jax', 'ganrec_jax.*']),
    python_requires='>=3.11',
    install_requires=[
        'absl-py',
        'array_record',  # the record format of the TFDS builders
        'duckdb>=2,<3',  # reads tables of any size
        'fastapi>=0.115,<1',  # checks what is asked of the server and describes it as OpenAPI
        'flatbuffers',  # jax.export writes its programs by it and does not ask for it
        'flax>=0.12.8,<0.13',
        'httptools',  # the parser of HTTP by which uvicorn is fast enough
        'importlib_resources',  # TFDS needs it for builders inside a package and forgets to ask
        'jax>=0.10,<0.12',
        'matplotlib',
        'ml-collections>=1.1',
        'numpy>=2,<3',
        'optax>=0.2.8,<0.3',
        'orbax-checkpoint>=0.12.8,<0.13',
        'prometheus-client',  # what the server counts, in the form that monitors read
        'pyarrow',  # hands DuckDB's rows over in batches; TFDS needs it as well
        'pydantic>=2.7,<3',  # FastAPI's own, in which the questions are written
        'py3langid>=0.4,<1',  # languages of texts for --validate: NumPy alone, its model inside (4.5 MB), offline, BSD
        'safetensors',
        'scipy',  # JAX needs it as well
        'tensorboardX>=2.6.5',
        'tensorflow-datasets>=4.9.10,<4.10',
        'tokenizers',
        'tqdm',
        'transformers>=5.23,<6',
        'uvicorn>=0.30,<1',  # the server of HTTP itself
        'uvloop',  # its event loop, faster than Python's own
    ],
    extras_require={
        'beam': ['apache-beam>=2.70,<3'],  # prepares logs on many machines
        'benchmark': ['aiohttp', 'implicit', 'pandas', 'scikit-learn', 'scipy'],
        'index': ['faiss-cpu>=1.13'],  # approximate search in an export of a very large catalogue
        'postgres': ['psycopg[binary]>=3.1,<4'],
        'test': ['faiss-cpu>=1.13', 'httpx', 'hypothesis', 'optuna>=5,<6', 'psycopg[binary]>=3.1,<4', 'pytest',
                 'pytest-xdist', 'scikit-learn', 'scipy'],
        'track': ['wandb>=0.31,<1'],
        'tune': ['optuna>=5,<6', 'scikit-learn'],  # the search, and what mattered in it
    },
)
