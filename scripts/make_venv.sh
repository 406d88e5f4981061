#!/bin/sh
# Makes the virtual environment and installs the package with pinned versions.
# usage: make_venv.sh VENV EXTRAS      (EXTRAS such as cpu,orl,dev)
set -eu
venv=$1
extras=$2

if [ ! -x "$venv/bin/python" ]; then
    for version in 3.11 3.10 3.12 3.9 3.8; do
        # A name on PATH may be a shim without an interpreter behind it, and Debian's python may lack venv.
        if "python$version" -c "import venv, ensurepip" >/dev/null 2>&1; then
            echo "making $venv with python$version"
            "python$version" -m venv "$venv"
            break
        fi
    done
fi
if [ ! -x "$venv/bin/python" ] && command -v uv >/dev/null 2>&1; then
    echo "making $venv with uv"
    uv venv --seed --python ">=3.8,<3.13" "$venv"
fi
if [ ! -x "$venv/bin/python" ]; then
    echo "make: no usable python3.11, 3.10, 3.12, 3.9 or 3.8 (with its venv module) and no uv on PATH; install one of them" >&2
    exit 2
fi

# The CPU and GPU builds of MXNet own the same files: the other one must go first.
case ",$extras," in
    *,cu112,*) other=mxnet ;;
    *) other=mxnet-cu112 ;;
esac
pip="$venv/bin/python -m pip --disable-pip-version-check"
$pip uninstall -q -y "$other" 2>/dev/null || true
$pip install -q -c constraints.txt setuptools wheel
$pip install -q -c constraints.txt --no-build-isolation -e ".[$(echo "$extras" | sed 's/,horovod//; s/,detect/,detect,demo/')]"

case ",$extras," in *,interop,*)
    # Without what they ask for: opencv-python would put its files over those of opencv-python-headless, and
    # facenet-pytorch wants an old torch.
    $pip install -q -c constraints.txt --no-deps insightface facenet-pytorch
    ;;
esac

case ",$extras," in *,horovod,*)
    command -v g++ >/dev/null || { echo "make: Horovod is built from source: install g++ (Debian and Ubuntu: apt-get install g++)" >&2; exit 2; }
    # Horovod's build imports MXNet, whose GPU build needs the driver's library.
    reason=$("$venv/bin/python" -c "import arcface_gluon, mxnet" 2>&1 >/dev/null | tail -n 1)
    case $reason in *libcuda.so.1*)
        echo "make: Horovod is built with MXNet, which needs libcuda.so.1 of the NVIDIA driver: build where there is one, or put the CUDA toolkit's stub on LD_LIBRARY_PATH (docs/scale.md)" >&2
        exit 2
        ;;
    esac
    echo "building Horovod (a few minutes)"
    $pip install -q -c constraints.txt cmake cloudpickle psutil pyyaml packaging cffi
    # Horovod's build and horovodrun import MXNet without knowing of us; in this environment every Python process
    # starts by giving NumPy the names that MXNet needs.
    site=$("$venv/bin/python" -c "import sysconfig; print(sysconfig.get_path('purelib'))")
    echo "import arcface_gluon" > "$site/arcface_gluon_names.pth"
    env PATH="$PWD/$venv/bin:$PATH" \
        HOROVOD_WITH_MXNET=1 HOROVOD_WITHOUT_TENSORFLOW=1 HOROVOD_WITHOUT_PYTORCH=1 \
        HOROVOD_WITH_GLOO=1 HOROVOD_WITHOUT_MPI=1 ${HOROVOD_GPU_OPERATIONS:+HOROVOD_GPU_OPERATIONS=$HOROVOD_GPU_OPERATIONS} \
        $PWD/$pip install -q -c constraints.txt --no-build-isolation --no-cache-dir "horovod==0.28.1"
    ;;
esac
