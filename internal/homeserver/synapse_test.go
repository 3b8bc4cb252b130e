package homeserver_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"synupkeep/internal/homeserver"
	"synupkeep/internal/sandbox"
)

func TestMain(m *testing.M) { os.Exit(sandbox.TestMain(m)) }

// reader is how Synapse itself reads a configuration.
const reader = `
import json, sys
from synapse.config.homeserver import HomeServerConfig
c = HomeServerConfig.load_config("", ["-c", *sum(([p, "-c"] for p in sys.argv[1:]), [])[:-1]])
main = [d for d in c.database.databases if "main" in d.databases][0]
listeners = []
for l in c.server.listeners:
    if l.type != "http" or not any("client" in r.names for r in l.http_options.resources): continue
    listeners.append([getattr(l, "port", 0), getattr(l, "path", None) or "", bool(getattr(l, "tls", False))])
print("\n" + json.dumps({
    "workers": sorted(set(c.worker.instance_map) - {"main"}),
    "server": c.server.server_name, "engine": main.config["name"], "args": main.config.get("args", {}), "stores": list(main.databases),
    "media": c.media.media_store_path, "listeners": listeners, "retention": c.retention.retention_enabled,
    "local_ms": c.media.media_retention_local_media_lifetime_ms, "providers": len(c.media.media_storage_providers),
}, default=str))
`

type asSynapse struct {
	Server    string
	Workers   []string
	Engine    string
	Args      map[string]any
	Stores    []string
	Media     string
	Listeners [][]any
	Retention bool
	LocalMS   *int64 `json:"local_ms"`
	Providers int
}

func readBySynapse(t *testing.T, s *sandbox.Server, paths ...string) (c asSynapse) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), s.Python(), append([]string{"-c", reader}, paths...)...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("Synapse reads %q: %v\n%s", paths, err, out)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &c); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return c
}

// TestAsSynapseReadsIt has Synapse generate a configuration, changes it as operators do, and compares what both read.
func TestAsSynapseReadsIt(t *testing.T) {
	s := sandbox.Shared(t)
	dir := t.TempDir()
	generated := filepath.Join(dir, "homeserver.yaml")
	out, err := exec.CommandContext(t.Context(), s.Python(), "-m", "synapse.app.homeserver", "--config-path", generated, "--server-name", "hs.example",
		"--generate-config", "--report-stats=no", "--data-directory", filepath.Join(dir, "data")).CombinedOutput()
	if err != nil {
		t.Fatalf("generate a configuration: %v\n%s", err, out)
	}
	backup := filepath.Join(dir, "backup")
	if err := os.Mkdir(backup, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, more := range map[string]string{
		"as generated": "",
		"PostgreSQL":   "database: {name: psycopg2, args: {user: u, password: p, dbname: d, host: /run/postgresql, port: 5433, cp_min: 5}}\n",
		"two databases": "database:\ndatabases:\n  a: {name: psycopg2, data_stores: [state], args: {dbname: a}}\n" +
			"  b: {name: psycopg2, data_stores: [main], args: {dbname: b, host: h}}\n",
		"old words": "database: {name: psycopg2, args: {dbname: d}}\nenable_media_repo: on\nretention: {enabled: yes}\n" +
			"media_retention: {local_media_lifetime: 90d}\nbackup_media_store_path: " + backup + "\n",
		"TLS, and a service of PostgreSQL": "tls_certificate_path: /x.crt\ntls_private_key_path: /x.key\n" +
			"database: {name: psycopg2, args: {service: synapse, sslmode: verify-full, host: 'a,b', user: u, database: d}}\n" +
			"listeners: [{port: 8448, tls: true, type: http, resources: [{names: [client, federation]}]}]\nmedia_store_path: " + dir + "/elsewhere\n",
		"workers": "instance_map: {main: {host: localhost, port: 9093}, media2: {host: localhost, port: 9094}, media1: {path: /run/m.sock}}\n" +
			"media_instance_running_background_jobs: media1\n" +
			"listeners: [{port: 9093, type: http, bind_addresses: ['127.0.0.1'], resources: [{names: [replication]}]}, " +
			"{port: 8008, type: http, bind_addresses: ['127.0.0.1'], resources: [{names: [client, federation]}]}]\n",
		"sockets": "listeners: [{path: " + filepath.Join(dir, "s.sock") + ", type: http, resources: [{names: [client, federation]}]}, " +
			"{port: 8008, type: http, bind_addresses: ['127.0.0.1'], resources: [{names: [client]}]}]\n",
	} {
		t.Run(name, func(t *testing.T) {
			later := write(t, t.TempDir(), "later.yaml", more+"report_stats: no\n")
			compareWithSynapse(t, readBySynapse(t, s, generated, later), generated, later)
		})
	}
	t.Run("the sandbox's own", func(t *testing.T) {
		path := filepath.Join(s.Dir(), "homeserver.yaml")
		compareWithSynapse(t, readBySynapse(t, s, path), path)
	})
}

func compareWithSynapse(t *testing.T, want asSynapse, paths ...string) {
	t.Helper()
	c, err := homeserver.Read(paths...)
	if err != nil {
		t.Fatal(err)
	}
	d, err := c.Main()
	if (err != nil) != (want.Engine == "sqlite3") || d.Engine != want.Engine || cmp.Diff(want.Stores, d.Stores) != "" {
		t.Errorf("the database is %+v, %v; Synapse: %+v", d, err, want)
	}
	for key, value := range map[string]string{"host": "host", "port": "port", "user": "user", "dbname": "dbname"} {
		said, set := want.Args[key]
		text, _ := said.(string)
		if set && text != "" && !strings.Contains(d.Connection, value+"='"+text+"'") {
			t.Errorf("%s is %q, and missing in %s", key, text, d.Connection)
		}
	}
	if c.ServerName != want.Server || c.MediaStore != want.Media && !strings.HasSuffix(want.Media, "/"+c.MediaStore) {
		t.Errorf("server %q with %q; Synapse: %q with %q", c.ServerName, c.MediaStore, want.Server, want.Media)
	}
	if c.Retention.Messages != want.Retention || (c.Retention.LocalMedia != "") != (want.LocalMS != nil) || len(c.Providers) != want.Providers {
		t.Errorf("retention %+v and %d providers; Synapse: %+v", c.Retention, len(c.Providers), want)
	}
	if strings.Join(c.Workers, " ") != strings.Join(want.Workers, " ") {
		t.Errorf("workers %q; Synapse: %q", c.Workers, want.Workers)
	}
	if len(c.AdminAPI()) != len(want.Listeners) {
		t.Errorf("listeners %+v; Synapse: %v", c.AdminAPI(), want.Listeners)
	}
}
