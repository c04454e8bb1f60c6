# The training side: no teacher, no TensorFlow, no Dask. Build from the repository's root:
#   docker build -f docker/train.Dockerfile -t east-train .
#   docker run --rm --gpus all --user "$(id -u)" -v "$PWD":/data east-train run esc50.zarr --system baseline --fold 1
FROM python:3.12-slim-bookworm

WORKDIR /opt/east
COPY pyproject.toml README.md LICENSE constraints.txt ./
COPY common common
COPY data data
COPY extract extract
COPY train train
RUN pip install --no-cache-dir --constraint constraints.txt '.[train]' \
    && useradd --create-home --uid 1000 east

USER 1000
WORKDIR /data
ENTRYPOINT ["train"]
