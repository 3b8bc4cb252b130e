package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"synupkeep/internal/item"
)

func TestDriftRunsWhenItIsNamed(t *testing.T) {
	if cfg := mustParse(t, withToken(), "run", "-d", "30d"); len(cfg.Flows) != 4 || len(cfg.Drift.Delete) != 0 {
		t.Errorf("%v, %+v", cfg.Flows, cfg.Drift)
	}
	// It has an age of its own, and needs no other.
	cfg := mustParse(t, withToken(), "run", "--only", "drift")
	if diff := cmp.Diff([]item.Flow{item.Drift}, cfg.Flows); diff != "" || cfg.Ages[item.Drift].Delta != day || len(cfg.Warnings) > 0 {
		t.Errorf("%s %v %q", diff, cfg.Ages, cfg.Warnings)
	}
	if cfg.Drift.Delete != nil || cfg.Drift.UploadLifetime != day {
		t.Errorf("%+v", cfg.Drift)
	}
	cfg = mustParse(t, withToken(), "run", "-d", "30d", "--only", "history,drift", "--drift-grace", "48h")
	if cfg.Ages[item.Drift].Delta != 2*day || cfg.Ages[item.History].Delta != 30*day {
		t.Errorf("%v", cfg.Ages)
	}
	wantErrors(t, withToken(), []string{"run", "--only", "history,drift"}, "--delta")
	wantErrors(t, withToken(), []string{"run", "--only", "drift", "--drift-grace", "59m"}, "--drift-grace")
	wantErrors(t, withToken(), []string{"run", "--only", "drift", "--drift-grace", "3599"}, "--drift-grace")
	if err := mustParse(t, withToken(), "run", "--only", "drift", "--drift-grace", "1h").CheckAges(time.Now()); err != nil {
		t.Error(err)
	}
}

func TestWhatIsDoneAboutDrift(t *testing.T) {
	for value, want := range map[string][]item.Reason{
		"report":                                    nil,
		"delete":                                    item.Deletable(),
		"empty-directories,files-without-row":       {item.FilesWithoutRow, item.EmptyDirectories},
		"remote-without-file, lost":                 {item.RemoteWithoutFile, item.Lost},
		"delete,lost-originals":                     append(item.Deletable(), item.LostOriginals),
		"delete,files-without-row,delete":           item.Deletable(),
		"files-without-row":                         {item.FilesWithoutRow},
		"unfinished-uploads,unfinished-uploads":     {item.UnfinishedUploads},
		"previews-without-file,lost,lost-originals": {item.PreviewsWithoutFile, item.Lost, item.LostOriginals},
	} {
		cfg := mustParse(t, withToken(), "run", "--only", "drift", "--drift", value)
		if diff := cmp.Diff(want, cfg.Drift.Delete, cmp.Transformer("", func(all []item.Reason) string { return strings.Join(texts(all), " ") })); diff != "" {
			t.Errorf("%s: %s", value, diff)
		}
	}
	for _, value := range []string{"everything", "report,delete", "quarantined-without-file", "not-synapses", "delete,", "Lost"} {
		wantErrors(t, withToken(), []string{"run", "--only", "drift", "--drift", value}, "--drift")
	}
	cfg := mustParse(t, withToken(), "run", "-d", "30d", "--drift", "delete")
	if len(cfg.Warnings) != 1 || !strings.Contains(cfg.Warnings[0], "does nothing as long as drift does not run") {
		t.Errorf("warnings: %q", cfg.Warnings)
	}
}

func texts(all []item.Reason) (words []string) {
	for _, r := range all {
		words = append(words, string(r))
	}
	return words
}

// Where media lies elsewhere as well, rows without a local file are as they should be.
func TestDriftIsRefusedWhereItCannotBeTold(t *testing.T) {
	wantErrors(t, withToken(), []string{"run", "--only", "drift", "--media-via", "api"}, "--only")
	file := filepath.Join(t.TempDir(), "homeserver.yaml")
	write := func(text string) {
		if err := os.WriteFile(file, []byte("server_name: hs\nmedia_store_path: /m\n"+text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("unused_expiration_time: 7d\n")
	cfg := mustParse(t, withToken(), "run", "--only", "drift", "--homeserver-config", file)
	if cfg.Drift.UploadLifetime != 7*day {
		t.Errorf("%+v", cfg.Drift)
	}
	write("media_storage_providers:\n- module: file_system\n  store_local: true\n  config: {directory: /b}\n")
	text := wantErrors(t, withToken(), []string{"plan", "--only", "drift", "--homeserver-config", file}, "--only")
	if !strings.Contains(text, "media_storage_providers: there, rows without a local file are as they should be") {
		t.Error(text)
	}
}
