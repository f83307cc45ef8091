"""The errors that a person can mend; `main` prints them in one line and exits with code 2."""


class UserError(Exception):
  """Wrong usage, configuration or data: the message names the place, the value and what is allowed."""


class DataError(UserError):
  """Data that cannot be used: the message names file, row, column, value and what is allowed."""


class ConfigError(UserError):
  """A configuration that cannot be run: the message names the field, its value and what is allowed."""
