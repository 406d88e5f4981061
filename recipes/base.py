"""The paper's defaults. Every recipe inherits them; every value can be overridden by its dotted name."""

from easydict import EasyDict

recipe = EasyDict(
    seed=0,
    loss="arcface",  # a name of recipes/losses.py; sets `head` below
    run=dict(
        name=None,  # folder under run.folder; None: the recipe's name, and the loss's where one was given
        folder="runs",
    ),
    network=dict(
        name="r50",
        embedding_size=512,
        dropout=0.4,  # between the last convolution and the embedding
        options={},  # further options of models.get_model, such as {"se": True}
    ),
    head=dict(
        kind="margin",  # eq. 4; "softmax": eq. 1, with bias and nothing normalised; "triplet": that loss alone;
        # or a later loss: "curricularface", "magface", "adaface"
        margin=[1.0, 0.5, 0.0],  # m1, m2 (radians), m3 of eq. 4: s (cos(m1 theta + m2) - m3)
        boundary="literal",  # past m1 theta + m2 = pi: eq. 4 as printed, or "monotone"
        scale=64.0,  # s
        intra=0.0,  # weight of the Intra term, eq. 5
        inter=0.0,  # weight of the Inter term, eq. 6
        triplet=0.0,  # weight of the angular Triplet-Loss; needs data.images_per_identity of 2 or more
        triplet_margin=0.35,  # radians
        sub_centres=1,  # K centres an identity, of which the nearest counts
        options={},  # settings of the losses after ArcFace, such as {"h": 0.333} (see docs/losses.md)
        block_rows=0,  # softmax in blocks of this many classes; 0: all at once
        sample_rate=1.0,  # share of the negative centres that enter each step (Partial FC); 1: all
        dtype="float32",  # "float16": products in half precision, softmax and centres in float32 (for GPUs)
    ),
    data=dict(
        path=None,  # a folder under datasets/, or any folder with train.rec and property
        validation=["lfw", "cfp_fp", "agedb_30"],  # <name>.bin beside the records, or paths
        augment=dict(  # the paper: flip only
            flip=0.5,  # probability
            shift=0.0,  # pixels, up to, each way
            rotate=0.0,  # degrees, up to
            scale=0.0,  # relative, up to
            light=0.0,  # relative brightness and contrast, up to
            erase=0.0,  # probability of hiding a rectangle
            colour=0.0,  # relative brightness, contrast and saturation, up to
            jpeg=0.0,  # probability of another JPEG compression, quality 20 to 90
            cutout=0,  # side of a grey square in half of the images, pixels
        ),
        images_per_identity=0,  # K: batches of batch_size / K identities with K images each; 0: images in random order
        threads=2,  # decoders
        first_label=0,  # label of the first identity in the records
        # "skip_images": single bad images are skipped (counted, named), faults of the whole set refused before the
        # first step; "skip": those are gone on with too (datasets/README.md says how); "stop": nothing is skipped.
        on_error="skip_images",
    ),
    train=dict(
        batch_size=512,  # over all devices: 4 x 128 in the paper
        accumulate=1,  # parts that a device's images go through the backbone in: less memory, one more forward pass
        iterations=32_000,
        lr=0.1,
        lr_steps=[20_000, 28_000],  # iterations at which lr is multiplied by lr_factor
        lr_factor=0.1,
        schedule="steps",  # or "cosine", "polynomial": from lr to 0 over all iterations
        power=2.0,  # of "polynomial"
        warm_up=0,  # iterations over which the rate rises evenly to lr
        momentum=0.9,
        weight_decay=5e-4,  # on every parameter, as the paper's code did
        lr_multipliers={},  # by regular expression of parameter names; "head" is the class centres
        wd_multipliers={},
        contexts=None,  # a count, or a list such as cpu(0),cpu(1); None: every GPU, else cpu(0)
        dtype="float32",  # "float16": half-precision backbone on GPUs
        loss_scale=128.0,  # for float16: gradients are computed this many times larger
        log_every=20,  # iterations between lines of metrics.jsonl
        validate_every=2_000,
        checkpoint_every=2_000,
        keep=3,  # checkpoints kept, besides the best
        tensorboard=False,  # write TensorBoard events too (needs the extra `tensorboard`)
    ),
    paper={},  # the paper's row that this recipe reproduces: {"table": …, "row": …}
)
