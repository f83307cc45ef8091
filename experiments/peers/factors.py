"""iALS, and kernel ridge regression from texts to what is known of the warm items."""

import flax.struct
import jax
import jax.numpy as jnp

from experiments.peers import classic
from ganrec_jax.models import als
from ganrec_jax.models.kernels import positive_inverse

# Rendle et al. 2022: the dimension matters as much as the unobserved weight and the regularisation.
IALS = {'dim': (256, 64, 128), 'unobserved': (.05, .003, .01, .1), 'reg': (.02, .005, .05),
        'strength': classic.STRENGTH}
RIDGE_FACTORS = {'dim': (256, 64), 'unobserved': (.05, .01, .1), 'ridge': (.3, 1.), 'share': (.75, .5, 1.)}
RIDGE_ROWS = {'ridge': (1., .1, .3, 3., 10., 30.), 'share': (.75, .5, 1.)}
HYBRID = {'dim': (256, 64), 'unobserved': (.05, .003, .01, .1), 'ridge': (.3, 1.), 'share': (.75, .5),
          'strength': classic.STRENGTH}

_REG = .02  # of the factors that texts predict


@flax.struct.dataclass
class Factors:
  """Factors whose inner products are scores: `users [users, dim]` and `items [items, dim]`, float32."""
  users: jax.Array
  items: jax.Array


@jax.jit
def score(params, users):
  """The scores float32 `[batch, items]` of `Factors` for users `[batch]`."""
  with jax.default_matmul_precision('highest'):
    return params.users[users] @ params.items.T


def ials(problem, options, key):
  """Implicit ALS (Hu, Koren and Volinsky 2008; Rendle et al. 2022), without texts."""
  config = als.AlsConfig(options['dim'], unobserved=options['unobserved'], reg=options['reg'], kappa=0.)
  histories = problem.prepared.strengths(options['strength'])
  fitted = als.fit(histories, problem.prepared.dataset.items, problem.prepared.warm, None, config, key)
  return score, Factors(fitted.users, fitted.items)


def ridge_factors(problem, options, key):
  """Kernel ridge regression from texts to iALS factors, for warm items and cold ones."""
  factors = _ials(problem, options, key)
  return score, factors.replace(items=_predict(problem, options['ridge'], options['share'], factors.items))


def ridge_rows(problem, options, key):
  """Kernel ridge regression from texts to the columns of the training matrix: X_w (K_ww + ridge I)^-1 K_w."""
  del key
  items = problem.prepared.dataset.items
  weights = _predict(problem, options['ridge'], options['share'], jnp.eye(items)).T
  return classic.score, classic.Linear(classic.rows(problem), weights)


def hybrid(problem, options, key):
  """iALS for warm items, and kernel ridge regression from texts to its factors for cold ones."""
  factors = _ials(problem, options, key)
  predicted = _predict(problem, options['ridge'], options['share'], factors.items)
  return score, factors.replace(items=jnp.where(problem.warm[:, None], factors.items, predicted))


def _ials(problem, options, key):
  return ials(problem, {'strength': 0., 'reg': _REG} | options, key)[1]


def _predict(problem, ridge, share, targets):
  """What texts say of all items, `[items, any]`, by kernel ridge regression on the warm rows of `targets`."""
  warm, kernel = problem.prepared.warm, problem.kernel(share)
  with jax.default_matmul_precision('highest'):
    inverse = positive_inverse(kernel[warm][:, warm] + ridge * jnp.eye(len(warm)), 'ridge')
    return kernel[:, warm] @ (inverse @ targets[warm])
