"""What the operator of a server decides, read from one TOML file: sign-in, roles, limits, folders, monitoring."""

from __future__ import annotations

import ipaddress
import os
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from icbir_core.access import LEAST_ROLES, Right, Role
from icbir_core.errors import AccessRefused, ServerSettingsError
from icbir_core.files import PathLike
from icbir_core.settings import get_environment

_OIDC = ("redirect_uri", "cookie_secret", "client_id", "client_secret", "server_metadata_url")
_SECRETS = ("cookie_secret", "client_secret")
_HEADER = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,63}")
_SHORTEST_SECRET = 32
LOGS = ("plain", "json")


@dataclass(frozen=True)
class OpenIdConnect:
    """Sign-in at a provider of OpenID Connect.

    redirect_uri : the address of the pages with "/oauth2callback" at its end. cookie_secret : at least 32 letters drawn
    at random. claim, groups : which claims of a person name her and her groups where roles are given.
    """

    redirect_uri: str
    cookie_secret: str
    client_id: str
    client_secret: str
    server_metadata_url: str
    claim: str = "email"
    groups: str = "groups"

    def make_secrets(self) -> dict[str, str]:
        """What Streamlit's `st.login` asks for."""
        return {name: getattr(self, name) for name in _OIDC}


@dataclass(frozen=True)
class ProxyHeader:
    """Sign-in by a reverse proxy, which names the person in a header. proxies : the addresses whose word is believed;
    from any other the header is taken away. groups : a header with her groups, separated by commas; "" without."""

    header: str
    proxies: tuple[str, ...] = ("127.0.0.1", "::1")
    groups: str = ""


@dataclass(frozen=True)
class SessionLimits:
    """How long somebody stays signed in: idle_minutes without doing anything, hours in all."""

    idle_minutes: float = 30.0
    hours: float = 12.0


@dataclass(frozen=True)
class QueueLimits:
    """wait_seconds : how long a question may wait for its turn before it is refused. questions_a_minute : as many may
    one reader ask. stop_seconds : for which a server that is told to stop lets a running computation go on."""

    wait_seconds: float = 120.0
    questions_a_minute: int = 600
    stop_seconds: float = 20.0


@dataclass(frozen=True)
class Monitoring:
    """metrics : addresses or networks that are given the figures at /metrics; without any, nobody is. log : "plain", or
    "json" for a line of JSON for each event."""

    metrics: tuple[str, ...] = ()
    log: str = "plain"


@dataclass(frozen=True)
class ServerSettings:
    """All of it. folders : below these the pages may read films of this machine; None is any folder, for one person.
    rights : for each right the role with the least rights that has it.
    """

    oidc: OpenIdConnect | None = None
    header: ProxyHeader | None = None
    roles: Mapping[Role, tuple[str, ...]] = field(default_factory=dict)
    session: SessionLimits = SessionLimits()
    queue: QueueLimits = QueueLimits()
    monitoring: Monitoring = Monitoring()
    folders: tuple[PathLike, ...] | None = None
    rights: Mapping[Right, Role] = field(default_factory=lambda: LEAST_ROLES)

    @property
    def asks_to_sign_in(self) -> bool:
        """Whether nobody is let in without signing in."""
        return self.oidc is not None or self.header is not None

    def check_folder(self, path: PathLike) -> Path:
        """`path` with links resolved. Raises `AccessRefused` where it lies below none of the folders."""
        resolved = Path(path).expanduser().resolve()
        if self.folders is not None and not any(resolved.is_relative_to(folder) for folder in self.folders):
            raise AccessRefused("That path lies below no folder that the operator of this server allowed.")
        return resolved


def read_server_settings(path: PathLike | None = None) -> ServerSettings:
    """The settings in a file, or in the one that `ICBIR_SERVER` names; those of a server for one person without. Raises
    `ServerSettingsError` for a file that cannot be read, is readable by others or holds something else."""
    named = path or get_environment("SERVER")
    if not named:
        return ServerSettings()
    file = Path(named)
    try:
        if os.name == "posix" and file.stat().st_mode & 0o007:
            raise ServerSettingsError(f"'{file}' holds secrets and everybody can read it; run chmod o= on it.")
        held = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ServerSettingsError(f"'{file}' cannot be read ({error.strerror}); check its path and rights.") from None
    except ValueError as error:
        raise ServerSettingsError(f"'{file}' is no TOML ({error}); correct it.") from None
    return _make_settings(held, file)


def check_address(host: str, settings: ServerSettings, without_sign_in: bool) -> None:
    """Raises `ServerSettingsError` for a server that others can reach and where nobody signs in, unless it is asked
    for in so many words."""
    if is_loopback(host) or settings.asks_to_sign_in or without_sign_in:
        return
    raise ServerSettingsError(
        f"Whoever reaches {host} could read and change this workspace: set up sign-in with --settings, or say "
        "--without-sign-in."
    )


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _make_settings(held: Mapping[str, Any], file: Path) -> ServerSettings:
    known = ("openid_connect", "proxy", "roles", "rights", "session", "queue", "monitoring", "films")
    _know(held, known, f"'{file.name}'")
    parts: dict[str, Any] = {}
    if "openid_connect" in held:
        parts["oidc"] = _make(OpenIdConnect, _take_secrets(held["openid_connect"], file), "openid_connect")
        _check_oidc(parts["oidc"])
    if "proxy" in held:
        parts["header"] = _make(ProxyHeader, held["proxy"], "proxy")
        _check_proxy(parts["header"])
    if len(parts) == 2:
        raise ServerSettingsError("[openid_connect] and [proxy] are two ways to sign in; keep one.")
    if "session" in held:
        parts["session"] = _make(SessionLimits, held["session"], "session")
    if "queue" in held:
        parts["queue"] = _make(QueueLimits, held["queue"], "queue")
    if "monitoring" in held:
        parts["monitoring"] = _make(Monitoring, held["monitoring"], "monitoring")
        _check_addresses(parts["monitoring"].metrics, "'metrics' in [monitoring]")
        if parts["monitoring"].log not in LOGS:
            raise ServerSettingsError(f"'log' in [monitoring] must be one of {', '.join(LOGS)}.")
    parts["roles"] = _make_roles(held.get("roles", {}))
    parts["rights"] = _make_rights(held.get("rights", {}))
    if parts.keys() & {"oidc", "header"} and not any(parts["roles"].values()):
        raise ServerSettingsError("[roles] gives nobody a role, so that nobody would be let in; name somebody.")
    folders = _make_folders(held.get("films", {}))
    signed = bool(parts.keys() & {"oidc", "header"})
    parts["folders"] = folders if folders is not None or not signed else ()
    return ServerSettings(**parts)


def _make_roles(held: Mapping[str, Any]) -> dict[Role, tuple[str, ...]]:
    _know(held, tuple(Role), "[roles]")
    for name, entries in held.items():
        if not isinstance(entries, list) or not all(isinstance(one, str) and one.strip() for one in entries):
            raise ServerSettingsError(f"'{name}' in [roles] must be a list of names.")
    return {Role(name): tuple(entries) for name, entries in held.items()}


def _make_rights(held: Mapping[str, Any]) -> dict[Right, Role]:
    named = {right.name.lower(): right for right in Right}
    _know(held, tuple(named), "[rights]")
    for name, role in held.items():
        if role not in tuple(Role):
            raise ServerSettingsError(f"'{name}' in [rights] must be one of: {', '.join(Role)}.")
    return {**LEAST_ROLES, **{named[name]: Role(role) for name, role in held.items()}}


def _make_folders(held: Mapping[str, Any]) -> tuple[Path, ...] | None:
    _know(held, ("folders",), "[films]")
    if "folders" not in held:
        return None
    folders = held["folders"]
    if not isinstance(folders, list) or not all(isinstance(one, str) and os.path.isabs(one) for one in folders):
        raise ServerSettingsError("'folders' in [films] must be a list of absolute paths.")
    return tuple(Path(one).resolve() for one in folders)


def _take_secrets(held: Mapping[str, Any], file: Path) -> dict[str, Any]:
    """A secret may stand in a file of its own, named by the key with `_file` at its end."""
    found = dict(held)
    for name in _SECRETS:
        if (named := found.pop(f"{name}_file", None)) is not None:
            try:
                found[name] = (file.parent / str(named)).read_text(encoding="utf-8").strip()
            except (OSError, ValueError):
                raise ServerSettingsError(f"The file of '{name}' cannot be read; check its path and rights.") from None
    return found


def _check_oidc(made: OpenIdConnect) -> None:
    if not made.redirect_uri.endswith("/oauth2callback"):
        raise ServerSettingsError("'redirect_uri' must end with /oauth2callback.")
    if len(made.cookie_secret) < _SHORTEST_SECRET:
        raise ServerSettingsError(f"'cookie_secret' must have {_SHORTEST_SECRET} letters at least, drawn at random.")
    if not made.server_metadata_url.startswith(("https://", "http://127.0.0.1", "http://localhost")):
        raise ServerSettingsError("'server_metadata_url' must begin with https://.")


def _check_proxy(made: ProxyHeader) -> None:
    if not all(_HEADER.fullmatch(name) for name in (made.header, made.groups or "x")):
        raise ServerSettingsError("'header' and 'groups' in [proxy] must be names of headers, such as X-Remote-User.")
    _check_addresses(made.proxies, "'proxies' in [proxy]")
    if not made.proxies:
        raise ServerSettingsError("'proxies' in [proxy] names no address, so that nobody could sign in.")


def _check_addresses(addresses: tuple[str, ...], where: str) -> None:
    try:
        for one in addresses:
            ipaddress.ip_network(one)
    except ValueError:
        raise ServerSettingsError(f"{where} must be addresses or networks, such as 10.0.0.5.") from None


def _make(kind: type[Any], held: object, table: str) -> Any:
    """A record from a table, each value of the type of its default."""
    if not isinstance(held, Mapping):
        raise ServerSettingsError(f"[{table}] must be a table.")
    _know(held, tuple(one.name for one in fields(kind)), f"[{table}]")
    values = {name: tuple(value) if isinstance(value, list) else value for name, value in held.items()}
    try:
        made = kind(**values)
    except TypeError:
        needed = [one.name for one in fields(kind) if one.name not in values]
        raise ServerSettingsError(f"[{table}] lacks '{needed[0]}'.") from None
    for one in fields(kind):
        if not _is_right(getattr(made, one.name), str(one.type), empty=one.name == "groups"):
            raise ServerSettingsError(f"'{one.name}' in [{table}] is not of its kind ({one.type}).")
    return made


def _is_right(value: object, kind: str, empty: bool) -> bool:
    """Whether a value is of the kind of its field; numbers must be above 0, and texts must say something."""
    if kind == "str":
        return isinstance(value, str) and (empty or bool(value.strip()))
    if kind in ("int", "float"):
        return isinstance(value, int if kind == "int" else int | float) and not isinstance(value, bool) and value > 0
    return isinstance(value, tuple) and all(isinstance(one, str) for one in value)


def _know(held: object, known: Iterable[str], where: str) -> None:
    """Raises `ServerSettingsError` for a key that means nothing: a misspelt one must not be passed over."""
    if not isinstance(held, Mapping):
        raise ServerSettingsError(f"{where} must be a table.")
    if unknown := sorted(set(held) - set(known) - {f"{name}_file" for name in _SECRETS}):
        raise ServerSettingsError(f"{where} has no '{unknown[0]}'; it has: {', '.join(known)}.")
