"""Bodies, written into the spool's own scratch while they arrive: bounded in bytes, in time, and by room on disk.

A body may be a file alone, or a form with one file or several. Whatever goes wrong, what was written is removed again
by whoever asked for it. Nothing here trusts a header: bytes are counted as they come.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, cast

import anyio.to_thread
from fastapi import Request
from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header

from pqfs.api.problems import TooLarge, TooSlow, UnsupportedMedia
from pqfs.errors import DiskFull, Refused

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

_BLOCK = 1 << 18  # bytes that are gathered before they are written
_SLOWEST = 1024.0  # bytes a second, after the patience
_FIELD = 1 << 16  # bytes of all other fields of a form
_FIELDS = 32
_FILES = 100  # of one form
_FILE = b"file"  # a part of this name is the file, even one without a file's name

Further = Callable[[], Awaitable[Path]]


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much of a body is taken, and how long it may take: `patience` seconds, and a second more per 1024 bytes."""

    largest: int
    patience: float
    is_full: Callable[[], bool]  # whether the volume is below low water


@dataclass(slots=True)
class Form:
    """What a form had besides the bytes of its files: its fields, and the files' names, which may be empty."""

    fields: dict[str, str] = field(default_factory=dict)
    filenames: list[str] = field(default_factory=list)


def media_of(request: Request) -> str:
    """The kind of a body, without its parameters."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def read_small(request: Request, bounds: Bounds, largest: int) -> bytes:
    """A body that is held in memory.

    Raises:
        TooLarge, TooSlow: it is.
    """
    return b"".join([block async for block in _blocks(request, bounds, min(largest, bounds.largest))])


async def save(request: Request, target: Path, bounds: Bounds) -> None:
    """Write a body as it comes into a new file. Errors as `read_small`; DiskFull."""
    with target.open("xb") as file:
        writer = _Writer(file, bounds)
        async for block in _blocks(request, bounds, bounds.largest):
            await writer.add(block)
        await writer.flush()


async def save_form(request: Request, target: Path, bounds: Bounds, further: Further | None = None) -> Form:
    """Write the file of a form into a new file; the rest of the form. Errors as `save`.

    `further` tells where each file after the first goes; without it there may be one only.

    Raises:
        Refused: it is no form, or has not as many files as it may have.
    """
    _, options = parse_options_header(request.headers.get("content-type", ""))
    boundary = options.get(b"boundary")
    if not boundary:
        raise UnsupportedMedia("The form names no boundary.")
    with ExitStack() as files:
        writer = _Writer(files.enter_context(target.open("xb")), bounds, further, files)
        parts = _Parts(writer, 1 if further is None else _FILES)
        try:
            parser = MultipartParser(boundary, cast("MultipartCallbacks", parts.callbacks()))
            async for block in _blocks(request, bounds, bounds.largest):
                parser.write(block)
                await writer.write_if_full()
            parser.finalize()
        except MultipartParseError as error:
            raise Refused(f"The form can not be read: {error}.") from error
        if not parts.is_whole:
            raise Refused("The form is cut off.")
        if not parts.form.filenames:
            raise Refused("The form has no file.")
        await writer.flush()
    return parts.form


async def _blocks(request: Request, bounds: Bounds, largest: int) -> AsyncIterator[bytes]:
    """The body as it arrives, counted and timed."""
    began, size, stream = time.monotonic(), 0, request.stream()
    while True:
        left = began + bounds.patience + size / _SLOWEST - time.monotonic()
        try:
            async with asyncio.timeout(max(0.0, left)):
                block = await anext(stream, None)
        except TimeoutError as error:
            raise TooSlow(f"The body did not arrive in time: {size} bytes of it did.") from error
        if block is None:
            return
        size += len(block)
        if size > largest:
            raise TooLarge(f"The body has more than {largest} bytes.")
        yield block


class _Writer:
    """Gathers bytes and writes them, in a thread, once they are many; one file after the other."""

    def __init__(
        self, file: IO[bytes], bounds: Bounds, further: Further | None = None, files: ExitStack | None = None
    ) -> None:
        self._file = file
        self._is_full = bounds.is_full
        self._further = further
        self._files = files
        self._gathered = [bytearray()]  # of this file, and of those that come after it

    def gather(self, data: bytes) -> None:
        self._gathered[-1] += data

    def begin_another(self) -> None:
        """What is gathered from now on is another file's."""
        self._gathered.append(bytearray())

    async def add(self, data: bytes) -> None:
        self.gather(data)
        await self.write_if_full()

    async def write_if_full(self) -> None:
        if len(self._gathered) > 1 or len(self._gathered[0]) >= _BLOCK:
            await self.flush()

    async def flush(self) -> None:
        while True:
            data, self._gathered[0] = bytes(self._gathered[0]), bytearray()
            await anyio.to_thread.run_sync(partial(self._write, data))
            if len(self._gathered) == 1:
                return
            del self._gathered[0]
            await self._go_on()

    async def _go_on(self) -> None:
        assert self._further is not None and self._files is not None
        target = await self._further()
        self._file = self._files.enter_context(target.open("xb"))

    def _write(self, data: bytes) -> None:
        if self._is_full():
            raise DiskFull("The spool's volume is below low water.", "Make room, then send it again.")
        self._file.write(data)
        self._file.flush()


class _Parts:
    """Listens to the parser, which bounds headers itself: files go to the writer, `most` of them; fields are kept."""

    def __init__(self, writer: _Writer, most: int) -> None:
        self._writer = writer
        self._most = most
        self.form = Form()
        self.is_whole = False
        self._headers: dict[bytes, bytes] = {}
        self._header = self._value = b""
        self._field: str | None = None
        self._kept = bytearray()
        self._size = 0

    def callbacks(self) -> dict[str, Callable[..., None]]:
        """By the names that the parser knows them by."""
        names = (
            "part_begin", "part_data", "part_end", "header_field", "header_value", "header_end", "headers_finished",
            "end",
        )  # fmt: skip
        return {f"on_{name}": getattr(self, f"_on_{name}") for name in names}

    def _on_part_begin(self) -> None:
        self._headers, self._field, self._kept = {}, None, bytearray()

    def _on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _on_header_end(self) -> None:
        self._headers[self._header.lower()] = self._value
        self._header = self._value = b""

    def _on_headers_finished(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition"))
        name = options.get(b"filename")
        if name is None and options.get(b"name") == _FILE:
            name = b""
        if name is None:
            self._field = options.get(b"name", b"").decode(errors="replace")
            if len(self.form.fields) >= _FIELDS:
                raise Refused(f"The form has more than {_FIELDS} fields.")
            return
        if len(self.form.filenames) == self._most:
            many = "one file" if self._most == 1 else f"{self._most} files"
            raise Refused(f"The form has more than {many}.", "Send another request for the others.")
        if self.form.filenames:
            self._writer.begin_another()
        self.form.filenames.append(name.decode(errors="surrogateescape"))

    def _on_part_data(self, data: bytes, start: int, end: int) -> None:
        if self._field is None:
            self._writer.gather(data[start:end])
            return
        self._size += end - start
        if self._size > _FIELD:
            raise TooLarge(f"The fields of the form have more than {_FIELD} bytes.")
        self._kept += data[start:end]

    def _on_part_end(self) -> None:
        if self._field is not None:
            self.form.fields[self._field] = self._kept.decode(errors="replace")

    def _on_end(self) -> None:
        self.is_whole = True
