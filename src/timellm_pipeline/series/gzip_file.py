"""The bytes in a gzip file, decompressed in parts up to a limit: a few megabytes can hold hundreds of gigabytes."""

import io
import zlib

from timellm_pipeline.errors import SeriesError

GZIP_FORMAT = 16 + zlib.MAX_WBITS
TAKEN, GIVEN = 1 << 18, 1 << 22  # bytes that go into and come out of the decompressor at once


def decompress(content: bytes, path: str, max_gigabytes: float) -> bytes:
    """The decompressed bytes of all members of a gzip file. Zero bytes after a member are padding.

    Raises SeriesError for a corrupt or truncated file, and for more than `max_gigabytes` without allocating it.
    """
    out = io.BytesIO()
    place = 0
    while place < len(content):
        member = zlib.decompressobj(wbits=GZIP_FORMAT)
        try:
            while not member.eof:
                data = member.unconsumed_tail
                if not data:
                    data = content[place : place + TAKEN]
                    place += len(data)
                part = member.decompress(data, GIVEN)
                if not data and not part:
                    raise EOFError("the file ends in the middle of the compressed data")
                if out.tell() + len(part) > max_gigabytes * 1e9:
                    raise SeriesError(
                        f"this gzip file holds more than {max_gigabytes:g} GB",
                        where=path,
                        do="give a smaller file, or raise data.max_gigabytes where there is enough memory",
                    )
                out.write(part)
        except (EOFError, zlib.error) as error:
            raise SeriesError(
                f"this gzip file is corrupt or incomplete: {error}", where=path, do="download or compress it again"
            ) from error
        place -= len(member.unused_data)
        while place < len(content) and content[place] == 0:
            place += 1
    return out.getvalue()
