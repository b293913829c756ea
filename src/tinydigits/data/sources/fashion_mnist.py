"""Fashion-MNIST: pictures of clothing, made to replace MNIST file by file.

The SHA-256 sums are those of the files whose MD5 sums Zalando Research publishes.
"""

from tinydigits.data.originals import Original, OriginalFiles
from tinydigits.data.source import SourceInfo

source = OriginalFiles(
    info=SourceInfo(
        name="fashion-mnist",
        title="Fashion-MNIST, pictures of clothing (Xiao, Rasul, Vollgraf 2017)",
        num_train=60_000,
        num_test=10_000,
        classes=(
            "T-shirt/top",
            "Trouser",
            "Pullover",
            "Dress",
            "Coat",
            "Sandal",
            "Shirt",
            "Sneaker",
            "Bag",
            "Ankle boot",
        ),
        licence="MIT",
        homepage="https://github.com/zalandoresearch/fashion-mnist",
        mirrors=(
            "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
            "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
            "https://storage.googleapis.com/tensorflow/tf-keras-datasets/",
        ),
    ),
    originals=(
        Original(
            "train-images",
            num_bytes=26_421_880,
            sha256="3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
        ),
        Original(
            "train-labels",
            num_bytes=29_515,
            sha256="a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
        ),
        Original(
            "t10k-images",
            num_bytes=4_422_102,
            sha256="346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
        ),
        Original(
            "t10k-labels",
            num_bytes=5_148,
            sha256="67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
        ),
    ),
)
