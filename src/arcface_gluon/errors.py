"""The one exception that reaches users."""

from __future__ import annotations

import re
from typing import Any, Iterable

# What other projects (insightface, papers, frameworks) call things -> what they are called here; the names of which
# one is known in the place are given.
_ELSEWHERE = {
    "nsoftmax normsoftmax normalizedsoftmax normface": "norm-softmax",
    "combined cm": "cm1",
    "amsoftmax cosineface cosineloss lmcl mvamsoftmax": "cosface",
    "asoftmax": "sphereface",
    "arc arcmargin arcmarginproduct arcfaceloss insightface": "arcface",
    "atriplet tripletloss": "triplet",
    "crossentropy ce": "softmax",
    "subcenter subcenterarcface subcentre subarc": "sub-centre",
    "curricular": "curricularface",
    "y1 fmobilefacenet fmobilenet mobilenet mbf mfn": "mobilefacenet",
    "emore facesemore ms1m ms1mv2 ms1marcface": "ms1mv2_r100 ms1mv2",
    "r100": "ms1mv2_r100",
    "r50": "ms1mv2_r50 casia_r50",
    "casia webface casiawebface faceswebface facescasia": "casia_r50 casia",
    "vgg vgg2 vggface2 facesvgg": "vgg2_r50 vgg2",
    "glint glintasia deepglint": "deepglint_r100 deepglint",
    "lr learningrate baselr": "train.lr",
    "lrstep lrsteps decaystep": "train.lr_steps",
    "wd": "train.weight_decay",
    "mom": "train.momentum",
    "batch perbatchsize totalbatchsize": "train.batch_size",
    "epochs epoch numepoch numepochs endepoch maxsteps maxiter steps iters": "train.iterations",
    "gpu gpus ctx device devices": "train.contexts",
    "fp16 amp": "train.dtype",
    "net backbone model": "network.name",
    "embsize embdim": "network.embedding_size",
    "marginm m1 m2 m3 lossm1 lossm2 lossm3": "head.margin",
    "s losss": "head.scale",
    "dataset dataroot datadir rec": "data.path",
    "target valtargets valset": "data.validation",
    "eval evaluate test verification": "verify",
    "extract features featureextraction inference": "embed",
    "finetune fit": "train",
    "summary html": "report",
    "check info version diagnose": "doctor",
    "models list": "recipes",
}
_ALIASES = {alias: names.split() for aliases, names in _ELSEWHERE.items() for alias in aliases.split()}
# insightface's LResNet100E-IR, iresnet50, ir_se50, r50v1, resnet34 …
_RESNET = re.compile(r"[lf]?(?:i?r|ir|resnet|iresnet|irse|arcfacer)(?:es)?(?:net)?(\d+)(?:eir|v1|ir|fc)?")

_LONGEST = 2000  # letters of a message

# Exit status: not finished, through no fault of the input; the same command with --resume goes on (EX_TEMPFAIL of
# sysexits.h).
GO_ON = 75


class UserError(Exception):
    """Bad input. The message is one line that names the file or option and says what to do about it.

    The command line prints it without a traceback and exits with its status. Whatever names and values from outside
    are in the message, it stays one line that any terminal takes, of at most 2,000 letters.

    Attributes:
        status: the exit status, 2.
    """

    status = 2

    def __init__(self, message: str = ""):
        line = "".join(letter if letter.isprintable() else " " for letter in str(message))
        super().__init__(line if len(line) <= _LONGEST else f"{line[:1400]} … {line[-500:]}")


def did_you_mean(name: Any, known: Iterable[Any]) -> str:
    """The end of a message about an unknown name: what it is called here, "; did you mean 'x'?", or the known names.

    Args:
        name: what was given.
        known: the names that there are, in any order of meaning.
    """
    name, known = str(name), [str(k) for k in known]
    plain, tail = _plain(name), _plain(_tail(name))
    called = [k for k in (*_ALIASES.get(plain, ()), *_ALIASES.get(tail, ()), *_resnet(plain)) if k in known]
    if called:
        return f"; here it is called {' or '.join(map(repr, dict.fromkeys(called)))}"
    # A right last part in a wrong group is nearer than any spelling: batch_size for train.batch_size.
    close = [k for k in known if _plain(k) == plain or _plain(_tail(k)) == tail]
    if not close:
        distances = {k: min(_edits(name, k), _edits(_tail(name), _tail(k))) for k in known if _is_near(name, k)}
        close = [k for k, distance in distances.items() if distance == min(distances.values())]
        close = [k for k in close if k.startswith(name)] or close
    if close:
        return f"; did you mean {' or '.join(map(repr, close[:3]))}?"
    group = [k for k in known if "." in name and k.startswith(name.rpartition(".")[0] + ".")]
    return "; known: " + ", ".join(group or known)


def _is_near(name, other) -> bool:
    """Whether one was meant for the other: an edit in a word of 3 letters or more, two in 8, three in 12."""
    pairs = ((name, other), (_tail(name), _tail(other)))
    return any(_edits(a, b) <= min(len(min(a, b, key=len)) // 4 or 1, 3) for a, b in pairs if min(len(a), len(b)) > 2)


def _edits(a, b) -> int:
    """Letters to add, drop, change or swap with their neighbour to make `b` of `a`."""
    if abs(len(a) - len(b)) > 3:
        return 4
    before, row = [], list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        previous, row = row, [i]
        for j, y in enumerate(b, 1):
            best = min(previous[j] + 1, row[j - 1] + 1, previous[j - 1] + (x != y))
            if i > 1 and j > 1 and x == b[j - 2] and a[i - 2] == y:
                best = min(best, before[j - 2] + 1)
            row.append(best)
        before = previous
    return row[-1]


def _tail(name):
    return name.rpartition(".")[2]


def _plain(name):
    return re.sub(r"[\W_]", "", name.lower())


def _resnet(plain):
    match = _RESNET.fullmatch(plain)
    return [f"r{match.group(1)}"] if match else []
