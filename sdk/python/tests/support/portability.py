"""Finds what works only on POSIX systems, or differs on Windows, in source text."""

from __future__ import annotations

import ast
from collections.abc import Iterator

POSIX_MODULES = frozenset(
    {
        "crypt",
        "curses",
        "fcntl",
        "grp",
        "nis",
        "posix",
        "pty",
        "pwd",
        "readline",
        "resource",
        "spwd",
        "syslog",
        "termios",
        "tty",
    }
)
POSIX_NAMES = {
    "asyncio": {"open_unix_connection", "start_unix_server"},
    "os": {
        "chown", "fchmod", "fchown", "fork", "forkpty", "getegid", "geteuid", "getgid", "getloadavg", "getpgid", "getpgrp",
        "getuid", "killpg", "lchown", "mkfifo", "nice", "pread", "pwrite", "register_at_fork", "sched_getaffinity", "setgid",
        "setsid", "setuid", "sysconf", "uname", "wait", "wait3", "wait4", "O_DIRECTORY", "O_NOFOLLOW", "O_CLOEXEC",
    },
    "select": {"epoll", "kqueue", "poll"},
    "signal": {
        "SIGALRM", "SIGCHLD", "SIGHUP", "SIGKILL", "SIGPIPE", "SIGQUIT", "SIGUSR1", "SIGUSR2", "alarm", "pause",
        "pthread_kill", "pthread_sigmask", "setitimer", "sigwait",
    },
    "socket": {"AF_UNIX", "SO_REUSEPORT"},
    "time": {"tzset"},
}  # fmt: skip
LOOP_METHODS = frozenset({"add_signal_handler", "add_reader", "add_writer"})  # not on the default loop of Windows
GUARDS = ("sys.platform", "os.name", "hasattr", "getattr")
CAUGHT = frozenset({"ImportError", "ModuleNotFoundError", "AttributeError", "NotImplementedError"})
TEXT_FILES = frozenset({"open", "read_text", "write_text"})


def posix_only(source: str) -> list[str]:
    """Return "line: what" for each unguarded use, and for each text file opened in the encoding of the system."""
    return [f"{line}: {what}" for line, what in _uses(ast.parse(source))]


def _uses(node: ast.AST) -> Iterator[tuple[int, str]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and any(guard in ast.unparse(child.test) for guard in GUARDS):
            continue
        if isinstance(child, ast.Try) and any(_is_guard(handler) for handler in child.handlers):
            continue
        what = _fault_of(child)
        if what is not None:
            yield child.lineno, what  # type: ignore[attr-defined]
        yield from _uses(child)


def _is_guard(handler: ast.ExceptHandler) -> bool:
    return handler.type is not None and any(name in ast.unparse(handler.type) for name in CAUGHT)


def _fault_of(node: ast.AST) -> str | None:
    if isinstance(node, ast.Import):
        return next((alias.name for alias in node.names if alias.name in POSIX_MODULES), None)
    if isinstance(node, ast.ImportFrom):
        names = POSIX_NAMES.get(node.module or "", set())
        if node.module in POSIX_MODULES:
            return node.module
        return next((f"{node.module}.{alias.name}" for alias in node.names if alias.name in names), None)
    if isinstance(node, ast.Attribute):
        owner = ast.unparse(node.value)
        if node.attr in POSIX_NAMES.get(owner, set()) or node.attr in LOOP_METHODS:
            return f"{owner}.{node.attr}"
    if isinstance(node, ast.Call) and _opens_text(node) and all(each.arg != "encoding" for each in node.keywords):
        return f"{ast.unparse(node.func)} without an encoding"
    return None


def _opens_text(call: ast.Call) -> bool:
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    if name not in TEXT_FILES or (name == "open" and isinstance(call.func, ast.Attribute) and not call.args):
        return False
    texts = [
        each.value for each in [*call.args, *(word.value for word in call.keywords)] if isinstance(each, ast.Constant)
    ]
    is_binary = any(isinstance(text, str) and "b" in text and set(text) <= set("rwaxb+") for text in texts)
    return not is_binary and not (name == "read_text" and call.args)
