"""Training by layers of our own in C: fast where torch's have little to do at once."""

from tinydigits.kernels.layers import BATCH_LAST, CHANNELS_LAST, order_of, train_in_c

__all__ = ["BATCH_LAST", "CHANNELS_LAST", "order_of", "train_in_c"]
