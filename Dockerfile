# One image for web, worker and the flask commands. docs/deploy/docker.md says how to build and run it.
#
# The digest is that of the index over all architectures. To follow Debian's and Python's security fixes, take the tag
# and the digest that `docker buildx imagetools inspect python:3.13-slim-trixie` shows, and run `make verify-deploy`.
ARG PYTHON=python:3.13.16-slim-trixie@sha256:bf44cdfcb76cd3b41e879bc058fc37ec5872002ccfde7fcb765e218cde0cd79c

# Wheels, each with a hash of the lock. None is built here: there is no compiler, and nothing of a package runs.
FROM ${PYTHON} AS wheels
WORKDIR /build
COPY requirements.lock ./
RUN ["python", "-m", "pip", "download", "--no-cache-dir", "--disable-pip-version-check", "--only-binary=:all:", \
     "--require-hashes", "--requirement", "requirements.lock", "--dest", "wheels"]

# An environment without pip, and the service beside it, both compiled: the root of the container is read-only.
FROM ${PYTHON} AS build
WORKDIR /app
COPY requirements.lock /build/
COPY --from=wheels /build/wheels /build/wheels
RUN ["python", "-m", "venv", "--without-pip", "/opt/venv"]
# Each command without a shell; layers of this stage are thrown away.
# hadolint ignore=DL3059
RUN ["python", "-m", "pip", "--python", "/opt/venv/bin/python", "install", "--no-cache-dir", \
     "--disable-pip-version-check", "--no-index", "--find-links", "/build/wheels", "--require-hashes", \
     "--requirement", "/build/requirements.lock"]
COPY app.py worker.py ./
COPY config config
COPY room_reports room_reports
COPY deploy/docker/healthcheck.py ./
# What /__version__ says beside the version itself.
ARG COMMIT=
ARG SOURCE=
ARG BUILD=
COPY deploy/docker/note_build.py /build/
RUN ["python", "/build/note_build.py", "version.json"]
# Hashes instead of times, so that the same sources give the same files.
# hadolint ignore=DL3059
RUN ["python", "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash", "."]

FROM ${PYTHON}
ARG VERSION=
ARG COMMIT=
ARG SOURCE=
LABEL org.opencontainers.image.title="Room Reports" \
      org.opencontainers.image.description="Enriched reports of ended Twilio Video rooms, in Slack and at a signed webhook" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.source="${SOURCE}" \
      org.opencontainers.image.revision="${COMMIT}"
COPY --from=build /opt/venv /opt/venv
COPY --from=build /app /app
WORKDIR /app
# /dev/shm: the one place that can be written to even when the root is read-only and nothing is mounted.
ENV PATH=/opt/venv/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    TMPDIR=/dev/shm \
    HOME=/dev/shm
USER 10001:10001
EXPOSE 8000
# The web process answers, or the worker gives signs of life: whichever of them this container runs.
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s --retries=3 CMD ["python", "healthcheck.py"]
STOPSIGNAL SIGTERM
# No shell between the engine and the process: it is number 1, and signals reach it. For the worker: python worker.py
CMD ["gunicorn", "-c", "config/gunicorn.py", "app:app"]
