# The extraction side: decoding, teachers, Dask. Build from the repository's root:
#   docker build -f docker/extract.Dockerfile -t east-extract .
#   docker run --rm --gpus all --user "$(id -u)" -v "$PWD":/data east-extract run esc50 ESC-50 esc50.zarr --teacher musicnn
FROM python:3.12-slim-bookworm

WORKDIR /opt/east
COPY pyproject.toml README.md LICENSE constraints.txt ./
COPY common common
COPY data data
COPY extract extract
COPY train train
RUN pip install --no-cache-dir --constraint constraints.txt '.[extract]' \
    && useradd --create-home --uid 1000 east

ENV EAST_WEIGHTS=/data/.east-weights
USER 1000
WORKDIR /data
ENTRYPOINT ["extract"]
