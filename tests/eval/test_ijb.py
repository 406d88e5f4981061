"""eval/ijb.py on a small set in the layout of IJB-C, against the protocol written out in float64."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers import people
from sklearn.metrics import roc_curve

from arcface_gluon.data.benchmarks import ijb as lists
from arcface_gluon.data.demos import mark_demo
from arcface_gluon.data.embeddings.devkit_files import write_feature
from arcface_gluon.data.embeddings.embedding_file import read_embeddings
from arcface_gluon.protocols import ijb_verification as templates
from arcface_gluon.report.measurements import collect

RUN = Path("runs") / "tiny"


@pytest.fixture(scope="module")
def ijb(script):
    return script("eval/ijb.py")


@pytest.fixture(scope="module")
def source(script, tmp_path_factory):
    folder = tmp_path_factory.mktemp("ijb") / "data"
    script("datasets/demo.py").ijb(folder / "IJBC", people(), "IJBC")
    return folder


@pytest.fixture
def data(source, tmp_path, monkeypatch):
    """A copy of the set to spoil, as the folder `data`; gives its lists."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(source, tmp_path / "data")
    return lists.layout(Path("data") / "IJBC", "IJBC")


@pytest.fixture
def features(data):
    """Ready features, random, a row an image of the media list."""
    vectors = np.random.default_rng(1).normal(size=(len(lists.read_media(data.media).names), 5)).astype(np.float32)
    np.save("ready.npy", vectors)
    return ["--features", "ready.npy", "--data", "data"]


def test_repeated_pairs_are_told_before_they_are_scored(data, features, command):
    first = data.pairs.read_text().splitlines()[0]
    data.pairs.write_text(f"{data.pairs.read_text()}{first}\n")
    said = command("eval", "ijb", *features).stdout
    assert f"{data.pairs}: 1 of its " in said and said.index("repeat a pair") < said.index("TAR")


def naive(data, vectors, scores=None, unit=True):
    """Templates {number: (d,)} of one vector an image, by the definition."""
    media = lists.read_media(data.media)
    groups = {}
    for i, vector in enumerate(vectors.astype(np.float64)):
        vector = vector / np.linalg.norm(vector) if unit else vector
        weight = 1 if scores is None else scores[i]
        groups.setdefault(int(media.templates[i]), {}).setdefault(int(media.media[i]), []).append(weight * vector)
    sums = {template: sum(np.mean(one, axis=0) for one in media.values()) for template, media in groups.items()}
    return {template: total / np.linalg.norm(total) for template, total in sums.items()}


def check(result, data, templates):
    """Compare a stored JSON with the definitions."""
    pairs = lists.read_pairs(data.pairs)
    scores = [templates[a] @ templates[b] for a, b in zip(pairs.first.tolist(), pairs.second.tolist())]
    far, tar = (rates[::-1] for rates in roc_curve(pairs.same, scores)[:2])
    want = [tar[np.argmin(np.abs(far - value))] for value in (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1)]
    np.testing.assert_allclose(list(result["verification"]["tar_nearest_far"].values()), want, atol=1e-9)
    found = result["identification"]
    galleries = [
        dict(zip(*map(np.ndarray.tolist, vars(lists.read_enrolment(path)).values()))) for path in data.galleries
    ]
    probes = lists.read_enrolment(data.probes)
    for name, gallery in zip(("merged", *galleries), ({**galleries[0], **galleries[1]}, *galleries)):
        better, best, others = [], [], []
        for probe, subject in zip(probes.templates.tolist(), probes.subjects.tolist()):
            scores = {template: templates[probe] @ templates[template] for template in gallery}
            own = [score for template, score in scores.items() if gallery[template] == subject]
            if own:
                better.append(sum(score > max(own) for score in scores.values()))
                best.append(max(own))
            else:
                others.append(max(scores.values()))
        ranks = {str(k): np.mean([count < k for count in better]) for k in (1, 5, 10)}
        if name == "merged":
            assert found["rank_merged_galleries"] == pytest.approx(ranks)
            continue
        place = [gallery == one for one in galleries].index(True)
        assert found["rank"][place] == pytest.approx(ranks)
        for fpir in (0.01, 0.1):
            limit = sorted(others, reverse=True)[max(int(len(others) * fpir) - 1, 0)]
            tpir = np.mean([count == 0 and score > limit for count, score in zip(better, best)])
            assert found["tpir_galleries"][place][str(fpir)] == pytest.approx(tpir)


def test_the_demo_agrees_with_the_definitions(ijb, data, model_112, monkeypatch, capsys):
    arguments = ["--model", str(model_112), "--data", "data", "--quiet"]
    assert ijb.main([*arguments, "--json", "all.json"]) == 0
    said = capsys.readouterr().out
    result = json.loads(Path("all.json").read_text())["IJBC"]
    assert result == json.loads((RUN / "ijb" / "ijbc.json").read_text())
    embeddings = read_embeddings(RUN / "embeddings" / "ijbc-single.npy")
    assert embeddings.names == lists.read_media(data.media).names
    check(result, data, naive(data, embeddings.vectors))
    assert (RUN / "ijb" / "table.md").read_text().strip() in said
    assert f"| IJB-C | {100 * result['verification']['tar_nearest_far']['1e-06']:.2f} |" in said
    assert (RUN / "figures" / "figure-9.png").stat().st_size > 10_000 and (RUN / "figures" / "figure-9.svg").exists()
    ((measured,), problems) = collect("runs")
    assert not problems and (measured.column, measured.paper_data) == ("IJB-C TAR at FAR 1e-4", False)
    assert measured.value == result["verification"]["tar_nearest_far"]["1e-04"]
    # Nothing is embedded twice.
    monkeypatch.setattr("arcface_gluon.embed.embed_in_batches", None)
    assert ijb.main([*arguments, "--norm-weight", "--detector-score"]) == 0
    scores = lists.read_landmarks(data.landmarks).scores
    weighted = json.loads((RUN / "ijb" / "ijbc-detector-score-norm-weight.json").read_text())
    check(weighted, data, naive(data, embeddings.vectors, scores, unit=False))


@pytest.mark.usefixtures("no_figures")
def test_missing_images_are_counted_and_listed(ijb, data, model_112, capsys):
    media = lists.read_media(data.media)
    probe = lists.read_enrolment(data.probes).templates[0]
    gone = [name for name, template in zip(media.names, media.templates) if template == probe]
    for name in gone:
        (data.images / name).unlink()
    arguments = ["--model", str(model_112), "--data", "data", "--quiet"]
    assert ijb.main(arguments) == 2
    assert f"{len(gone)} of 144 images are missing, the first is {data.images / gone[0]}" in capsys.readouterr().err
    assert ijb.main([*arguments, "--skip-missing"]) == 0
    said = capsys.readouterr().out
    assert f"{len(gone) + 1} left out as missing: runs/tiny/ijb/ijbc.missing.txt" in said
    assert "14 pairs of templates without an image are left out" in said
    assert (RUN / "ijb" / "ijbc.missing.txt").read_text().splitlines() == [*gone, f"template {probe}"]


@pytest.mark.usefixtures("no_figures")
def test_ready_features_and_images_in_several_templates(ijb, data, features, capsys):
    assert ijb.main([*features, "--name", "rows"]) == 0
    result = json.loads(Path("runs/rows/ijb/ijbc.json").read_text())
    vectors = np.load("ready.npy")
    check(result, data, naive(data, vectors))
    for name, vector in zip(lists.read_media(data.media).names, vectors):
        write_feature(Path("files") / f"{name}_net.bin", vector)
    assert ijb.main(["--features", "files", "--ending", "_net.bin", "--data", "data"]) == 0
    assert Path("runs/net/ijb/table.md").read_text() == Path("runs/rows/ijb/table.md").read_text()
    # The first image joins the last template: it has one feature still.
    media = lists.read_media(data.media)
    with open(data.media, "a") as file:
        file.write(f"{media.names[0]} {media.templates[-1]} 999999\n")
    assert ijb.main([*features, "--name", "rows"]) == 0
    result = json.loads(Path("runs/rows/ijb/ijbc.json").read_text())
    check(result, data, naive(data, np.concatenate([vectors, vectors[:1]])))


@pytest.mark.usefixtures("no_figures")
def test_without_lists_of_1n_there_is_1_to_1(ijb, data, features, capsys):
    for path in (*data.galleries, data.probes):
        path.unlink()
    assert ijb.main([*features, "--benchmark", "IJBC"]) == 0
    said = capsys.readouterr().out
    assert "1:N is left out" in said and "rank-1" not in said
    assert json.loads(Path("runs/ready/ijb/ijbc.json").read_text())["identification"] is None


@pytest.mark.usefixtures("no_figures")
def test_the_papers_numbers_of_the_whole_set_are_compared(ijb, data, features, monkeypatch, capsys):
    pairs = lists.read_pairs(data.pairs)
    monkeypatch.setitem(ijb.WHOLE, "IJBC", (144, int(pairs.same.sum()), int((~pairs.same).sum())))
    row = ["--row", "MS1MV2, R100, ArcFace"]
    assert ijb.main([*features, *row]) == 0
    assert "IJB-C TAR at FAR 1e-4: paper 0.956 (Table 7, MS1MV2, R100, ArcFace): −0." in capsys.readouterr().out
    assert [one.paper_data for one in collect("runs")[0]] == [True]
    assert ijb.main([*features, *row, "--norm-weight"]) == 0
    assert [one.paper_data for one in collect("runs")[0]] == [False, True]  # ijbc-norm-weight.json, ijbc.json


@pytest.mark.usefixtures("no_figures")
def test_the_table_has_the_rate_at_the_nearest_far(ijb, data, features, monkeypatch, capsys):
    """The rule of the published numbers; the other one stands in the JSON."""
    nearest, at_most = [0.11, 0.12, 0.13, 0.14, 0.15, 0.16], [0.51, 0.52, 0.53, 0.54, 0.55, 0.56]
    verify = templates.verify

    def known(*arguments):
        return replace(verify(*arguments), tar_nearest=nearest, tar_at_most=at_most)

    monkeypatch.setattr(templates, "verify", known)
    assert ijb.main(features) == 0
    assert "| IJB-C | 11.00 | 12.00 | 13.00 | 14.00 | 15.00 | 16.00 |" in capsys.readouterr().out
    (measured,) = collect("runs")[0]
    assert (measured.column, measured.value) == ("IJB-C TAR at FAR 1e-4", 0.13)
    found = json.loads(Path("runs/ready/ijb/ijbc.json").read_text())["verification"]
    assert list(found["tar_far_at_most"].values()) == at_most


def test_bad_input(ijb, data, features, bad_input):
    vectors = np.load("ready.npy")

    def spoilt(text, value=None, where=7):
        changed = vectors.copy()
        changed[where] = value
        np.save("ready.npy", changed)
        bad_input(ijb.main, features, text)
        np.save("ready.npy", vectors)

    spoilt("image 8.jpg is a zero vector", 0)
    spoilt("image 8.jpg has NaN", np.nan)
    np.save("ready.npy", vectors[:-1])
    bad_input(ijb.main, features, "ready.npy has 143 rows, but the list names 144 images")
    np.save("ready.npy", vectors[:, 0])
    bad_input(ijb.main, features, "must hold one matrix")
    Path("ready.npy").write_bytes(Path("ready.npy").read_bytes()[:300])
    bad_input(ijb.main, features, "is not a whole .npy")
    np.save("ready.npy", vectors)
    bad_input(ijb.main, [*features[:2], "--data", "nowhere"], "nowhere has neither")
    bad_input(ijb.main, [*features, "--benchmark", "IJBB", "--benchmark", "IJBC"], "one for each of IJBB, IJBC")
    bad_input(ijb.main, [*features, "--row", "R100"], "is no row of Table 7")
    whole = data.pairs.read_text()
    data.pairs.write_text(whole + "12345 101 0\n")
    bad_input(ijb.main, features, "names template 12345, which has no image")
    data.pairs.write_text(whole)
    whole = data.media.read_text()
    data.media.write_text(whole + whole.splitlines()[0])
    bad_input(ijb.main, features, f"1.jpg is twice in template {whole.split()[1]}")


@pytest.mark.usefixtures("no_figures")
def test_modes_have_files_of_their_own(ijb, data, model_112, monkeypatch, capsys):
    """A single crop by default; with the mirror other embeddings and results, which are not beside the paper's."""
    pairs = lists.read_pairs(data.pairs)
    monkeypatch.setitem(ijb.WHOLE, "IJBC", (144, int(pairs.same.sum()), int((~pairs.same).sum())))
    arguments = ["--model", str(model_112), "--data", "data", "--quiet", "--row", "MS1MV2, R100, ArcFace"]
    assert ijb.main(arguments) == 0
    said = capsys.readouterr().out
    assert "Mode: single crop; TAR of the nearest FAR. Data: data." in said and "ArcFace): " in said
    assert ijb.main([*arguments, "--flip"]) == 0
    said = capsys.readouterr().out
    assert "Mode: image + mirror; TAR of the nearest FAR. Data: data." in said and "measured in another mode" in said
    single, both = (read_embeddings(RUN / "embeddings" / f"ijbc-{mode}.npy") for mode in ("single", "mirror"))
    check(json.loads((RUN / "ijb" / "ijbc-mirror.json").read_text()), data, naive(data, both.vectors))
    check(json.loads((RUN / "ijb" / "ijbc.json").read_text()), data, naive(data, single.vectors))
    assert not np.allclose(single.vectors, both.vectors)
    assert {one.mode.flip: one.paper_data for one in collect("runs")[0]} == {False: True, True: False}
    assert (RUN / "ijb" / "table.md").exists() and (RUN / "ijb" / "table-mirror.md").exists()


@pytest.mark.usefixtures("no_figures")
def test_each_gallery_has_its_ranks(ijb, data, features, capsys):
    assert ijb.main(features) == 0
    said = capsys.readouterr().out
    found = json.loads(Path("runs/ready/ijb/ijbc.json").read_text())["identification"]
    rows = [
        [cell.strip() for cell in line.split("|")[1:-1]] for line in said.splitlines() if line.startswith("| IJB-C")
    ]
    ranks = {row[1]: row[2:5] for row in rows if row[1] in ("merged", "G1", "G2")}
    expected = zip(("merged", "G1", "G2"), [found["rank_merged_galleries"], *found["rank"]])
    assert ranks == {name: [f"{100 * rate:.2f}" for rate in rates.values()] for name, rates in expected}


@pytest.mark.usefixtures("no_figures")
def test_ready_features_are_in_the_mode_noted_beside_them(ijb, data, features, bad_input, capfd):
    assert ijb.main(features) == 0
    said = capfd.readouterr().out
    assert "ready.npy does not say how it was made; taken as without the mirror image" in said
    assert ijb.main([*features, "--flip"]) == 0
    assert "does not say" not in capfd.readouterr().out
    for noted, option in ((True, "--no-flip"), (False, "--flip")):
        Path("ready.json").write_text(json.dumps({"flip": noted}))
        assert ijb.main(features) == 0
        assert ("Mode: image + mirror" in capfd.readouterr().out) == noted
        bad_input(ijb.main, [*features, option], "unlike what is asked for")
    assert {one.mode.flip for one in collect("runs")[0]} == {True, False}


@pytest.mark.usefixtures("no_figures")
def test_a_demo_replaces_nothing(ijb, data, features, capsys):
    assert ijb.main(features) == 0
    before = {path: path.read_bytes() for path in Path("runs").rglob("*") if path.is_file()}
    mark_demo("data/IJBC")
    capsys.readouterr()
    assert ijb.main([*features, "--row", "MS1MV2, R100, ArcFace"]) == 0
    said = capsys.readouterr().out
    assert "Data: demo: data." in said and "paper" not in said
    assert before == {path: path.read_bytes() for path in before}
    assert Path("runs/ready/demo/ijb/ijbc.json").exists()
    assert len(collect("runs")[0]) == 1, "no demo enters the tables"
    demos = [one for one in collect("runs", demos=True)[0] if one.demo]
    assert [(one.row, one.model, one.paper_data) for one in demos] == [("ready (demo)", "ready (demo)", False)]
