"""What a hub does with datasets and models: each method of `Repos` is one endpoint, as `huggingface_hub` calls it."""

import base64
import hashlib
import json
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

import yaml

WRITER, READER = "hf_aSecretThatNobodyMayRead", "hf_aSecretThatMayOnlyRead"
SIGNATURE = "aSignatureThatIsAsGoodAsAPassword"
LARGE = (".parquet", ".safetensors")
WRITES = ("create", "preupload", "batch", "commit")
Files = dict[str, bytes]


class Refused(Exception):
    """An answer other than 200: its status, what it says, the hub's code for it, and what else is in its body."""

    def __init__(self, status: int, message: str, code: str = "", **more: Any) -> None:
        super().__init__(message)
        self.status, self.code, self.body = status, code, {"error": message, **more}


@dataclass(frozen=True)
class Content:
    """An answer that is a file."""

    content: bytes
    headers: dict[str, str]


@dataclass
class Repo:
    """A dataset or a model, with its commits, oldest first: the id, and all files that it has.

    sizes: what it says of files by name, otherwise than how large they are.
    """

    private: bool
    url: str
    commits: list[tuple[str, Files]] = field(default_factory=list)
    sizes: dict[str, int] = field(default_factory=dict)

    def commit(self, files: Files) -> str:
        """Add a commit; return its id."""
        oid = hashlib.sha1(f"{len(self.commits)} {sorted(files)}".encode()).hexdigest()
        self.commits.append((oid, files))
        return oid

    @property
    def files(self) -> Files:
        return self.commits[-1][1]


class Repos:
    """All datasets and models by name, and the uploads by hash that a commit may point to."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.repos: dict[str, Repo] = {}
        self.uploads: Files = {}

    def add(self, name: str, private: bool, kind: str = "dataset") -> Repo:
        """Add a dataset or a model, with the first commit that every repo on the hub has."""
        folder = "datasets/" if kind == "dataset" else ""
        repo = self.repos[name] = Repo(private, f"{self.url}/{folder}{name}")
        repo.commit({".gitattributes": b"*.parquet filter=lfs\n"})
        return repo

    def reply(self, kind: str, token: str, body: bytes, repo: str = "", **where: str | None) -> Any:
        """Return the answer to a request: a Content, or what becomes JSON; or raise Refused."""
        if kind in WRITES and token != WRITER:
            raise Refused(403, "forbidden") if token == READER else Refused(401, "Invalid username or password.")
        if not repo:
            return getattr(self, f"_{kind}")(body, **where)
        if repo not in self.repos or (self.repos[repo].private and token not in (WRITER, READER)):
            raise Refused(404, "Repository not found", "RepoNotFound")
        return getattr(self, f"_{kind}")(body, repo, **where)

    def _at(self, name: str, revision: str | None) -> tuple[str, Files]:
        commits = self.repos[name].commits
        found = [commit for commit in commits if commit[0] == revision]
        if not found and revision not in (None, "main"):
            raise Refused(404, "Revision not found", "RevisionNotFound")
        return found[0] if found else commits[-1]

    def _create(self, body: bytes) -> Any:
        asked = json.loads(body)
        name = f"{asked['organization']}/{asked['name']}"
        if name in self.repos:
            raise Refused(409, "You already created this dataset repo", url=self.repos[name].url)
        repo = self.add(name, asked["visibility"] == "private", asked.get("type", "model"))
        return {"url": repo.url, "name": name}

    def _validate(self, body: bytes) -> Any:
        header = json.loads(body)["content"].split("---\n")[1]
        if not isinstance(yaml.safe_load(header), dict):
            raise Refused(400, "no header", errors=[{"message": "no header"}], warnings=[])
        return {"errors": [], "warnings": []}

    def _info(self, _: bytes, repo: str, revision: str | None) -> Any:
        oid, files = self._at(repo, revision)
        sizes = {**{name: len(content) for name, content in files.items()}, **self.repos[repo].sizes}
        names = [{"rfilename": name, "size": sizes[name]} for name in files]
        return {"id": repo, "sha": oid, "private": self.repos[repo].private, "siblings": names, "tags": []}

    def _preupload(self, body: bytes, repo: str, revision: str) -> Any:
        files = self._at(repo, revision)[1]
        return {"files": [self._mode(file["path"], files) for file in json.loads(body)["files"]]}

    @staticmethod
    def _mode(path: str, files: Files) -> dict[str, Any]:
        mode = "lfs" if path.endswith(LARGE) else "regular"
        oid = _oid(path, files[path]) if path in files else None
        return {"path": path, "uploadMode": mode, "shouldIgnore": False, "oid": oid}

    def _batch(self, body: bytes, repo: str) -> Any:
        objects = json.loads(body)["objects"]
        for item in objects:
            if item["oid"] not in self.uploads:
                item["actions"] = {"upload": {"href": f"{self.url}/lfs/{item['oid']}?signature={SIGNATURE}"}}
        return {"transfer": "basic", "objects": objects}

    def _upload(self, body: bytes, oid: str) -> Any:
        if hashlib.sha256(body).hexdigest() != oid:
            raise Refused(400, "the bytes are not those of the hash")
        self.uploads[oid] = body
        return {}

    def _commit(self, body: bytes, repo: str, revision: str) -> Any:
        lines = [json.loads(line) for line in body.splitlines()]
        head, files = self._at(repo, revision)
        # The real hub lets a commit name no parent; here that is a mistake.
        if lines[0]["value"].get("parentCommit") != head:
            raise Refused(412, "A commit has happened since. Please refresh and try again.")
        changed = dict(files)
        for line in lines[1:]:
            key, value = line["key"], line["value"]
            if key == "deletedFile" and value["path"] in changed:
                del changed[value["path"]]
            elif key == "lfsFile" and value["oid"] in self.uploads:
                changed[value["path"]] = self.uploads[value["oid"]]
            elif key == "file":
                changed[value["path"]] = base64.b64decode(value["content"])
            else:
                raise Refused(400, f"cannot do {line}")
        oid = self.repos[repo].commit(changed)
        return {"commitUrl": f"{self.repos[repo].url}/commit/{oid}", "commitOid": oid, "success": True}

    def _tree(self, _: bytes, repo: str, revision: str, path: str | None, query: str | None) -> Any:
        folder = f"{path}/" if path else ""
        entries = _entries(folder, self._at(repo, revision)[1], "recursive=true" in (query or "").lower())
        if not entries:
            raise Refused(404, "no such folder", "EntryNotFound")
        return entries

    def _paths(self, body: bytes, repo: str, revision: str) -> Any:
        asked = parse_qs(body.decode())["paths"]
        return [entry for entry in _entries("", self._at(repo, revision)[1], is_deep=True) if entry["path"] in asked]

    def _resolve(self, _: bytes, repo: str, revision: str, path: str) -> Content:
        oid, files = self._at(repo, revision)
        if path not in files:
            raise Refused(404, "Entry not found", "EntryNotFound")
        headers = {"X-Repo-Commit": oid, "ETag": f'"{_oid(path, files[path])}"'}
        return Content(files[path], headers)

    def _unknown(self, _: bytes) -> Any:
        raise Refused(404, "no such page", "EntryNotFound")


def _entries(folder: str, files: Files, is_deep: bool) -> list[dict[str, Any]]:
    """List what is in a folder: its files, and its folders with theirs where it is deep."""
    entries: dict[str, dict[str, Any]] = {}
    for name, content in files.items():
        if not name.startswith(folder):
            continue
        parts = name.removeprefix(folder).split("/")
        for depth in range(1, len(parts)):
            path = folder + "/".join(parts[:depth])
            entries[path] = {"type": "directory", "path": path, "oid": "0" * 40}
        lfs = {"oid": _oid(name, content), "size": len(content), "pointerSize": 134}
        entry = {"type": "file", "path": name, "oid": _oid(name, content), "size": len(content)}
        entries[name] = entry | ({"lfs": lfs} if name.endswith(LARGE) else {})
    return [entry for path, entry in entries.items() if is_deep or "/" not in path.removeprefix(folder)]


def _oid(path: str, content: bytes) -> str:
    if path.endswith(LARGE):
        return hashlib.sha256(content).hexdigest()
    return hashlib.sha1(b"blob %d\0%b" % (len(content), content)).hexdigest()
