"""Decompress a gzip file in chunks up to a size limit: a few megabytes can decompress to hundreds of gigabytes."""

import io
import zlib

from timellm_pipeline.errors import SeriesError

GZIP_FORMAT = 16 + zlib.MAX_WBITS
TAKEN, GIVEN = 1 << 18, 1 << 22  # input and output bytes of one call of the decompressor


def decompress(content: bytes, path: str, max_gigabytes: float) -> bytes:
    """Decompressed bytes of all members of a gzip file. Zero bytes after a member are padding.

    Raises SeriesError for a corrupt or truncated file, and for content larger than `max_gigabytes`, before it is
    allocated.
    """
    out = io.BytesIO()
    position = 0
    while position < len(content):
        member = zlib.decompressobj(wbits=GZIP_FORMAT)
        try:
            while not member.eof:
                data = member.unconsumed_tail
                if not data:
                    data = content[position : position + TAKEN]
                    position += len(data)
                part = member.decompress(data, GIVEN)
                if not data and not part:
                    raise EOFError("the file ends in the middle of the compressed data")
                if out.tell() + len(part) > max_gigabytes * 1e9:
                    raise SeriesError(
                        f"this gzip file contains more than {max_gigabytes:g} GB",
                        where=path,
                        do="use a smaller file, or raise data.max_gigabytes if there is enough memory",
                    )
                out.write(part)
        except (EOFError, zlib.error) as error:
            raise SeriesError(
                f"this gzip file is corrupt or incomplete: {error}", where=path, do="download or compress it again"
            ) from error
        position -= len(member.unused_data)
        while position < len(content) and content[position] == 0:
            position += 1
    return out.getvalue()
