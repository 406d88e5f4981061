"""The paper's defaults. Every recipe inherits them; every value can be overridden by its dotted name."""

from arcface_gluon.recipe.option import (
    BELOW_ONE,
    NOT_NEGATIVE,
    POSITIVE,
    PROBABILITY,
    REDUCTION,
    SHARE,
    Option,
    one_of,
)

recipe = dict(
    seed=Option(0, "decides every random number, with the iteration", NOT_NEGATIVE),
    loss=Option("arcface", "a name of recipes/losses.py; it sets `head`"),
    run=dict(
        name=Option(
            None, "folder in run.folder; None: the recipe's name, and the loss's if one is given", types=(str,)
        ),
        folder=Option("runs", "where runs go"),
    ),
    network=dict(
        name=Option("r50", "a name of models.model_names, or a class as module:class"),
        embedding_size=Option(512, "values of an embedding", POSITIVE),
        dropout=Option(0.4, "between the last convolution and the embedding", BELOW_ONE),
        options=Option({}, "further options of models.get_model, such as {'se': True}", own_names=True),
    ),
    head=dict(
        kind=Option(
            "margin",
            "margin: eq. 4; softmax: eq. 1, with bias, nothing normalised; triplet: that loss alone; or a later loss",
            one_of("margin", "softmax", "curricularface", "magface", "adaface", "triplet", own=True),
        ),
        margin=Option([1.0, 0.5, 0.0], "m1, m2 (radians), m3 of eq. 4: s (cos(m1 theta + m2) - m3)"),
        boundary=Option(
            "literal", "past m1 theta + m2 = pi: as printed, or kept falling", one_of("literal", "monotone")
        ),
        scale=Option(64.0, "s", POSITIVE),
        intra=Option(0.0, "weight of the Intra term, eq. 5", NOT_NEGATIVE),
        inter=Option(0.0, "weight of the Inter term, eq. 6", NOT_NEGATIVE),
        triplet=Option(
            0.0, "weight of the angular Triplet-Loss; needs data.images_per_identity of 2 or more", NOT_NEGATIVE
        ),
        triplet_margin=Option(0.35, "radians", POSITIVE),
        sub_centres=Option(1, "K centres an identity, of which the nearest counts", POSITIVE),
        options=Option({}, "settings of later losses, such as {'h': 0.333} (docs/losses.md)", own_names=True),
        block_rows=Option(0, "softmax in blocks of this many classes; 0: all at once", NOT_NEGATIVE),
        sample_rate=Option(1.0, "share of the negative centres that enter each step (Partial FC)", SHARE),
        label_smoothing=Option(
            0.0, "share of each label that is spread over all classes; needs a softmax of plain logits", BELOW_ONE
        ),
        dtype=Option(
            "float32",
            "float16: products in half precision, softmax and centres in float32 (for GPUs)",
            one_of("float32", "float16"),
        ),
    ),
    data=dict(
        path=Option(None, "a folder under datasets/, or any folder with train.rec and property", types=(str,)),
        validation=Option(["lfw", "cfp_fp", "agedb_30"], "<name>.bin beside the records, or paths", items=(str,)),
        augment=dict(  # the paper: flip only
            flip=Option(0.5, "probability of mirroring", PROBABILITY),
            shift=Option(0.0, "pixels, up to, each way", NOT_NEGATIVE),
            rotate=Option(0.0, "degrees, up to", NOT_NEGATIVE),
            scale=Option(0.0, "relative, up to", NOT_NEGATIVE),
            light=Option(0.0, "relative brightness and contrast, up to", NOT_NEGATIVE),
            erase=Option(0.0, "probability of hiding a rectangle", PROBABILITY),
            colour=Option(0.0, "relative brightness, contrast and saturation, up to", NOT_NEGATIVE),
            jpeg=Option(0.0, "probability of another JPEG compression, quality 20 to 90", PROBABILITY),
            cutout=Option(0, "side of a grey square in half of the images, pixels", NOT_NEGATIVE),
        ),
        images_per_identity=Option(
            0, "K: batches of batch_size / K identities with K images each; 0: images in random order", NOT_NEGATIVE
        ),
        min_images=Option(
            0, "identities with fewer images are left out, class centres and all; 0: none is", NOT_NEGATIVE
        ),
        reduce=Option(
            1,
            "2, 4 or 8: JPEGs are decoded at 1/2, 1/4 or 1/8 of the size that `property` says, for a smaller network",
            REDUCTION,
        ),
        threads=Option(0, "that decode, in each process; 0: one for each core that it may use", NOT_NEGATIVE),
        first_label=Option(0, "label of the first identity in the records", NOT_NEGATIVE),
        on_error=Option(
            "skip_images",
            "skip_images: single bad images are skipped (counted, named), faults of the whole set refused before the "
            "first step; skip: those are gone on with too; stop: nothing is skipped",
            one_of("skip_images", "skip", "stop"),
        ),
    ),
    train=dict(
        batch_size=Option(512, "over all devices: 4 x 128 in the paper", POSITIVE),
        accumulate=Option(
            1, "parts that a device's images go through the backbone in: less memory, one more forward pass", POSITIVE
        ),
        iterations=Option(32_000, "steps of SGD", POSITIVE),
        lr=Option(0.1, "learning rate", POSITIVE),
        lr_steps=Option([20_000, 28_000], "iterations at which lr is multiplied by lr_factor", items=(int,)),
        lr_factor=Option(0.1, "what lr is multiplied by", POSITIVE),
        schedule=Option(
            "steps",
            "cosine, polynomial: from lr to 0",
            one_of("steps", "cosine", "polynomial", own=True),
        ),
        power=Option(2.0, "of schedule=polynomial", POSITIVE),
        warm_up=Option(0, "iterations over which the rate rises evenly to lr", NOT_NEGATIVE),
        momentum=Option(0.9, "of SGD", BELOW_ONE),
        nesterov=Option(False, "MXNet's NAG in place of SGD, for backbone and centres"),
        compression=Option(
            "none",
            "of the backbone's gradients between processes: float16 halves what is sent, at three digits; bfloat16 "
            "too, at two, whatever the sizes",
            one_of("none", "float16", "bfloat16"),
        ),
        clip_norm=Option(
            0.0,
            "longest gradient of backbone and centres together (2-norm); longer ones are scaled; 0: any",
            NOT_NEGATIVE,
        ),
        ema=Option(0.0, "decay of a moving average of the weights, which is validated and saved; 0: none", BELOW_ONE),
        init=Option(
            None,
            "start from the backbone of a run, a checkpoint, a symbol + .params, a .pth of arcface_torch …",
            types=(str,),
        ),
        init_centres=Option(
            "random", "mean: each class centre starts at its images' mean direction", one_of("random", "mean")
        ),
        freeze=Option(
            None,
            "PATTERN of parameter names that stay as they are, backbone for all; PATTERN:N for the first N iterations",
            types=(str,),
        ),
        weight_decay=Option(5e-4, "on every parameter, as the paper's code did", NOT_NEGATIVE),
        lr_multipliers=Option({}, "by regular expression of parameter names; head: the class centres", own_names=True),
        wd_multipliers=Option({}, "the same for weight_decay", own_names=True),
        contexts=Option(
            None,
            "a count, or a list such as cpu(0),cpu(1); None: every GPU, else cpu(0)",
            types=(int, str, list),
            items=(int, str),
        ),
        dtype=Option(
            "float32",
            "of the backbone. bfloat16: on CPUs with AMX, several times faster; auto: that where it is and the "
            "convolutions are wide enough to gain, else float32; "
            "float16: half precision on GPUs",
            one_of("float32", "bfloat16", "auto", "float16"),
        ),
        loss_scale=Option(
            65536.0,
            "for float16, at first: gradients are computed this many times larger, half as many on overflow",
            POSITIVE,
        ),
        loss_scale_growth=Option(
            2_000, "iterations without an overflow after which loss_scale doubles; 0: it stays as it is", NOT_NEGATIVE
        ),
        log_every=Option(20, "iterations between lines of metrics.jsonl", POSITIVE),
        validate_every=Option(2_000, "iterations between validations", POSITIVE),
        patience=Option(
            0, "validations in a row without a better mean accuracy after which training ends; 0: never", NOT_NEGATIVE
        ),
        checkpoint_every=Option(2_000, "iterations between checkpoints", POSITIVE),
        keep=Option(3, "checkpoints kept, besides the best", POSITIVE),
        loggers=Option(
            [],
            "tensorboard, wandb, mlflow (extras of these names), or module:Class; metrics.jsonl is always written",
            items=(str,),
        ),
    ),
    paper=Option({}, "the paper's row that this recipe reproduces: {'table': …, 'row': …}", own_names=True),
)
