"""Train, verify and ship tiny image classifiers whose claims hold.

>>> import tinydigits as td
>>> td.Contract(name="small", model={"parameters": {"max": 25_000}}).name
'small'

Every name is loaded when it is first used: importing the package imports neither torch nor NumPy.
"""

TYPE_CHECKING = (
    False  # a name that type checkers know; importing `typing` for it would take ten times as long as all else here
)

if TYPE_CHECKING:
    from tinydigits.contract import Contract as Contract
    from tinydigits.library import export as export
    from tinydigits.library import list_models as list_models
    from tinydigits.library import load as load
    from tinydigits.library import predict as predict
    from tinydigits.library import resume as resume
    from tinydigits.library import summary as summary
    from tinydigits.library import train as train
    from tinydigits.library import verify as verify
    from tinydigits.recipe import Recipe as Recipe
    from tinydigits.run import Run as Run
    from tinydigits.verdict import Verdict as Verdict

    __version__: str

__all__ = [
    "Contract", "Recipe", "Run", "Verdict", "__version__", "export", "list_models", "load", "predict", "resume",
    "summary", "train", "verify",
]  # fmt: skip

_TYPES = {"Contract": "contract", "Recipe": "recipe", "Run": "run", "Verdict": "verdict"}
"""The modules of the types; the functions are in `library`."""


def __getattr__(name: str) -> object:
    if name == "__version__":
        from importlib.metadata import version

        value: object = version("tinydigits")
    elif name in __all__:
        from importlib import import_module

        value = getattr(import_module(f"tinydigits.{_TYPES.get(name, 'library')}"), name)
    else:
        raise AttributeError(f"module 'tinydigits' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
