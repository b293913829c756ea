"""What `import tinydigits as td` gives: the command line's verbs as functions that take and give objects."""

from tinydigits.library.answers import predict, verify
from tinydigits.library.models import export, list_models, load, summary
from tinydigits.library.training import resume, train

__all__ = ["export", "list_models", "load", "predict", "resume", "summary", "train", "verify"]
