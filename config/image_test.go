package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"synupkeep/internal/item"
)

func TestTheAgeInTheImageIsThatOfTheFirstRelease(t *testing.T) {
	for _, command := range []string{"run", "cron", "plan"} {
		cfg := parseIn(t, "", onlyToken("PGHOST", "db", containerVariable, "1"), command)
		if cfg.Ages[item.History].Delta != day {
			t.Errorf("%s: %v", command, cfg.Ages)
		}
		cfg = parseIn(t, "", onlyToken("PGHOST", "db", containerVariable, "1", "SYNUPKEEP_DELTA", "30d"), command)
		if cfg.Ages[item.History].Delta != 30*day {
			t.Errorf("%s with SYNUPKEEP_DELTA: %v", command, cfg.Ages)
		}
		cfg = parseIn(t, "", onlyToken("PGHOST", "db", containerVariable, "1", "SYNUPKEEP_BEFORE", "2025-01-31"), command)
		if want := time.Date(2025, 1, 31, 0, 0, 0, 0, time.UTC); !cfg.Ages[item.History].Before.Equal(want) {
			t.Errorf("%s with SYNUPKEEP_BEFORE: %v", command, cfg.Ages)
		}
	}
	wantErrors(t, withToken(), []string{"run"}, "--delta") // outside of it an age is to be said
}

func TestTheMediaStoreOfSynapsesImageIsFound(t *testing.T) {
	dir := t.TempDir()
	for _, step := range []struct{ add, want string }{
		{"", defaultMediaStore}, {"media", filepath.Join(dir, "media")}, {"media_store", filepath.Join(dir, "media_store")},
	} {
		if step.add != "" {
			if err := os.Mkdir(filepath.Join(dir, step.add), 0o700); err != nil {
				t.Fatal(err)
			}
		}
		if cfg := parseIn(t, dir, onlyToken("POSTGRES_PASSWORD", "x"), "run", "--delta", "30d"); cfg.MediaStore != step.want {
			t.Errorf("with %q: %s, want %s", step.add, cfg.MediaStore, step.want)
		}
	}
	if cfg := parseIn(t, dir, onlyToken("PGHOST", "db"), "run", "--delta", "30d"); cfg.MediaStore != defaultMediaStore {
		t.Errorf("not beside Synapse's image: %s", cfg.MediaStore)
	}
	if cfg := parseIn(t, dir, onlyToken("PGHOST", "db", containerVariable, "1"), "run"); cfg.MediaStore != filepath.Join(dir, "media_store") {
		t.Errorf("in our image: %s", cfg.MediaStore)
	}
	if cfg := parseIn(t, dir, onlyToken("POSTGRES_PASSWORD", "x"), "run", "--delta", "30d", "-m", "/mnt"); cfg.MediaStore != "/mnt" {
		t.Errorf("%s", cfg.MediaStore)
	}
}

func TestTheDirectoryOfTheConfigurationIsSynapsesImages(t *testing.T) {
	cfg := parseIn(t, "", onlyToken("SYNAPSE_CONFIG_DIR", data(t, "homeserver.yaml", homeserverYAML)), "run", "--delta", "30d")
	if cfg.Synapse == nil || cfg.MediaStore != "/srv/media" {
		t.Errorf("%+v", cfg.Synapse)
	}
}

func TestTheSchemeOfAnAddressIsAsSynapsesImageIsToldTo(t *testing.T) {
	for _, test := range []struct{ noTLS, address, want string }{
		{"true", "synapse:8008", "http://synapse:8008"},
		{"YES", "synapse:8448/", "http://synapse:8448"},
		{"false", "synapse:8448", "https://synapse:8448"},
		{"0", "synapse:8008", "http://synapse:8008"}, // it answers there whatever it is told
		{"no", "hs.example", "http://hs.example"},
		{"true", "https://hs.example", "https://hs.example"},
		{"false", "unix:///run/main.sock", "unix:///run/main.sock"},
	} {
		cfg := parseIn(t, "", onlyToken("PGHOST", "db", "SYNAPSE_NO_TLS", test.noTLS, "SYNUPKEEP_SYNAPSE_API_URL", test.address), "run", "--delta", "30d")
		if cfg.APIURL != test.want {
			t.Errorf("%+v: %s", test, cfg.APIURL)
		}
	}
	text := errorsIn(t, "", onlyToken("PGHOST", "db", "SYNAPSE_NO_TLS", "maybe", "SYNUPKEEP_API_URL", "synapse:8008"), "run", "--delta", "30d")
	if !strings.Contains(text, "SYNAPSE_NO_TLS") {
		t.Error(text)
	}
	wantErrors(t, withToken(), []string{"run", "--delta", "30d", "-a", "synapse:8008"}, "--api-url")
	if cfg := parseIn(t, "", onlyToken("POSTGRES_PASSWORD", "x", "SYNAPSE_HTTP_PORT", "8080"), "run", "--delta", "30d"); cfg.APIURL != "http://localhost:8080" {
		t.Errorf("%s", cfg.APIURL)
	}
}
