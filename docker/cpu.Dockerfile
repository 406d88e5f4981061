# arcface-gluon on CPUs, as `make setup` installs it. From the checkout:
#   docker build -f docker/cpu.Dockerfile -t arcface-gluon .
#   docker run --rm -v /data:/data -v "$PWD/runs:/work/runs" arcface-gluon train casia_r50 data.path=/data/faces_webface
FROM python:3.11-slim-bookworm

# What MXNet's and OpenCV's libraries need beside Python.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends libgomp1 libquadmath0 libglib2.0-0 make \
    && rm -rf /var/lib/apt/lists/*

COPY . /opt/arcface-gluon
WORKDIR /opt/arcface-gluon
RUN make setup
ENV PATH=/opt/arcface-gluon/.venv/bin:$PATH

WORKDIR /work
ENTRYPOINT ["arcface-gluon"]
CMD ["doctor"]
