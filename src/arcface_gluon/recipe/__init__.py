"""Recipes: one Python file an experiment, overridden by dotted names, checked at launch. Needs no MXNet."""

from __future__ import annotations

import ast
import copy
import importlib.util
import os
import re
from functools import lru_cache
from pathlib import Path
from typing import Any, Iterable, Mapping

from easydict import EasyDict

from ..errors import UserError, did_you_mean
from ..files import read_json
from . import aliases
from .option import Option, declared
from .values import coerce, parse

__all__ = [
    "changes",
    "check",
    "find_recipe",
    "flatten",
    "inherit",
    "losses",
    "names",
    "options",
    "resolve",
    "set_loss",
    "set_value",
    "split_overrides",
    "summary",
]


def find_recipe(name: str) -> Path | None:
    """The file of a recipe: ./recipes/<name>.py, else the one that comes with the package; None if there is neither."""
    paths = (folder / f"{name}.py" for folder in _folders())
    return next((path for path in paths if path.is_file()), None)


def _folders() -> list[Path]:
    spec = importlib.util.find_spec("arcface_gluon.recipes")
    packaged = spec.submodule_search_locations if spec else None
    return [Path("recipes"), *map(Path, list(packaged or ())[:1])]


def _known(name: str) -> Path:
    path = find_recipe(name)
    if path is None:
        raise UserError(f"there is no recipes/{name}.py; `arcface-gluon recipes` lists those that there are")
    return path


def options() -> dict[str, Option]:
    """Dotted name → Option of every value of a recipe, as recipes/base.py declares them."""
    return _declared(_known("base").resolve())


@lru_cache(maxsize=None)
def _declared(path: Path) -> dict[str, Option]:
    return declared(_execute(path).recipe)


def names() -> list[str]:
    """Names of the recipes that can be trained, sorted."""
    stems = {path.stem for folder in _folders() for path in folder.glob("*.py")}
    return sorted(stems - {"base", "losses", "__init__"})


def summary(name: str) -> str:
    """First line of a recipe's docstring."""
    source = _known(name).read_text(encoding="utf-8")
    return (ast.get_docstring(ast.parse(source)) or "").split("\n")[0]


def losses() -> dict:
    """Losses by name, from recipes/losses.py: what each sets in a recipe, its equation and source."""
    return _execute(_known("losses")).losses


def inherit(name: str, loss: str | None = None) -> EasyDict:
    """A copy of another recipe (for use in recipe files), with a named loss's settings if one is given.

    Raises:
        UserError: unknown recipe or loss.
    """
    recipe = _load(name)
    if loss is not None:
        set_loss(recipe, loss)
    return recipe


def set_loss(recipe: EasyDict, name: str) -> None:
    """Put a loss of recipes/losses.py into `recipe`: its name and all that it sets, such as head.margin."""
    known, name = losses(), aliases.LOSSES.get(name, name)
    if name not in known:
        raise UserError(f"unknown loss {name!r}{did_you_mean(name, known)} (`arcface-gluon losses` lists them)")
    if name != recipe.loss:
        # The recipe's row of the paper was for its own loss; Table 2 has a row for each.
        of_losses = str(recipe.paper.get("table")).startswith("table2_losses")
        recipe.paper = known[name]["paper"] if of_losses else {}
    recipe.loss = name
    for key, value in known[name]["sets"].items():
        set_value(recipe, key, value)


def resolve(name: str | os.PathLike[str], overrides: Iterable[str] = ()) -> EasyDict:
    """The recipe `name` (a name in recipes/, a .py file, or a run's recipe.json) with overrides applied.

    Args:
        overrides: strings such as "train.batch_size=256" or "loss=cosface", applied in order, `loss` first.

    Raises:
        UserError: unknown recipe, unknown or malformed override, a value of the wrong type or out of range.
    """
    recipe = _load(name)
    pairs = []
    for text in overrides:
        key, equals, value = text.partition("=")
        if not equals:
            raise UserError(f"{text!r} is not an override; write name=value, such as train.batch_size=256")
        pairs += aliases.expanded(key.strip(), value.strip())
    for key, text in pairs:
        # A run's own recipe has its loss already, perhaps with settings given by hand.
        if key == "loss" and not (Path(name).suffix == ".json" and text == recipe.loss):
            set_loss(recipe, parse(key, text, options()[key]))
    for key, text in pairs:
        if key != "loss":
            _set(recipe, key, lambda option, key=key, text=text: parse(key, text, option))
    if recipe.run.name is None:
        chosen_loss = recipe.loss if any(key == "loss" for key, _ in pairs) else None
        recipe.run.name = Path(name).stem + (f"-{chosen_loss}" if chosen_loss else "")
    check(recipe)
    return recipe


def split_overrides(text: str) -> list[str]:
    """The overrides of one text: each begins with a name and `=`, after a space that no quote or bracket holds.

    "run.name=my run network.options={'width': 0.25}" are two.
    """
    starts, depth, quote = [], 0, ""
    for i, character in enumerate(text):
        if quote:
            quote = "" if character == quote else quote
        elif character in "'\"":
            quote = character
        elif character in "([{":
            depth += 1
        elif character in ")]}":
            depth -= 1
        elif depth == 0 and (i == 0 or text[i - 1].isspace()) and re.match(r"[\w.]+=", text[i:]):
            starts.append(i)
    if text[: starts[0] if starts else None].strip():
        raise UserError(f"{text!r} is no list of overrides; write name=value, such as train.batch_size=256")
    return [text[start:end].strip() for start, end in zip(starts, [*starts[1:], len(text)])]


def set_value(recipe: EasyDict, key: str, value: Any) -> None:
    """Set one value by its dotted name; its type must be the default's.

    Raises:
        UserError: unknown name (the nearest known one is given) or wrong type.
    """
    _set(recipe, key, lambda option: coerce(key, value, option))


def _set(recipe, key, value_for):
    """Set the value `key` to what `value_for` gives for its Option; for None inside a dictionary of own names."""
    known = options()
    opened = next((name for name in _own_names() if key.startswith(f"{name}.")), None)
    if opened:
        node, name = flatten(recipe)[opened], key[len(opened) + 1 :]
        node.update(coerce(opened, {name: value_for(None)}, known[opened]))
        return
    *groups, last = key.split(".")
    node = recipe
    for group in groups:
        node = node.get(group) if isinstance(node, dict) else None
    if not isinstance(node, dict) or last not in node:
        raise UserError(f"unknown option {key!r}{did_you_mean(key, flatten(recipe))}")
    if key in known:
        node[last] = value_for(known[key])
        return
    values = value_for(None)
    if not isinstance(values, dict) or not values:
        raise UserError(f"{key} is a group of options, set one of them: {', '.join(flatten(node[last], key + '.'))}")
    for name, value in values.items():
        set_value(recipe, f"{key}.{name}", value)


def check(recipe: EasyDict) -> None:
    """Refuse values that no run can use.

    Raises:
        UserError: names the option, its value and what is allowed.
    """
    values = flatten(recipe)
    for key, option in options().items():
        if option.allowed and not option.allowed.test(values[key]):
            between = ": " if option.allowed.refusal.startswith("choose") else " "
            raise UserError(f"{key}={values[key]!r}{between}{option.allowed.refusal}")
    if len(recipe.head.margin) != 3 or not all(map(_is_number, recipe.head.margin)):
        raise UserError(f"head.margin={recipe.head.margin!r} must be three numbers (m1, m2, m3) of eq. 4")
    if recipe.run.name.strip() in ("", ".", "..") or os.sep in recipe.run.name or not recipe.run.name.isprintable():
        raise UserError(f"run.name={recipe.run.name!r} must be the name of one folder; run.folder is where it lies")
    for key in ("train.lr_multipliers", "train.wd_multipliers"):
        _check_multipliers(key, values[key])
    _check_triplet(recipe)
    steps = list(recipe.train.lr_steps)
    if steps != sorted(set(steps)):
        raise UserError(f"train.lr_steps={steps!r} must be iteration numbers in rising order")


def _is_number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _check_multipliers(key, multipliers):
    for pattern, factor in multipliers.items():
        try:
            re.compile(pattern)
        except re.error as error:
            raise UserError(f"{key}: {pattern!r} is no regular expression ({error})") from error
        if not _is_number(factor):
            raise UserError(f"{key}: the factor of {pattern!r} must be a number, not {factor!r}")


def _check_triplet(recipe):
    images = recipe.data.images_per_identity
    if recipe.head.kind == "triplet" and not recipe.head.triplet:
        raise UserError("head.kind=triplet leaves no loss where head.triplet=0; set that to 1, or take loss=triplet")
    if recipe.head.triplet and images < 2:
        raise UserError(f"head.triplet needs data.images_per_identity of 2 or more, not {images}")
    if images and recipe.train.batch_size % images:
        raise UserError(f"data.images_per_identity={images} must divide train.batch_size={recipe.train.batch_size}")


def changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """One line a value that differs between two recipes."""
    before, after = flatten(before), flatten(after)
    return [f"{key} = {after[key]!r}, was {before.get(key)!r}" for key in after if before.get(key) != after[key]]


def flatten(recipe: Mapping[str, Any], prefix: str = "") -> dict:
    """Dotted name → value; dictionaries with the user's own keys stay whole."""
    flat, own = {}, _own_names()
    for key, value in recipe.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict) and name not in own:
            flat.update(flatten(value, f"{name}."))
        else:
            flat[name] = value
    return flat


def _own_names():
    return [key for key, option in options().items() if option.own_names]


def _defaults() -> EasyDict:
    """The base recipe."""
    recipe = EasyDict()
    for key, option in options().items():
        *groups, last = key.split(".")
        node = recipe
        for group in groups:
            if group not in node:
                node[group] = EasyDict()
            node = node[group]
        node[last] = copy.deepcopy(option.default)
    return recipe


def _load(name) -> EasyDict:
    if name == "base":
        return _defaults()
    path = Path(name)
    if path.suffix == ".json":
        return _checked_types(path, read_json(path))
    if path.suffix != ".py":
        path = find_recipe(name) or find_recipe(aliases.RECIPES.get(name, name))
        if path is None:
            raise UserError(
                f"unknown recipe {name!r}{did_you_mean(name, names())} (`arcface-gluon recipes` lists them)"
            )
    elif not path.is_file():
        raise UserError(f"no recipe file {path}")
    recipe = getattr(_execute(path), "recipe", None)
    if not isinstance(recipe, EasyDict):
        raise UserError(f'{path} defines no `recipe`; begin it with: recipe = inherit("base")')
    return _checked_types(path, recipe)


def _checked_types(path, values) -> EasyDict:
    """The base recipe with the `values` of a file, each of its option's type."""
    recipe = _defaults()
    if not isinstance(values, dict):
        raise UserError(f"{path} is no recipe; give a recipe of recipes/, or the recipe.json of a run")
    try:
        for key, value in flatten(copy.deepcopy(values)).items():
            if key == "train.tensorboard":  # of runs before there were other loggers
                key, value = "train.loggers", ["tensorboard"] if value else []
            set_value(recipe, key, value)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    return recipe


def _execute(path: Path):
    spec = importlib.util.spec_from_file_location(f"arcface_recipe_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise UserError(f"recipe {os.path.relpath(path)} is no Python file")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"recipe {os.path.relpath(path)} cannot be read: {type(error).__name__}: {error}") from error
    return module
