"""metrics.jsonl of a run that goes on."""

import json

from arcface_gluon.training.log import TrainingLog, read_metrics


def lines(folder, start, validated):
    TrainingLog(folder, start, 9, quiet=True, validated=validated).close()
    return [(record["iteration"], "verification" in record) for record in read_metrics(folder / "metrics.jsonl")]


def test_what_is_done_again_is_removed(tmp_path):
    log = TrainingLog(tmp_path, 0, 9, quiet=True)
    for iteration in (1, 2, 3, 4):
        log.write({"iteration": iteration, "loss": 1.0})
        if iteration % 2 == 0:
            log.write({"iteration": iteration, "verification": {}})
    log.close()
    whole = [(1, False), (2, False), (2, True), (3, False), (4, False), (4, True)]
    assert lines(tmp_path, 4, 4) == whole
    assert lines(tmp_path, 4, 2) == whole[:-1]  # killed before the checkpoint knew of its validation
    assert lines(tmp_path, 2, 0) == whole[:2]


def test_any_changed_bit_is_told_by_its_line(tmp_path, caplog):
    """A value, a key, the checksum or its name, an end of a line."""
    log = TrainingLog(tmp_path, 0, 9, quiet=True)
    records = [{"iteration": 1, "loss": 2.5}, {"iteration": 2, "verification": {"lfw": {"accuracy": 0.5}}}]
    for record in records:
        log.write(record)
    log.close()
    path = tmp_path / "metrics.jsonl"
    whole = path.read_bytes()
    assert read_metrics(path) == records and not caplog.records
    ends = whole.index(b"\n")
    for place in range(len(whole)):
        for bit in (0, 3, 6):
            caplog.clear()
            path.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << bit]) + whole[place + 1 :])
            left = [] if place == ends else [records[place <= ends]]  # without its end, two lines are one
            assert read_metrics(path) in (left, records), (place, bit)
            told = [record.getMessage() for record in caplog.records]
            # White space of another kind changes nothing.
            assert told or read_metrics(path) == records, (place, bit)
            assert all(f"line {1 if place <= ends else 2}" in line for line in told[:1]), told


def test_lines_of_earlier_versions_have_no_checksum(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"iteration": 1, "loss": 1.5}\n{"iteration": 2, "loss": 1.0}\n')
    assert [record["loss"] for record in read_metrics(path)] == [1.5, 1.0]
    TrainingLog(tmp_path, 2, 9, quiet=True).close()
    assert all("checksum" in json.loads(line) for line in path.read_text().splitlines())
