"""`python -m timellm_pipeline history`: champions, decisions and live errors of a retraining schedule, on one page."""

from pathlib import Path

import click

from timellm_pipeline.console import three_lines
from timellm_pipeline.errors import escape


@click.command()
@click.option("--data-root", type=Path, default=Path("data"), help="Folder of the results.", show_default=True)
@click.option("--page", type=Path, default=None, help="Path of the page. By default in DATA_ROOT/08_reporting.")
def history(data_root: Path, page: Path | None) -> None:
    """Write the history of the champions as an HTML page. Only the journal and the newest report are read."""
    from timellm_pipeline.retraining.history import History
    from timellm_pipeline.retraining.history_page import write_history

    with three_lines():
        found = History.read(data_root)
        for name, value in found.facts().items():
            click.echo(f"{name + ':':<28}{escape(value)}")
        path = page or data_root / "08_reporting" / "history.html"
        write_history(found, path)
        click.echo(f"{'page:':<28}{escape(path.resolve())}")
