"""Files as the body of a request: how the API's documents describe them, and their bytes, up to a bound."""

from collections.abc import AsyncIterator

from fastapi import HTTPException, Request


def file_body(media: str, example: str) -> dict[str, object]:
    """``openapi_extra`` of a path that takes a file: FastAPI cannot know it, since the path reads it by itself."""
    content = {media: {"schema": {"type": "string"}, "example": example}}
    return {"requestBody": {"required": True, "content": content}}


async def blocks(request: Request, most: int, advice: str) -> AsyncIterator[bytes]:
    """The body as it comes.

    Args:
        most: bytes.

    Raises:
        HTTPException: 413, with the advice, as soon as there are more.
    """
    size = 0
    async for block in request.stream():
        size += len(block)
        if size > most:
            raise HTTPException(413, f"more than {most} bytes; {advice}")
        yield block


async def whole(request: Request, most: int, advice: str) -> bytes:
    """The same in one piece."""
    return b"".join([block async for block in blocks(request, most, advice)])
