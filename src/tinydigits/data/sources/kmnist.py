"""Kuzushiji-MNIST: cursive Japanese characters, one for each of ten rows of hiragana."""

from tinydigits.data.originals import Original, OriginalFiles
from tinydigits.data.source import SourceInfo

source = OriginalFiles(
    info=SourceInfo(
        name="kmnist",
        title="Kuzushiji-MNIST, cursive Japanese characters (Clanuwat et al. 2018)",
        num_train=60_000,
        num_test=10_000,
        classes=("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"),
        licence="CC BY-SA 4.0",
        homepage="http://codh.rois.ac.jp/kmnist/",
        mirrors=(
            "http://codh.rois.ac.jp/kmnist/dataset/kmnist/",
            # swift-models' copy, made in 2020 when the first was down (tensorflow/swift-models pull request 450)
            "https://storage.googleapis.com/s4tf-hosted-binaries/datasets/KMNIST/",
        ),
    ),
    originals=(
        Original(
            "train-images",
            num_bytes=18_165_135,
            sha256="51467d22d8cc72929e2a028a0428f2086b092bb31cfb79c69cc0a90ce135fde4",
        ),
        Original(
            "train-labels",
            num_bytes=29_497,
            sha256="e38f9ebcd0f3ebcdec7fc8eabdcdaef93bb0df8ea12bee65224341c8183d8e17",
        ),
        Original(
            "t10k-images",
            num_bytes=3_041_136,
            sha256="edd7a857845ad6bb1d0ba43fe7e794d164fe2dce499a1694695a792adfac43c5",
        ),
        Original(
            "t10k-labels",
            num_bytes=5_120,
            sha256="20bb9a0ef54c7db3efc55a92eef5582c109615df22683c380526788f98e42a1c",
        ),
    ),
)
