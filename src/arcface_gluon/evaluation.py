"""What the evaluations share: features of a model's own extraction or ready ones, and what is missing."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Sequence

from .data.embeddings.by_name import find_features
from .data.embeddings.embedding_file import holds_others
from .errors import UserError
from .files import atomic_write, read_json
from .report.mode import Mode, papers_mode

if TYPE_CHECKING:
    import mxnet as mx

    from .data.embeddings.devkit_files import Features
    from .data.images.sources import Images
    from .report.results import Subject


@dataclass(frozen=True)
class Extraction:
    """How features are to be had.

    Attributes:
        flip: whether the embedding of the mirror image is added; None: as ready features are, or as usual.
        usual_flip: whether it usually is, in this protocol.
        features: ready features, or None.
        ending: what the names of feature files end in.
        skip_missing: leave out what is missing, instead of stopping.
        batch_size: images a step, over all devices; None: as `embed_to_file` has it.
        quiet: no progress bar.
    """

    flip: bool | None
    usual_flip: bool
    features: Any = None
    ending: str | None = None
    skip_missing: bool = False
    batch_size: int | None = None
    quiet: bool = False


@dataclass
class Source:
    """Where features come from: a network, or files.

    Attributes:
        subject: report.results.Subject, whose folder the results go to.
        net: the network; None with --features.
        devices: list of mx.Context.
        options: how features are asked for.
        images_per_second: of the latest extraction; None if there was none.
        ready_flip: whether the mirror image was added to ready features; None if nothing beside them says it.
        ready_precision: of the products that made ready features; None if nothing beside them says it.
    """

    subject: Subject
    net: mx.gluon.Block | None
    devices: list
    options: Extraction
    images_per_second: float | None = None
    ready_flip: bool | None = None
    ready_precision: str | None = None

    @property
    def flip(self) -> bool:
        """Whether the embedding of the mirror image is added: by the options, ready features, or the protocol."""
        asked = self.options.flip if self.options.flip is not None else self.ready_flip
        return self.options.usual_flip if asked is None else asked

    @property
    def precision(self) -> str:
        """Of the products that made the features; float32 where nothing says it."""
        return self.net.precision if self.net is not None else self.ready_precision or "float32"

    def mode(self, table: str) -> Mode:
        """The mode of a table of the paper, with what the features were made in."""
        return replace(papers_mode(table), flip=self.flip, precision=self.precision)

    def note(self, ready: str | os.PathLike[str]) -> list[str]:
        """Take note of how ready features were made; gives the line that says so where nothing tells it.

        Raises:
            UserError: not as asked for, or not as those before.
        """
        facts = noted_facts(ready)
        noted, asked = facts.get("flip"), self.options.flip
        precision = facts.get("dtype", "float32")
        if self.ready_precision not in (None, precision):
            raise UserError(f"{ready} was made in {precision}, the features before in {self.ready_precision}; extract "
                            "those of one kind again")  # fmt: skip
        self.ready_precision = precision
        if noted is None and asked is None:
            usual, other = ("with", "--no-flip") if self.options.usual_flip else ("without", "--flip")
            return [f"{ready} does not say how it was made; taken as {usual} the mirror image ({other} for the other)"]
        if {asked, self.ready_flip, noted} >= {True, False}:
            raise UserError(
                f"{ready} was made {'with' if noted else 'without'} the mirror image, unlike what is asked for or the "
                "features before; leave out --flip and --no-flip, or extract it again"
            )
        self.ready_flip = self.ready_flip if noted is None else noted
        return []

    def folder(self, name: str, table: str) -> Path:
        """Folder for the results of an evaluation; that of another mode than the paper's is another one."""
        return self.subject.folder / (name + self.mode(table).suffix(papers_mode(table)))

    def features(self, images: Images, file: str, ready: str | os.PathLike[str] | None = None) -> Features:
        """Features of images to embed (`data.embeddings.devkit_files.Features`).

        Args:
            file: name of the .npy under <run>/embeddings; see `embeddings_path`. An interrupted extraction goes on from
                there.
            ready: the folder or .npy that has them, with --features.

        Raises:
            UserError: images or features are missing (without --skip-missing), damaged, of different sizes, or made in
                another mode than asked for.
        """
        skip = self.options.skip_missing
        if self.net is None:
            if ready is None:
                raise ValueError("without a network, where the features are must be told")
            for line in self.note(ready):
                print(line)
            return find_features(ready, images.names, self.options.ending, skip)
        from .embed import embed_to_file

        path = embeddings_path(self.subject.folder, file, self.net, images, self.flip)
        options, facts = self.options, {"model": str(self.subject.path), "date": time.strftime("%Y-%m-%d")}
        done = embed_to_file(
            self.net, images, path, self.devices, options.batch_size, self.flip, None, skip, options.quiet, facts
        )
        self.images_per_second = done["images_per_second"]
        return find_features(path, images.names, skip_missing=skip)


def embeddings_path(folder: str | os.PathLike[str], name: str, net: mx.gluon.Block, images: Images, flip: bool) -> Path:
    """<folder>/embeddings/<name> with the mode in it, so that those of one mode never pass for those of the other.

    Where embeddings of another checkpoint or list have that name, the beginning of a fingerprint is added.
    """
    from .embed import fingerprint
    from .models.backbone import input_size

    name = Path(name)
    precision = getattr(net, "precision", "float32")
    kind = ("mirror" if flip else "single") + f"-{precision}" * (precision != "float32")
    path = Path(folder) / "embeddings" / f"{name.stem}-{kind}{name.suffix}"
    key = fingerprint(net, images, flip, input_size(net))
    return path.with_name(f"{path.stem}-{key[:8]}.npy") if holds_others(path, key) else path


def noted_facts(path: str | os.PathLike[str]) -> dict:
    """What `arcface-gluon embed` noted beside a .npy: "flip" and "dtype", where they are noted."""
    noted = Path(path).with_suffix(".json")
    facts = read_json(noted) if Path(path).suffix == ".npy" and noted.is_file() else None
    kinds = {"flip": bool, "dtype": str}
    return {key: facts[key] for key in kinds if isinstance(facts, dict) and isinstance(facts.get(key), kinds[key])}


def list_missing(path: str | os.PathLike[str], names: Sequence[str], what: str = "left out as missing") -> list:
    """Write what was left out, a line each, and give the line that says so; nothing where nothing is missing."""
    path = Path(path)
    if not names:
        path.unlink(missing_ok=True)
        return []
    with atomic_write(path, "w") as file:
        file.writelines(f"{name}\n" for name in names)
    return [f"{len(names):,} {what}: {path}"]
