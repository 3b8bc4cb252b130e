"""Writes filepath.json: where Synapse's own MediaFilePaths puts media of many ids, null where it refuses them.

Run it with the Python of an installation of Synapse; TestLocateAsSynapseDoes reads what it wrote.
"""

import json
import random
import sys

import synapse
from synapse.media.filepath import MediaFilePaths

BASE = "/store"
paths = MediaFilePaths(BASE)
random.seed(1)
pieces = list("abcXYZ019_-.[]:/\\%~ \n\0é") + [
    "..", "../", "./", "//", "2024-01-31", "2024-01-31_", "2024-1-1", "9999-99-99", "٢٠٢٤-٠١-٣١", "abcdefgh", "x" * 250,
]


def text():
    return "".join(random.choice(pieces) for _ in range(random.randint(0, 9)))


def harmless():
    return "".join(random.choice("abcXYZ019_-.[]:") for _ in range(random.randint(3, 26)))


def ask(kind, origin, media_id):
    try:
        if kind == "local":
            found = paths.local_media_filepath(media_id), paths.local_media_thumbnail_dir(media_id)
        elif kind == "remote":
            found = paths.remote_media_filepath(origin, media_id), paths.remote_media_thumbnail_dir(origin, media_id)
        else:
            found = paths.url_cache_filepath(media_id), paths.url_cache_thumbnail_directory(media_id)
    except (ValueError, IndexError):
        return None
    return [f.removeprefix(BASE + "/") for f in found]


cases = []
for _ in range(1200):
    kind = random.choice(["local", "remote", "preview"])
    media_id = random.choice([text, harmless])()
    if kind == "preview" and random.random() < 0.5:
        media_id = "2024-0%d-3%d" % (random.randint(1, 9), random.randint(0, 1)) + random.choice("_-./") + media_id
    origin = random.choice([text, harmless, lambda: "example.org:8448"])() if kind == "remote" else ""
    cases.append([kind, origin, media_id, ask(kind, origin, media_id)])
with open(sys.argv[1], "w") as f:
    lines = ",\n".join(json.dumps(c) for c in cases)
    f.write('{"synapse": "%s", "cases": [\n%s\n]}\n' % (synapse.__version__, lines))
