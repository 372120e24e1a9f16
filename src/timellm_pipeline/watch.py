"""`python -m timellm_pipeline watch`: a running training as a line and a picture, from its store alone."""

import time
from pathlib import Path

import click

from timellm_pipeline.cli import three_lines
from timellm_pipeline.errors import escape


@click.command()
@click.option("--root", type=Path, default=Path("data/06_models/checkpoints"), help="The folder of checkpoints.")
@click.option("--training", default=None, help="First digits of a training id; the newest run without.")
@click.option("--page", type=Path, default=Path("watch.html"), help="Where the picture goes.", show_default=True)
@click.option("--every", type=click.IntRange(min=1), default=10, help="Seconds between updates.", show_default=True)
@click.option("--once", is_flag=True, help="Report once and exit.")
def watch(root: Path, training: str | None, page: Path, every: int, once: bool) -> None:
    """Draw loss and validation so far, s/it and time left, until the training has ended. The store is only read."""
    from timellm_pipeline.training.watching import look_at, write_page

    announced = False
    while True:
        with three_lines():
            look = look_at(root, training)
            if not look.history.empty:
                write_page(look, page, every)
        if not look.history.empty and not announced:
            click.echo(f"picture: {escape(page.resolve())} (open it in a browser; it reloads itself)")
            announced = True
        click.echo(look.line())
        if once or look.finished is not None:
            return
        time.sleep(every)
