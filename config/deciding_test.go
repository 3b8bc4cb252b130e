package config

import (
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"synupkeep/internal/item"
)

func parsed(t *testing.T, args ...string) *Config {
	t.Helper()
	return mustParse(t, map[string]string{tokenVariable: "t"}, append([]string{"run", "--postgres", "host=db"}, args...)...)
}

func TestDecidingIsWhateverDecidesWhatIsDeleted(t *testing.T) {
	plain := []string{"--delta", "30d"}
	base := parsed(t, plain...).Deciding()
	want := map[string][]string{
		"flows":         {"history", "local-media", "remote-media", "previews"},
		"history-delta": {"30d"}, "local-media-delta": {"30d"}, "remote-media-delta": {"30d"}, "preview-delta": {"30d"},
		"room": nil, "not-room": nil, "keep-user": nil, "keep-media": nil, "keep-type": nil,
		"limit-rooms": {"0"}, "limit-media": {"0"}, "gap-grace": {"3d"}, "report-hold": {"14d"}, "keep-pinned": {"false"},
		"keep-shown": {"true"}, "remote-dead": {"keep"}, "media-via": {"disk"},
	}
	if diff := cmp.Diff(want, base); diff != "" {
		t.Error(diff)
	}
	for _, c := range []struct {
		args    string
		changed string
		value   []string
	}{
		{"--delta 2592000", "", nil}, // the same 30 days
		{"--room #b:hs --room !a:hs --room !a:hs", "room", []string{"!a:hs", "#b:hs"}},
		{"--not-room !a:hs", "not-room", []string{"!a:hs"}},
		{"--keep-user @b:* --keep-user @a:*", "keep-user", []string{"@a:*", "@b:*"}},
		{"--keep-media abc", "keep-media", []string{"abc"}},
		{"--keep-type image/*", "keep-type", []string{"image/*"}},
		{"--keep-shown=false", "keep-shown", []string{"false"}},
		{"--keep-pinned", "keep-pinned", []string{"true"}},
		{"--remote-dead delete", "remote-dead", []string{"delete"}},
		{"--gap-grace 1h", "gap-grace", []string{"1h"}},
		{"--report-hold 1d", "report-hold", []string{"1d"}},
		{"--limit-rooms 5", "limit-rooms", []string{"5"}},
		{"--limit-media 6", "limit-media", []string{"6"}},
		{"--history-delta 60d", "history-delta", []string{"60d"}},
		{"--local-media-delta 1y", "local-media-delta", []string{"365d"}},
		{"--remote-media-delta 36h", "remote-media-delta", []string{"1d12h"}},
		{"--preview-delta 2w", "preview-delta", []string{"14d"}},
		// These decide how, how fast and how much at most.
		{"--purge-concurrency 1 --purge-rate 3 --retry-for 5 --purge-timeout 2h --delete-concurrency 9 --batch-size 7", "", nil},
		{"--max-rooms 1 --max-media 2 --max-bytes 3 --max-duration 1h --state-dir /s --media-store /m --top 3 --json", "", nil},
	} {
		args := strings.Fields(c.args)
		if !slices.Contains(args, "--delta") {
			args = append(args, plain...)
		}
		got := parsed(t, args...).Deciding()
		want := maps.Clone(base)
		if c.changed != "" {
			want[c.changed] = c.value
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s:\n%s", c.args, diff)
		}
	}
}

func TestDecidingTellsATimeFromAnAge(t *testing.T) {
	got := parsed(t, "--before", "2025-01-31", "--only", "history").Deciding()
	if !slices.Equal(got["history-delta"], []string{"before 2025-01-31T00:00:00Z"}) || !slices.Equal(got["flows"], []string{"history"}) {
		t.Errorf("%v", got)
	}
	if _, ok := got["preview-delta"]; ok {
		t.Error("a flow that does not run has no age")
	}
}

// Every field of the configuration either decides what is deleted or does not: a new one is to be thought about.
func TestEveryFieldIsKnownToDecideOrNot(t *testing.T) {
	fields := func(v any) (names []string) {
		kind := reflect.TypeOf(v)
		for i := range kind.NumField() {
			names = append(names, kind.Field(i).Name)
		}
		return names
	}
	for _, c := range []struct {
		of                 any
		decide, decidesNot string
	}{
		{
			Config{},
			"Flows Ages History Media Drift AppServices", // the last by the word bridges of --keep-user
			"Command User Register IfNeeded Postgres APIURL Token MediaStore StateDir Max MaxDuration Synapse Cron RetryFor Level LogFormat Quiet JSON Report HTML " +
				"Outcomes Metrics Ping Top Out Plan Yes Warnings origins hidden",
		},
		{History{}, "Rooms NotRooms Limit GapGrace ReportHold KeepPinned", "InFlight RatePerMinute Timeout"},
		{Media{}, "KeepUsers KeepBridged KeepMedia KeepTypes Limit DeleteOfDeadServers KeepShown Via", "DeleteConcurrency BatchSize"},
		{Drift{}, "Delete UploadLifetime", ""},
		{Age{}, "Delta Before", ""},
	} {
		known := append(strings.Fields(c.decide), strings.Fields(c.decidesNot)...)
		for _, name := range fields(c.of) {
			if !slices.Contains(known, name) {
				t.Errorf("%T.%s: does it decide what is deleted? Then it belongs to Deciding; name it here in any case", c.of, name)
			}
		}
	}
	if len(item.AllFlows()) != 5 {
		t.Error("a flow is new: is its age in Deciding?")
	}
}
