"""Videos below a URL: in object stores, on servers, wherever fsspec can look."""

from __future__ import annotations

from itertools import takewhile

from mofo.datasets.formats.class_folders import label_by_folders
from mofo.datasets.formats.webdataset import Samples
from mofo.datasets.listing import EXTENSIONS, Listing, Problems, is_shard, is_video
from mofo.types import MofoError
from mofo.video.location import split_member
from mofo.video.storage import file_system, has_magic, reasons

_LISTS = (".csv", ".tsv", ".txt", ".list", ".json", ".jsonl", ".parquet")


def remote_listing(url: str, problems: Problems) -> Listing:
    """The videos of a URL: of a video, a folder, a pattern, or of tar shards.

    Folders are read as on disk: with classes where they are named so, and tar shards count if there
    are no videos beside them.

    Args:
        url: any that fsspec knows.
        problems: gets what cannot be used.

    Raises:
        MofoError: nothing is there, or it cannot be asked.
    """
    member = split_member(url)
    if member is not None:
        listing = Listing(member[0].rpartition("/")[0])
        listing.add(url, problems)
        return listing
    system, path = file_system(url)
    base, address = path.rstrip("/"), url.rstrip("/")
    with reasons(url):
        if has_magic(url):
            parts = list(takewhile(lambda part: not has_magic(part), url.split("/")))
            address, base = "/".join(parts), file_system("/".join(parts) + "/")[1].rstrip("/")
            hits = sorted(system.glob(path))
        elif system.isfile(path):
            if url.lower().endswith(_LISTS):
                raise MofoError("lists are read from files here: copy it; it may list URLs")
            listing = Listing(url.rpartition("/")[0])
            if is_shard(url):
                listing.videos = list(Samples([url], listing).videos(problems))
            else:
                listing.add(url, problems)
            return listing
        else:
            hits = sorted(system.find(path))
    files = [address + hit[len(base) :] for hit in hits]
    files = [file for file in files if not file.rpartition("/")[2].startswith(".")]
    listing = Listing(address)
    for file in filter(is_video, files):
        listing.add(file, problems)
    shards = [file for file in files if is_shard(file)]
    if listing.videos:
        label_by_folders(listing)
    elif shards:
        listing.videos = list(Samples(shards, listing).videos(problems))
    elif not hits:
        raise MofoError(f"{url}: does not exist, or is empty")
    else:
        raise MofoError(f"{url}: no video there; expected one of {' '.join(sorted(EXTENSIONS))}")
    return listing
