"""What a training step costs on paper: memory of a device, bytes on the wire, seconds. For runs too large to try.

Shapes: N identities over G devices, batch B over all devices, embedding size d. All formulas count float32.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

FLOAT = 4  # bytes
MIB = 2**20
# Bytes that a step moves between a device and its memory, counted operation by operation (losses/device_kernels.py):
# for each element of the centres three products, the projection of their gradient, SGD and the norms; for each logit a
# product's result, the scaling by the norms, the softmax, its scaling, and two products; for each parameter of the
# backbone SGD.
CENTRE_BYTES, LOGIT_BYTES, PARAMETER_BYTES = 76, 36, 20
# Floating-point operations in the time that a byte takes, where the memory bandwidth is not told. Measured on two CPU
# cores (docs/scale.md); GPUs have 10 to 20.
BALANCE = 9.0
MAX_ELEMENTS = 2**31 - 1  # of an MXNet array


@dataclass(frozen=True)
class Network:
    """What the model needs to know of a backbone.

    Attributes:
        parameters: their number.
        multiply_additions: of one image forward.
        outputs: elements of all its operators' outputs for one image: what a training step keeps, about.
    """

    parameters: int
    multiply_additions: int
    outputs: int


@dataclass(frozen=True)
class Machine:
    """A device and what connects it.

    Attributes:
        memory: bytes of one device.
        gflops: rate of large float32 matrix products.
        bandwidth: bytes a second that a device can send.
        balance: `gflops` over the gigabytes a second between the device and its memory.
        backbone: images a second over the bound of 6 multiply-additions an image at `gflops`.
        activations: bytes kept a training step over those of the operators' outputs.
        network: bytes a second of a host's network card, which all its devices share; None: as `bandwidth`.
        direct: processes exchange arrays between devices (NCCL); else each goes through the host's memory, and over the
            device's bus at `bandwidth` once more each way.
    """

    memory: float
    gflops: float
    bandwidth: float
    balance: float = BALANCE
    backbone: float = 0.9
    activations: float = 1.5
    network: float | None = None
    direct: bool = False


@dataclass(frozen=True)
class Setting:
    """The options that decide the cost; names are those of a recipe.

    `devices` are all of them, shared evenly by `processes`, and these by `hosts`.
    """

    identities: int
    devices: int
    batch_size: int = 512
    embedding_size: int = 512
    block_rows: int = 0
    sample_rate: float = 1.0
    accumulate: int = 1
    processes: int = 1
    hosts: int = 1


@dataclass(frozen=True)
class Cost:
    """Of one device and one step; bytes and seconds.

    Attributes:
        centres: class centres and momenta.
        logits: the head's buffers, with the copies of sampled centres.
        backbone: weights, gradients, momenta.
        activations: of the images that are in the backbone at a time.
        wire_head: features and their gradients, and the reductions, that a device sends within its process.
        wire_backbone: gradients of the backbone, by a ring, within a process.
        sent_head, sent_backbone: what a process sends to others (`HorovodProcesses.bytes_sent`). The ring enters and
            leaves a host once, however many processes are on it: that is what its network card sends, too.
        staged: what a process copies between its devices and the host for it.
        seconds_head, seconds_backbone, seconds_wire: parts of a step, one after the other.
    """

    centres: float
    logits: float
    backbone: float
    activations: float
    wire_head: float
    wire_backbone: float
    sent_head: float
    sent_backbone: float
    staged: float
    seconds_head: float
    seconds_backbone: float
    seconds_wire: float

    @property
    def memory(self) -> float:
        """Bytes of a device."""
        return self.centres + self.logits + self.backbone + self.activations

    @property
    def seconds(self) -> float:
        """Of a step."""
        return self.seconds_head + self.seconds_backbone + self.seconds_wire

    def to_json(self) -> dict:
        return {**asdict(self), "memory": self.memory, "seconds": self.seconds}


def cost(setting: Setting, network: Network, machine: Machine) -> Cost:
    """Cost of a step.

    The head does three products of (B, d), (d, n) and (n, B) for its n = N / G classes, or the sampled share of them,
    and one more where `block_rows` computes the logits twice, and moves its arrays; `accumulate` takes one more forward
    pass of the backbone.
    """
    batch, d, devices = setting.batch_size, setting.embedding_size, setting.devices
    own, active = -(-setting.identities // devices), _active(setting)
    images = -(-batch // devices)
    at_once = -(-images // setting.accumulate)
    width = _width(setting)
    sampled = 2 * active * d if setting.sample_rate < 1 else 0
    inside = devices // setting.processes  # devices of a process
    others = (inside - 1) / inside
    far = (setting.processes - 1) / setting.processes
    products = 3 + (1 if setting.block_rows else 0)
    rate = machine.gflops * 1e9
    moved = active * d * CENTRE_BYTES + batch * active * LOGIT_BYTES
    passes = 3 + (1 if setting.accumulate > 1 else 0)
    wire_head = others * batch * (2 * d * FLOAT + 4 * 8)
    wire_backbone = 2 * others * network.parameters * FLOAT
    # Gathered once, and summed by a ring: features there, their gradients back. Labels, and log-sum-exps, largest and
    # own values of every process, are doubles.
    sent_head = far * batch * 3 * d * FLOAT + (setting.processes - 1) * batch * 8 * (3 + 1 / setting.processes)
    sent_backbone = 2 * far * network.parameters * FLOAT
    staged = 0.0
    if setting.processes > 1 and not machine.direct:
        own_part = batch / setting.processes
        staged = FLOAT * (own_part + inside * batch + batch + own_part) * d  # features down, up; gradients down, up
        staged += FLOAT * (1 + inside) * network.parameters
    return Cost(
        centres=2 * own * d * FLOAT,
        logits=(batch * width + sampled + 4 * batch * d) * FLOAT,
        backbone=3 * network.parameters * FLOAT,
        activations=at_once * network.outputs * FLOAT * machine.activations,
        wire_head=wire_head,
        wire_backbone=wire_backbone,
        sent_head=sent_head,
        sent_backbone=sent_backbone,
        staged=staged,
        seconds_head=(2 * products * batch * active * d + moved * machine.balance) / rate,
        seconds_backbone=2 * passes * network.multiply_additions * images / rate / machine.backbone
        + network.parameters * PARAMETER_BYTES * machine.balance / rate,
        seconds_wire=(wire_head + wire_backbone + staged) / machine.bandwidth
        + (sent_head + sent_backbone)
        / ((machine.network or machine.bandwidth) if setting.hosts > 1 else machine.bandwidth),
    )


def _active(setting):
    """Classes of a device that take part in a step."""
    return max(1, round(-(-setting.identities // setting.devices) * setting.sample_rate))


def _width(setting):
    """Classes whose logits a device keeps at a time."""
    return min(_active(setting), setting.block_rows or _active(setting))


def refusal(setting: Setting) -> str | None:
    """Why training would refuse a setting, whatever the memory; None where it would not."""
    devices, rows = setting.devices, -(-setting.identities // setting.devices)
    if devices % setting.processes or setting.processes % setting.hosts:
        return (
            f"{devices} devices over {setting.processes} processes on {setting.hosts} hosts: each host needs as many "
            "processes, and each process as many devices"
        )
    if setting.batch_size < devices:
        return f"a batch of {setting.batch_size} is smaller than the {devices} devices"
    if setting.identities < devices:
        return f"{setting.identities} identities cannot be split over {devices} devices"
    if rows * setting.embedding_size > MAX_ELEMENTS:
        most = MAX_ELEMENTS // setting.embedding_size
        return (
            f"{rows:,} identities x {setting.embedding_size} on a device exceed the 2^31 elements of an MXNet array: "
            f"{-(-setting.identities // most)} devices are needed at least"
        )
    if setting.batch_size * _width(setting) > MAX_ELEMENTS:
        return (
            f"{setting.batch_size} x {_width(setting):,} logits on a device exceed the 2^31 elements of an array; "
            f"set head.block_rows to {MAX_ELEMENTS // setting.batch_size:,} or less"
        )
    return None


def advise(setting: Setting, network: Network, machine: Machine) -> list:
    """What to switch on where the memory does not suffice: the first of these that fit, [(option, Setting, Cost)].

    Exact ones first: more parts a batch, the softmax in blocks, both; then a sample of the centres; then more devices.
    """
    if cost(setting, network, machine).memory <= machine.memory:
        return []
    images = -(-setting.batch_size // setting.devices)
    parts = [k for k in (2, 4, 8, 16, 32) if k <= images]
    tries: list[tuple[str, dict[str, Any]]] = [(f"train.accumulate={k}", {"accumulate": k}) for k in parts]
    tries.append(("head.block_rows=16384", {"block_rows": 16_384}))
    tries += [(f"head.block_rows=16384 train.accumulate={k}", {"block_rows": 16_384, "accumulate": k}) for k in parts]
    tries += [(f"head.sample_rate={rate:g}", {"sample_rate": rate}) for rate in (0.5, 0.2, 0.1)]
    found = []
    for option, changes in tries:
        changed = replace(setting, **changes)
        estimate = cost(changed, network, machine)
        if refusal(changed) is None and estimate.memory <= machine.memory:
            found.append((option, changed, estimate))
    for devices in (setting.devices * 2**k for k in range(1, 16)):
        each = max(1, devices // setting.devices)  # times as many hosts and processes, each as large
        changed = replace(setting, devices=devices, processes=setting.processes * each, hosts=setting.hosts * each)
        if devices <= setting.devices or refusal(changed):
            continue
        if cost(changed, network, machine).memory <= machine.memory:
            found.append((f"{devices} devices", changed, cost(changed, network, machine)))
            break
    return found


def largest(setting: Setting, network: Network, machine: Machine) -> int:
    """The most identities that fit the devices' memory, and MXNet's arrays of 2^31 elements, with these options."""
    low, high = 0, setting.devices * (MAX_ELEMENTS // setting.embedding_size)
    while low < high:
        middle = (low + high + 1) // 2
        changed = replace(setting, identities=middle)
        fits = setting.batch_size * _width(changed) <= MAX_ELEMENTS
        fits = fits and cost(changed, network, machine).memory <= machine.memory
        low, high = (middle, high) if fits else (low, middle - 1)
    return low
