"""A small stand-in for the Hugging Face Hub on loopback: repositories of commits, kept in memory."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit


class Hub:
    """Takes commits and gives files, as `huggingface_hub` asks for them.

    Attributes:
        commits: "user/name" -> of each commit, oldest first, its id and the files it left.
        fetched: names of the files that were asked for.
        token: whoever commits must have it.
    """

    def __init__(self) -> None:
        self.commits: dict[str, list[tuple[str, dict[str, bytes]]]] = {}
        self.fetched: list[str] = []
        self.token = "hf_" + "a" * 34
        self.closed = False
        hub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *arguments: object) -> None:
                pass

            def do_POST(self) -> None:
                content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                self.answer(*hub.posted(urlsplit(self.path).path, content, self.headers.get("Authorization", "")))

            def do_GET(self) -> None:
                self.answer(*hub.asked(unquote(urlsplit(self.path).path)))

            do_HEAD = do_GET

            def answer(self, status: int, content: bytes, headers: dict[str, str]) -> None:
                if hub.closed:  # connections that are kept alive outlive the server
                    self.close_connection = True
                    return
                self.send_response(status)
                for name, value in {**headers, "Content-Length": str(len(content))}.items():
                    self.send_header(name, value)
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(content)

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            self._server.shutdown()
            self._server.server_close()

    def posted(self, path: str, content: bytes, authorization: str) -> tuple[int, bytes, dict[str, str]]:
        if path == "/api/validate-yaml":
            return _json({"errors": [], "warnings": []})
        if authorization != f"Bearer {self.token}":
            return 401, b"{}", {"X-Error-Message": "Invalid username or password."}
        if path == "/api/repos/create":
            asked = json.loads(content)
            name = f"{asked.get('organization') or 'user'}/{asked['name']}"
            self.commits.setdefault(name, [("0" * 40, {})])
            return _json({"url": f"{self.endpoint}/{name}", "name": name, "id": name})
        parts = path.removeprefix("/api/models/").split("/")
        name, action = "/".join(parts[:2]), parts[2]
        if action == "preupload":
            files = json.loads(content)["files"]
            answer = [{"path": file["path"], "uploadMode": "regular", "shouldIgnore": False} for file in files]
            return _json({"files": answer})
        files = dict(self.commits[name][-1][1])
        for line in content.splitlines():
            entry = json.loads(line)
            if entry["key"] == "file":
                files[entry["value"]["path"]] = base64.b64decode(entry["value"]["content"])
        commit = hashlib.sha1(content).hexdigest()
        self.commits[name].append((commit, files))
        address = f"{self.endpoint}/{name}/commit/{commit}"
        return _json({"success": True, "commitOid": commit, "commitUrl": address, "hookOutput": ""})

    def asked(self, path: str) -> tuple[int, bytes, dict[str, str]]:
        parts = path.strip("/").split("/")
        api = parts[:2] == ["api", "models"]
        name, rest = "/".join(parts[2:4] if api else parts[:2]), parts[4:] if api else parts[2:]
        if name not in self.commits:
            return 404, b"{}", {"X-Error-Code": "RepoNotFound", "X-Error-Message": "Repository not found"}
        revision = rest[1] if len(rest) > 1 else "main"
        found = [commit for commit in self.commits[name] if revision == "main" or commit[0] == revision]
        if not found:
            return 404, b"{}", {"X-Error-Code": "RevisionNotFound", "X-Error-Message": "Invalid rev id"}
        commit, files = found[-1]
        if api and rest[:1] == ["tree"]:
            entries = [
                {"type": "file", "path": file, "size": len(content), "oid": hashlib.sha1(content).hexdigest()}
                for file, content in files.items()
            ]
            return _json(entries)
        if api:
            siblings = [{"rfilename": file} for file in files]
            return _json({"id": name, "modelId": name, "sha": commit, "siblings": siblings})
        file = "/".join(rest[2:])
        if file not in files:
            return 404, b"{}", {"X-Error-Code": "EntryNotFound", "X-Error-Message": "Entry not found"}
        self.fetched.append(file)
        tag = hashlib.sha1(files[file]).hexdigest()
        return 200, files[file], {"X-Repo-Commit": commit, "ETag": f'"{tag}"', "Accept-Ranges": "bytes"}


def _json(content: object) -> tuple[int, bytes, dict[str, str]]:
    return 200, json.dumps(content).encode(), {"Content-Type": "application/json"}
