"""MNIST: handwritten digits, the four original files."""

from tinydigits.data.originals import Original, OriginalFiles
from tinydigits.data.source import SourceInfo

source = OriginalFiles(
    info=SourceInfo(
        name="mnist",
        title="MNIST, handwritten digits (LeCun, Cortes, Burges 1998)",
        num_train=60_000,
        num_test=10_000,
        classes=tuple("0123456789"),
        licence="CC BY-SA 3.0",
        homepage="http://yann.lecun.com/exdb/mnist/",
        mirrors=(
            "https://ossci-datasets.s3.amazonaws.com/mnist/",
            "https://storage.googleapis.com/cvdf-datasets/mnist/",
        ),
    ),
    originals=(
        Original(
            "train-images",
            num_bytes=9_912_422,
            sha256="440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
            sha256_plain="ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        ),
        Original(
            "train-labels",
            num_bytes=28_881,
            sha256="3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
            sha256_plain="65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        ),
        Original(
            "t10k-images",
            num_bytes=1_648_877,
            sha256="8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
            sha256_plain="0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        ),
        Original(
            "t10k-labels",
            num_bytes=4_542,
            sha256="f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
            sha256_plain="ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
        ),
    ),
)
