"""`python -m timellm_pipeline watch`: status line and plot of a running training, read from its checkpoint folder."""

import time
from pathlib import Path

import click

from timellm_pipeline.console import three_lines
from timellm_pipeline.errors import escape


@click.command()
@click.option("--root", type=Path, default=Path("data/06_models/checkpoints"), help="Folder of the checkpoints.")
@click.option("--training", default=None, help="First digits of a training id; by default the newest run.")
@click.option("--page", type=Path, default=Path("watch.html"), help="Path of the HTML page.", show_default=True)
@click.option("--every", type=click.IntRange(min=1), default=10, help="Seconds between updates.", show_default=True)
@click.option("--once", is_flag=True, help="Report once and exit.")
def watch(root: Path, training: str | None, page: Path, every: int, once: bool) -> None:
    """Plot loss and validation so far, s/it and time left, until training has finished. Checkpoints are only read."""
    from timellm_pipeline.training.watching import read_status, write_page

    announced = False
    while True:
        with three_lines():
            status = read_status(root, training)
            if not status.history.empty:
                write_page(status, page, every)
        if not status.history.empty and not announced:
            click.echo(f"plot: {escape(page.resolve())} (open it in a browser; the page reloads automatically)")
            announced = True
        click.echo(status.line())
        if once or status.finished is not None:
            return
        time.sleep(every)
