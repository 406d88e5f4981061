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
    """

    memory: float
    gflops: float
    bandwidth: float
    balance: float = BALANCE
    backbone: float = 0.9
    activations: float = 1.5


@dataclass(frozen=True)
class Setting:
    """The options that decide the cost; names are those of a recipe."""

    identities: int
    devices: int
    batch_size: int = 512
    embedding_size: int = 512
    block_rows: int = 0
    sample_rate: float = 1.0
    accumulate: int = 1


@dataclass(frozen=True)
class Cost:
    """Of one device and one step; bytes and seconds.

    Attributes:
        centres: class centres and momenta.
        logits: the head's buffers, with the copies of sampled centres.
        backbone: weights, gradients, momenta.
        activations: of the images that are in the backbone at a time.
        wire_head: features and their gradients, and the reductions, that a device sends.
        wire_backbone: gradients of the backbone, by a ring.
        seconds_head, seconds_backbone, seconds_wire: parts of a step, one after the other.
    """

    centres: float
    logits: float
    backbone: float
    activations: float
    wire_head: float
    wire_backbone: float
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
    own = -(-setting.identities // devices)
    active = max(1, round(own * setting.sample_rate))
    images = -(-batch // devices)
    at_once = -(-images // setting.accumulate)
    width = min(active, setting.block_rows) if setting.block_rows else active
    sampled = 2 * active * d if setting.sample_rate < 1 else 0
    others = (devices - 1) / devices
    products = 3 + (1 if setting.block_rows else 0)
    rate = machine.gflops * 1e9
    moved = active * d * CENTRE_BYTES + batch * active * LOGIT_BYTES
    passes = 3 + (1 if setting.accumulate > 1 else 0)
    wire_head = others * batch * (2 * d * FLOAT + 4 * 8)
    wire_backbone = 2 * others * network.parameters * FLOAT
    return Cost(
        centres=2 * own * d * FLOAT,
        logits=(batch * width + sampled + 4 * batch * d) * FLOAT,
        backbone=3 * network.parameters * FLOAT,
        activations=at_once * network.outputs * FLOAT * machine.activations,
        wire_head=wire_head,
        wire_backbone=wire_backbone,
        seconds_head=(2 * products * batch * active * d + moved * machine.balance) / rate,
        seconds_backbone=2 * passes * network.multiply_additions * images / rate / machine.backbone
        + network.parameters * PARAMETER_BYTES * machine.balance / rate,
        seconds_wire=(wire_head + wire_backbone) / machine.bandwidth,
    )


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
        if estimate.memory <= machine.memory:
            found.append((option, changed, estimate))
    for devices in (2**k for k in range(1, 16)):
        changed = replace(setting, devices=devices)
        if devices > setting.devices and cost(changed, network, machine).memory <= machine.memory:
            found.append((f"{devices} devices", changed, cost(changed, network, machine)))
            break
    return found


def largest(setting: Setting, network: Network, machine: Machine) -> int:
    """The most identities that fit the devices' memory, and MXNet's arrays of 2^31 elements, with these options."""
    low, high = 0, setting.devices * ((2**31 - 1) // setting.embedding_size)
    while low < high:
        middle = (low + high + 1) // 2
        fits = cost(replace(setting, identities=middle), network, machine).memory <= machine.memory
        low, high = (middle, high) if fits else (low, middle - 1)
    return low
