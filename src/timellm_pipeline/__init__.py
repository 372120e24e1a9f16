"""Time-LLM: time series forecasting with a frozen language model, as a library and as a Kedro project.

`from timellm_pipeline import TimeLLM` imports torch; `import timellm_pipeline` does not.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from timellm_pipeline.model.timellm import TimeLLM

__all__ = ["TimeLLM", "__version__"]
__version__ = "0.3.0"


def __getattr__(name: str) -> Any:
    """Import a public name on first use: torch takes seconds to import."""
    if name == "TimeLLM":
        from timellm_pipeline.model.timellm import TimeLLM

        return TimeLLM
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
