"""metrics.jsonl of a run that goes on."""

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
