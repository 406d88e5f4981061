# arcface-gluon on NVIDIA GPUs of compute capability 5.0 to 8.9, as `make setup GPU=1` installs it: CUDA's libraries come
# from PyPI, the driver from the host (NVIDIA Container Toolkit). From the checkout:
#   docker build -f docker/gpu.Dockerfile -t arcface-gluon:gpu .
#   docker run --rm --gpus all -v /data:/data -v "$PWD/runs:/work/runs" arcface-gluon:gpu train casia_r50 data.path=/data/faces_webface
FROM python:3.11-slim-bookworm

# What MXNet's and OpenCV's libraries need beside Python.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends libgomp1 libquadmath0 libglib2.0-0 make \
    && rm -rf /var/lib/apt/lists/*

COPY . /opt/arcface-gluon
WORKDIR /opt/arcface-gluon
RUN make setup GPU=1
ENV PATH=/opt/arcface-gluon/.venv/bin:$PATH \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility

WORKDIR /work
ENTRYPOINT ["arcface-gluon"]
CMD ["doctor"]
