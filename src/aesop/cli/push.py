"""`aesop push`: parses, calls, prints."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from aesop.cli.options import Argument, Imports, ModelArgument, Option, import_modules


def push(
    model: Annotated[
        Path, ModelArgument(metavar="FILE|RUN", help="A .safetensors file, or a run folder: its generator.")
    ],
    repo: Annotated[str, Argument(metavar="OWNER/NAME", help="The repository; it is made if it is not there.")],
    private: Annotated[bool, Option("--private", help="Make the repository a private one.")] = False,
    license: Annotated[
        str | None, Option(metavar="ID", help="Of the weights, as the hub writes it: apache-2.0, cc-by-nc-4.0, ...")
    ] = None,
    dry_run: Annotated[bool, Option("--dry-run", help="Show the card; send nothing.")] = False,
    imports: Imports = None,
) -> None:
    """Publish a model or an auto-encoder on Hugging Face.

    The file goes up as it is, as NAME.safetensors, with a card written from its metadata, which replaces README.md.
    Needs the extra `hub` and a token that may write. Then hf://OWNER/NAME works wherever a model is expected.
    """
    from aesop.files import printable
    from aesop.publishing import prepare
    from aesop.publishing import push as run

    import_modules(imports)
    if dry_run:
        upload = prepare(model, repo, license=license)
        print(upload.card, end="")
        print(f"\nNothing was sent: this card and {printable(upload.file)} as {upload.name}, to {upload.repo}.")
        return
    print(run(model, repo, private=private, license=license))
