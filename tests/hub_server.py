"""A local server with the part of Hugging Face's protocol that `huggingface_hub` uses; its models are in memory."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import unquote, urlsplit

TOKEN = "hf_writes"


@dataclass
class Repo:
    """A repository: its files by revision (a branch or a commit), the newest last."""

    private: bool = False
    gated: bool = False
    revisions: dict[str, dict[str, bytes]] = field(default_factory=dict)

    def commit(self, files: dict[str, bytes]) -> str:
        """Add files to `main`; return the new commit."""
        files = self.revisions.get("main", {}) | files
        digest = hashlib.sha1(b"".join(name.encode() + content for name, content in sorted(files.items()))).hexdigest()
        self.revisions |= {digest: files, "main": files}
        return digest

    def hash_of(self, revision: str) -> str:
        """Return the commit of a revision."""
        files = self.revisions[revision]
        return next(key for key, held in self.revisions.items() if held is files and len(key) == 40)


@dataclass
class Hub:
    """The server's contents, the requests it got (`METHOD path`), and whether it is out of order."""

    url: str = ""
    repos: dict[str, Repo] = field(default_factory=dict)
    stored: dict[str, bytes] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    broken: bool = False


@contextmanager
def hub_server() -> Iterator[Hub]:
    """Serve a hub until the end of the block."""
    hub = Hub()

    class Handler(_Handler):
        pass

    Handler.hub = hub
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        hub.url = f"http://127.0.0.1:{server.server_port}"
        yield hub
        server.shutdown()


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def answer(self, status: int, content: Any = b"", **headers: str) -> None:
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def handle_request(self) -> None:
        path = unquote(urlsplit(self.path).path)
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        if "agent-harnesses" in path:
            return self.answer(404)
        self.hub.asked.append(f"{self.command} {path}")
        if self.hub.broken:
            return self.answer(503)
        writes = self.headers.get("Authorization") == f"Bearer {TOKEN}"
        for pattern, method in (
            (r"/api/repos/create", self.create),
            (r"/api/validate-yaml", self.validate),
            (r"/api/models/([^/]+/[^/]+)/preupload/main", self.preupload),
            (r"/api/models/([^/]+/[^/]+)/commit/main", self.commit),
            (r"/([^/]+/[^/]+)\.git/info/lfs/objects/batch", self.batch),
            (r"/store/(\w+)", self.store),
        ):
            if self.command in ("POST", "PUT") and (found := re.fullmatch(pattern, path)):
                return method(body, *found.groups()) if writes or method == self.store else self.answer(401)
        found = re.fullmatch(
            r"/(?:api/models/)?([^/]+/[^/]+)(?:/(revision|resolve)/(refs/pr/\d+|[^/]+)(?:/(.+))?)?", path
        )
        repo = self.hub.repos.get(found[1]) if found else None
        if found is None or repo is None or (repo.private and not writes):
            return self.answer(404, X_Error_Code="RepoNotFound")
        if repo.gated and not writes:
            return self.answer(403, X_Error_Code="GatedRepo")
        revision = found[3] or "main"
        if revision not in repo.revisions:
            return self.answer(404, X_Error_Code="RevisionNotFound")
        files, commit = repo.revisions[revision], repo.hash_of(revision)
        if found[2] != "resolve":
            siblings = [{"rfilename": name} for name in files]
            return self.answer(200, {"id": found[1], "sha": commit, "private": repo.private, "siblings": siblings})
        if found[4] not in files:
            return self.answer(404, X_Error_Code="EntryNotFound", X_Repo_Commit=commit)
        content = files[found[4]]
        return self.answer(200, content, X_Repo_Commit=commit, ETag=f'"{hashlib.sha256(content).hexdigest()}"')

    do_GET = do_HEAD = do_POST = do_PUT = handle_request  # noqa: N815 - the library's names

    def create(self, body: bytes) -> None:
        asked = json.loads(body)
        name = f"{asked['organization']}/{asked['name']}"
        if name in self.hub.repos:
            return self.answer(409, {"url": f"{self.hub.url}/{name}"})
        repo = self.hub.repos[name] = Repo(private=asked.get("visibility") == "private" or asked.get("private") is True)
        repo.commit({".gitattributes": b""})
        return self.answer(200, {"url": f"{self.hub.url}/{name}"})

    def validate(self, _: bytes) -> None:
        self.answer(200, {"errors": [], "warnings": []})

    def preupload(self, body: bytes, _: str) -> None:
        files = [
            {"path": f["path"], "uploadMode": "regular" if f["path"].endswith(".md") else "lfs", "shouldIgnore": False}
            for f in json.loads(body)["files"]
        ]
        self.answer(200, {"files": files})

    def batch(self, body: bytes, _: str) -> None:
        upload = {"href": f"{self.hub.url}/store/"}
        objects = [
            {**one, "actions": {"upload": {"href": upload["href"] + one["oid"]}}} for one in json.loads(body)["objects"]
        ]
        self.answer(200, {"transfer": "basic", "objects": objects})

    def store(self, body: bytes, oid: str) -> None:
        self.hub.stored[oid] = body
        self.answer(200)

    def commit(self, body: bytes, name: str) -> None:
        files = {}
        for line in map(json.loads, body.splitlines()):
            value = line["value"]
            if line["key"] == "lfsFile":
                files[value["path"]] = self.hub.stored[value["oid"]]
            elif line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
        commit = self.hub.repos[name].commit(files)
        self.answer(200, {"success": True, "commitUrl": f"{self.hub.url}/{name}/commit/{commit}", "commitOid": commit})
