package sinks_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"synupkeep/internal/item"
	"synupkeep/sinks"
)

const usageSchema = "../docs/usage.schema.json"

// largeUsage is that of a server as large as they come, with every part and estimates.
func largeUsage() sinks.Usage {
	events := item.Extent{Table: "events", Blocks: 4_200_000, BlocksRead: 8192, Rows: 212_992}
	texts := item.Extent{Table: "event_json", Blocks: 16_000_000, BlocksRead: 8192, Rows: 57_344}
	room := func(id, name, alias string) sinks.RoomName {
		return sinks.RoomName{RoomID: id, Name: name, Alias: alias, Members: 12_345, Encrypted: true}
	}
	hq, v12 := room("!OGEhHVWSdvArJzumhm:matrix.org", "Matrix HQ", "#matrix:matrix.org"), room("!QNOr-QSN427Fe2EWnNJYIlmlLAnv_JzBbfmzyFgArgE", "", "")
	c := func(n, margin int64) sinks.Counted { return sinks.Counted{Number: n, Margin: margin} }
	u := sinks.Usage{
		Version: "2.0.0", ServerName: "example.org",
		Ending: sinks.Ending{Started: fourOClock, Ended: fourOClock.Add(95 * time.Second), Warnings: []string{"this is a standby"}},

		Database: &sinks.UsageDatabase{Name: "synapse", Bytes: 512 << 30, Postgres: "16.4 (Debian 16.4-1)", Schema: 94, Standby: true},
		History: &sinks.UsageHistory{
			Samples: []item.Extent{texts, events}, Events: c(109_200_000, 2_400_000), Messages: c(91_000_000, 2_000_000), State: c(17_000_000, 400_000),
			JSONBytes: c(117<<30, 3<<30), ByRoom: []sinks.RoomUsage{
				{RoomName: hq, Events: c(12_345_678, 800_000), Messages: c(9_000_000, 700_000), State: c(3_000_000, 300_000), JSONBytes: c(13<<30, 1<<30)},
				{RoomName: v12, Events: c(345_678, 80_000), Messages: c(300_000, 70_000), State: c(45_678, 3_000), JSONBytes: c(400<<20, 100<<20)},
				{RoomName: room("!little:example.org", "", ""), Events: c(500, 1000), JSONBytes: c(1<<20, 2<<20)},
			},
		},
		StateGroups: &sinks.UsageStateGroups{
			Samples: []item.Extent{{Table: "state_groups_state", Blocks: 20_000_000, BlocksRead: 8192, Rows: 500_000}}, Rows: c(1_234_567_890, 27_000_000), Bytes: 250 << 30,
			ByRoom: []sinks.RoomState{{RoomName: hq, Rows: c(600_000_000, 20_000_000), Bytes: 120 << 30}},
		},
		RoomMedia: &sinks.UsageRoomMedia{
			Samples: []item.Extent{events}, ByRoom: []sinks.RoomMedia{{RoomName: hq, LocalItems: 1234, LocalBytes: 2 << 30, RemoteItems: 56_789, RemoteBytes: 60 << 30, Margin: 20 << 30}},
		},
		LocalMedia: &sinks.UsageMedia{
			ItemsBytes: sinks.ItemsBytes{Items: 1_234_567, Bytes: 800 << 30}, Quarantined: sinks.ItemsBytes{Items: 3, Bytes: 1 << 20},
			Protected: sinks.ItemsBytes{Items: 1, Bytes: 5}, Uploading: sinks.ItemsBytes{Items: 12}, Users: 4321, Types: 99,
			ByUser: []sinks.Share{{Key: "@alice:example.org", Items: 9999, Bytes: 90 << 30}, {Key: "", Items: 1, Bytes: 0}},
			ByType: []sinks.Share{{Key: "video/mp4", Items: 8888, Bytes: 400 << 30}},
		},
		RemoteMedia: &sinks.UsageMedia{
			ItemsBytes: sinks.ItemsBytes{Items: 7_654_321, Bytes: 900 << 30}, Origins: 2345, Types: 5,
			ByOrigin: []sinks.Share{{Key: "matrix.org", Items: 123_456, Bytes: 300 << 30}}, ByType: []sinks.Share{{Key: "image/png", Items: 1, Bytes: 1}},
		},
		Previews: &sinks.UsageMedia{ItemsBytes: sinks.ItemsBytes{Items: 2, Bytes: 3}}, URLCache: &sinks.UsageURLCache{Answers: 7, Expired: 5},
		Tables: &sinks.UsageTables{NotNamed: 160, Largest: []sinks.TableUsage{
			{
				Name: "state_groups_state", Bytes: 250 << 30, HeapBytes: 150 << 30, IndexBytes: 100 << 30, LiveRows: 1_234_567_890, DeadRows: 123_456,
				LastVacuum: fourOClock.Add(-month), LastAnalyze: fourOClock,
			},
			{Name: "event_json", Bytes: 130 << 30, HeapBytes: 122 << 30, IndexBytes: 7 << 30, ToastBytes: 1 << 30},
		}},
		Leftovers: &sinks.UsageLeftovers{
			PendingStateGroups: 5000, OldestPending: fourOClock.Add(-time.Hour), PartialRooms: 1,
			Tasks: []sinks.TaskUsage{{Action: "purge_history", Status: "failed", Number: 2, Oldest: fourOClock.Add(-month)}},
		},
	}
	for i, f := range item.Flows() {
		curve := item.AgeCurve{Flow: f, ByTime: []string{"received", "uploaded", "last access", "fetched"}[i], Items: []int64{123_000_000, 1_234_567, 7_654_321, 2}[i], Bytes: 117 << 30}
		for j, a := range item.CurveAges() {
			p := item.AgePoint{Age: a.Name, CutOff: fourOClock.Add(-a.Age), Items: curve.Items / int64(j+1), Bytes: curve.Bytes / int64(j+1)}
			if f == item.History {
				p.Margin = p.Items / 50
			}
			curve.Points = append(curve.Points, p)
		}
		if f == item.History {
			curve.Sample = &events
		}
		u.Curves = append(u.Curves, curve)
	}
	return u
}

// partlyRead is what is left when half of it fails.
func partlyRead() sinks.Usage {
	u := largeUsage()
	u.Curves, u.History, u.RoomMedia, u.Tables, u.Leftovers, u.Previews, u.URLCache = u.Curves[1:2], nil, nil, nil, nil, nil, nil
	u.StateGroups.Samples = nil
	u.AddError(&item.RunError{Cause: item.CauseFailed, Doing: "read the history of rooms", Err: errFailed, Hint: "Do something about it."})
	return u
}

var errFailed = &item.RunError{Doing: "query", Err: os.ErrPermission}

func TestUsageIsWrittenAsItAlwaysWas(t *testing.T) {
	for name, u := range map[string]sinks.Usage{"large": largeUsage(), "partly": partlyRead(), "nothing": {}} {
		for suffix, write := range map[string]func(*bytes.Buffer) error{
			".txt":  func(b *bytes.Buffer) error { return sinks.WriteUsage(b, u) },
			".json": func(b *bytes.Buffer) error { return sinks.WriteUsageJSON(b, u) },
		} {
			var b bytes.Buffer
			if err := write(&b); err != nil {
				t.Fatal(err)
			}
			golden := filepath.Join("testdata", "usage", name+suffix+".golden")
			if *update {
				if err := os.WriteFile(golden, b.Bytes(), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if diff := cmp.Diff(read(t, golden), b.String()); diff != "" {
				t.Errorf("%s:\n%s", golden, diff)
			}
			for line := range strings.Lines(b.String()) {
				if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); suffix == ".txt" && n > 100 {
					t.Errorf("%s: %d columns: %s", golden, n, line)
				}
			}
		}
	}
}

func TestUsageIsAsItsSchemaSays(t *testing.T) {
	s := schemaOf(t, usageSchema)
	for name, u := range map[string]sinks.Usage{"large": largeUsage(), "partly": partlyRead(), "nothing": {}} {
		var b bytes.Buffer
		if err := sinks.WriteUsageJSON(&b, u); err != nil {
			t.Fatal(err)
		}
		if err := valid(s, b.Bytes()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for _, change := range [][2]string{{`"schema": 1`, `"schema": 2`}, {`"causes": `, `"new": 1, "causes": `}, {`"bytes": 0`, `"bytes": -1`}} {
			if text := strings.Replace(b.String(), change[0], change[1], 1); text != b.String() && valid(s, []byte(text)) == nil {
				t.Errorf("%s: %s passes", name, change[1])
			}
		}
	}
	doc := document(t, usageSchema)
	same(t, doc, doc, reflect.TypeOf(sinks.Usage{}), usageSchema)
	var causes []string
	for _, c := range item.Causes() {
		causes = append(causes, string(c))
	}
	if diff := cmp.Diff(causes, words(doc, "$defs", "cause", "enum")); diff != "" {
		t.Error(diff)
	}
}

func TestNothingInAUsageReachesATerminalRaw(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		text := func(what string) string {
			return rapid.SampledFrom([]string{"", "\x1b[2J", "\n", "\u202e", "\u009b"}).Draw(rt, what) + rapid.String().Draw(rt, what)
		}
		u := largeUsage()
		u.Version, u.ServerName, u.Database.Name, u.Database.Postgres = text("v"), text("s"), text("d"), text("p")
		for _, n := range []*sinks.RoomName{&u.History.ByRoom[0].RoomName, &u.StateGroups.ByRoom[0].RoomName, &u.RoomMedia.ByRoom[0].RoomName} {
			n.RoomID, n.Name, n.Alias = text("id"), text("name"), text("alias")
		}
		u.LocalMedia.ByUser[0].Key, u.LocalMedia.ByType[0].Key, u.RemoteMedia.ByOrigin[0].Key = text("u"), text("t"), text("o")
		u.Tables.Largest[0].Name, u.Leftovers.Tasks[0].Action, u.Leftovers.Tasks[0].Status = text("table"), text("a"), text("st")
		u.History.Samples[0].Table, u.Curves[0].Points[0].Age, u.Warnings[0] = text("x"), text("age"), text("w")
		u.Errors = []sinks.RunFailure{{Doing: text("doing"), Error: text("error"), Hint: text("hint")}}
		var table, js bytes.Buffer
		if err := sinks.WriteUsage(&table, u); err != nil {
			rt.Fatal(err)
		}
		if err := sinks.WriteUsageJSON(&js, u); err != nil {
			rt.Fatal(err)
		}
		for _, r := range table.String() + js.String() {
			if r != '\n' && !unicode.IsPrint(r) {
				rt.Fatalf("%q is written", r)
			}
		}
		var again sinks.Usage
		if err := json.Unmarshal(js.Bytes(), &again); err != nil {
			rt.Fatal(err)
		}
	})
}

func TestSecretsAreTakenOutOfAUsage(t *testing.T) {
	u := partlyRead()
	u.Redact = func(text string) string { return strings.ReplaceAll(text, "s3cret", "***") }
	u.Warnings = []string{"s3cret in a warning"}
	u.AddError(&item.RunError{Cause: item.CauseFailed, Doing: "do s3cret", Err: &item.RunError{Doing: "s3cret"}, Hint: "s3cret"})
	u.Errors = append(u.Errors, sinks.RunFailure{Cause: item.CauseFailed, Error: "s3cret"})
	var b bytes.Buffer
	for _, write := range []func() error{func() error { return sinks.WriteUsage(&b, u) }, func() error { return sinks.WriteUsageJSON(&b, u) }} {
		if err := write(); err != nil {
			t.Fatal(err)
		}
	}
	if strings.Contains(b.String(), "s3cret") || strings.Count(b.String(), "***") < 8 {
		t.Error(b.String())
	}
}
