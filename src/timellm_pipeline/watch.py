"""`python -m timellm_pipeline watch`: a running training as a line and a picture, from its store alone."""

import time
from pathlib import Path

import click

from timellm_pipeline.errors import UserError


@click.command()
@click.option("--root", type=Path, default=Path("data/06_models/checkpoints"), help="The folder of checkpoints.")
@click.option("--training", default=None, help="First digits of a training id; the newest run without.")
@click.option("--page", type=Path, default=Path("watch.html"), help="Where the picture goes.", show_default=True)
@click.option("--every", type=int, default=10, help="Seconds between looks.", show_default=True)
@click.option("--once", is_flag=True, help="Look once and leave.")
def watch(root: Path, training: str | None, page: Path, every: int, once: bool) -> None:
    """Draw loss and validation so far, s/it and time left, until the training has ended. The store is only read."""
    from timellm_pipeline.training.watching import look_at, write_page

    said = False
    while True:
        try:
            look = look_at(root, training)
        except UserError as error:
            raise click.ClickException(f"{error.what}\n  where: {error.where}\n  do:    {error.do}") from error
        if not look.history.empty:
            write_page(look, page, every)
            if not said:
                click.echo(f"picture: {page.resolve()} (open it in a browser; it loads itself again)")
                said = True
        click.echo(look.line())
        if once or look.finished is not None:
            return
        time.sleep(every)
