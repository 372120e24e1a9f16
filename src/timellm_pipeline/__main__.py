"""`python -m timellm_pipeline` and `timellm`: as `kedro run`, also outside the project's folder; and `watch`."""

import sys
from pathlib import Path
from typing import Any


def main(*args: Any, **kwargs: Any) -> Any:
    """Run a pipeline, or watch a training."""
    if not args and sys.argv[1:2] == ["watch"]:
        from timellm_pipeline.watch import watch

        watch(sys.argv[2:], prog_name="timellm watch")
    from kedro.framework.cli.utils import find_run_command
    from kedro.framework.project import configure_project

    package_name = Path(__file__).parent.name
    configure_project(package_name)
    kwargs["standalone_mode"] = not hasattr(sys, "ps1")
    run: Any = find_run_command(package_name)
    return run(*args, **kwargs)


if __name__ == "__main__":
    main()
