"""Entry point of `python -m timellm_pipeline` and `timellm`: runs a pipeline like `kedro run`, `watch` or `history`.

It also works outside the project's folder. `watch` and `history` do not need Kedro. Every other command needs the extra
`[kedro]` and raises an error when it is missing.
"""

import importlib.util
import sys
from pathlib import Path
from typing import Any

from timellm_pipeline.errors import EnvironmentalError


def main(*args: Any, **kwargs: Any) -> Any:
    """Run a pipeline, watch a training run, or write the history of a schedule.

    Raises EnvironmentalError when Kedro is not installed.
    """
    if not args and sys.argv[1:2] == ["watch"]:
        from timellm_pipeline.watch import watch

        watch(sys.argv[2:], prog_name="timellm watch")
    if not args and sys.argv[1:2] == ["history"]:
        from timellm_pipeline.history import history

        history(sys.argv[2:], prog_name="timellm history")
    if not args and sys.argv[1:2] == ["work"]:
        from timellm_pipeline.console import three_lines
        from timellm_pipeline.work import work

        with three_lines():
            sys.exit(work(Path(sys.argv[2])))
    if importlib.util.find_spec("kedro") is None:
        from timellm_pipeline.console import three_lines

        with three_lines():
            raise EnvironmentalError(
                "Kedro is not installed, and running a pipeline requires it",
                where=f"the Python environment {sys.prefix}",
                do='pip install "timellm_pipeline[kedro]"',
            )
    from kedro.framework.cli.utils import find_run_command
    from kedro.framework.project import configure_project

    package_name = Path(__file__).parent.name
    configure_project(package_name)
    kwargs["standalone_mode"] = not hasattr(sys, "ps1")
    run: Any = find_run_command(package_name)
    return run(*args, **kwargs)


if __name__ == "__main__":
    main()
