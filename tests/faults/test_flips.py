"""A flipped bit or a cut in every kind of file: refused in one line, harmless, or another value; nothing else.

Another value (a pixel, a label, a weight of a model from elsewhere) is allowed only where no checksum covers the file.
"""

import json
import os
import random
import resource
import traceback
from pathlib import Path

import pytest
from process import SERVER
from readers import KINDS, find, make_files

FLIPS, CUTS = 8, 3
MEMORY = 4 << 30  # bytes more than at the start that a reader may take


@pytest.fixture(scope="module")
def files(data, model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    process = SERVER.Process(target=make_files, args=(folder, data, model))
    process.start()
    process.join()
    assert process.exitcode == 0
    return folder


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_flips_and_cuts(kind, files, tmp_path, ledger):
    report = tmp_path / "report.jsonl"
    process = SERVER.Process(target=change_and_read, args=(KINDS.index(kind), files, report))
    process.start()
    process.join(120)
    if process.exitcode is None:
        process.kill()
    lines = [json.loads(line) for line in report.read_text().splitlines()]
    counts = {what: sum(line[1] == what for line in lines) for what in ("detected", "harmless", "value-only")}
    ledger.flips[kind.name] = len(lines), counts, kind.protected
    wrong = [line for line in lines if line[1] == "wrong" or kind.protected is True and line[1] == "value-only"]
    assert not wrong, "\n".join(": ".join(line) for line in wrong)
    assert process.exitcode == 0 and len(lines) == FLIPS + CUTS, f"the reader died of {lines[-1:]}, or the one after"


def change_and_read(index, files, report):
    """In a process of its own: change the file, read it, put it back; a line of the report for each change."""
    kind = KINDS[index]
    path = find(files, kind)
    whole, luck = path.read_bytes(), random.Random(kind.name)
    undisturbed = read(kind, files, path)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))
    with open(report, "w") as file:
        for number in range(FLIPS + CUTS):
            changed = bytearray(whole)
            if number < FLIPS:
                place, bit = luck.randrange(len(whole)), luck.randrange(8)
                changed[place] ^= 1 << bit
                what = f"bit {bit} of byte {place}"
            else:
                place = luck.randrange(len(whole)) if number > FLIPS else 0
                del changed[place:]
                what = f"cut to {place} of {len(whole)} bytes"
            path.write_bytes(changed)
            try:
                result, text = outcome(kind, files, path, undisturbed)
            finally:
                path.write_bytes(whole)
            file.write(json.dumps([what, result, text]) + "\n")
            file.flush()


def outcome(kind, files, path, undisturbed):
    from arcface_gluon.errors import UserError

    try:
        value = read(kind, files, path)
    except UserError as error:
        line = str(error)
        return ("detected" if line and "\n" not in line else "wrong"), line
    except Exception:
        return "wrong", traceback.format_exc()
    return ("harmless" if value == undisturbed else "value-only"), ""


def read(kind, files, path):
    return json.dumps(kind.read(files, path), sort_keys=True, default=str)
