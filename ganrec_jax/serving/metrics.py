"""What is counted of the requests, in the form that Prometheus reads."""

import prometheus_client as prometheus

_SECONDS = (.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10)
_SIZES = (1, 2, 4, 8, 16, 32, 64)


class Metrics:
  """Counters of one server."""

  def __init__(self):
    self.registry = prometheus.CollectorRegistry()
    options = {'registry': self.registry}
    self.requests = prometheus.Counter('ganrec_requests', 'Answered requests.', ('path', 'status'), **options)
    self.errors = prometheus.Counter('ganrec_errors', 'Requests that failed through no fault of theirs.', ('path',),
                                     **options)
    self.latency = prometheus.Histogram('ganrec_request_seconds', 'From the head of a request to its answer.',
                                        ('path',), buckets=_SECONDS, **options)
    self.batches = prometheus.Histogram('ganrec_batch_size', 'Questions answered together.', ('lane',), buckets=_SIZES,
                                        **options)
    self.active = prometheus.Gauge('ganrec_requests_active', 'Requests that are being answered.', **options)
    self.reloads = prometheus.Counter('ganrec_reloads', 'New results of the work directory.', ('result',), **options)
    self.feedback = prometheus.Counter('ganrec_feedback', 'Events that were written down.', ('event',), **options)

  def text(self):
    """All of them, bytes."""
    return prometheus.generate_latest(self.registry)

  def request(self, path, status, seconds):
    """Counts a request."""
    self.requests.labels(path, str(status)).inc()
    self.latency.labels(path).observe(seconds)
    if status == 500:
      self.errors.labels(path).inc()
