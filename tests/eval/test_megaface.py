"""eval/megaface.py on a small set in the devkit's layout, against the protocol written out in float64."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from helpers import people

from arcface_gluon.data.benchmarks import megaface as lists
from arcface_gluon.data.embeddings.devkit_files import read_feature, write_feature
from arcface_gluon.data.embeddings.embedding_file import read_embeddings
from arcface_gluon.report.measurements import collect

RUN = Path("runs") / "tiny"


@pytest.fixture(scope="module")
def megaface(script):
    return script("eval/megaface.py")


@pytest.fixture(scope="module")
def source(script, tmp_path_factory):
    folder = tmp_path_factory.mktemp("megaface") / "data"
    script("datasets/demo.py").megaface(folder, people(), sizes=(10, 40))
    return folder


@pytest.fixture
def data(source, tmp_path, monkeypatch):
    """A copy of the set to spoil, as the folder `data`."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(source, tmp_path / "data")
    return Path("data")


@pytest.fixture
def evaluate(megaface, model):
    def run(*arguments, status=0):
        assert megaface.main(["--model", str(model), "--data", "data", "--quiet", *map(str, arguments)]) == status

    return run


@pytest.fixture
def features(data):
    """Ready features of the devkit's kind, random."""
    random = np.random.default_rng(1)
    probes = lists.read_probe_list(data / "templatelists" / "facescrub_features_list.json")
    others = lists.read_distractor_list(data / "megaface_lst").paths
    for folder, names in (("facescrub", probes.paths), ("megaface", others)):
        for path in lists.feature_paths(Path("features") / folder, names, "_net.bin"):
            write_feature(path, random.normal(size=5))
    return ["--features", "features", "--ending", "_net.bin", "--data", "data", "--quiet"]


def naive(probes, labels, gallery):
    """Rank-1 and TAR at FAR 1e-6 by the definitions; of so few impostors none may pass."""
    probes, gallery = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (probes, gallery))
    impostors = probes @ gallery.T
    genuine = [
        (impostors[i].max() <= probes[i] @ probes[j], probes[i] @ probes[j] > impostors.max())
        for i in range(len(probes))
        for j in range(len(probes))
        if i != j and labels[i] == labels[j]
    ]
    assert impostors.size < 1e6
    return np.mean(genuine, axis=0)


def test_the_demo_agrees_with_the_definitions(evaluate, data, capsys):
    evaluate("--json", "all.json", "--sets", 1, 3, "--refine", "delete")
    said = capsys.readouterr().out
    probes, distractors = (
        read_embeddings(next((RUN / "embeddings").glob(f"megaface-{what}-*.npy"))) for what in ("probes", "distractors")
    )
    identities = dict(zip(*vars(lists.read_probe_list(data / "templatelists/facescrub_features_list.json")).values()))
    labels = np.array([identities[name] for name in probes.names])
    row = {name: number for number, name in enumerate(distractors.names)}
    noisy = lists.find_noisy(probes.names, lists.read_noise_list(data / "facescrub_noises.txt"))[0]
    results = json.loads(Path("all.json").read_text())["results"]
    assert [(one["protocol"], one["size"], one["set"]) for one in results[:4]] == [
        ("original", 10, 1),
        ("original", 10, 3),
        ("original", 40, 1),
        ("original", 40, 3),
    ]
    for one in results:
        path = lists.distractor_list_path(data / "templatelists", one["size"], one["set"])
        names = lists.read_distractor_list(path).paths
        refined = one["protocol"] != "original"
        keep = ~noisy if refined else noisy | True
        chosen = [row[name] for name in names if not (refined and name == "9/stray/0.jpg")]
        want = naive(probes.vectors[keep].astype(float), labels[keep], distractors.vectors[chosen].astype(float))
        np.testing.assert_allclose([one["rank1"], one["tar_at_far_1e-6"]], want, atol=1e-9)
        assert one["distractors"] == len(chosen)
        protocol = "_R" if refined else ""
        devkit = RUN / "megaface" / f"cmc_facescrub_megaface_tiny{protocol}_{one['size']}_{one['set']}.json"
        assert json.loads(devkit.read_text())["cmc"][1][0] == one["rank1"]
        assert f"{100 * want[0]:.2f}" in said
    assert (RUN / "megaface" / "table.md").read_text() in said
    assert (RUN / "figures" / "figure-8.png").stat().st_size > 10_000 and (RUN / "figures" / "figure-8.svg").exists()
    found, problems = collect("runs")
    largest = [one for one in results if one["size"] == 40 and one["protocol"] == "original"]
    (measured,) = (one for one in found if one.row == "tiny" and one.column.startswith("Id"))
    assert not problems and measured.value == pytest.approx(100 * np.mean([one["rank1"] for one in largest]))
    assert {one.row for one in found} == {"tiny", "tiny, R"} and not any(one.paper_data for one in found)
    assert {str(one.mode) for one in found if one.row == "tiny"} == {"image + mirror; a tie is a success"}


@pytest.mark.usefixtures("no_figures")
def test_images_are_embedded_once_and_an_extraction_goes_on(evaluate, data, monkeypatch, capsys):
    from arcface_gluon import embed

    counts, batches = [], embed.embed_in_batches

    def counting(net, images, contexts, batch_size, flip, size, first=0, skip=False):
        for batch in batches(net, images, contexts, batch_size, flip, size, first, skip):
            counts.append(batch.count)
            yield batch
            if stop and sum(counts) > stop:
                raise KeyboardInterrupt

    monkeypatch.setattr(embed, "embed_in_batches", counting)
    stop = 30
    evaluate("--batch-size", 8, status=130)
    stop = None
    evaluate("--batch-size", 8)
    named = {path for size in (10, 40) for number in (1, 2, 3) for path in listed(data, size, number)}
    probes = len(lists.read_probe_list(data / "facescrub_lst").paths)
    # What a batch had embedded when it was stopped is in the file, but that batch itself.
    assert probes + len(named) <= sum(counts) <= probes + len(named) + 8
    first = capsys.readouterr().out
    evaluate("--batch-size", 8)
    assert sum(counts) <= probes + len(named) + 8, "all was there"
    assert capsys.readouterr().out == first[-len(first) :]


def listed(data, size, number):
    return lists.read_distractor_list(lists.distractor_list_path(data / "templatelists", size, number)).paths


@pytest.mark.usefixtures("no_figures")
def test_missing_images_are_counted_and_listed(evaluate, data, capsys):
    gone = listed(data, 10, 1)[0]
    (data / "megaface_images" / gone).unlink()
    evaluate("--skip-missing")
    assert "1 left out as missing: runs/tiny/megaface/missing.txt" in capsys.readouterr().out
    assert Path("runs/tiny/megaface/missing.txt").read_text() == f"{gone}\n"
    assert json.loads((RUN / "megaface" / "results.json").read_text())["results"][0]["distractors"] == 9


@pytest.mark.usefixtures("no_figures")
def test_noise_lists_may_name_other_images(evaluate, data, capsys):
    evaluate("--sizes", 40)
    results = Path("runs/tiny/megaface/results.json")
    alone = json.loads(results.read_text())
    assert not Path("runs/tiny/megaface/noise-ignored.txt").exists() and alone["noise_names_ignored"] == 0
    for what, strange in (("facescrub", ["Nobody_1.png", "Nobody_2.png"]), ("megaface", ["1/2@N00/none.jpg"])):
        with open(data / f"{what}_noises.txt", "a") as file:
            file.write("".join(f"{name}\n" for name in strange))
    capsys.readouterr()
    evaluate("--sizes", 40)
    said = capsys.readouterr().out
    names = [len(lists.read_noise_list(data / f"{what}_noises.txt")) for what in ("facescrub", "megaface")]
    assert f"data/facescrub_noises.txt: 2 of {names[0]} names are in no list of probes, and are ignored" in said
    assert f"data/megaface_noises.txt: 1 of {names[1]} names are in no list of distractors, and are ignored" in said
    assert "3 names of noise lists are ignored: runs/tiny/megaface/noise-ignored.txt" in said
    assert Path("runs/tiny/megaface/noise-ignored.txt").read_text().splitlines() == [
        "data/facescrub_noises.txt: Nobody_1.png",
        "data/facescrub_noises.txt: Nobody_2.png",
        "data/megaface_noises.txt: 1/2@N00/none.jpg",
    ]
    wide = json.loads(results.read_text())
    assert wide["results"] == alone["results"] and wide["noise_names_ignored"] == 3 and wide["missing"] == 0


@pytest.mark.usefixtures("no_figures")
def test_ready_features_give_the_same_and_can_be_written(megaface, evaluate, data):
    evaluate("--write-features", "features")
    for suffix in (".npy", ".txt"):
        for what in ("probes", "distractors"):
            shutil.copy(next((RUN / "embeddings").glob(f"megaface-{what}-*{suffix}")), f"{what}{suffix}")
    for name, given in (
        ("files", ["features", "--ending", "_tiny.bin"]),
        ("rows", ["probes.npy", "distractors.npy"]),
    ):
        assert megaface.main(["--features", *given, "--name", name, "--data", "data", "--quiet"]) == 0
        assert (Path("runs") / name / "megaface/table.md").read_text() == (RUN / "megaface/table.md").read_text()


@pytest.mark.usefixtures("no_figures")
def test_features_with_the_noise_mark_are_the_refined_ones(megaface, data, features, capsys):
    probes = lists.read_probe_list(data / "facescrub_lst").paths
    others = lists.read_distractor_list(data / "megaface_lst").paths
    random = np.random.default_rng(2)
    for folder, names in (("facescrub", probes), ("megaface", others)):
        for name in names:
            mark = 100.0 if name == "9/stray/0.jpg" else 0.0
            write_feature(f"features/{folder}/{name}_net.bin", [*random.normal(size=4), mark])
    assert megaface.main([*features, "--sets", "1"]) == 0
    results = json.loads(Path("runs/net/megaface/results.json").read_text())["results"]
    assert {one["protocol"] for one in results} == {"refined (R)"}
    # A rejected distractor still counts.
    assert results[-1]["distractors"] == 40 and results[-1]["impostor_pairs"] == 40 * len(probes)
    kept = [name for name in listed(data, 40, 1) if name != "9/stray/0.jpg"]
    vectors = (
        np.stack([read_feature(f"features/{folder}/{name}_net.bin")[:4].astype(float) for name in names])
        for folder, names in (("facescrub", probes), ("megaface", kept))
    )
    want = naive(next(vectors), [name.split("/")[0] for name in probes], next(vectors))
    np.testing.assert_allclose([results[-1]["rank1"], results[-1]["tar_at_far_1e-6"]], want, atol=1e-9)


@pytest.mark.usefixtures("no_figures")
def test_the_papers_numbers_of_the_whole_set_are_compared(megaface, data, features, monkeypatch, capsys):
    probes = len(lists.read_probe_list(data / "facescrub_lst").paths)
    for name, value in (("PROBES", probes), ("PEOPLE", 6), ("DISTRACTORS", 40)):
        monkeypatch.setattr(megaface, name, value)
    assert megaface.main([*features, "--row", "MS1MV2, R100, ArcFace"]) == 0
    said = capsys.readouterr().out
    assert "Id: rank-1 with 1M distractors: paper 81.03% (Table 6, MS1MV2, R100, ArcFace): −" in said
    assert "paper 98.48% (Table 6, MS1MV2, R100, ArcFace, R): −" in said
    assert all(one.paper_data for one in collect("runs")[0])
    assert megaface.main([*features, "--row", "MS1MV2, R100, ArcFace", "--refine", "delete"]) == 0
    deleted = [one for one in collect("runs")[0] if "delete" in one.data]
    assert [(one.row, one.paper_data) for one in deleted] == [("MS1MV2, R100, ArcFace, R", False)] * 2
    assert sum(one.paper_data for one in collect("runs")[0]) == 4, "the others stand"
    # Also where no distractor is deleted, so that their number is the paper's.
    (data / "megaface_noises.txt").write_text("# none\n")
    assert megaface.main([*features, "--row", "MS1MV2, R100, ArcFace", "--refine", "delete"]) == 0
    assert not any(one.paper_data for one in collect("runs")[0] if "delete" in one.data)


def test_bad_input(megaface, model, data, features, bad_input):
    probe = lists.read_probe_list(data / "facescrub_lst").paths[3]
    file = Path(f"features/facescrub/{probe}_net.bin")
    whole = file.read_bytes()

    def spoilt(content, text):
        file.write_bytes(content)
        bad_input(megaface.main, features, text)
        file.write_bytes(whole)

    spoilt(whole[:-4], "is cut short: 32 bytes, 5 x 1 values take 36")
    write_feature("other.bin", np.ones(6))
    spoilt(Path("other.bin").read_bytes(), "has 6 values, the files before it 5")
    write_feature("other.bin", np.zeros(5))
    spoilt(Path("other.bin").read_bytes(), f"probe {probe} is a zero vector")
    write_feature("other.bin", np.full(5, np.nan))
    spoilt(Path("other.bin").read_bytes(), f"probe {probe} has NaN")
    file.unlink()
    bad_input(megaface.main, features, f"{probe}_net.bin: No such file")
    file.write_bytes(whole)
    (data / "facescrub_images" / probe).unlink()
    images = ["--model", model, "--data", "data", "--quiet"]
    bad_input(megaface.main, images, f"1 of 54 images are missing, the first is data/facescrub_images/{probe}")
    (data / "megaface_noises.txt").write_text("nobody\nstranger.jpg\n")
    for skip in ([], ["--skip-missing"]):
        bad_input(
            megaface.main, [*features, *skip], "none of its 2 names is in a list of distractors, the first is nobody"
        )
    path = lists.distractor_list_path(data / "templatelists", 40, 2)
    path.write_text(json.dumps({"path": ["a.jpg", "b.jpg", "a.jpg"]}))
    bad_input(megaface.main, features, "names a.jpg twice")
    bad_input(megaface.main, [*features, "--sizes", 7], "megaface_features_list.json_7_1: No such file")
    bad_input(megaface.main, [*features, "--row", "Table 6"], "is no row of Table 6")
