"""Running means of a training, and the share of time spent waiting for data, by a clock that the test moves."""

import json

import pytest
from small_trainer import Stream, trainer

from arcface_gluon.training.log import TrainingLog
from arcface_gluon.training.meter import Meter


class Clock:
    now = 0.0

    def __call__(self):
        return self.now

    def after(self, seconds, items):
        """The items, each after so many seconds."""
        for item in items:
            self.now += seconds
            yield item


def test_a_slow_source_has_a_high_share_and_a_fast_one_a_low():
    for wait, step, share in ((9.0, 1.0, 0.9), (0.25, 9.75, 0.025), (0.0, 1.0, 0.0)):
        clock = Clock()
        meter = Meter(clock)
        for _ in meter.batches(clock.after(wait, range(4))):
            assert meter.waited == wait
            clock.now += step
            meter.add(2.0, 0.5, 20, meter.waited)
            clock.now += 100  # a validation, which is no part of the iteration
            assert meter.seconds == wait + step
        assert meter.data_share == pytest.approx(share)
        assert meter.images_per_second == pytest.approx(20 / (wait + step))
        assert meter.line() == {
            "loss": 2.0,
            "accuracy": 0.5,
            "images_per_second": round(20 / (wait + step), 3),
            "seconds": 4 * (wait + step),
            "data_share": share,
        }


def test_a_line_has_the_share_since_the_last_and_the_progress_a_running_one():
    clock = Clock()
    meter = Meter(clock)
    for number, _ in enumerate(meter.batches(clock.after(1.0, range(4)))):
        clock.now += 9.0 if number < 2 else 0.0
        meter.add(1.0, 0.0, 1, meter.waited)
        if number == 1:
            assert meter.line()["data_share"] == 0.1
    assert meter.line()["data_share"] == 1
    assert meter.data_share == pytest.approx(4 / 22)  # of few iterations, all count alike


def test_the_process_that_waits_longest_counts_and_never_more_than_the_iteration():
    clock = Clock()
    meter = Meter(clock)
    next(meter.batches(clock.after(1.0, [None])))
    clock.now += 3.0
    meter.add(1.0, 0.0, 1, 3.0)
    assert meter.data_share == 0.75
    meter.add(1.0, 0.0, 1, 50.0)
    assert meter.line()["data_share"] <= 1


@pytest.mark.parametrize("wait, share", [(9.0, 0.9), (0.0, 0.0)])
def test_training_tells_its_share(tmp_path, wait, share):
    run = trainer(tmp_path)
    run.clock = Clock()

    class Source(Stream):
        def iterate(self, start):
            return run.clock.after(wait, super().iterate(start))

    step = run._step

    def one_second(*arguments):
        run.clock.now += 1
        return step(*arguments)

    run.batches, run._step = Source(), one_second
    run.train()
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [line["data_share"] for line in lines if "loss" in line] == [pytest.approx(share)] * 6
    assert run.seconds == pytest.approx(6 * (wait + 1))


@pytest.mark.parametrize("terminal", [True, False])
def test_the_bar_and_the_lines_show_the_share(tmp_path, capsys, monkeypatch, terminal):
    monkeypatch.setattr("sys.stderr.isatty", lambda: terminal, raising=False)
    log = TrainingLog(tmp_path, 0, 2, log_every=1)
    log.progress(100.0, 2.5, 0.25, 0.1, 0.034)
    log.close()
    assert "100.0 images/s, data 3%, loss 2.500, accuracy 25.0%, lr 0.1" in capsys.readouterr().err
