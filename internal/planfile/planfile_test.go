package planfile

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"synupkeep/internal/item"
)

var monday = time.Date(2026, 11, 23, 2, 0, 0, 123456000, time.UTC)

func head() Head {
	return Head{
		MadeAt: monday, MadeBy: "v2.0.0",
		Server: Server{
			Name: "hs.example", Database: "hs.example/1/2/3", Transaction: 7, Position: 9, NewestEvents: []Event{{9, "$nine"}, {8, "$eight"}},
		},
		Settings: Settings{"flows": {"history", "local-media"}, "room": {}, "history-delta": {"30d"}},
		CutOffs:  map[item.Flow]time.Time{item.History: monday.Add(-720 * time.Hour), item.LocalMedia: monday.Add(-720 * time.Hour)},
	}
}

var both = []item.Flow{item.History, item.LocalMedia}

func written(t testing.TB, most int, head Head, flows []item.Flow, add func(*Writer) error) []byte {
	t.Helper()
	w, err := NewWriter(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if most > 0 {
		w.spool.most = most
	}
	var b bytes.Buffer
	if err := add(w); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(w.Write(&b, head, flows), w.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func some(w *Writer) error {
	return errors.Join(
		w.AddMedia(item.LocalMedia, Media{"mxc://hs.example/b", 5}),
		w.AddRoom(Room{ID: "!z:hs.example", Depth: 12, EventID: "$e", HeldBy: item.YoungEvent, Messages: 3}),
		w.AddMedia(item.LocalMedia, Media{"mxc://hs.example/a", 10}),
		w.AddRoom(Room{ID: "!a:hs.example", UnderWay: true}),
		w.AddMedia(item.LocalMedia, Media{"mxc://hs.example/b", 5}),
	)
}

// The file is read by people and compared line by line: it stays as it is.
const golden = `{
  "synupkeep_plan": 1,
  "made_at": "2026-11-23T02:00:00.123456Z",
  "made_by": "v2.0.0",
  "server": {
    "name": "hs.example",
    "database": "hs.example/1/2/3",
    "transaction": 7,
    "position": 9,
    "newest_events": [
      "9 $nine",
      "8 $eight"
    ]
  },
  "settings": {
    "flows": [
      "history",
      "local-media"
    ],
    "history-delta": [
      "30d"
    ],
    "room": []
  },
  "fingerprint": "FINGERPRINT",
  "cut_offs": {
    "history": "2026-10-24T02:00:00.123456Z",
    "local-media": "2026-10-24T02:00:00.123456Z"
  },
  "totals": {
    "history": {
      "items": 2,
      "messages": 3
    },
    "local-media": {
      "items": 2,
      "bytes": 15
    }
  },
  "history": [
    {"room":"!a:hs.example","depth":0,"messages":0,"under_way":true},
    {"room":"!z:hs.example","depth":12,"event":"$e","held_by":"young event","messages":3}
  ],
  "local-media": [
    {"media":"mxc://hs.example/a","bytes":10},
    {"media":"mxc://hs.example/b","bytes":5}
  ],
  "sha256": "SHA"
}
`

func TestAPlanIsOneItemALineInOrder(t *testing.T) {
	whole := written(t, 0, head(), both, some)
	before, _, _ := bytes.Cut(whole, []byte(sumLine))
	sum := sha256.Sum256(before)
	want := strings.NewReplacer("FINGERPRINT", head().Settings.Fingerprint(), "SHA", hex.EncodeToString(sum[:])).Replace(golden)
	if diff := cmp.Diff(want, string(whole)); diff != "" {
		t.Error(diff)
	}
	if !json.Valid(whole) {
		t.Error("it is not JSON")
	}
}

func TestAPlanOfNothingIsAPlan(t *testing.T) {
	whole := written(t, 0, head(), both, func(*Writer) error { return nil })
	if !json.Valid(whole) {
		t.Errorf("it is not JSON:\n%s", whole)
	}
	p, err := Read(t.Context(), bytes.NewReader(whole))
	if err != nil {
		t.Fatal(err)
	}
	if len(p.Rooms()) != 0 || p.Media(item.LocalMedia).Len() != 0 || p.Media(item.Previews).Len() != 0 {
		t.Errorf("%+v", p)
	}
	if diff := cmp.Diff(map[item.Flow]Total{item.History: {}, item.LocalMedia: {}}, p.Totals); diff != "" {
		t.Error(diff)
	}
}

// Whatever the ids are, in whatever order they come and however little of them fits in memory.
func TestWhatIsReadIsWhatWasWritten(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		flows := slices.DeleteFunc(item.Flows(), func(item.Flow) bool { return rapid.Bool().Draw(rt, "left out") })
		rooms := map[string]Bound{}
		media := map[item.Flow]map[string]int64{}
		totals := map[item.Flow]Total{}
		var adds []func(*Writer) error
		for _, f := range flows {
			totals[f] = Total{}
			if f == item.History {
				for _, id := range rapid.SliceOfDistinct(rapid.StringN(1, 20, 60), rapid.ID).Draw(rt, "rooms") {
					room := Room{ID: id, Depth: rapid.Int64().Draw(rt, "depth"), EventID: "$" + rapid.String().Draw(rt, "event"), Messages: rapid.Int64Range(0, 9).Draw(rt, "n")}
					rooms[id], totals[f] = Bound{Depth: room.Depth}, totals[f].plus(f, room.Messages)
					adds = append(adds, func(w *Writer) error { return w.AddRoom(room) })
				}
				continue
			}
			media[f] = map[string]int64{}
			for _, id := range rapid.SliceOfDistinct(rapid.StringN(1, 20, 60), rapid.ID).Draw(rt, "media") {
				m := Media{Key: "mxc://" + id, Bytes: rapid.Int64Range(0, 1<<40).Draw(rt, "bytes")}
				media[f][m.Key], totals[f] = m.Bytes, totals[f].plus(f, m.Bytes)
				adds = append(adds, func(w *Writer) error { return w.AddMedia(f, m) })
			}
		}
		adds = append(adds, adds...) // each twice
		adds = rapid.Permutation(adds).Draw(rt, "order")
		h := head()
		h.Settings = rapid.MapOf(rapid.String(), rapid.SliceOf(rapid.String())).Draw(rt, "settings")
		h.Server.Name = rapid.String().Draw(rt, "name")
		h.CutOffs = map[item.Flow]time.Time{}
		for _, f := range flows {
			h.CutOffs[f] = monday
		}
		whole := written(t, rapid.IntRange(1, 500).Draw(rt, "memory"), h, flows, func(w *Writer) error {
			for _, add := range adds {
				if err := add(w); err != nil {
					return err
				}
			}
			return nil
		})
		if !json.Valid(whole) || bytes.ContainsFunc(whole, func(r rune) bool { return r >= 0x7f || r < ' ' && r != '\n' }) {
			rt.Fatalf("%q", whole)
		}
		p, err := read(newLines(t.Context(), bytes.NewReader(whole), 1<<16))
		if err != nil {
			rt.Fatalf("%v\n%s", err, whole)
		}
		if diff := cmp.Diff(rooms, p.Rooms()) + cmp.Diff(totals, p.Totals); diff != "" {
			rt.Fatal(diff)
		}
		if d := p.Settings.Differences(h.Settings); d != nil {
			rt.Fatalf("%+v", d)
		}
		for _, f := range item.AllFlows()[1:] {
			for _, other := range item.AllFlows()[1:] {
				for key := range media[other] {
					_, wanted := media[f][key]
					if _, found := p.Media(f).Find(key); found != wanted {
						rt.Fatalf("%s in %s: %t", key, f, found)
					}
				}
			}
			if p.Media(f).Len() != len(media[f]) {
				rt.Fatalf("%d media, want %d", p.Media(f).Len(), len(media[f]))
			}
		}
	})
}

// TestAPlanThatWasCutShortOrEditedIsRefused cuts the file at each length, and turns a bit of each byte.
func TestAPlanThatWasCutShortOrEditedIsRefused(t *testing.T) {
	whole := written(t, 0, head(), both, some)
	refused := func(content []byte, what string, at int) {
		t.Helper()
		p, err := read(newLines(t.Context(), bytes.NewReader(content), 1<<10)) // a large buffer each time takes long
		var format *FormatError
		known := errors.Is(err, ErrDamaged) || at < 25 && (errors.Is(err, ErrNotAPlan) || errors.As(err, &format))
		if p != nil || !known {
			t.Errorf("%s at %d: %v", what, at, err)
		}
	}
	for i := range whole {
		refused(whole[:i], "cut", i)
		turned := slices.Clone(whole)
		turned[i] ^= 1 << (i % 8)
		refused(turned, "turned", i)
	}
	end := len(whole)
	refused(append(slices.Clone(whole), '\n'), "longer", end)
	refused(bytes.ReplaceAll(whole, []byte("\n"), []byte("\r\n"))[1:], "other line ends", 0)
	lines := bytes.SplitAfter(whole, []byte("\n"))
	for i := 2; i < len(lines)-1; i++ { // behind the last line end is nothing
		refused(bytes.Join(slices.Delete(slices.Clone(lines), i, i+1), nil), "without line", 100+i)
		refused(bytes.Join(slices.Insert(slices.Clone(lines), i, lines[i]), nil), "twice line", 100+i)
	}
}

// signed gives an edited plan the checksum that fits.
func signed(text string) []byte {
	before, _, _ := strings.Cut(text, sumLine)
	sum := sha256.Sum256([]byte(before))
	return fmt.Appendf(nil, "%s%s%x\"\n}\n", before, sumLine, sum)
}

// Whoever edits a plan can compute its checksum: what is nonsense all the same is refused, and the line is named.
func TestAnEditedPlanWithAFittingChecksumIsReadStrictly(t *testing.T) {
	whole := string(written(t, 0, head(), both, some))
	for _, c := range []struct{ old, new, says string }{
		{`{"media":"mxc://hs.example/b","bytes":5}`, `{"media":"mxc://hs.example/b", "bytes":5}`, "line 46: this item is not as synupkeep writes it"},
		{`{"media":"mxc://hs.example/b","bytes":5}`, `{"media":"mxc://hs.example/c","media":"mxc://hs.example/b","bytes":5}`, "line 46: this item"},
		{`{"media":"mxc://hs.example/b","bytes":5}`, `{"media":"mxc://hs.example/b","bytes":6}`, "line 47: local-media: the totals are"},
		{`{"media":"mxc://hs.example/b","bytes":5}`, `{"media":"mxc://hs.example/b","bytes":-5}`, "line 46: the size is negative"},
		{`{"media":"mxc://hs.example/b","bytes":5}`, `{"media":"mxc://hs.example/a","bytes":5}`, "line 46: the items are not in order"},
		{`{"media":"mxc://hs.example/b","bytes":5}`, `[]`, "line 46: json:"},
		{`{"media":"mxc://hs.example/b","bytes":5}`, `{"media":"mxc://hs.example/b","bytes":5},`, "line 47: an item is missing after the comma"},
		{`"bytes":10},`, `"bytes":10}`, "line 46: a comma is missing before this line"},
		{`    {"media":"mxc://hs.example/b","bytes":5}`, `   {"media":"mxc://hs.example/b","bytes":5}`, "line 46: this is no item"},
		{`"depth":12,"event":"$e"`, `"depth":12`, "line 42: this is no room that can be purged"},
		{`"messages":3}`, `"messages":-3}`, "line 42: this is no room that can be purged"},
		{`"depth":12`, `"depth":12.5`, "line 42: json:"},
		{`"9 $nine"`, `"nine $9"`, "line 40: "},
		{`"9 $nine"`, `"9$nine"`, "line 40: "},
		{`"9 $nine"`, `"+9 $nine"`, "line 40: what comes before"},
		{`      "30d"`, `      "1d"`, "line 40: the fingerprint is not that of the settings"},
		{`  "made_by"`, `  "note": "x",` + "\n" + `  "made_by"`, "line 41: what comes before the items is not as synupkeep writes it"},
		{`    "local-media": "2026-10-24T02:00:00.123456Z"`, `    "previews": "2026-10-24T02:00:00.123456Z"`, "line 40: local-media has no cut-off"},
		{`    "local-media": {`, `    "zoo": {`, "line 40: there is no flow \"zoo\""},
		{`  "local-media": [`, `  "previews": [`, "line 44: previews has no totals"},
		{`  "local-media": [`, `  "zoo": [`, "line 44: here the items of a flow should begin"},
		{golden[strings.Index(golden, `  "local-media": [`):strings.Index(golden, sumLine)], "", "line 44: the items of local-media are missing"},
		{golden[strings.Index(golden, `  "history": [`):strings.Index(golden, sumLine)], "", "line 40: the items of"},
	} {
		if !strings.Contains(whole, c.old) {
			t.Fatalf("%s is not in\n%s", c.old, whole)
		}
		_, err := Read(t.Context(), bytes.NewReader(signed(strings.Replace(whole, c.old, c.new, 1))))
		if err == nil || !strings.HasPrefix(err.Error(), c.says) {
			t.Errorf("%s: got %v, want %s", c.new, err, c.says)
		}
	}
}

func TestAPlanOfAnotherFormatSaysSo(t *testing.T) {
	whole := string(written(t, 0, head(), both, some))
	_, err := Read(t.Context(), strings.NewReader(strings.Replace(whole, `"synupkeep_plan": 1,`, `"synupkeep_plan": 2,`, 1)))
	if err == nil || err.Error() != "it is a plan of format 2, and this version reads format 1" {
		t.Error(err)
	}
}

// endless are lines without end.
type endless struct{ read int }

func (e *endless) Read(p []byte) (int, error) {
	e.read += len(p)
	for i := range p {
		p[i] = 'x'
	}
	return len(p), nil
}

func TestWhatIsNoPlanIsNotReadToItsEnd(t *testing.T) {
	e := &endless{}
	if _, err := Read(t.Context(), e); !errors.Is(err, ErrNotAPlan) || e.read > 2*longest {
		t.Errorf("%v after %d bytes", err, e.read)
	}
	for _, text := range []string{"", "\n", "{}", "{\n}\n", "[\n", "{\n  \"command\": \"run\",\n"} {
		if _, err := Read(t.Context(), strings.NewReader(text)); !errors.Is(err, ErrNotAPlan) {
			t.Errorf("%q: %v", text, err)
		}
	}
	if _, err := Read(t.Context(), strings.NewReader("{\n  \"synupkeep_plan\": 1,\n"+strings.Repeat("x", 2*longest)+"\n")); !errors.Is(err, ErrDamaged) {
		t.Error(err)
	}
	begin := "{\n  \"synupkeep_plan\": 1,\n" + strings.Repeat("x", longest/2) + "\n"
	if _, err := Read(t.Context(), strings.NewReader(begin+strings.Repeat(strings.Repeat("x", longest/2)+"\n", 40))); !errors.Is(err, ErrDamaged) {
		t.Error(err)
	}
}

func TestOnlyARegularFileIsOpened(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "plan.json")
	if err := os.WriteFile(file, written(t, 0, head(), both, some), 0o600); err != nil {
		t.Fatal(err)
	}
	link, pipe, lost := filepath.Join(dir, "link"), filepath.Join(dir, "pipe"), filepath.Join(dir, "lost")
	if err := errors.Join(os.Symlink("plan.json", link), syscall.Mkfifo(pipe, 0o600), os.Symlink("nowhere", lost)); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]error{
		file: nil, link: nil, pipe: ErrNotAPlan, dir: ErrNotAPlan, "/dev/zero": ErrNotAPlan, lost: os.ErrNotExist, filepath.Join(dir, "none"): os.ErrNotExist,
	} {
		if p, err := Open(t.Context(), path); !errors.Is(err, want) || (p == nil) != (want != nil) {
			t.Errorf("%s: %v", path, err)
		}
	}
}

func TestReadingEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("a signal")
	cancel(why)
	if _, err := Read(ctx, &endless{}); !errors.Is(err, why) {
		t.Error(err)
	}
}

func TestAnEmptySettingHasOneFingerprint(t *testing.T) {
	if a, b := (Settings{"room": nil}).Fingerprint(), (Settings{"room": {}}).Fingerprint(); a != b {
		t.Errorf("%s and %s", a, b)
	}
}

func TestDifferencesNameEachSettingThatChanged(t *testing.T) {
	was := Settings{"a": {"1"}, "b": {"x", "y"}, "gone": {"z"}, "same": {"s"}, "empty": {}}
	now := Settings{"a": {"2"}, "b": {"y", "x"}, "new": {"n"}, "same": {"s"}}
	want := []Difference{
		{"a", []string{"1"}, []string{"2"}},
		{"b", []string{"x", "y"}, []string{"y", "x"}},
		{"gone", []string{"z"}, nil},
		{"new", nil, []string{"n"}},
	}
	if diff := cmp.Diff(want, was.Differences(now)); diff != "" {
		t.Error(diff)
	}
}

// Nothing of the collection stays in the directory, not even while it is there.
func TestWhatIsCollectedHasNoName(t *testing.T) {
	dir := t.TempDir()
	w, err := NewWriter(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.Close() })
	if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
		t.Errorf("%v, %v", entries, err)
	}
}

func TestAWriterKeepsItsError(t *testing.T) {
	w, err := NewWriter(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	w.spool.most = 1
	if err := w.spool.file.Close(); err != nil {
		t.Fatal(err)
	}
	if err := w.AddMedia(item.Previews, Media{Key: "a"}); err == nil {
		t.Error("no error")
	}
	var b bytes.Buffer
	if err := w.Write(&b, head(), both); err == nil || b.Len() > 0 {
		t.Errorf("%v, %q", err, b.String())
	}
}

func TestWhatIsOfAnotherFlowIsAnError(t *testing.T) {
	for flow, says := range map[item.Flow]string{item.Previews: "previews is not among the flows", "zoo": "is of no flow"} {
		w, err := NewWriter(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		if err := w.AddMedia(flow, Media{Key: "a"}); err != nil {
			t.Fatal(err)
		}
		if err := w.Write(&bytes.Buffer{}, head(), both); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", flow, err)
		}
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestAnIDThatFitsInNoLineIsAnError(t *testing.T) {
	w, err := NewWriter(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.Close() })
	if err := w.AddMedia(item.LocalMedia, Media{Key: strings.Repeat("é", longest/2)}); err == nil {
		t.Error("no error")
	}
}

// FuzzRead reads what may be anything behind a right checksum. What is taken is written again just so.
func FuzzRead(f *testing.F) {
	whole := string(written(f, 0, head(), both, some))
	f.Add(whole)
	f.Add(string(written(f, 0, head(), both, func(*Writer) error { return nil })))
	f.Add(strings.Replace(whole, `"bytes":5`, `"bytes":5e0`, 1))
	f.Add("{\n  \"synupkeep_plan\": 1,\n")
	f.Fuzz(func(t *testing.T, text string) {
		content := signed(text)
		p, err := Read(t.Context(), bytes.NewReader(content))
		if err != nil {
			return
		}
		var items int64
		for _, total := range p.Totals {
			items += total.Items
		}
		if int(items) != bytes.Count(content, []byte("\n"+itemIndent+"{\"")) {
			t.Errorf("%d items:\n%s", items, content)
		}
		if !json.Valid(content) {
			t.Errorf("it is not JSON:\n%s", content)
		}
	})
}
