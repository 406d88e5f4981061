"""The cost model against counts made by hand, and its limits."""

import json
import re
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arcface_gluon.models import network_cost
from arcface_gluon.parallel.cost import Machine, Network, Setting, advise, cost, largest, refusal

NETWORK = Network(parameters=1000, multiply_additions=2000, outputs=300)
MACHINE = Machine(memory=1e9, gflops=1.0, bandwidth=1e6, balance=3.0, backbone=0.5, activations=1.5)


def test_a_step_counted_by_hand():
    estimate = cost(Setting(identities=10, devices=4, batch_size=8, embedding_size=5), NETWORK, MACHINE)
    classes, images = 3, 2  # the largest shard of 10 on 4 devices; images a device
    assert estimate.centres == 2 * classes * 5 * 4
    assert estimate.logits == (8 * classes + 4 * 8 * 5) * 4
    assert estimate.backbone == 3 * 1000 * 4
    assert estimate.activations == images * 300 * 4 * 1.5
    assert estimate.wire_head == 0.75 * 8 * (2 * 5 * 4 + 32)
    assert estimate.wire_backbone == 2 * 0.75 * 4000
    moved = 76 * classes * 5 + 36 * 8 * classes
    assert estimate.seconds_head == pytest.approx((3 * 2 * 8 * classes * 5 + 3 * moved) / 1e9)
    assert estimate.seconds_backbone == pytest.approx(6 * 2000 * images / 1e9 / 0.5 + 20 * 1000 * 3 / 1e9)
    assert estimate.seconds_wire == pytest.approx((estimate.wire_head + estimate.wire_backbone) / 1e6)


def test_sampled_centres_are_copied_with_their_gradient():
    setting = Setting(identities=10, devices=2, batch_size=8, embedding_size=5, sample_rate=0.4)
    assert cost(setting, NETWORK, MACHINE).logits == (8 * 2 + 2 * 2 * 5 + 4 * 8 * 5) * 4


def test_one_device_sends_nothing():
    estimate = cost(Setting(identities=10, devices=1), NETWORK, MACHINE)
    assert estimate.wire_head == estimate.wire_backbone == estimate.seconds_wire == 0


def test_processes_send_features_once_and_gradients_twice():
    setting = Setting(identities=12, devices=6, batch_size=24, embedding_size=5, processes=3, hosts=3)
    machine = replace(MACHINE, network=1e5)
    estimate = cost(setting, NETWORK, machine)
    numbers = 2 * 24 * 8 * (3 + 1 / 3)  # three doubles a sample from every process; labels from their own
    assert estimate.sent_head == pytest.approx(3 * 2 / 3 * 24 * 5 * 4 + numbers)
    assert estimate.sent_backbone == pytest.approx(2 * 2 / 3 * 4000)
    assert estimate.wire_backbone == 2 * 0.5 * 4000  # two devices a process
    # Features of 8 images down, of 24 up to both devices; gradients of 24 down, of 8 up; the backbone's down and up.
    assert estimate.staged == 4 * 5 * (8 + 2 * 24 + 24 + 8) + 4 * 1000 * 3
    sent, wire = estimate.sent_head + estimate.sent_backbone, estimate.wire_head + estimate.wire_backbone
    assert estimate.seconds_wire == pytest.approx(sent / 1e5 + (wire + estimate.staged) / 1e6)
    direct = cost(setting, NETWORK, replace(machine, direct=True))
    assert direct.staged == 0 and direct.sent_head == estimate.sent_head
    near = cost(replace(setting, hosts=1), NETWORK, machine)  # no network card between them
    assert near.seconds_wire == pytest.approx((sent + wire + near.staged) / 1e6)


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"batch_size": 7}, "a batch of 7 is smaller than the 8 devices"),
        ({"identities": 7}, "7 identities cannot be split over 8 devices"),
        ({"identities": 10**8, "accumulate": 8}, "12,500,000 identities x 512 .* 24 devices are needed"),
        ({"batch_size": 32_768}, "32768 x 125,000 logits .* set head.block_rows to 65,535 or less"),
        ({"processes": 3}, "8 devices over 3 processes on 1 hosts"),
        ({"processes": 4, "hosts": 3}, "8 devices over 4 processes on 3 hosts"),
    ],
)
def test_what_training_refuses_is_refused(changes, words):
    setting = Setting(identities=10**6, devices=8, batch_size=64)
    assert refusal(setting) is None
    assert refusal(replace(setting, batch_size=32_768, block_rows=65_535)) is None
    assert re.search(words, refusal(replace(setting, **changes)))


@pytest.mark.parametrize("options", [{}, {"sample_rate": 0.5}, {"block_rows": 4096}])
def test_the_most_identities_that_fit_are_not_refused(options):
    setting = Setting(identities=8, devices=8, batch_size=4096, **options)
    most = largest(setting, NETWORK, replace(MACHINE, memory=1e15))
    assert refusal(replace(setting, identities=most)) is None
    assert "2^31 elements" in refusal(replace(setting, identities=most + 32))


def test_networks_are_counted_as_the_reference_counts_them():
    network = network_cost("r50")
    assert network.parameters == 43_590_848 - 512  # formats: less the fixed gamma
    assert 2 * network.multiply_additions == pytest.approx(12.6e9, rel=0.01)


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 10**8), st.integers(1, 64), st.sampled_from([64, 512]))
def test_largest_is_the_last_that_fits(memory, devices, batch):
    machine = replace(MACHINE, memory=float(memory))
    setting = Setting(identities=1, devices=devices, batch_size=batch)
    most = largest(setting, NETWORK, machine)

    def fits(identities):
        return cost(replace(setting, identities=identities), NETWORK, machine).memory <= memory

    assert most == 0 or fits(most)
    assert not fits(most + 1)


def test_advice_fits_and_is_asked_for_only_where_needed():
    setting = Setting(identities=100_000, devices=1, batch_size=512)
    needed = cost(setting, NETWORK, MACHINE).memory
    assert advise(setting, NETWORK, replace(MACHINE, memory=needed)) == []
    tight = replace(MACHINE, memory=0.99 * needed)
    options = advise(setting, NETWORK, tight)
    assert {"head.block_rows=16384", "head.sample_rate=0.1", "2 devices"} <= {option for option, _, _ in options}
    assert all(estimate.memory <= tight.memory for _, _, estimate in options)


def test_plan_command(command, tmp_path):
    done = command("plan", "--identities", "10e6", "--gpus", "8", "--memory", "8", "--json", "plan.json")
    assert "does not fit" in done.stdout and "head.block_rows=16384" in done.stdout
    assert (tmp_path / "plan.json").read_text().count("option") > 1
    assert "--gpus" in command("plan", "--gpus", "0", check=2).stderr
    for option in ("identities", "memory", "price"):
        assert f"--{option}=inf must be a number" in command("plan", f"--{option}", "inf", check=2).stderr
    assert "--price needs --iterations" in command("plan", "--price", "2", check=2).stderr
    words = ["--identities", "1e8", "--accumulate", "8", "--memory", "9000"]
    assert "24 devices are needed at least" in command("plan", *words, check=2).stderr
    words = ["--identities", "1e8", "--hosts", "8", "--np", "64", "--memory", "80", "--iterations", "1000"]
    done = command("plan", *words, "--price", "3", "--sample-rate", "0.1", "--json", "plan.json")
    planned = json.loads((tmp_path / "plan.json").read_text())
    assert planned["hours"] == pytest.approx(planned["seconds"] / 3.6)
    assert f"{planned['hours'] * 64 * 3:,.0f} at 3 a device and hour" in done.stdout


def test_parts_of_a_batch_take_one_more_pass_and_blocks_one_more_product():
    setting = Setting(identities=10, devices=1, batch_size=8, embedding_size=5)
    plain, parts, blocks = (
        cost(replace(setting, **changes), NETWORK, MACHINE) for changes in ({}, {"accumulate": 2}, {"block_rows": 4})
    )
    assert parts.seconds_backbone - plain.seconds_backbone == pytest.approx(2 * 2000 * 8 / 1e9 / 0.5)
    assert blocks.seconds_head - plain.seconds_head == pytest.approx(2 * 8 * 10 * 5 / 1e9)
    assert parts.seconds_head == plain.seconds_head and blocks.seconds_backbone == plain.seconds_backbone
