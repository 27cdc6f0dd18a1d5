"""Uploads models to Hugging Face: the file as it is, with a card written from its metadata."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from torch import nn

from aesop.autoencoder import AutoEncoder
from aesop.box.hub import TIMEOUT, Address, explained_by_hub, hub_package
from aesop.errors import ModelError
from aesop.files import without_folders
from aesop.networks.kinds import kind_of_network
from aesop.networks.loading import load_generator, recorded_section
from aesop.networks.state_dicts import WeightsFile
from aesop.run import Run
from aesop.upscaling.export import spandrel_reads
from aesop.versions import versions
from aesop.words import one_line, with_unit

_CARD = """\
---
{front}---

# {title}

{about}

| | |
|---|---|
{facts}

## Use

{use}
"""
_UPSCALE = """\
```sh
pip install 'aesop-sr[hub]'
aesop upscale PICTURE --model {address}
```"""
_LOSS = """\
```python
from aesop import AESOPLoss  # pip install 'aesop-sr[hub]'

loss = AESOPLoss.pretrained("{address}")
loss(sr, hr)
```"""
_SPANDREL = """\


Without aesop, by spandrel; ComfyUI and chaiNNer, which use it, take the file as well:

```python
from huggingface_hub import hf_hub_download
from spandrel import ModelLoader

model = ModelLoader().load_from_file(hf_hub_download("{repo}", "{name}"))
sr = model(lr)  # (N, 3, h, w) in [0, 1]
```"""


@dataclass(frozen=True)
class Upload:
    """An upload to the repository OWNER/NAME: a file, its name there, and the card, README.md."""

    repo: str
    file: Path
    name: str
    card: str


def prepare(model: Path | str, repo: str, *, license: str | None = None) -> Upload:
    """Read a safetensors file (or a run's generator) and write its card; nothing is sent.

    Raises ModelError if it is not a model that loads here, or `repo` is not OWNER/NAME.
    """
    address = Address(repo.removeprefix("hf://"))
    if re.fullmatch(r"\w[\w.-]*/\w[\w.-]*", address.repo) is None or ".." in address.repo:
        raise ModelError(f"{repo}: is not the name of a repository; write OWNER/NAME.")
    if license is not None and re.fullmatch(r"[\w.-]+", license) is None:
        raise ModelError(f"--license {one_line(license)}: is not an identifier such as apache-2.0.")
    file = WeightsFile.read(model, Run.generator)
    if file.path.suffix != ".safetensors":
        mend = f"aesop export {file.path} --to safetensors"
        raise ModelError(f"{file.path}: only safetensors files are pushed; write one: {mend}.")
    name = f"{address.repo.partition('/')[2]}.safetensors"
    return Upload(address.repo, file.path, name, _card(file, address, name, license))


def push(model: Path | str, repo: str, *, private: bool = False, license: str | None = None) -> str:
    """Send a safetensors file (or a run's generator) and its card to OWNER/NAME on Hugging Face; return its page.

    The repository is made if it is not there; `license` is an identifier such as `apache-2.0`. Raises ModelError where
    there is no token, before anything is sent, where the hub refuses or cannot be reached, and as `prepare` does;
    MissingExtraError without the extra `hub`.
    """
    package = hub_package()
    if package.get_token() is None:
        raise ModelError(f"{repo}: nothing was sent, as there is no token; run `hf auth login`, or set $HF_TOKEN.")
    upload = prepare(model, repo, license=license)
    api = package.HfApi(library_name="aesop-sr", library_version=versions().get("aesop-sr"))
    try:
        api.create_repo(upload.repo, private=private or None, exist_ok=True)
        if private and not api.model_info(upload.repo, timeout=TIMEOUT).private:
            raise ModelError(f"{repo}: exists and is public; nothing was sent: name another, or make it private.")
        contents = {upload.name: str(upload.file), "README.md": upload.card.encode()}
        files = [package.CommitOperationAdd(name, content) for name, content in contents.items()]
        api.create_commit(upload.repo, files, commit_message=f"{upload.name} and its card, by aesop push")
    except ModelError:
        raise
    except Exception as error:  # its HTTP library depends on its version
        raise ModelError(f"{repo}: {explained_by_hub(error, package)}") from error
    return f"{api.endpoint}/{upload.repo}"


def _card(file: WeightsFile, address: Address, name: str, license: str | None) -> str:
    """The card of a model: the front matter that the hub reads, what the file records, and how to use it."""
    recipe = file.metadata.get("recipe")
    recipe = recipe if isinstance(recipe, dict) else {}
    network: nn.Module
    if kind_of_network(file.state) == "an auto-encoder":
        network = AutoEncoder.load(file)
        scale, tag = network.scale, "auto-encoder"
        about = f"The auto-encoder of an AESOP loss, for super-resolution by {scale}."
        decoder = recorded_section(file.metadata).get("type") or type(network.decoder).__name__
        sizes = f"{_parameters(network.encoder)}, decoder ({decoder}) of {_parameters(network.decoder)}"
        facts = {"Architecture": f"auto-encoder: encoder of {sizes}"}
        use = _LOSS
    else:
        loaded = load_generator(file)
        network, scale, tag = loaded.model, loaded.scale, loaded.architecture.lower().replace(" ", "-")
        about = f"Upscales pictures {scale} times."
        facts = {"Architecture": f"{loaded.architecture}, {_parameters(network)}"}
        use = _UPSCALE + (_SPANDREL if spandrel_reads(file.state, network) else "")
    facts |= {"Scale": str(scale), **_origin(file.metadata, recipe)}
    facts["Licence"] = license or "not stated"
    facts["File"] = f"`{name}`, {file.path.stat().st_size / 1e6:.2f} MB, SHA-256 `{file.sha256}`"
    tags = ["super-resolution", "image-to-image", "aesop", f"x{scale}", tag]
    front: dict[str, Any] = {"library_name": "aesop-sr", "pipeline_tag": "image-to-image", "tags": tags}
    card = _CARD.format(
        front=yaml.safe_dump(front | ({"license": license} if license else {}), sort_keys=False),
        title=address.repo.partition("/")[2],
        about=about,
        facts="\n".join(f"| {key} | {value} |" for key, value in facts.items()),
        use=use.format(address=address, repo=address.repo, name=name),
    )
    if recipe:
        card += f"\n## Recipe\n\n```yaml\n{without_folders(yaml.safe_dump(recipe, sort_keys=False))}```\n"
    return card


def _origin(metadata: dict[str, Any], recipe: dict[str, Any]) -> dict[str, str]:
    """Return a file's records of its training: recipe, iterations, values at its last validation, versions."""
    told = {}
    if "name" in recipe:
        told["Recipe"] = f"{recipe['name']} ({recipe.get('about')})"
        told["Stage"] = f"{metadata.get('stage')}, {metadata.get('iteration')} iterations"
    measured = metadata.get("measured")
    numbers = measured.items() if isinstance(measured, dict) else ()
    numbers = [(name, value) for name, value in numbers if isinstance(value, float)]
    values = [f"{name.replace('_', '-').upper()} {with_unit(name, value)}" for name, value in numbers]
    if values:
        told["Measured on held-out pictures"] = ", ".join(values)
    with suppress(KeyError, TypeError, ValueError):  # missing, or written by another program
        between = metadata["interpolation"]
        names = " and ".join(f"`{between[key]['path']}`" for key in ("first", "second"))
        told["Interpolated"] = f"between {names}, alpha {between['alpha']:g}"
    if isinstance(versions := metadata.get("versions"), dict):
        names = [f"{name} {versions[name]}" for name in ("aesop-sr", "torch") if name in versions]
        told["Trained with"] = ", ".join(names)
    return {key: without_folders(one_line(value)).replace("|", "\\|") for key, value in told.items()}


def _parameters(network: nn.Module) -> str:
    return f"{sum(parameter.numel() for parameter in network.parameters()):,} parameters"
