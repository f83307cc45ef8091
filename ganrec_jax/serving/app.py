"""The routes: questions to a finished run, search in its titles, feedback, and the page."""

import asyncio
import contextlib
import dataclasses
import importlib.resources

import fastapi
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException

import ganrec_jax
from ganrec_jax.errors import UserError
from ganrec_jax.serving import answers, batcher, feedback, guard, questions, scoring
from ganrec_jax.serving.live import Live
from ganrec_jax.serving.metrics import Metrics
from ganrec_jax.serving.questions import Answer, Audience, Failure, Feedback, People, Recommend, Similar
from ganrec_jax.serving.search import UnknownName

_PAGE = {'/': ('index.html', 'text/html; charset=utf-8'), '/page.css': ('page.css', 'text/css; charset=utf-8'),
         '/page.js': ('page.js', 'text/javascript; charset=utf-8'),
         '/icon.svg': ('icon.svg', 'image/svg+xml')}
# Answered without a key: what a watcher of the server asks, and what holds no data.
_FREE = frozenset((*_PAGE, '/health', '/openapi.json'))
_FOUND = 20  # titles that a search shows at most
_COMMON = 40  # attributes that are offered
_FAILURES = {status: {'model': Failure} for status in (400, 404, 408, 413, 415, 422, 429, 503)}


@dataclasses.dataclass(frozen=True)
class Lanes:
  """The queues: one for what is answered in a millisecond, one for texts, which an encoder must read first."""
  quick: batcher.Batcher
  words: batcher.Batcher

  async def ask(self, question):
    """The answer to any question."""
    slow = isinstance(question, Audience) or getattr(question, 'texts', None) is not None
    return JSONResponse(await (self.words if slow else self.quick).ask(question))


def create(workdir, limits=guard.Limits(), key=None, hosts=None, poll=2.):  # noqa: B008, frozen
  """The application over the finished run in `workdir`.

  Args:
    workdir: the work directory; feedback is written there too.
    limits: `guard.Limits`.
    key: the API key that requests must bring, or None.
    hosts: see `guard.Guard`.
    poll: seconds between two looks for a newer run.

  Raises:
    UserError: where there is no finished run.
  """
  metrics = Metrics()
  live = Live(workdir, lambda result: metrics.reloads.labels(result).inc())

  @contextlib.asynccontextmanager
  async def lifespan(app):
    def lane(name, most, waiting):
      return batcher.Batcher(lambda questions: answers.answer(live.run, questions), most, waiting,
                             metrics.batches.labels(name).observe)

    async with (lane('quick', scoring.BATCHES[-1], limits.waiting) as quick,
                lane('words', 1, limits.waiting_words) as words, live.watched(poll)):
      app.state.lanes = Lanes(quick, words)
      yield

  app = fastapi.FastAPI(title='ganrec_jax', version=ganrec_jax.__version__, lifespan=lifespan, docs_url=None,
                        redoc_url=None, description='Answers of a finished run.')
  _questions(app)
  _reading(app, live, metrics)
  _feedback(app, live, metrics, feedback.FeedbackLog(workdir))
  _page(app)
  _errors(app)
  paths = frozenset((*_PAGE, *app.openapi()['paths'], '/openapi.json'))
  app.add_middleware(guard.Guard, limits=limits, metrics=metrics, paths=paths, free=_FREE, key=key, hosts=hosts)
  return app


def _questions(app):
  def route(path, answer):
    return app.post(path, responses={200: {'model': answer}, **_FAILURES})

  @route('/recommend', Answer)
  async def recommend(question: Recommend):
    """What a user would like who is known, or by what he likes: item ids or free words."""
    return await app.state.lanes.ask(question)

  @route('/similar', Answer)
  async def similar(question: Similar):
    """The items nearest to an item, by who likes them and, for new ones, by what their texts say of that."""
    return await app.state.lanes.ask(question)

  @route('/audience', People)
  async def audience(question: Audience):
    """Who would like a new item, by its text, and the known items that read most like it."""
    return await app.state.lanes.ask(question)


def _reading(app, live, metrics):
  @app.get('/items')
  def items(q: str = fastapi.Query('', max_length=200), k: int = fastapi.Query(10, ge=1, le=_FOUND)):
    """Titles with words that begin like those of `q`."""
    run = live.run
    return JSONResponse({'items': [run.named(item) | {'new': not run.warm[item]} for item in run.titles.find(q, k)]})

  @app.get('/about')
  def about():
    """What is served, for the page: the data's name, whether they are simulated, and the most common attributes."""
    run = live.run
    common = sorted(run.attributes, key=lambda name: (-len(run.attributes[name]), name))[:_COMMON]
    return JSONResponse({'name': run.name, 'simulated': run.simulated, 'run': run.digest, 'items': len(run.items.names),
                         'new_items': int((~run.warm).sum()), 'users': len(run.users.names), 'attributes': common,
                         'network': run.network})

  @app.get('/health')
  async def health():
    """Whether questions are answered, and by which run."""
    return JSONResponse({'status': 'ok', 'run': live.run.digest})

  @app.get('/metrics')
  async def counters():
    """What is counted, for Prometheus."""
    return Response(metrics.text(), media_type='text/plain; version=0.0.4; charset=utf-8')


def _feedback(app, live, metrics, log):
  @app.post('/feedback', status_code=201, responses=_FAILURES)
  async def take(event: Feedback):
    """Writes down what a user did with an item; it is on the disk when this is answered."""
    live.run.items.place(event.item)
    await asyncio.to_thread(log.append, event.user, event.item, event.event)
    metrics.feedback.labels(event.event).inc()
    return JSONResponse({'written': True}, 201)


def _page(app):
  folder = importlib.resources.files('ganrec_jax.serving') / 'page'

  def serve(path, name, kind):
    content = (folder / name).read_bytes()

    @app.get(path, include_in_schema=False)
    async def page():
      return Response(content, media_type=kind)

  for path, (name, kind) in _PAGE.items():
    serve(path, name, kind)


def _errors(app):
  def told(status, words, **more):
    # A lone surrogate, which JSON can hold, is no text that could be sent back.
    return JSONResponse({'error': words.encode(errors='replace').decode(), **more}, status)

  @app.exception_handler(UnknownName)
  async def unknown(_, error):
    return told(404, str(error), unknown=error.name)

  @app.exception_handler(UserError)
  async def user_error(_, error):
    return told(422, str(error))

  @app.exception_handler(RequestValidationError)
  async def invalid(_, error):
    first = error.errors()[0]
    if first['type'] == 'json_invalid':
      return told(400, f'the body is no JSON: {first["ctx"]["error"]}')
    return told(422, 'the body is missing' if first['loc'] == ('body',) and first['type'] == 'missing' else
                questions.told(first))

  @app.exception_handler(HTTPException)
  async def http(_, error):
    return told(error.status_code, {404: 'there is nothing here', 405: 'this method is not allowed here'}.get(
      error.status_code, str(error.detail)))

  @app.exception_handler(batcher.Full)
  async def full(_, error):
    found = told(429, f'{error}; try again later')
    found.headers['retry-after'] = '1'
    return found
