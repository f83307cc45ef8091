"""What can be asked: the questions as they come over HTTP, with all that is allowed of them."""

from typing import Annotated, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from ganrec_jax.data.events import LONGEST_ID
from ganrec_jax.errors import UserError
from ganrec_jax.serving.scoring import LONGEST

MOST = 1000  # items or users in an answer
MOST_ADVENTUROUS = 10.


def _plain(words):
  if any(ord(letter) < 32 or ord(letter) == 127 or 0xD800 <= ord(letter) < 0xE000 for letter in words):
    raise ValueError('holds a control character; allowed is plain text')
  return words


def _words(words):
  if not words.strip():
    raise ValueError('is empty; it takes words')
  return ' '.join(_plain(words).split())


Id = Annotated[str, Field(min_length=1, max_length=LONGEST_ID), AfterValidator(_plain)]
Words = Annotated[str, Field(max_length=2000), AfterValidator(_words)]
K = Annotated[int, Field(ge=1, le=MOST)]


class _Question(BaseModel):
  model_config = ConfigDict(extra='forbid', strict=True, frozen=True, allow_inf_nan=False)


class _Choice(_Question):
  k: K = Field(10, description='How many items; fewer where fewer are left.')
  exclude: list[Id] = Field([], max_length=10 * LONGEST, description='Ids of items that are not wanted.')
  only_new: bool = Field(False, description='New releases only: items that nobody in the training data has.')
  filters: list[Words] = Field([], max_length=20, description='Attributes that every item must have.')


class Recommend(_Choice):
  """What a user would like: exactly one of user, history and texts says who it is."""
  user: Id | None = Field(None, description='The id of a known user.')
  history: list[Id] | None = Field(None, min_length=1, max_length=LONGEST, description='Ids of items that he likes.')
  texts: list[Words] | None = Field(None, min_length=1, max_length=10, description='Free words for what he likes.')
  adventure: float = Field(0., ge=0, le=MOST_ADVENTUROUS, description='Takes popularity out of the scores: 0 names '
                           'what is likeliest, 1 mostly what few know.')
  explain: bool = Field(False, description='Says for each item which of the history say most for it.')

  @model_validator(mode='after')
  def _one(self) -> Self:
    if sum(one is not None for one in (self.user, self.history, self.texts)) != 1:
      raise ValueError('give exactly one of user, history and texts')
    return self


class Similar(_Choice):
  """The items nearest to an item."""
  item: Id


class Audience(_Question):
  """Who would like an item that is not in the catalogue yet."""
  text: Words = Field(description='Its text; phrases after the last colon, between commas, are its attributes.')
  k: K = Field(10, description='How many users.')


class Feedback(_Question):
  """What a user did with an item."""
  user: Annotated[str, Field(max_length=LONGEST_ID), AfterValidator(_words)]
  item: Id
  event: Annotated[str, Field(pattern='^(like|skip)$', description='like or skip')]


def made(kind, **fields):
  """A question of a `kind`.

  Raises:
    UserError: for what is not allowed.
  """
  try:
    return kind(**fields)
  except ValidationError as error:
    raise UserError(told(error.errors()[0])) from error


def told(error):
  """One of pydantic's errors in words: the field, and what is allowed."""
  place = '.'.join(str(part) for part in error['loc'] if part not in ('body', 'query'))[:100]
  words = error['msg'].removeprefix('Value error, ')
  return f'{place}: {words}' if place else words


class Failure(BaseModel):
  """Why there is no answer; and the id that nothing has, where that is why."""
  error: str
  unknown: str | None = None


class Reason(BaseModel):
  """What speaks for an item: one of the history, or a text; and its share of all that does."""
  share: float
  id: str | None = None
  title: str | None = None
  text: str | None = None


class Item(BaseModel):
  """An item of an answer; `because` and `popularity`, its share of what speaks for the item, where reasons are due."""
  id: str
  title: str
  score: float
  new: bool
  attributes: list[str]
  because: list[Reason] | None = None
  popularity: float | None = None


class Answer(BaseModel):
  """Items, best first; whether the data are simulated; and the run that answered."""
  items: list[Item]
  simulated: bool
  run: str


class Person(BaseModel):
  """A user of an answer."""
  id: str
  score: float


class People(BaseModel):
  """Users, best first, and the known items nearest to the text."""
  users: list[Person]
  nearest: list[dict[str, str]]
  simulated: bool
  run: str
