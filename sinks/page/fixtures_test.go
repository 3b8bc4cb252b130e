package page_test

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"synupkeep/internal/item"
	"synupkeep/sinks"
	"synupkeep/sinks/page"
)

const (
	day    = 24 * time.Hour
	mib    = 1 << 20
	gib    = 1 << 30
	secret = "syt_verysecret_token"
)

var fourOClock = time.Date(2026, 11, 23, 4, 0, 0, 0, time.UTC)

// hostile are texts that would do harm if they were taken for anything but text.
var hostile = []string{
	`</script><script>alert(1)</script>`, `"><img src=x onerror=alert(1)>`, "</style><style>*{display:none}", "a\u202egnp.exe", "\x1b[2J\x00\u2066\ufeff",
	`' onmouseover='alert(1)`, "{{.Title}}", "<!-- ", "</title></svg></bdi></data></table>", "javascript:alert(1)", "url(https://evil.example/x)", "\xff\xfe", strings.Repeat("W", 5000),
	strings.Repeat("🧨", 2000), "אבג דהו " + strings.Repeat("ز", 300), strings.Repeat("&", 900), strings.Repeat("m\u0301\u0301\u0301", 300),
}

// curve is one of a server that grows: most of what there is is young.
func curve(f item.Flow, byTime string, items, bytes int64, part float64) item.AgeCurve {
	c := item.AgeCurve{Flow: f, ByTime: byTime, Items: int64(float64(items) * part), Bytes: int64(float64(bytes) * part)}
	for _, a := range item.CurveAges() {
		older := math.Exp(-a.Age.Hours() / (500 * 24))
		if part < 1 {
			older = max(0, older-(1-part))
		}
		c.Points = append(c.Points, item.AgePoint{
			Age: a.Name, CutOff: fourOClock.Add(-a.Age), Items: int64(older * float64(items)), Bytes: int64(older * float64(bytes)),
		})
	}
	return c
}

func stock(part float64) *page.Stock {
	s := &page.Stock{Read: fourOClock, Free: 212*gib - int64(part*20*gib), Space: 500 * gib, Curves: []item.AgeCurve{
		curve(item.History, "received", 2_345_678, 3*gib, part),
		curve(item.LocalMedia, "uploaded", 48_211, 61*gib, part),
		curve(item.RemoteMedia, "last access", 251_077, 143*gib, part),
		curve(item.Previews, "fetched", 9_001, 700*mib, part),
	}}
	s.Curves[0].Sample = &item.Extent{Table: "events", Blocks: 91_000, BlocksRead: 8192, Rows: 212_000}
	for i := range s.Curves[0].Points {
		s.Curves[0].Points[i].Margin = 12_345
	}
	return s
}

func days(n int, each int64) (all []sinks.DayShare) {
	random := rand.New(rand.NewPCG(1, 2))
	for i := range n {
		if random.IntN(9) == 0 {
			continue
		}
		items := random.Int64N(40) + 1
		all = append(all, sinks.DayShare{
			Day: fourOClock.Add(-30*day - time.Duration(n-i)*day).Format(time.DateOnly), Items: items, Bytes: items * each * (1 + random.Int64N(9)),
		})
	}
	return all
}

func shares(names ...string) (all []sinks.Share) {
	for i, n := range names {
		all = append(all, sinks.Share{Key: n, Items: int64(900 / (i + 1)), Bytes: int64(9*gib) / int64(i*i+1)})
	}
	return all
}

// good is a night on a middling server.
func good() page.Page {
	s := sinks.Summary{
		Version: "2.0.0", Command: "run", ServerName: "matrix.example.org", ServerVersion: "1.163.2",
		Ending: sinks.Ending{
			Started: fourOClock, Ended: fourOClock.Add(12*time.Minute + 7*time.Second),
			Warnings: []string{"of 3 media files the owner differs from our uid 991: the store was mounted with another one"},
		},
	}
	cutOff := fourOClock.Add(-90 * day)
	s.Flows = []sinks.FlowSummary{
		{
			Flow: item.History, CutOff: cutOff, Ran: true, DurationS: 402.25, Examined: 1204, Done: 211, KeptTotal: 990, SkippedTotal: 3,
			Kept:    map[item.Reason]int64{item.NothingOld: 801, item.NotYetWorthIt: 140, item.Gap: 44, item.Reported: 5},
			Skipped: map[item.Reason]int64{item.PartialState: 3}, HeldBy: map[item.Reason]int64{item.YoungEvent: 180, item.Extremity: 31},
			Rows: 412_998, Pinned: 12, Retries: 2,
			Shares: sinks.Shares{ByRoom: []sinks.RoomShare{
				{RoomID: "!sYqhYwOaKZrLTplbgX:matrix.example.org", Name: "Matrix HQ", Alias: "#matrix:matrix.org", Members: 38_211, Events: 812_002, Messages: 201_443},
				{RoomID: "!abcdefghijklmnopqr:matrix.example.org", Name: "Bridged: Telegram – Frühstück & Kaffee ☕ in der Küche im dritten Stock", Members: 12, Events: 90_211, Messages: 71_002},
				{RoomID: "!encrypted:matrix.example.org", Name: "日本語の部屋の名前がとても長いので切り詰められます", Members: 4, Encrypted: true, Events: 40_000, Messages: 33_123},
				{RoomID: "!rtl:matrix.example.org", Name: "غرفة الأخبار", Members: 77, Events: 20_000, Messages: 12_000},
				{RoomID: "!noname:other.example", Members: 2, Encrypted: true, Messages: 1200},
			}},
		},
		{
			Flow: item.LocalMedia, CutOff: cutOff, Ran: true, DurationS: 61.5, Examined: 12_003, Done: 9_800, KeptTotal: 2_200, SkippedTotal: 3,
			Kept: map[item.Reason]int64{
				item.Event: 1_500, item.Avatar: 500, item.AccountData: 100, item.Quarantined: 60, item.StateEvent("im.ponies.room_emotes"): 40,
			},
			Skipped: map[item.Reason]int64{item.InUse: 3}, Rows: 9_800, Files: 48_100, Missing: 2, Bytes: 17*gib + 3,
			Sizes: map[item.Status]int64{item.Done: 16 * gib, item.Kept: 4 * gib},
			Shares: sinks.Shares{
				ByUser: shares("@alice:matrix.example.org", "@_telegram_1234567890:matrix.example.org", "@bob:matrix.example.org", "",
					"@a-very-long-localpart-that-goes-on-and-on-and-on-and-on-and-on-until-it-ends:matrix.example.org"),
				ByType: shares("image/jpeg", "video/mp4", "image/png", "application/octet-stream", "audio/ogg", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
				ByDay:  days(55, mib),
			},
		},
		{
			Flow: item.RemoteMedia, CutOff: cutOff, Ran: true, DurationS: 240, Examined: 120_443, Done: 120_443, Rows: 120_443, Files: 400_220, Bytes: 88 * gib,
			Sizes:  map[item.Status]int64{item.Done: 81 * gib},
			Shares: sinks.Shares{ByOrigin: shares("matrix.org", "mozilla.org", "kde.org", "t2bot.io"), ByType: shares("image/webp", "image/jpeg"), ByDay: days(900, mib)},
		},
		{Flow: item.Previews, CutOff: cutOff, Ran: true, DurationS: .004, Sizes: map[item.Status]int64{}},
	}
	return page.Page{Summary: s, Before: stock(1), After: stock(.7)}
}

// cleared is a run that found nothing.
func cleared() page.Page {
	p := page.Page{Summary: sinks.Summary{Command: "run"}}
	for _, f := range item.Flows() {
		p.Summary.Flows = append(p.Summary.Flows, sinks.FlowSummary{Flow: f, Ran: true})
	}
	return p
}

// planned is the plan of good.
func planned() page.Page {
	p := good()
	p.Summary.Command, p.After = "plan", nil
	return p
}

// failing is a night that went wrong in several ways, with many failures.
func failing(failures int) page.Page {
	p := good()
	p.After = nil
	s := &p.Summary
	s.Redact = func(text string) string { return strings.ReplaceAll(text, secret, "***") }
	for i := range failures {
		f := sinks.Failure{
			Flow: item.LocalMedia, Key: fmt.Sprintf("mxc://matrix.example.org/%s%d", hostile[i%len(hostile)], i),
			Cause: "unlink local_content/aa/bb/cc: input/output error " + secret, Hint: "see to the disk",
		}
		if i%7 == 0 {
			f.Flow, f.PurgeID = item.History, "QwErTyUiOp"
		}
		s.Failures = append(s.Failures, f)
	}
	s.FailuresNotNamed = 12
	for i := range min(failures, 1000) {
		s.LeftPurges = append(s.LeftPurges, sinks.LeftPurge{RoomID: fmt.Sprint("!left", i, ":matrix.example.org"), PurgeID: "QwErTy"})
	}
	s.Flows[1].Failed, s.Flows[1].Error = int64(failures), "the disk is gone "+secret
	s.AddCause(item.CauseItems)
	s.AddError(&item.RunError{Cause: item.CauseInterrupt, Doing: "stopped by a signal (interrupt)"})
	s.AddError(&item.RunError{
		Cause: item.CauseFailed, Doing: "open the database", Hint: "is the password right?",
		Err: errors.New("connect: password authentication failed, password=" + secret),
	})
	return p
}

// attacked has hostile texts wherever a text may come from somebody else.
func attacked() page.Page {
	p := good()
	s := &p.Summary
	s.ServerName, s.ServerVersion, s.Version = hostile[0], hostile[1], hostile[3]
	f := &s.Flows[1]
	f.ByUser, f.ByOrigin, f.ByType = shares(hostile...), shares(hostile...), shares(hostile...)
	f.Kept = map[item.Reason]int64{}
	s.Flows[0].ByRoom = nil
	for i, h := range hostile {
		f.Kept[item.Reason(h)] = int64(i)
		s.Flows[0].ByRoom = append(s.Flows[0].ByRoom, sinks.RoomShare{RoomID: h, Name: h, Alias: h, Messages: int64(i)})
		s.Failures = append(s.Failures, sinks.Failure{Flow: item.LocalMedia, Key: h, Cause: h, Hint: h, PurgeID: h})
		s.LeftPurges = append(s.LeftPurges, sinks.LeftPurge{RoomID: h, PurgeID: h})
		s.Errors = append(s.Errors, sinks.RunFailure{Cause: item.CauseFailed, Doing: h, Error: h, Hint: h})
		s.Warnings = append(s.Warnings, h)
	}
	f.Error = hostile[2]
	s.Flows = append(s.Flows, sinks.FlowSummary{Flow: "unheard-of", Examined: 1, Error: hostile[4]})
	f.ByDay = append(f.ByDay, sinks.DayShare{Day: hostile[1], Items: 1, Bytes: math.MaxInt64}, sinks.DayShare{Day: "9999-12-31", Items: -1, Bytes: -5})
	s.AddCause(item.CauseFailed)
	return p
}

func render(t testing.TB, p page.Page) string {
	t.Helper()
	var b bytes.Buffer
	if err := page.Write(&b, p); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// spaceUsed is what uses the space of that server.
func spaceUsed() sinks.Usage {
	u := sinks.Usage{
		Version: "2.0.0", ServerName: "matrix.example.org", Ending: sinks.Ending{Started: fourOClock, Ended: fourOClock.Add(17 * time.Second)}, Curves: stock(1).Curves,
		Database: &sinks.UsageDatabase{Name: "synapse", Bytes: 91 * gib, Postgres: "18.4", Schema: 92},
		URLCache: &sinks.UsageURLCache{Answers: 8_000, Expired: 200},
	}
	name := func(i int) sinks.RoomName {
		return sinks.RoomName{RoomID: fmt.Sprintf("!room%d:matrix.example.org", i), Name: fmt.Sprint("Room number ", i), Members: int64(i * 7), Encrypted: i%2 == 0}
	}
	samples := []item.Extent{{Table: "event_json", Blocks: 91_000, BlocksRead: 8192, Rows: 212_000}}
	number := func(n int64) sinks.Counted { return sinks.Counted{Number: n, Margin: n / 30} }
	u.History = &sinks.UsageHistory{Samples: samples, Events: number(2_400_000), Messages: number(2_345_678), State: number(54_322), JSONBytes: number(3 * gib)}
	u.StateGroups = &sinks.UsageStateGroups{Samples: samples, Rows: number(412_000_000), Bytes: 61 * gib}
	u.RoomMedia = &sinks.UsageRoomMedia{Samples: samples}
	for i := range 12 {
		n := int64(1000 / (i + 1))
		u.History.ByRoom = append(u.History.ByRoom, sinks.RoomUsage{RoomName: name(i), Events: number(n * 100), Messages: number(n * 90), State: number(n * 10), JSONBytes: number(n * mib)})
		u.StateGroups.ByRoom = append(u.StateGroups.ByRoom, sinks.RoomState{RoomName: name(i), Rows: number(n * 1000), Bytes: n * 20 * mib})
		u.RoomMedia.ByRoom = append(u.RoomMedia.ByRoom, sinks.RoomMedia{RoomName: name(i), LocalItems: n, LocalBytes: n * mib, RemoteItems: 2 * n, RemoteBytes: 3 * n * mib, Margin: n * 1000})
	}
	u.LocalMedia = &sinks.UsageMedia{
		ItemsBytes: sinks.ItemsBytes{Items: 48_211, Bytes: 61 * gib}, Quarantined: sinks.ItemsBytes{Items: 60, Bytes: mib}, Users: 811, Types: 22,
		ByUser: shares("@alice:matrix.example.org", "@bob:matrix.example.org"), ByType: shares("image/jpeg", "video/mp4"),
	}
	u.RemoteMedia = &sinks.UsageMedia{
		ItemsBytes: sinks.ItemsBytes{Items: 251_077, Bytes: 143 * gib}, Origins: 4012, Types: 22,
		ByOrigin: shares("matrix.org", hostile[0]), ByType: shares("image/webp", hostile[3]),
	}
	u.Previews = &sinks.UsageMedia{ItemsBytes: sinks.ItemsBytes{Items: 9_001, Bytes: 700 * mib}, ByType: shares("image/png")}
	u.Tables = &sinks.UsageTables{NotNamed: 140}
	for i, table := range []string{"state_groups_state", "event_json", "events", "event_edges", "device_inbox"} {
		n := int64(40*gib) / int64(i+1)
		u.Tables.Largest = append(u.Tables.Largest, sinks.TableUsage{
			Name: table, Bytes: n, HeapBytes: n / 2, IndexBytes: n / 3, ToastBytes: n / 6, LiveRows: n / 100, DeadRows: n / 9000, LastVacuum: fourOClock,
		})
	}
	u.Leftovers = &sinks.UsageLeftovers{
		PendingStateGroups: 4, OldestPending: fourOClock, PartialRooms: 1,
		Tasks: []sinks.TaskUsage{{Action: "purge_history", Status: "failed", Number: 2, Oldest: fourOClock}},
	}
	return u
}

func renderUsage(t testing.TB, u sinks.Usage) string {
	t.Helper()
	var b bytes.Buffer
	if err := page.WriteUsage(&b, u); err != nil {
		t.Fatal(err)
	}
	return b.String()
}
