# An environment behind an address. Build it in the root of the repository:
#   docker build --file deploy/docker/env.Dockerfile --tag rlmesh-env .
# PACKAGES are what the environment needs besides, "ale-py mujoco" for instance.
ARG PYTHON=3.13

# This image has a C compiler, so the parts of a step in C are built too.
FROM python:${PYTHON}-bookworm AS build
ARG PACKAGES=""
WORKDIR /src
COPY pyproject.toml hatch_build.py README.md LICENSE ./
COPY generated generated
COPY rlmesh rlmesh
# PACKAGES not in quotes: each word is a package.
# hadolint ignore=SC2086
RUN python -m venv /venv && /venv/bin/pip install --no-cache-dir . ${PACKAGES}

FROM python:${PYTHON}-slim-bookworm
RUN useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin rlmesh
COPY --from=build /venv /venv
COPY deploy/evaluate.py /srv/
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1
# It is on the path of what the server imports: `my_package.envs:make`.
WORKDIR /srv
USER 10001:10001
EXPOSE 5555 5556
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s --retries=3 \
    CMD ["rlmesh", "wait", "tcp://127.0.0.1:5555", "--timeout", "5"]
ENTRYPOINT ["rlmesh"]
# On the loopback: to serve other machines, give another address, and a token and certificates.
CMD ["serve", "CartPole-v1", "--address", "tcp://127.0.0.1:5555", \
     "--drain-timeout-seconds", "20", "--close-timeout-seconds", "5"]
