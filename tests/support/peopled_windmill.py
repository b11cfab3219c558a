"""A Windmill with two workspaces, in memory, as `wmctl instance admit` and `dismiss` meet it.

Every answer here is one a real 1.743.0 gave to the same request; `making_accounts` is the build that has
accounts to make, whose answer is that of its API's description.
"""

from __future__ import annotations

import re
from typing import Any

import httpx

from tests.support.new_windmill import SUPERADMIN, NewWindmill

ROOT_TOKEN = "not-a-real-token-of-the-superadmin"
DENIED = "Not authorized: Unauthorized"


class PeopledWindmill(NewWindmill):
    """Members by workspace, tokens by text, accounts by address. It breaks at requests that `deaf` names."""

    def __init__(self, *, making_accounts: bool = False) -> None:
        super().__init__()
        self.making_accounts = making_accounts
        self.workspaces = {
            name: {"users": [], "folders": {}, "variables": {}} for name in ("production", "staging")
        } | {"admins": {}}
        self.tokens: dict[str, dict[str, Any]] = {ROOT_TOKEN: {"email": SUPERADMIN, "label": None}}
        self.accounts: dict[str, str] = {}
        self.deaf: str | None = None
        self._asking = ""
        self._routes = [
            ("GET /w/(.+)/users/whoami", self._who_is_member),
            ("POST /w/(.+)/users/update/(.+)", self._update_member),
            ("DELETE /w/(.+)/users/delete/(.+)", self._delete_member),
            ("POST /auth/logout", lambda _body: (200, self._delete_token(None, self._asking[:10])[1])),
            ("GET /users/exists/(.+)", lambda _body, email: (200, email in self.accounts)),
            ("POST /users/create", self._create_account),
            ("DELETE /users/delete/(.+)", self._delete_account),
            ("POST /users/tokens/impersonate", self._impersonate),
            ("GET /users/tokens/list", self._list_tokens),
            ("DELETE /users/tokens/delete/(.+)", self._delete_token),
            *self._routes,
        ]

    def members(self, workspace: str) -> dict[str, bool]:
        """Who is in it, and whether as an administrator."""
        return {row["email"]: row["is_admin"] for row in self.workspaces[workspace]["users"]}

    def labels(self, email: str) -> list[str | None]:
        """What a person's tokens are called."""
        return [held["label"] for held in self.tokens.values() if held["email"] == email]

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Answer to whoever asks; a token that nobody has gets 401."""
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        self._asking = token
        if token and token not in self.tokens:
            return httpx.Response(401, text=DENIED, request=request)
        if self.deaf and re.search(self.deaf, f"{request.method} {request.url.path}"):
            return httpx.Response(500, text="Internal: it broke", request=request)
        self.caller = self.tokens[token]["email"] if token else ""
        return await super().handle_async_request(request)

    def _who_is_member(self, _body: object, workspace: str) -> tuple[int, object]:
        found = next((one for one in self._rows(workspace) if one["email"] == self.caller), None)
        return (200, found) if found else (401, DENIED)

    def _rows(self, workspace: str) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = self.workspaces[workspace]["users"]
        return rows

    def _add_user(self, body: Any, workspace: str) -> tuple[int, object]:
        status, said = super()._add_user(body, workspace)
        self._rows(workspace)[-1].update(is_admin=body["is_admin"], disabled=False)
        return status, said

    def _update_member(self, body: Any, workspace: str, name: str) -> tuple[int, object]:
        for row in self._rows(workspace):
            if row["username"] == name:
                row.update(body)
        return 200, f"username {name} updated"

    def _delete_member(self, _body: object, workspace: str, name: str) -> tuple[int, object]:
        self.workspaces[workspace]["users"] = [
            row for row in self._rows(workspace) if row["username"] != name
        ]
        return 200, f"username {name} deleted"

    def _create_account(self, body: Any) -> tuple[int, object]:
        if not self.making_accounts:
            return 500, "Internal: User creation is not implemented in the open-source version."
        self.accounts[body["email"]] = body["password"]
        return 201, f"email {body['email']} created"

    def _delete_account(self, _body: object, email: str) -> tuple[int, object]:
        self.accounts.pop(email, None)
        self.tokens = {token: held for token, held in self.tokens.items() if held["email"] != email}
        return 200, f"email {email} deleted"

    def _log_in(self, body: Any) -> tuple[int, object]:
        if self.accounts.get(body["email"]) != body["password"]:
            return 400, "Bad request: Invalid login"
        return 200, self._new_token(body["email"], "session", None)

    def _impersonate(self, body: Any) -> tuple[int, object]:
        return 201, self._new_token(body["impersonate_email"], body["label"], body["expiration"])

    def _new_token(self, email: str, label: str, expiration: str | None) -> str:
        token = f"{len(self.tokens):010}platform_core_test"
        self.tokens[token] = {"email": email, "label": label, "expiration": expiration}
        return token

    def _list_tokens(self, _body: object) -> tuple[int, object]:
        mine = {token: held for token, held in self.tokens.items() if held["email"] == self.caller}
        return 200, [{"token_prefix": token[:10], "label": held["label"]} for token, held in mine.items()]

    def _delete_token(self, _body: object, prefix: str) -> tuple[int, object]:
        gone = [
            token
            for token, held in self.tokens.items()
            if token.startswith(prefix) and held["email"] == self.caller
        ]
        for token in gone:
            del self.tokens[token]
        return 200, f"deleted {len(gone)} tokens {[f'{prefix}*****' for _ in gone]} with prefix {prefix}"
