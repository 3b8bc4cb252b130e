package pipeline

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"synupkeep/internal/homeserver"
	"synupkeep/internal/item"
	"synupkeep/internal/sandbox/stock"
)

// What was taken from it (the media store above all) would be another server's.
func TestAConfigurationOfAnotherServerIsRefused(t *testing.T) {
	s := emptied(t)
	upload(t, s, "alice", 90*day)
	before := stock.OfMedia(t, s)
	cfg := settings(s, item.LocalMedia)
	cfg.Synapse = &homeserver.Config{ServerName: "other.example", Files: []string{"/data/homeserver.yaml"}}
	r := do(t, cfg)
	if !slices.Equal(r.causes, []item.Cause{item.CauseRefused}) {
		t.Errorf("causes %v\n%s", r.causes, r.log)
	}
	for _, text := range []string{"/data/homeserver.yaml is of other.example", s.ServerName(), "--homeserver-config"} {
		if !strings.Contains(r.log, text) {
			t.Errorf("%q is missing:\n%s", text, r.log)
		}
	}
	if diff := cmp.Diff(before, stock.OfMedia(t, s)); diff != "" {
		t.Error(diff)
	}
	cfg.Synapse.ServerName = s.ServerName()
	if r := do(t, cfg); len(r.causes) != 0 {
		t.Errorf("its own: %v\n%s", r.causes, r.log)
	}
}
