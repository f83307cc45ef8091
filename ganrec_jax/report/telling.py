"""Numbers, days and strangers' words as people read them; nothing in data steers a terminal or a page."""

import datetime
import re

# Controls, line ends, signs that turn the direction of writing, and halves of letters that cannot be encoded.
_STEERING = re.compile('[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff]')


def number(count, noun=''):
  """'1,234 users', '1 user'; the digits alone without a noun."""
  return f'{count:,}' + (f' {noun}{"" if count == 1 else "s"}' if noun else '')


def percent(share):
  """'12%'; '3.4%' below ten, '<0.1%' where little is there."""
  if 0 < share < .001:
    return '<0.1%'
  if .999 <= share < 1:
    return '>99.9%'
  return f'{share:.1%}' if 0 < share < .0995 else f'{share:.0%}'


def moment(seconds):
  """'2005-01-31 23:59', UTC, of seconds since 1970; the number itself where no calendar reaches."""
  try:
    return f'{datetime.datetime(1970, 1, 1) + datetime.timedelta(seconds=int(seconds)):%Y-%m-%d %H:%M}'
  except OverflowError:
    return f'{int(seconds)} s'


def day(seconds):
  """'2005-01-31', likewise."""
  return moment(seconds).removesuffix(' s').split()[0]


def memory(number_of_bytes):
  """'35 MiB', '2.1 GiB', '38 GiB'."""
  size, unit = next((found for found in _MEMORY if number_of_bytes >= found[0]), _MEMORY[-1])
  count = number_of_bytes / size
  return f'{count:.1f} {unit}' if count < 9.95 else f'{count:,.0f} {unit}'


def duration(seconds):
  """'40 seconds', '3 minutes', '5 hours'; up to two of a unit are told by the next smaller one."""
  size, unit = next(found for found in _DURATION if seconds >= 2 * found[0] or found is _DURATION[-1])
  count = seconds / size
  return f'{max(10, 10 * round(count / 10)) if size == 1 else round(count):,} {unit}'


def span(low, high, tell):
  """'2 to 4 minutes' of two numbers told by `memory` or `duration`; the unit is said once where it is the same."""
  (few, unit), (many, other) = (tell(x).split() for x in (low, high))
  return f'{few} {unit} to {many} {other}' if unit != other else f'{few} to {many} {other}'


_MEMORY = ((2**40, 'TiB'), (2**30, 'GiB'), (2**20, 'MiB'))
_DURATION = ((86400, 'days'), (3600, 'hours'), (60, 'minutes'), (1, 'seconds'))


def plain(text, length=None):
  """A text of the data on one line: nothing that steers a terminal or turns its direction; cut to `length`."""
  words = ' '.join(_STEERING.sub(' ', str(text)).split())
  return words if length is None or len(words) <= length else words[:length - 1].rstrip() + '…'
