# A server for one finished run; the run is mounted, not copied:
#   docker build -t ganrec_jax .
#   docker run -p 8000:8000 -e GANREC_API_KEY -v "$PWD/runs/music":/run ganrec_jax
FROM python:3.11-slim

WORKDIR /app
COPY setup.py pyproject.toml README.md ./
COPY ganrec_jax ganrec_jax
RUN pip install --no-cache-dir . && useradd --create-home --uid 1000 server

USER server
EXPOSE 8000
# The start loads the model and compiles its first programs.
HEALTHCHECK --interval=30s --timeout=5s --start-period=2m --retries=3 \
  CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/health', timeout=4)"]
CMD ["python", "-m", "ganrec_jax.serve", "--workdir=/run", "--host=0.0.0.0", "--port=8000"]
