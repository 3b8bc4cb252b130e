package homeserver_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"synupkeep/internal/homeserver"
)

func write(t *testing.T, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func read(t *testing.T, text string) *homeserver.Config {
	t.Helper()
	c, err := homeserver.Read(write(t, t.TempDir(), "homeserver.yaml", text))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestDatabases(t *testing.T) {
	tests := []struct{ name, yaml, label, connection string }{
		{
			"as generated for PostgreSQL", "database:\n  name: psycopg2\n  args:\n    user: synapse\n    password: \"se'cr\\\\et\"\n    dbname: synapse\n    host: localhost\n    port: 5432\n    cp_min: 5\n    cp_max: 10\n",
			"master", `host='localhost' port='5432' user='synapse' password='se\'cr\\et' dbname='synapse'`,
		},
		{
			"database for dbname, TLS, what is not ours", "database:\n  name: psycopg2\n  txn_limit: 10000\n  args: {database: s, host: db, sslmode: verify-full, sslrootcert: /ca.pem, keepalives_idle: 10, application_name: x}\n",
			"master", `host='db' dbname='s' sslmode='verify-full' sslrootcert='/ca.pem'`,
		},
		{
			"a service and a password file", "database: {name: psycopg2, args: {service: synapse, passfile: /etc/pgpass}}\n",
			"master", `passfile='/etc/pgpass' service='synapse'`,
		},
		{
			"several hosts", "database: {name: psycopg2, args: {host: 'a,b', port: '5432,5433', target_session_attrs: read-write}}\n",
			"master", `host='a,b' port='5432,5433' target_session_attrs='read-write'`,
		},
		{
			"an address wins over a name", "database: {name: psycopg2, args: {host: db.example, hostaddr: 10.0.0.1}}\n",
			"master", `host='10.0.0.1'`,
		},
		{
			"two stores in two databases", "databases:\n  state: {name: psycopg2, data_stores: [state], args: {dbname: b}}\n  master: {name: psycopg2, data_stores: [main], args: {dbname: a}}\n",
			"master", `dbname='a'`,
		},
		{"one of many with both stores", "databases: {only: {name: psycopg2, args: {dbname: a}}}\n", "only", `dbname='a'`},
		{"a path that does not count", "database: {name: psycopg2, args: {dbname: a}}\ndatabase_path: /x.db\n", "master", `dbname='a'`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			d, err := read(t, test.yaml).Main()
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]string{test.label, test.connection}, []string{d.Label, d.Connection}); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestSQLiteIsSeen(t *testing.T) {
	for name, text := range map[string]string{
		"as generated":   "database:\n  name: sqlite3\n  args:\n    database: /data/homeserver.db\n",
		"without a name": "database:\n  args: {database: /data/homeserver.db}\n",
		"as long ago":    "database_path: /data/homeserver.db\n",
		"among several":  "databases: {a: {args: {database: /data/homeserver.db}, data_stores: [main]}, b: {name: psycopg2, data_stores: [state]}}\n",
	} {
		d, err := read(t, text).Main()
		if !errors.Is(err, homeserver.ErrSQLite) || d.File != "/data/homeserver.db" {
			t.Errorf("%s: %+v, %v", name, d, err)
		}
	}
	if _, err := read(t, "server_name: x\n").Main(); !errors.Is(err, homeserver.ErrNoDatabase) {
		t.Errorf("none at all: %v", err)
	}
}

func TestListeners(t *testing.T) {
	c := read(t, `
listeners:
  - {port: 8448, tls: true, type: http, resources: [{names: [client, federation]}]}
  - {path: /run/synapse/main.sock, type: http, resources: [{names: [client]}]}
  - {port: 9000, type: metrics, bind_addresses: ["127.0.0.1"]}
  - {port: 9093, type: http, bind_address: "127.0.0.1", resources: [{names: [replication]}]}
  - {port: 8008, type: http, bind_addresses: ["::1", "127.0.0.1"], resources: [{names: client}]}
  - {port: 8009, type: http, bind_addresses: ["10.1.2.3"], resources: [{names: [client]}]}
  - {port: 8010, type: http, bind_addresses: ["::1"], resources: [{names: [client, media]}]}
`)
	var urls []string
	for _, l := range c.AdminAPI() {
		urls = append(urls, l.URL())
	}
	want := []string{"http://localhost:8008", "http://10.1.2.3:8009", "http://[::1]:8010", "unix:///run/synapse/main.sock", "https://localhost:8448"}
	if diff := cmp.Diff(want, urls); diff != "" {
		t.Error(diff)
	}
	c = read(t, "no_tls: yes\nlisteners: [{port: 8448, tls: yes, type: http, resources: [{names: [client]}]}]\n")
	if len(c.AdminAPI()) != 0 {
		t.Errorf("with no_tls: %+v", c.Listeners)
	}
}

func TestProvidersAndRetention(t *testing.T) {
	c := read(t, `
enable_media_repo: no
media_store_path: /data/media
media_storage_providers:
  - module: s3_storage_provider.S3StorageProviderBackend
    store_local: True
    store_remote: on
    config: {bucket: b, region_name: r, endpoint_url: "https://s3.example", access_key_id: id, secret_access_key: key, prefix: p/}
  - {module: file_system, store_local: true, config: {directory: /backup}}
retention: {enabled: true}
media_retention: {local_media_lifetime: 90d, remote_media_lifetime: 14d}
app_service_config_files: [/data/bridge.yaml]
`)
	want := &homeserver.Config{
		Files: c.Files, MediaStore: "/data/media", NoMediaRepo: true,
		Providers: []homeserver.Provider{
			{
				Module: "s3_storage_provider.S3StorageProviderBackend", Local: true, Remote: true,
				S3: &homeserver.S3{Bucket: "b", Region: "r", Endpoint: "https://s3.example", Prefix: "p/", AccessKeyID: "id", SecretAccessKey: "key"},
			},
			{Module: "file_system", Local: true, Directory: "/backup"},
		},
		Retention:   homeserver.Retention{Messages: true, LocalMedia: "90d", RemoteMedia: "14d"},
		AppServices: []string{"/data/bridge.yaml"},
	}
	if diff := cmp.Diff(want, c); diff != "" {
		t.Error(diff)
	}
	c = read(t, "backup_media_store_path: /b\n")
	if diff := cmp.Diff([]homeserver.Provider{{Module: "file_system", Local: true, Remote: true, Directory: "/b"}}, c.Providers); diff != "" {
		t.Error(diff)
	}
}

// A key of a later file takes the place of the whole of an earlier one's.
func TestSeveralFiles(t *testing.T) {
	dir := t.TempDir()
	first := write(t, dir, "first.yaml", "server_name: one\ndatabase: {name: psycopg2, args: {dbname: a, host: h}}\n")
	more := filepath.Join(dir, "conf.d")
	if err := os.MkdirAll(filepath.Join(more, "sub.yaml"), 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, more, "20.yaml", "server_name: three\n")
	write(t, more, "10.yaml", "server_name: two\ndatabase: {name: psycopg2, args: {dbname: b}}\n")
	write(t, more, "30.yaml.bak", "server_name: four\n")
	c, err := homeserver.Read(first, more)
	if err != nil {
		t.Fatal(err)
	}
	d, err := c.Main()
	if err != nil || c.ServerName != "three" || d.Connection != "dbname='b'" || len(c.Files) != 3 {
		t.Errorf("%+v, %v, %v", c, d, err)
	}
}

// Synapse's purges are the main process's, whose listeners stay when a worker's file is read after it.
func TestTheFileOfAWorkerChangesNoListener(t *testing.T) {
	dir := t.TempDir()
	shared := write(t, dir, "homeserver.yaml", "server_name: one\nlisteners: [{port: 8008, type: http, resources: [{names: [client]}]}]\n")
	worker := write(t, dir, "worker.yaml", "worker_app: synapse.app.generic_worker\nworker_name: w\n"+
		"worker_listeners: [{port: 8083, type: http, resources: [{names: [client]}]}]\n")
	c, err := homeserver.Read(shared, worker)
	if err != nil || len(c.AdminAPI()) != 1 || c.AdminAPI()[0].URL() != "http://localhost:8008" {
		t.Errorf("%+v, %v", c, err)
	}
}

// What is wrong is told with its place, and without what stands there.
func TestErrorsShowNothingSecret(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"syntax":     "database:\n  args:\n    password: hunter2hunter2\n   host: [hunter2hunter2\n",
		"a list":     "- hunter2hunter2\n",
		"a text":     "hunter2hunter2",
		"empty":      "",
		"engine":     "database: {name: mysql, args: {password: hunter2hunter2}}\n",
		"both":       "database: {name: psycopg2, args: {password: hunter2hunter2}}\ndatabases: {a: {name: psycopg2}}\n",
		"no port":    "listeners: [{type: http, port: hunter2hunter2, resources: [{names: [client]}]}]\n",
		"a tag":      "database: !include hunter2hunter2\nserver_name: x\nlisteners: [{type: http}]\n",
		"binary":     "a: \x00hunter2hunter2\n",
		"too large":  "a: hunter2hunter2\n#" + strings.Repeat("x", 5<<20),
		"bad anchor": "a: *hunter2hunter2\n",
	} {
		path := write(t, dir, strings.ReplaceAll(name, " ", "_")+".yaml", text)
		_, err := homeserver.Read(path)
		if err == nil {
			t.Errorf("%s: no error", name)
			continue
		}
		if strings.Contains(err.Error(), "hunter2hunter2") {
			t.Errorf("%s: the error shows it: %v", name, err)
		}
	}
	if _, err := homeserver.Read(filepath.Join(dir, "none.yaml")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	if _, err := homeserver.Read(t.TempDir()); err == nil {
		t.Error("an empty directory is taken for a configuration")
	}
}

func FuzzRead(f *testing.F) {
	f.Add("database: {name: psycopg2, args: {dbname: a}}\nlisteners: [{port: 8008, type: http, resources: [{names: [client]}]}]\n")
	f.Add("databases: {a: &x {args: {host: 1}}, b: *x}\n")
	f.Fuzz(func(t *testing.T, text string) {
		path := filepath.Join(t.TempDir(), "h.yaml")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if c, err := homeserver.Read(path); err == nil {
			_, _ = c.Main()
			for _, l := range c.AdminAPI() {
				_ = l.URL()
			}
		}
	})
}
