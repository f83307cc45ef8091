"""Numbers and strangers' words as they are told."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ganrec_jax.report import telling


@pytest.mark.parametrize(('told', 'due'), [
  (telling.number(1234, 'user'), '1,234 users'), (telling.number(1, 'user'), '1 user'), (telling.number(0), '0'),
  (telling.percent(0), '0%'), (telling.percent(.0004), '<0.1%'), (telling.percent(.034), '3.4%'),
  (telling.percent(.1), '10%'), (telling.percent(.9996), '>99.9%'), (telling.percent(1), '100%'),
  (telling.day(0), '1970-01-01'), (telling.day(1_800_000_000), '2027-01-15'), (telling.day(10**18), '1' + '0' * 18),
  (telling.moment(86399), '1970-01-01 23:59'),
  (telling.memory(2.2 * 2**30), '2.2 GiB'), (telling.memory(38.4 * 2**30), '38 GiB'),
  (telling.memory(2**19), '0.5 MiB'),
  (telling.duration(44), '40 seconds'), (telling.duration(1), '10 seconds'), (telling.duration(170), '3 minutes'),
  (telling.duration(3600 * 30), '30 hours'), (telling.duration(86400 * 3), '3 days'),
  (telling.span(120, 240, telling.duration), '2 to 4 minutes'),
  (telling.span(50, 170, telling.duration), '50 seconds to 3 minutes'),
  (telling.span(2**30, 2.5 * 2**30, telling.memory), '1.0 to 2.5 GiB')])
def test_numbers_are_told_in_few_letters(told, due):
  assert told == due


def test_words_of_data_steer_no_terminal():
  assert telling.plain('a\x1b[31mb\nc\td\u202ee\ud800 \x9bf') == 'a [31mb c d e f'
  assert telling.plain('\u065e\u06cc\u200c\u0631') == '\u065e\u06cc\u200c\u0631'  # a joiner belongs to its language
  assert telling.plain('abcdefgh', 5) == 'abcd…'


@settings(deadline=None)
@given(st.text(), st.integers(1, 30))
def test_words_are_one_line_that_can_be_encoded(text, length):
  found = telling.plain(text, length)
  assert len(found) <= length and '\n' not in found and '\x1b' not in found
  assert found.encode() == telling.plain(found, length).encode()
