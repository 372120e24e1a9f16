"""Turns off telemetry of Kedro's plugins. Kedro installs kedro-telemetry, which posts to heapanalytics.com by default.

It has three entry points. Each reads `DO_NOT_TRACK`, `KEDRO_DISABLE_TELEMETRY` and the project's `.telemetry` file:

- a hook of the `kedro` command, before and after every command: the command's name, and its options without values;
- a hook of every session (`kedro run`, a notebook, a packaged project): numbers of nodes, pipelines and data sets;
- kedro-viz: a script in the page that it serves or builds.

`cli.py` and `settings.py` call `switch_off` when they are imported. Kedro imports `cli.py` before it calls the hook of
the command, and `settings.py` before it registers the hooks of the session.
"""

import os

PLUGINS = ("kedro-telemetry",)  # a session does not register the hooks of these plugins


def switch_off() -> None:
    """Set both environment variables, for this process and its child processes."""
    for name in ("DO_NOT_TRACK", "KEDRO_DISABLE_TELEMETRY"):
        os.environ[name] = os.environ.get(name) or "1"
