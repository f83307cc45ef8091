"""synthesize: a log of generated users within a leakage budget, and the report that goes with it."""

import dataclasses
import json
import os

import jax
import numpy as np
from absl import logging

from ganrec_jax import artifacts, pipeline
from ganrec_jax.data.ragged import joined, take
from ganrec_jax.errors import UserError
from ganrec_jax.profiles import choice, fidelity, generator, health, logs, privacy, times, utility
from ganrec_jax.report import synthetic
from ganrec_jax.stages import finished, profiles
from ganrec_jax.stages.encode import sha256
from ganrec_jax.stages.workspace import VERSION

# Generated users for each real one that recommenders are trained on for the report; where fewer were asked for, all.
_FOR_EACH = 3
_PLOTTED = 5000


def run(workdir, number, out, max_auc=.6, over_budget=False, seed=0, like=''):
  """Writes interactions.csv, items.csv, report.json and report.html into `out`; returns the report in words.

  Args:
    workdir: of a finished run.
    number: of users.
    out: the folder; it is made where it does not exist.
    max_auc: the most that membership inference by the nearest generated profile may reach.
    over_budget: whether a log that gives away more is left all the same, and says so.
    seed: of the draws.
    like: words in whose light the users are drawn, such as a genre; '' draws all kinds.

  Raises:
    UserError: for values out of range, data too small, a work directory without a finished run, or a budget that
      cannot be met.
  """
  _check(number, max_auc, seed)
  space, prepared, encoder, content, base = finished.load(workdir)
  pipeline.use_compilation_cache(space.config)
  if 'profiles' not in space.config:
    raise UserError(f'{workdir}: its config has no profiles, an older version made it; make it again by python -m '
                    'ganrec_jax.main with another --workdir')
  people, items = profiles.population(space, prepared), prepared.dataset.items
  log = prepared.dataset.interactions.take(prepared.split.rows('train'))
  to = (prepared.dataset.catalogue, None if log.time is None else times.fit(log, items),
        logs.prefix(prepared.dataset.user_ids))
  path = os.path.join(out, 'interactions.csv')
  logs.check_room(path, number, people.members, *to)
  generators, fault = profiles.fit(space, prepared, content, people)
  key = jax.random.fold_in(space.key('synthesize'), seed)
  light = finished.alike(finished.kernel_with(space, prepared, encoder, like, '--like')) if like else None
  chosen, tried = choice.choose(generators, people.members, people.held_out, items, number, max_auc,
                                jax.random.fold_in(key, 0), space.config.seed, light)
  if chosen.auc > max_auc and not over_budget:
    raise UserError(_beyond(chosen.auc, max_auc, 'of all temperatures and points of the training, the least'))
  identity = artifacts.digest(pipeline.revision(), sha256(content.kernel), prepared.sha256(),
                              space.config.profiles.to_dict(), space.config.seed, dataclasses.asdict(chosen), number,
                              seed, like)
  fitted = generators[chosen.steps]
  drawn = generator.stream(fitted, chosen.temperature, jax.random.fold_in(key, 1), number, light=light)
  near, sample = _watch(logs.write_interactions(f'{path}.drawn', drawn, number, *to, identity), fitted, people, items,
                        _FOR_EACH * len(people.users))
  attack = privacy.attack(*near, space.config.seed)
  if attack['auc'] > max_auc and not over_budget:
    os.remove(f'{path}.drawn')
    raise UserError(_beyond(attack['auc'], max_auc, f'the log of {number} users'))
  os.replace(f'{path}.drawn', path)
  logs.write_items(os.path.join(out, 'items.csv'), prepared.dataset.catalogue)
  warm = choice.known(fitted, sample)
  copies = privacy.copies(people.members, people.held_out, warm, items, space.config.seed)
  faults = health.faults(people.members, people.held_out, warm, attack['auc'], copies, items, bool(like))
  report = _plain({
    'provenance': _provenance(space, prepared, number, seed, like, max_auc, chosen, tried),
    'faults': [*([fault] if fault else []), *faults], 'privacy': {'membership': attack, 'copies': copies},
    'fidelity': _fidelity(people, sample, warm, base, items), 'utility': _utility(space, prepared, content, sample)})
  _write_report(report, out, people, warm, items)
  return synthetic.words(report, out)


def _check(number, max_auc, seed):
  if number < 1:
    raise UserError(f'--users is {number}; allowed are whole numbers from 1 on')
  if not 0 < max_auc <= 1:
    raise UserError(f'--max_auc is {max_auc}; allowed are numbers above 0, up to 1 (.5 is a guess)')
  if seed < 0:
    raise UserError(f'--seed is {seed}; allowed are whole numbers from 0 on')


def _write_report(report, out, people, warm, items):
  artifacts.write_json(os.path.join(out, 'report.json'), report)
  curves = {'real': people.members, 'generated': warm}
  page = synthetic.write(report, {name: _curve(part, items) for name, part in curves.items()},
                         _nearness(people, warm, items))
  artifacts.write_atomically(os.path.join(out, 'report.html'), lambda file: file.write(page.encode()))


def _beyond(auc, max_auc, what):
  return (f'{what} gives away who was in the data with an AUC of {auc:.3f}, more than --max_auc={max_auc:g} allows; '
          'ask for fewer --users, allow more, or say --over_budget')


def _watch(batches, fitted, people, num_items, most):
  """Lets the log be written; returns each real user's nearest generated profile and the first `most` profiles.

  Memory grows with the real users and not with how many are asked for.
  """
  real, sample = joined([people.members, people.held_out]), []
  near = np.zeros(len(real), np.float32)
  for profile in batches:
    near = np.maximum(near, privacy.nearest(real, choice.known(fitted, profile), num_items))
    if sum(map(len, sample)) < most:
      sample.append(profile)
  sample = joined(sample)
  return np.split(near, [len(people.members)]), take(sample, np.arange(min(most, len(sample))))


def _plain(value):
  """A value for JSON, which knows no numbers that are not finite: None instead."""
  if isinstance(value, dict):
    return {name: _plain(one) for name, one in value.items()}
  if isinstance(value, list | tuple):
    return [_plain(one) for one in value]
  return None if isinstance(value, float) and not np.isfinite(value) else value


def _provenance(space, prepared, number, seed, like, max_auc, chosen, tried):
  info = prepared.dataset.info
  return {'users': number, 'seed': seed, 'like': like, 'max_auc': max_auc, 'chosen': dataclasses.asdict(chosen),
          'tried': [dataclasses.asdict(one) for one in tried], 'config': space.config.profiles.to_dict(),
          'run_config_sha256': artifacts.digest(space.config.to_dict()), 'data_sha256': prepared.dataset.sha256(),
          'split_sha256': prepared.split.sha256(), 'source': info['name'], 'simulated': info['simulated'],
          'git_revision': pipeline.revision(), 'device': jax.devices()[0].device_kind}


def _fidelity(people, sample, warm, base, items):
  vectors = np.asarray(base.factors.items)
  return {'synthetic': fidelity.compare(people.members, warm, vectors, items),
          'held_out': fidelity.compare(people.members, people.held_out, vectors, items),
          'new_items': 1 - len(warm.values) / len(sample.values)}


def _utility(space, prepared, content, sample):
  """What recommenders make of the generated profiles, and of the real ones; that is kept in the work directory."""
  def measured(rows, kind):
    logging.info('report: recommenders on %s profiles ...', kind)
    return utility.measure(rows, prepared, content.kernel, seed=space.config.seed, devices=len(space.devices))

  def compute():
    found = measured(prepared.histories, 'real')
    return {f'{name}|{task}': values for name, one in found.items() for task, values in one.values.items()} | {
      f'{name}|option': np.asarray(json.dumps(one.option)) for name, one in found.items()}

  key = artifacts.digest(VERSION, prepared.sha256(), sha256(content.kernel), utility.GRIDS, space.config.seed)
  arrays, _ = artifacts.cached(space.artifact('utility.npz'), key, compute)
  real = {}
  for path, values in arrays.items():
    name, _, what = path.partition('|')
    real.setdefault(name, {})[what] = values
  options = {name: json.loads(str(found.pop('option'))) for name, found in real.items()}
  real = {name: utility.Outcome(options[name], (), values) for name, values in real.items()}
  outcome = measured(sample, 'generated')
  return {'ratios': utility.ratios(outcome, real, space.config.seed), 'profiles': len(sample),
          'options': {'real': options, 'synthetic': {name: one.option for name, one in outcome.items()}}}


def _curve(profiles, items):
  counts = np.sort(np.bincount(profiles.values, minlength=items))[::-1]
  return counts / counts.sum()


def _nearness(people, warm, items):
  """The similarities of real unseen and of generated profiles to the nearest seen one, for a plot."""
  some = take(warm, np.arange(min(len(warm), _PLOTTED)))
  return {'real, unseen': privacy.nearest(people.held_out, people.members, items),
          'generated': privacy.nearest(some, people.members, items)}
