# A node of a Ray cluster that plays Manta: head or worker, in Kubernetes or under plain Docker.
#
#     docker build -f cluster/docker/worker.Dockerfile -t manta-worker .
#
# Under plain Docker the sandbox level `local` needs
#     --security-opt seccomp=unconfined --security-opt apparmor=unconfined \
#     --security-opt systempaths=unconfined
# Checked by a test: its instructions parse and what it copies exists. Not built for real here.
FROM python:3.11-slim-bookworm

# wget is what KubeRay's health probes call. Everything lands below /usr/local, because Ray's start
# scripts run in login shells, which forget any other PATH.
RUN apt-get update \
    && apt-get install -y --no-install-recommends bubblewrap git wget \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /opt/manta
COPY requirements.lock pyproject.toml README.md ./
RUN pip install --no-cache-dir --require-hashes -r requirements.lock
COPY orchestration ./orchestration
COPY actors ./actors
COPY cluster ./cluster
RUN pip install --no-cache-dir --no-deps --no-build-isolation .

# The prices come from the package: no call to the network at start.
ENV LITELLM_LOCAL_MODEL_COST_MAP=True \
    RAY_USAGE_STATS_ENABLED=0 \
    MANTA_STATE_DIR=/var/lib/manta
RUN useradd --create-home --uid 1000 ray && install -d -o ray -g ray -m 700 /var/lib/manta
USER 1000
WORKDIR /home/ray

CMD ["ray", "start", "--head", "--block", "--port=6379", "--dashboard-host=127.0.0.1"]
