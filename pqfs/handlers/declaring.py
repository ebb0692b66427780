"""`@handler`: a Python function that is one, said where it is written.

It is checked when its module is loaded, and not at its first job; and it may say which of the errors that it does not
raise itself are verdicts.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, overload

from pqfs.errors import HandlerVerdict, Misconfigured, Permanent, RetryLater
from pqfs.handlers import JobContext

Function = Callable[[JobContext], bytes | str | None]
_Errors = tuple[type[Exception], ...]


@overload
def handler(function: Function, /) -> Function: ...


@overload
def handler(
    *, permanent: _Errors = (), retry_later: _Errors = (), delay: float = 60.0
) -> Callable[[Function], Function]: ...


def handler(
    function: Function | None = None, /, *, permanent: _Errors = (), retry_later: _Errors = (), delay: float = 60.0
) -> Function | Callable[[Function], Function]:
    """Declare a function a handler: it takes a `JobContext`, and returns its output or writes it.

    Args:
        function: the function, where the decorator is written without parentheses.
        permanent: errors that mean `Permanent`: this input can never succeed.
        retry_later: errors that mean `RetryLater`, at no cost; looked for after `permanent`.
        delay: seconds until then.

    Raises:
        Misconfigured: it can not be called with a context alone.
    """

    def declare(wrapped: Function) -> Function:
        _check(wrapped)

        @functools.wraps(wrapped)
        def run(context: JobContext) -> bytes | str | None:
            try:
                return wrapped(context)
            except HandlerVerdict:
                raise
            except permanent as error:
                raise Permanent(_told(error)) from error
            except retry_later as error:
                raise RetryLater(_told(error), delay) from error

        return run

    return declare if function is None else declare(function)


def _check(function: Callable[..., Any]) -> None:
    try:
        inspect.signature(function).bind(None)
    except TypeError as error:
        name = getattr(function, "__qualname__", str(function))
        raise Misconfigured(f"The handler {name} can not be called with a context alone: {error}.") from error


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
