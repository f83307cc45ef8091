"""What a seed's generators of profiles have in common: who is held out, and the autoencoder that they start from."""

import dataclasses
import time

import jax
import jax.numpy as jnp
import numpy as np

from ganrec_jax.data.ragged import Ragged, take
from ganrec_jax.models import als, mixture
from ganrec_jax.profiles import game, generator, likelihood
from ganrec_jax.training.loop import Surroundings

HELD_OUT = .1


@dataclasses.dataclass(frozen=True)
class People:
  """Real profiles of the users with training items, over the warm items as columns.

  Attributes:
    everybody: `Ragged` over all of them.
    members: `Ragged` over those that generators learn from.
    held_out: `Ragged` over the others.
    columns: how many items there are.
  """
  everybody: Ragged
  members: Ragged
  held_out: Ragged
  columns: int


@dataclasses.dataclass(frozen=True)
class Learned:
  """The autoencoder of a seed, fitted on the members.

  Attributes:
    params: of a `ProfileVae`.
    prior: its `Prior`.
    factors: collaborative item vectors float32 `[columns, dim]`, of the members alone.
    seconds: of the fit.
  """
  params: dict
  prior: likelihood.Prior
  factors: jax.Array
  seconds: float


def people(prepared, seed):
  """The `People` of `Prepared` data, a tenth of them held out by the seed."""
  users = np.flatnonzero(prepared.histories.lengths)
  place = np.zeros(prepared.dataset.items, np.int32)
  place[prepared.warm] = np.arange(len(prepared.warm))
  histories = prepared.histories
  everybody = take(Ragged(histories.offsets, place[histories.values], np.ones(len(histories.values), np.float32)),
                   users)
  order = np.random.default_rng(seed).permutation(len(everybody))
  cut = round(HELD_OUT * len(everybody))
  return People(everybody, take(everybody, np.sort(order[cut:])), take(everybody, np.sort(order[:cut])),
                len(prepared.warm))


def keys(seed):
  """The keys of the likelihood, of the prior, of factors and critic, and of the draws."""
  return jax.random.split(jax.random.key(seed), 4)


def learn(some, config, seed, texts=None):
  """Fits autoencoder, prior and factors to the members of `People`.

  The decoder names items by their `texts` too, float32 `[columns, dim]`, where these are given.
  """
  start, (first, second, third, _) = time.perf_counter(), keys(seed)
  params, _ = likelihood.train(some.members, some.held_out, some.columns, config, first, around('autoencoder'), texts)
  prior = likelihood.fit_prior(params, some.members, some.columns, config, second)
  factors = als.fit(some.members, some.columns, np.arange(some.columns), None, als.AlsConfig(), third).items
  return Learned(params, prior, factors, time.perf_counter() - start)


def played(learned, some, config, seed, vectors=None, critic=game.CRITIC, noise=0):
  """The `ProfileVae`'s parameters after its decoder was trained on, against the critic as far as the config has it.

  The critic reads items by the collaborative vectors unless others are given; noise above 0 is another key.
  """
  vectors, key = learned.factors if vectors is None else vectors, keys(seed)[2]
  return game.train(learned.params, learned.prior, some.members, vectors, config,
                    jax.random.fold_in(key, noise) if noise else key, around('game'), critic)[0]


def trained_on(learned, some, config, seed):
  """The `Generator` of `played`."""
  return made(played(learned, some, config, seed), learned.prior, some.columns)


def made(params, prior, columns):
  """The `Generator` of a `ProfileVae` over the columns."""
  return generator.make(params, prior, np.arange(columns), columns, None)


def standard_normal(prior, latent):
  """A `Prior` of latents from N(0, I) instead of the mixture, with the same lengths."""
  normal = mixture.Mixture(jnp.zeros(1), jnp.zeros((1, latent + 1)), jnp.ones((1, latent + 1)))
  knots = np.quantile(np.random.default_rng(0).standard_normal(2**15), np.linspace(0, 1, len(prior.knots)))
  return prior.replace(mixture=normal, shift=jnp.zeros(latent), turn=jnp.eye(latent),
                       knots=jnp.asarray(knots, jnp.float32))


def around(name):
  """The `Surroundings` of a training on one device that keeps nothing."""
  return Surroundings(name, (jax.devices()[0],))
