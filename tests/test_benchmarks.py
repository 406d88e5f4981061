"""Benchmarks: floors are the products they stand for, rows are medians of rounds, and the page keeps other machines."""

from __future__ import annotations

import re
from pathlib import Path

import mxnet as mx
import numpy as np
import pytest
from arcface_gluon.benchmarks import docs, floors, goals, identification, kernels, peers, pipeline, run, tables

from arcface_gluon import blas
from arcface_gluon.data import FaceRecords
from arcface_gluon.errors import UserError
from arcface_gluon.files import read_json
from arcface_gluon.protocols.verification import evaluate_pairs
from arcface_gluon.runtime import physical_cores

TABLE = "| what | ratio |\n| --- | ---: |\n| {} | 1 |"


def test_every_library_computes_the_three_products():
    random = np.random.default_rng(0)
    x, w = (random.normal(size=(n, 16)).astype(np.float32) for n in (6, 40))
    expected = (x @ w.T).T @ x
    for name, work in floors.head_products(x, weight := mx.nd.array(w), gradient := mx.nd.zeros((40, 16))).items():
        gradient[:] = 0
        mx.nd.waitall()
        work()
        if name == "oneDNN":  # its weighted features are x as well
            assert np.array_equal(weight.asnumpy(), w)
        np.testing.assert_allclose(gradient.asnumpy(), expected, rtol=1e-4, atol=1e-4, err_msg=name)


def test_a_row_is_the_median_of_the_rounds_ratios():
    row = floors.row("work", np.array([2.0, 9.0, 4.0]), np.array([1.0, 3.0, 4.0]), "NumPy", "ms")
    assert (row["value"], row["floor"], row["ratio"], row["spread"]) == (4000, 3000, 2, 0.5)
    assert floors.fastest({"slow": np.array([3.0, 3.0]), "fast": np.array([1.0, 2.0])})[0] == "fast"


def test_the_whole_of_a_set_is_told_by_two_parts_of_it():
    images, pairs = np.array([3.0, 1.0]), np.array([5000.0, 0.0])
    more, few = (images / part + pairs / part**2 for part in (32, 64))
    np.testing.assert_allclose(identification.whole(32, more, few), images + pairs)


def test_works_take_turns():
    order = []
    seconds = floors.in_turns({"a": lambda: order.append("a"), "b": lambda: order.append("b")}, 3)
    assert order == ["a", "b"] * 4 and {len(times) for times in seconds.values()} == {3}
    order.clear()
    seconds = floors.in_turns({"a": lambda: order.append("a")}, 3, warm=False)
    assert order == ["a"] * 3 and len(seconds["a"]) == 3


def test_the_page_keeps_other_machines_and_other_parts(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(f"# Speed\n\nWords.\n\n<!-- machine: old -->\n\n## old\n\n### head\n\nkept\n\n{docs.END}\n")
    docs.write(page, "new", "Today.", {"head": TABLE.format("first"), "search": TABLE.format("second")})
    docs.write(page, "new", "Tomorrow.", {"head": TABLE.format("third")})
    text = page.read_text()
    assert [text.count(word) for word in ("kept", "first", "second", "third", "Today.", "## new")] == [1, 0, 1, 1, 1, 1]
    assert text.index("Words.") < text.index("## new") < text.index("## old")
    once = text
    docs.write(page, "new", "Tomorrow.", {"head": TABLE.format("third")})
    assert page.read_text() == once


def test_the_goals_on_the_page_are_those_of_its_tables_and_of_the_code(tmp_path):
    ours = Path(__file__).parents[1] / "docs" / "benchmarks.md"
    page = tmp_path / "page.md"
    page.write_text(text := ours.read_text(encoding="utf-8"), encoding="utf-8")
    machines = re.findall("<!-- machine: .* -->\n\n## (.*)\n\n### Goals", text)
    for machine in machines:
        docs.write(page, machine, "", {})
    assert page.read_text(encoding="utf-8") == text and machines


def test_a_table_leaves_empty_columns_out():
    lines = tables.table([{"what": "a", "value": 1.5, "unit": "s"}, {"what": "b", "value": 1234567.0}]).splitlines()
    assert lines[0] == "| what | value | unit |" and lines[3] == "| b | 1,234,567 |  |"


def test_goals_are_judged_by_the_ratio_and_its_spread():
    least, most = goals.Goal("a", 0.8, at_least=True), goals.Goal("a", 0.8)
    assert [least.verdict(ratio, 0.02) for ratio in (0.81, 0.79, 0.7)] == [
        "reached", "missed, within the spread", "missed",
    ]  # fmt: skip
    assert [most.verdict(ratio, None) for ratio in (0.8, 0.81)] == ["reached", "missed"]
    assert set(goals.GOALS) <= set(run.ORDER)
    (row,) = goals.judged("verification", [{"what": "anything", "ratio": 1.0}])
    assert "goal" not in row


def test_the_table_of_goals_is_made_of_the_tables(monkeypatch, tmp_path):
    monkeypatch.setitem(goals.GOALS, "head", (goals.Goal("a.*", 1.2), goals.Goal("other", 2, at_least=True)))
    rows = [{"what": "a, step", "ratio": 1.5, "spread": 0.1, "profile": "x 1, y 2"}, {"what": "b", "ratio": 3.0}]
    rows = goals.judged("head", rows)
    part = tables.part("head", rows)
    assert "- not measured in this run: `other`, ≥ 2" in part and "not measured" not in tables.part("head", rows, True)
    line = "| head | a, step | 1.5 | 0.1 | ≤ 1.2 | missed | x 1, y 2 |"
    assert tables.goal_table({"head": part}).splitlines()[2:] == [line]
    assert tables.goal_table({"head": TABLE.format("b")}) == ""
    page = tmp_path / "page.md"
    page.write_text("# Speed\n")
    docs.write(page, "new", "Today.", {"head": part})
    docs.write(page, "new", "Today.", {"search": TABLE.format("second")})  # a later call, of another part
    assert page.read_text().count(line) == 1 and page.read_text().index("### Goals") < page.read_text().index(
        "### head"
    )
    rows[0]["ratio"] = 1.1
    docs.write(page, "new", "Today.", {"head": tables.part("head", goals.judged("head", rows))})
    assert "missed" not in page.read_text() and page.read_text().count("### Goals") == 1


def test_a_call_that_was_interrupted_goes_on_where_it_ended(tmp_path, capsys):
    good, bad = "def measure(quick):\n    return [{'what': __name__, 'value': 1.0}]\n", "raise SystemExit(3)\n"
    files = [tmp_path / "one.py", tmp_path / "two.py"]
    for file, text in zip(files, (good, bad)):
        file.write_text(text)
    call = [*map(str, files), "--out", str(tmp_path)]
    with pytest.raises(UserError, match="--resume"):
        run.main(call)
    for file, text in zip(files, (bad, good)):
        file.write_text(text)
    capsys.readouterr()
    assert run.main([*call, "--resume"]) == 0
    assert "(1 of 1" in capsys.readouterr().out
    assert [len(rows) for rows in read_json(tmp_path / "bench.json")["results"].values()] == [1, 1]


def test_a_numpy_that_falls_back_gets_kernels_of_the_processor(monkeypatch):
    monkeypatch.delenv(blas.VARIABLE, raising=False)
    monkeypatch.setattr(blas, "processor_features", lambda: frozenset(["avx2", "avx512bw"]))
    for name, asked in ((blas.FALLBACK, "SkylakeX"), ("Haswell", None)):
        monkeypatch.setattr(blas, "numpy_kernels", lambda name=name: name)
        assert kernels.environment().get(blas.VARIABLE) == asked
    monkeypatch.setattr(blas, "numpy_kernels", lambda: blas.FALLBACK)
    monkeypatch.setattr(blas, "processor_features", lambda: frozenset(["avx2"]))
    assert kernels.environment()[blas.VARIABLE] == blas.BEST
    monkeypatch.setenv(blas.VARIABLE, "Zen")  # what the user asks for holds
    assert kernels.environment()[blas.VARIABLE] == "Zen"


def test_peers_verify_to_the_same_accuracy():
    random = np.random.default_rng(0)
    same = np.arange(600) % 2 == 0
    pairs = random.normal(size=(600, 2, 16)).astype(np.float32)
    pairs[same, 1] = pairs[same, 0] + random.normal(size=(same.sum(), 16))
    pairs = pairs.reshape(1200, 16)
    expected = evaluate_pairs(pairs, same).accuracy
    for name, work in peers.verifications(pairs, same).items():
        assert work() == pytest.approx(expected, abs=0.02), name


def test_all_benchmarks_are_announced_with_their_time():
    first, *lines = run.announcement(quick=False)
    assert [line.split()[0] for line in lines] == list(run.ORDER)
    assert f"about {sum(run.ORDER.values()) / 60:.0f} minutes" in first
    assert "minutes" not in run.announcement(quick=True)[0]


@pytest.mark.skipif(not floors.has("torch"), reason="PyTorch is not installed")
def test_the_peers_head_has_the_same_loss():
    import torch

    random = np.random.default_rng(0)
    x, w = (random.normal(size=(n, 16)).astype(np.float32) for n in (6, 40))
    labels, losses = random.integers(0, 40, 6), []
    cross_entropy = torch.nn.functional.cross_entropy

    def seen(*arguments):
        losses.append(cross_entropy(*arguments))
        return losses[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.nn.functional, "cross_entropy", seen)
        peers.heads(x, labels, w)["PyTorch autograd"]()
    from arcface_gluon import ShardedMarginHead

    head = ShardedMarginHead(40, 16, [mx.cpu()])
    head.set_centres(w)
    assert float(losses[0].detach()) == pytest.approx(head.forward_backward([mx.nd.array(x)], [labels])[0], rel=1e-4)


def test_rates_stand_beside_the_fastest_decoder():
    seconds = {pipeline.TURBO: [2.0, 4.0], pipeline.OPENCV: [4.0, 4.0], "batches": [4.0, 5.0]}
    rows = pipeline.compared({name: np.array(times) for name, times in seconds.items()}, 12, ", here")
    assert {row["by"] for row in rows} == {pipeline.TURBO} and {row["floor"] for row in rows} == {4}
    assert [(row["what"], row["ratio"]) for row in rows[1:]] == [("OpenCV, here", 0.75), ("batches, here", 0.65)]


def test_the_pipeline_is_measured_on_one_core_and_on_all(tmp_path):
    pipeline.write_images(tmp_path, 2 * pipeline.BATCH, 2.0)
    records, cores = FaceRecords(tmp_path), physical_cores()
    with pipeline.on_cores(1):
        assert physical_cores() == 1
        works = {**pipeline.decoders(records, 1), **pipeline.pipelines(records, 1, brief=True)}
        rounds = pipeline.in_turns(works, 1)
        (row,) = pipeline.waiting_threads(records, threads=4, batches=1, rounds=1)
        assert row["by"] == "sleep" and row["value"] > 0
    assert physical_cores() == cores
    assert list(rounds) == [pipeline.TURBO, pipeline.OPENCV, pipeline.ON_CONTEXT]
    assert all(times.shape == (1,) and times > 0 for times in rounds.values())


@pytest.mark.skipif(not floors.has("torch"), reason="PyTorch is not installed")
def test_the_peers_loader_gives_the_same_images(tmp_path):
    pipeline.write_images(tmp_path, 6, 2.0)
    records = FaceRecords(tmp_path)
    (make,) = peers.loaders(records, 4, 0).values()
    batches = make()
    images, labels = next(batches)
    batches.close()
    for image, label in zip(images.numpy(), labels.tolist()):
        expected = mx.image.imdecode(records.read(label)[0]).asnumpy().transpose(2, 0, 1)
        found = np.rint(image * 127.5 + 127.5)
        assert np.array_equal(found, expected) or np.array_equal(found, expected[..., ::-1])
