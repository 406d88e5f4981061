"""Folders of images as people have them: with links, junk of operating systems, files without an ending."""

from __future__ import annotations

import os
import re
import unicodedata
from collections import Counter
from functools import lru_cache
from pathlib import Path, PurePosixPath

from ...errors import UserError
from .decode import is_image

ENDINGS = (
    *(".jpg", ".jpeg", ".jfif", ".jpe", ".png", ".bmp", ".dib", ".pgm", ".ppm", ".pbm", ".pnm", ".tif", ".tiff"),
    *(".webp", ".jp2"),
)
_PICTURES = (".heic", ".heif", ".avif", ".gif", ".jxl", ".tga", ".dng", ".cr2", ".nef", ".arw")  # that are not read
# Left by macOS, Windows, Synology's and QNAP's storage, and Jupyter: copies, thumbnails and notes, never the images.
JUNK_FOLDERS = {"__MACOSX", "@eaDir", ".@__thumb", ".ipynb_checkpoints", ".AppleDouble", "#recycle", "@Recycle"}
_JUNK_FILES = {"thumbs.db", "ehthumbs.db", "desktop.ini", ".ds_store"}
_JUNK = "of operating systems"
_OWN = {"faces.csv", ".align.jsonl", "images.lst", "names.tsv"}  # what `align` and `unpack` write beside images
_LINKED_AGAIN = 16  # times that links may lead to one folder: links to links could multiply without end
# An ending that says nothing: A.J._Buckley_0001, frame.0001. Such files are known by their first bytes.
_NO_ENDING = re.compile(r"\.?|\.\d+|\.[^.]*[^A-Za-z0-9.][^.]*|\.[^.]{6,}")


def find_images(folder: str | os.PathLike[str]) -> tuple[list[str], Counter]:
    """Paths below a folder of all images in it, sorted, and how many other files of which kinds there are.

    Links to files and folders are followed, but not round in a circle.

    Returns:
        (paths, left_out): left_out counts endings such as ".heic", and what else was left out.

    Raises:
        UserError: a folder cannot be read, or a file name cannot stand in a list.
    """
    folder, found, left_out, visits = Path(folder), [], Counter(), Counter()
    waiting: list[tuple[str, tuple]] = [("", ())]  # folders below `folder`, each with those that it lies in
    while waiting:
        below, above = waiting.pop()
        try:
            with os.scandir(folder / below) as entries:
                entries = sorted(entries, key=lambda entry: entry.name)
            status = os.stat(folder / below)
        except OSError as error:
            raise UserError(f"cannot read {folder / below}: {error.strerror}; check its rights") from error
        here = (status.st_dev, status.st_ino)
        visits[here] += 1
        if here in above or visits[here] > _LINKED_AGAIN:
            left_out["links round in a circle"] += 1
            continue
        for entry in entries:
            name = os.path.join(below, entry.name)
            if _is_folder(entry):
                if entry.name in JUNK_FOLDERS:
                    left_out[_JUNK] += 1
                else:
                    waiting.append((name, (*above, here)))
            elif (kind := _left_out_as(folder / name)) is None:
                found.append(_listable(folder, name))
            elif entry.name not in _OWN:
                left_out[kind] += 1
    return sorted(found), left_out


def _is_folder(entry):
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _left_out_as(path):
    """None for an image, else the kind of file that it is."""
    name, ending = path.name, path.suffix.lower()
    if name.startswith("._") or name.lower() in _JUNK_FILES:
        return _JUNK
    if not path.is_file():
        return "broken links" if path.is_symlink() else "no files"
    if ending in ENDINGS:
        return None
    if not _NO_ENDING.fullmatch(ending):
        return ending
    try:
        with open(path, "rb") as file:
            start = file.read(16)
    except OSError:
        return "unreadable"
    # Two letters are little to go by: the bytes that every writer of .bmp leaves empty are looked at too.
    whole = is_image(start) and (start[:2] != b"BM" or start[6:10] == bytes(4))
    return None if whole else "without an ending"


def _listable(folder, name):
    # An index has a name a line, and a label after a tab. What is no UTF-8 comes as a surrogate.
    if any(unicodedata.category(letter) in ("Cc", "Cs", "Zl", "Zp") for letter in name):
        raise UserError(f"{folder}: the file name {name!a} cannot stand in a list; rename the file")
    return name


def left_out_line(folder: str | os.PathLike[str], count: int, left_out: Counter) -> str | None:
    """One line on the files of a folder that are no images; None where there are none."""
    if not left_out:
        return None
    kinds = ", ".join(f"{number:,} {kind}" for kind, number in left_out.most_common(8))
    more = f" and {len(left_out) - 8} other kinds" if len(left_out) > 8 else ""
    pictures = " and ".join(kind for kind in sorted(left_out) if kind in _PICTURES)
    how = f"; convert {pictures} to JPEG or PNG to have them too" if pictures else ""
    return f"{folder}: {count:,} images; left out: {kinds}{more}{how}"


def path_below(name: str, base: str | os.PathLike[str], source: str | os.PathLike[str]) -> PurePosixPath:
    """A list's path as one below the folder `base` that it starts from.

    Raises:
        UserError: it leads out of it; `source` names the list.
    """
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute():
        with_base = os.path.relpath(path, os.path.abspath(base))
        path = PurePosixPath(with_base) if not with_base.startswith("..") else path.relative_to("/")
    if ".." in path.parts or not path.parts:
        raise UserError(f"{source}: the path {name!r} leads out of its folder; give paths below --root")
    return path


def find_image(path: str | os.PathLike[str]) -> Path | None:
    """The file that a list means by `path`: itself, or with another ending or another case of it (.JPG for .jpg).

    Paths with backslashes, and letters with accents in the other of Unicode's two spellings, are found too. None where
    there is no such file.
    """
    path = Path(path)
    if os.path.isfile(path):  # False, too, for names that no file can have
        return path
    text = str(path)
    for other in (text.replace("\\", "/"), unicodedata.normalize("NFC", text), unicodedata.normalize("NFD", text)):
        if other != text and os.path.isfile(other):
            return Path(other)
    path = Path(text.replace("\\", "/"))
    stem = path.stem if path.suffix.lower() in ENDINGS else path.name
    try:
        there = _images_by_stem(str(path.parent), os.stat(path.parent).st_mtime_ns).get(stem, ())
    except (OSError, ValueError):  # ValueError: a name that no file can have
        return None
    same_ending = [name for name in there if Path(name).suffix.lower() == path.suffix.lower()]
    return path.with_name((same_ending or there)[0]) if there else None


@lru_cache(maxsize=4096)
def _images_by_stem(folder, _changed):
    """{name without its ending: sorted file names with a known ending} of one folder, as it was when last changed."""
    stems = {}
    for name in sorted(os.listdir(folder)):
        stem, ending = os.path.splitext(name)
        if ending.lower() in ENDINGS:
            stems.setdefault(stem, []).append(name)
    return stems
