package sandbox_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"synupkeep/internal/sandbox"
)

// validator checks every event of the database with Synapse's own code: id, content hash, signature and chain of depth.
const validator = `
import json, sys, psycopg2
from signedjson.key import decode_verify_key_bytes
from signedjson.sign import verify_signed_json
from synapse.api.room_versions import KNOWN_ROOM_VERSIONS
from synapse.crypto.event_signing import check_event_content_hash
from synapse.events import make_event_from_dict
from synapse.events.utils import prune_event
from signedjson.key import read_signing_keys, get_verify_key
import yaml
config = yaml.safe_load(open(sys.argv[1]))
key = get_verify_key(read_signing_keys([config["signing_key"]])[0])
conn = psycopg2.connect(**{k: v for k, v in config["database"]["args"].items() if not k.startswith("cp_")})
cur = conn.cursor()
cur.execute("SELECT e.event_id, r.room_version, j.json, e.depth FROM events e JOIN event_json j USING (event_id) JOIN rooms r ON r.room_id = e.room_id")
n = 0
for event_id, version, js, depth in cur.fetchall():
    v = KNOWN_ROOM_VERSIONS[version]
    event = make_event_from_dict(json.loads(js), v)
    assert event.event_id == event_id, ("event id", event_id, event.event_id)
    assert event.depth == depth, ("depth", event_id)
    assert check_event_content_hash(event), ("content hash", event_id)
    verify_signed_json(prune_event(event).get_pdu_json(), config["server_name"], key)
    n += 1
assert n > 0
print(n, "events are valid")
`

func validates(t *testing.T, s *sandbox.Server) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), s.Python(), "-c", validator, filepath.Join(s.Dir(), "homeserver.yaml")).CombinedOutput()
	if err != nil {
		t.Errorf("Synapse does not accept the events: %v\n%s", err, out)
	}
	if testing.Verbose() {
		_, _ = os.Stderr.Write(out)
	}
}
