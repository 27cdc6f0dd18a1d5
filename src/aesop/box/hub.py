"""Models of Hugging Face by address, fetched by the package `huggingface_hub`, which is optional.

Files lie in that package's own cache, from which they are taken where the hub cannot be asked.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from functools import cache
from importlib import import_module
from pathlib import Path, PurePath, PurePosixPath
from typing import Any, NamedTuple

from aesop.errors import MissingExtraError, ModelError
from aesop.files import explained
from aesop.words import first_few, one_line

#: How files of models end; of two of one name, the last is taken.
SUFFIXES = (".pt", ".pth", ".safetensors")
#: Seconds within which the hub must answer.
TIMEOUT = 10.0
#: `Path` makes one slash of two. Of revisions, only the hub's own references have slashes.
_ADDRESS = re.compile(r"hf:/{1,2}([\w.-]+/[\w.-]+)(?:@(refs/(?:pr|convert)/[\w.-]+|[^/@:]+))?(?:/([^:]+?))?/?")


class Address(NamedTuple):
    """A model on the hub: its repository, OWNER/NAME; a branch, tag or commit; a file where there are several."""

    repo: str
    revision: str | None = None
    file: str | None = None

    def __str__(self) -> str:
        revision = f"@{self.revision}" if self.revision else ""
        return f"hf://{self.repo}{revision}" + (f"/{self.file}" if self.file else "")


def address_of(model: PurePath | str) -> Address | None:
    """Read `hf://OWNER/NAME[@REVISION][/FILE]`; None for a path or a name. Raises ModelError for half an address."""
    text = model.as_posix() if isinstance(model, PurePath) else model
    if not text.startswith("hf:/"):
        return None
    found = _ADDRESS.fullmatch(text)
    if found is None or ".." in text.split("/"):
        raise ModelError(f"{text}: is no address of a model; write hf://OWNER/NAME[@REVISION][/FILE].")
    return Address(*found.groups())


def hub_package() -> Any:
    """Import `huggingface_hub`, without progress bars where nobody sees them; MissingExtraError where it is missing."""
    try:
        package, utils, _ = (import_module(f"huggingface_hub{part}") for part in ("", ".utils", ".errors"))
    except ImportError as error:
        raise MissingExtraError("Hugging Face", "hub") from error
    if not sys.stderr.isatty() and not utils.are_progress_bars_disabled():
        utils.disable_progress_bars()
    return package


@cache
def fetch(address: Address) -> Path:
    """Return the file of a model, downloaded unless the cache has it; the hub is asked once a process.

    Raises ModelError where it is not to be had, or the address names none or several.
    """
    package = hub_package()
    errors = package.errors
    try:
        try:
            info = package.HfApi().model_info(address.repo, revision=address.revision, timeout=TIMEOUT)
            file = _chosen(address, [sibling.rfilename for sibling in info.siblings or ()])
            local = False
        except (ModelError, errors.HFValidationError):
            raise
        except Exception as error:  # of whichever HTTP library it is built on
            if _status(error) in (400, 401, 403, 404):
                raise
            try:
                kept = package.snapshot_download(address.repo, revision=address.revision, local_files_only=True)
            except Exception:
                raise error from None
            names = [path.relative_to(kept).as_posix() for path in Path(kept).rglob("*") if path.is_file()]
            file, local = _chosen(address, names), True
        wanted = {"revision": address.revision, "local_files_only": local}
        return Path(package.hf_hub_download(address.repo, file, **wanted))
    except ModelError:
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno:  # the system's
            raise ModelError(f"{address}: cannot be kept: {explained(error)}") from error
        raise ModelError(f"{address}: {explained_by_hub(error, package)}") from error


def explained_by_hub(error: Exception, package: Any) -> str:
    """Say what is wrong and the mend, for a sentence that begins with the repository's name."""
    errors = package.errors
    if isinstance(error, errors.HFValidationError):
        return f"is no name of a repository ({one_line(error).rstrip('.')})."
    if isinstance(error, errors.GatedRepoError):
        return "its author asks for consent; give it on the model's page, and log in (`hf auth login`)."
    if isinstance(error, errors.RevisionNotFoundError):
        return "there is no such revision; name a branch, tag or commit that is there."
    if isinstance(error, errors.RepositoryNotFoundError):
        return "is not on the hub, or is private; check the name, or log in (`hf auth login`)."
    reason = one_line(error).rstrip(".")
    if (status := _status(error)) in (401, 403):
        return f"the hub refuses it ({reason}); log in with a token that may do it (`hf auth login`)."
    if status is not None and status < 500:
        return f"the hub refuses it ({reason})."
    return f"the hub cannot be reached ({reason}); check the network and $HF_ENDPOINT, and try again."


def _status(error: Exception) -> int | None:
    return getattr(getattr(error, "response", None), "status_code", None)


def _chosen(address: Address, names: Iterable[str]) -> str:
    """The model file of a repository that `address` means."""
    models = [name for suffix in SUFFIXES for name in sorted(names) if name.lower().endswith(suffix)]
    if address.file is None:
        alone = list({str(PurePosixPath(name).with_suffix("")): name for name in models}.values())
        if len(alone) == 1:
            return alone[0]
        if alone:
            listed = first_few([one_line(name) for name in alone])
            raise ModelError(f"{address}: holds several models, {listed}; name one: {address}/{one_line(alone[0])}.")
    elif address.file in models:
        return address.file
    elif models:
        listed = first_few([one_line(name) for name in models])
        raise ModelError(f"{address}: is no model file of this repository, which has {listed}; name one of them.")
    raise ModelError(f"{address}: its repository holds no .safetensors or .pth file; name another.")
