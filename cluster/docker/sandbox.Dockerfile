# What sandboxes of the level `container` start from, unless you name another image.
#
#     podman build -f cluster/docker/sandbox.Dockerfile -t manta-sandbox .
#     docker build -f cluster/docker/sandbox.Dockerfile -t manta-sandbox .
#
# An image of your own needs python3 (3.8 or later), bash, git and tar, and what your tests need;
# begin it with `FROM manta-sandbox`, or name another base here:
#     podman build --build-arg BASE=docker.io/library/node:22-bookworm ...
# What its ENV says holds in every command. Its USER, CMD and ENTRYPOINT do not: commands run as an
# ordinary user without capabilities, in a read-only system, with /workspace, /tmp and a home to
# write to. Nothing of Manta is inside.
ARG BASE=docker.io/library/python:3.11-slim-bookworm
FROM ${BASE}

RUN apt-get update \
    && apt-get install -y --no-install-recommends \
        bash ca-certificates diffutils findutils gcc git libc6-dev make patch procps tar \
    && rm -rf /var/lib/apt/lists/*

# Test runner, scanners and language server, as `make setup` puts them beside the level `local`.
COPY cluster/docker/sandbox.lock /tmp/sandbox.lock
RUN python3 -m pip install --no-cache-dir --require-hashes -r /tmp/sandbox.lock \
    && rm /tmp/sandbox.lock

WORKDIR /workspace
