"""Numbers, days and strangers' words as people read them; what comes from data can neither steer a terminal nor a page."""

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


def day(seconds):
  """'2005-01-31', UTC, of seconds since 1970."""
  try:
    return str((datetime.datetime(1970, 1, 1) + datetime.timedelta(seconds=int(seconds))).date())
  except OverflowError:
    return f'{seconds} seconds'


def gib(number_of_bytes):
  """'2.1 GiB'."""
  return f'{number_of_bytes / 2**30:.1f} GiB' if number_of_bytes < 10 * 2**30 else f'{number_of_bytes / 2**30:,.0f} GiB'


def minutes(seconds):
  """'40 seconds', '3 minutes', '5 hours'."""
  for size, noun in ((3600 * 24, 'day'), (3600, 'hour'), (60, 'minute')):
    if seconds >= 1.5 * size:
      return number(round(seconds / size), noun)
  return number(max(5, round(seconds / 5) * 5), 'second')


def plain(text, length=None):
  """A text of the data on one line: nothing that steers a terminal or turns its direction; cut to `length`."""
  words = ' '.join(_STEERING.sub(' ', str(text)).split())
  return words if length is None or len(words) <= length else words[:length - 1].rstrip() + '…'
