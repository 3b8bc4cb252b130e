package page_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode"

	"github.com/dustin/go-humanize"
	"golang.org/x/net/html"
	"pgregory.net/rapid"

	"synupkeep/internal/item"
	"synupkeep/sinks"
	"synupkeep/sinks/page"
)

// node is an element of a page with all text below it.
type node struct {
	*html.Node
}

func parsed(t testing.TB, text string) node {
	t.Helper()
	n, err := html.Parse(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return node{n}
}

// all are the elements below that a test likes.
func (n node) all(like func(node) bool) (found []node) {
	for d := range n.Descendants() {
		if d.Type == html.ElementNode && like(node{d}) {
			found = append(found, node{d})
		}
	}
	return found
}

func tag(names ...string) func(node) bool {
	return func(n node) bool { return slices.Contains(names, n.Data) }
}

func having(key, value string) func(node) bool {
	return func(n node) bool { v, ok := n.attr(key); return ok && v == value }
}

func (n node) attr(key string) (string, bool) {
	for _, a := range n.Attr {
		if a.Key == key {
			return a.Val, true
		}
	}
	return "", false
}

func (n node) text() string {
	var b strings.Builder
	for d := range n.Descendants() {
		if d.Type == html.TextNode {
			b.WriteString(d.Data)
		}
	}
	return b.String()
}

func one(t testing.TB, from node, like func(node) bool) node {
	t.Helper()
	found := from.all(like)
	if len(found) != 1 {
		t.Fatalf("%d elements instead of one", len(found))
	}
	return found[0]
}

// pages are pages of every kind.
func pages(t testing.TB) map[string]string {
	return map[string]string{
		"run": render(t, good()), "plan": render(t, planned()), "failing": render(t, failing(40)), "attacked": render(t, attacked()),
		"huge": render(t, failing(1000)), "nothing": render(t, page.Page{}), "cleared": render(t, cleared()), "usage": renderUsage(t, spaceUsed()), "no usage": renderUsage(t, sinks.Usage{}),
		"without stock": render(t, page.Page{Summary: good().Summary}),
	}
}

// allowed are the elements of which a page is made, and their attributes: none of them loads, runs or sends anything.
var allowed = map[string]string{
	"html": "lang", "head": "", "meta": "charset http-equiv content name", "title": "", "style": "", "body": "", "header": "", "main": "", "footer": "",
	"h1": "", "h2": "id", "p": "class", "strong": "class", "bdi": "", "dl": "class", "div": "class role aria-label tabindex", "dt": "", "dd": "",
	"section": "id aria-labelledby", "table": "data-table", "caption": "", "thead": "", "tbody": "", "tr": "data-row", "th": "scope class",
	"td": "class data-column", "data": "value", "time": "datetime", "small": "", "code": "", "figure": "", "figcaption": "", "details": "open",
	"summary": "", "ol": "class", "li": "", "span": "class",
	"svg": "viewbox role aria-label", "path": "d class stroke-width stroke-dasharray", "text": "x y class font-size text-anchor",
}

// Nothing in a page refers to anything outside of it, whatever stands in a database.
func TestAPageRefersToNothing(t *testing.T) {
	outside := regexp.MustCompile(`(?i)url\(|@import|@font-face|expression\(|image-set|behavior:`)
	for name, text := range pages(t) {
		t.Run(name, func(t *testing.T) {
			root := parsed(t, text)
			for _, n := range root.all(func(node) bool { return true }) {
				attributes, known := allowed[n.Data]
				if !known {
					t.Errorf("there is a <%s>", n.Data)
				}
				for _, a := range n.Attr {
					if !slices.Contains(strings.Fields(attributes), strings.ToLower(a.Key)) {
						t.Errorf("there is a <%s %s=%q>", n.Data, a.Key, a.Val)
					}
				}
				if equiv, ok := n.attr("http-equiv"); ok && equiv != "Content-Security-Policy" {
					t.Errorf("there is a <meta http-equiv=%q>", equiv)
				}
			}
			style := one(t, root, tag("style")).text()
			if found := outside.FindString(style); found != "" || strings.Contains(style, "<") {
				t.Errorf("the style sheet has %q", found)
			}
			if len(root.all(func(n node) bool { return n.Type == html.CommentNode })) > 0 {
				t.Error("there is a comment")
			}
		})
	}
}

// The policy forbids everything but this style sheet.
func TestThePolicyAllowsTheStyleSheetAndNothingElse(t *testing.T) {
	root := parsed(t, render(t, attacked()))
	sum := sha256.Sum256([]byte(one(t, root, tag("style")).text()))
	policy, _ := one(t, root, having("http-equiv", "Content-Security-Policy")).attr("content")
	want := "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'; base-uri 'none'; form-action 'none'"
	if policy != want {
		t.Errorf("the policy is %q, want %q", policy, want)
	}
	for _, n := range root.all(tag("head"))[0].all(tag("meta", "style", "title")) {
		if _, is := n.attr("charset"); is {
			continue
		}
		if equiv, _ := n.attr("http-equiv"); equiv == "" {
			t.Error("the policy does not come first")
		}
		return
	}
}

// flowNumbers are the rows of the table of flows and the keys of the JSON that they are of.
var flowNumbers = map[string]func(json.Number) string{
	"examined": comma, "done": comma, "kept": comma, "skipped": comma, "left": comma, "failed": comma, "rows_deleted": comma, "files_deleted": comma,
	"files_missing": comma, "bytes_freed": ibytes, "retries": comma,
	"duration_s": func(n json.Number) string {
		seconds, _ := n.Float64()
		return sinks.Took(seconds)
	},
}

func comma(n json.Number) string {
	i, _ := n.Int64()
	return humanize.Comma(i)
}

func ibytes(n json.Number) string {
	i, _ := n.Int64()
	return humanize.IBytes(uint64(i))
}

// Every number of the table of flows is that of the JSON of the same summary, as a value and as people read it.
func TestTheNumbersOfThePageAreThoseOfTheJSON(t *testing.T) {
	for name, p := range map[string]page.Page{"run": good(), "plan": planned(), "failing": failing(3)} {
		t.Run(name, func(t *testing.T) {
			var b bytes.Buffer
			if err := sinks.WriteJSON(&b, p.Summary); err != nil {
				t.Fatal(err)
			}
			var told struct {
				ExitCode json.Number `json:"exit_code"`
				Flows    []map[string]any
			}
			decoder := json.NewDecoder(&b)
			decoder.UseNumber()
			if err := decoder.Decode(&told); err != nil {
				t.Fatal(err)
			}
			root := parsed(t, render(t, p))
			if code, _ := one(t, root.all(tag("dl"))[0].all(tag("div"))[0], tag("data")).attr("value"); code != told.ExitCode.String() {
				t.Errorf("the exit code is %s, want %s", code, told.ExitCode)
			}
			table := one(t, root, having("data-table", "flows"))
			for key, words := range flowNumbers {
				cells := one(t, table, having("data-row", key)).all(tag("td"))
				if len(cells) != len(told.Flows) {
					t.Fatalf("%s: %d cells, %d flows", key, len(cells), len(told.Flows))
				}
				for i, f := range told.Flows {
					if column, _ := cells[i].attr("data-column"); column != f["flow"] {
						t.Errorf("%s: column %d is of %s, want %s", key, i, column, f["flow"])
					}
					want, _ := f[key].(json.Number)
					if key == "bytes_freed" && f["flow"] == "history" {
						continue // nothing that can be counted
					}
					data := one(t, cells[i], tag("data"))
					if value, _ := data.attr("value"); value != want.String() || data.text() != words(want) {
						t.Errorf("%s of %s is %s (%s), the JSON says %s", key, f["flow"], value, data.text(), want)
					}
				}
			}
			reasonsEqual(t, root, told.Flows)
		})
	}
}

func reasonsEqual(t *testing.T, root node, flows []map[string]any) {
	t.Helper()
	for _, f := range flows {
		got, want := map[string]string{}, map[string]string{}
		for what, key := range map[string]string{"kept ": "kept_by_reason", "skipped ": "skipped_by_reason", "left ": "left_by_reason"} {
			for reason, n := range f[key].(map[string]any) {
				want[what+reason] = n.(json.Number).String()
			}
		}
		for _, table := range root.all(having("data-table", fmt.Sprint("stays-", f["flow"]))) {
			for _, r := range table.all(tag("tr"))[1:] {
				key, _ := r.attr("data-row")
				got[key], _ = one(t, r, tag("data")).attr("value")
			}
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s: what stays is %v, the JSON says %v", f["flow"], got, want)
		}
	}
}

// Before and after stand in the page as they were read; where nobody read what is left, it is what was less what went.
func TestBeforeAndAfter(t *testing.T) {
	value := func(p page.Page, row string, column int) string {
		cells := one(t, one(t, parsed(t, render(t, p)), having("data-table", "stock")), having("data-row", row)).all(tag("td"))
		if found := cells[column].all(tag("data")); len(found) == 1 {
			v, _ := found[0].attr("value")
			return v
		}
		return ""
	}
	run, plan := good(), planned()
	stopped := failing(1) // before anybody read what is left
	if text := parsed(t, render(t, stopped)).text(); !strings.Contains(text, "after (computed)") {
		t.Error("what was computed looks like what was read")
	}
	unknown := good()
	unknown.Before.Space, unknown.After.Space = 0, 0
	for _, is := range []struct {
		p    page.Page
		row  string
		at   int
		want int64
	}{
		{run, "history-items", 0, 2_345_678},
		{run, "local-media-bytes", 0, 61 * gib},
		{run, "local-media-bytes", 1, run.After.Curves[1].Bytes},
		{run, "free", 0, run.Before.Free},
		{run, "free", 1, run.After.Free},
		{stopped, "local-media-items", 1, 48_211 - 9_800},
		{plan, "history-items", 1, 2_345_678 - 412_998},
		{plan, "local-media-items", 1, 48_211 - 9_800},
		{plan, "local-media-bytes", 1, 61*gib - 16*gib},
		{plan, "previews-items", 1, 9_001},
		{plan, "free", 1, plan.Before.Free + 17*gib + 3 + 88*gib},
	} {
		if got := value(is.p, is.row, is.at); got != strconv.FormatInt(is.want, 10) {
			t.Errorf("%s of %s is %q in column %d, want %d", is.row, is.p.Summary.Command, got, is.at, is.want)
		}
	}
	if strings.Contains(render(t, unknown), "Free space") {
		t.Error("free space is told of a file system that nobody knows")
	}
}

// What strangers wrote stands in the page as text, printable and by itself.
func TestTextsOfStrangersAreText(t *testing.T) {
	text := render(t, attacked())
	for i, r := range text {
		if r != '\n' && !unicode.IsPrint(r) && r != '\u00a0' {
			t.Fatalf("%q at %d: ...%s", r, i, text[max(0, i-80):i])
		}
	}
	root := parsed(t, text)
	wanted := []string{`</script><script>alert(1)</script>`, `"><img src=x onerror=alert(1)>`, `a\u202egnp.exe`, `\x1b[2J\x00\u2066\ufeff`, `{{.Title}}`}
	for _, want := range wanted {
		found := 0
		for _, b := range root.all(tag("bdi")) {
			if b.text() == want {
				found++
			}
		}
		if found < 5 {
			t.Errorf("%s stands in %d places by itself", want, found)
		}
	}
	for d := range root.Descendants() {
		theirs := d.Type == html.TextNode && strings.ContainsAny(d.Data, "\\<אز")
		if !theirs || d.Parent.Data == "style" || d.Parent.Data == "title" || d.Parent.Data == "text" {
			continue // a plot has each text by itself
		}
		isolated := false
		for a := range d.Ancestors() {
			isolated = isolated || a.Data == "bdi"
		}
		if !isolated {
			t.Errorf("what stands around %q in a <%s> may be turned around by it", d.Data, d.Parent.Data)
		}
	}
	if title := one(t, root.all(tag("head"))[0], tag("title")).text(); !strings.Contains(title, wanted[0]) {
		t.Errorf("the title is %q", title)
	}
	labels := 0
	for _, n := range root.all(tag("text")) {
		if strings.Contains(n.text(), "</script>") {
			labels++
		}
	}
	if labels == 0 {
		t.Error("no plot names what is hostile")
	}
}

// Secrets are in no page.
func TestSecretsAreTakenOut(t *testing.T) {
	text := render(t, failing(10))
	if strings.Contains(text, secret) {
		t.Error("the page has a secret")
	}
	if !strings.Contains(text, "***") {
		t.Error("nothing was taken out")
	}
	u := spaceUsed()
	u.Redact = func(text string) string { return strings.ReplaceAll(text, secret, "***") }
	u.Warnings = []string{"password=" + secret}
	if text := renderUsage(t, u); strings.Contains(text, secret) || !strings.Contains(text, "***") {
		t.Error("the page of the usage has a secret")
	}
}

// A page stays small enough to be opened on a phone, whatever failed.
func TestAPageIsBounded(t *testing.T) {
	p := failing(1000)
	for i := range p.Summary.Failures {
		f := &p.Summary.Failures[i]
		f.Key, f.Cause, f.Hint, f.PurgeID = strings.Repeat("<", 5000), strings.Repeat("\u202e", 5000), strings.Repeat("&", 5000), strings.Repeat("\"", 5000)
	}
	for range 10_000 { // as many as --top allows
		p.Summary.Warnings = append(p.Summary.Warnings, "one more")
		p.Summary.Flows[0].ByRoom = append(p.Summary.Flows[0].ByRoom, sinks.RoomShare{RoomID: "!r", Name: strings.Repeat("W", 5000)})
		p.Summary.Flows[1].ByUser = append(p.Summary.Flows[1].ByUser, sinks.Share{Key: strings.Repeat("<", 5000)})
	}
	if n := len(render(t, p)); n > 16*mib {
		t.Errorf("it has %s", humanize.IBytes(uint64(n)))
	}
	if n := len(render(t, failing(1000))); n > 2*mib {
		t.Errorf("of 1,000 failures it has %s", humanize.IBytes(uint64(n)))
	}
}

// Twenty failures are to be seen at once, the others on demand; none of the named ones is missing.
func TestEveryNamedFailureIsInThePage(t *testing.T) {
	root := parsed(t, render(t, failing(1000)))
	section := one(t, root, having("id", "failures"))
	if n := len(section.all(tag("li"))); n != 1000 {
		t.Errorf("%d failures are named", n)
	}
	if n := len(section.all(tag("details"))[0].all(tag("li"))); n != 980 {
		t.Errorf("%d failures are folded away", n)
	}
	if heading := one(t, section, tag("h2")).text(); heading != "Failed items (1,012)" {
		t.Errorf("the heading is %q", heading)
	}
	for _, want := range []string{"see to the disk", "purge QwErTyUiOp", "input/output error", "12 more are not named"} {
		if !strings.Contains(section.text(), want) {
			t.Errorf("there is no %q", want)
		}
	}
}

// Whoever does not see the page has headings, captions and what each plot says.
func TestAPageCanBeReadAloud(t *testing.T) {
	for name, text := range pages(t) {
		root := parsed(t, text)
		if lang, _ := one(t, root, tag("html")).attr("lang"); lang != "en" {
			t.Errorf("%s: the language is %q", name, lang)
		}
		if n := len(root.all(tag("h1"))); n != 1 {
			t.Errorf("%s: %d first headings", name, n)
		}
		if one(t, root.all(tag("head"))[0], tag("title")).text() == "" {
			t.Errorf("%s: no title", name)
		}
		ids := map[string]bool{}
		for _, n := range root.all(func(n node) bool { _, ok := n.attr("id"); return ok }) {
			id, _ := n.attr("id")
			if ids[id] {
				t.Errorf("%s: the id %s is there twice", name, id)
			}
			ids[id] = true
		}
		for _, s := range root.all(tag("section")) {
			if by, _ := s.attr("aria-labelledby"); !ids[by] {
				t.Errorf("%s: nothing has the id %s", name, by)
			}
		}
		for _, table := range root.all(tag("table")) {
			if one(t, table, tag("caption")).text() == "" {
				t.Errorf("%s: a table has no caption", name)
			}
		}
		for _, f := range root.all(tag("figure")) {
			caption := one(t, f, tag("figcaption")).text()
			svg := one(t, f, tag("svg"))
			label, _ := svg.attr("aria-label")
			role, _ := svg.attr("role")
			if title := one(t, svg, tag("title")).text(); title != label || len(title) <= len(caption) || role != "img" {
				t.Errorf("%s: the plot %q says %q, its title is %q", name, caption, label, title)
			}
			if len(one(t, one(t, f, tag("details")), tag("table")).all(tag("data"))) == 0 {
				t.Errorf("%s: beside the plot %q there are no numbers", name, caption)
			}
		}
	}
}

// A run that did nothing, and knows nothing, has a page.
func TestAnEmptySummaryHasAPage(t *testing.T) {
	text := parsed(t, render(t, page.Page{})).text()
	for _, want := range []string{"done: there was nothing to delete (exit code 0)", "No flow was begun", "not known"} {
		if !strings.Contains(text, want) {
			t.Errorf("there is no %q in it:\n%s", want, text)
		}
	}
}

// Whatever was counted, the plots can be drawn.
func TestEveryPlotCanBeDrawn(t *testing.T) {
	number := rapid.OneOf(rapid.Int64(), rapid.SampledFrom([]int64{0, 1, -1, 1023, 1024, math.MaxInt64, math.MinInt64}))
	rapid.Check(t, func(rt *rapid.T) {
		p := good()
		p.Summary.Flows, p.After = p.Summary.Flows[1:2], nil
		f := &p.Summary.Flows[0]
		f.ByDay = nil
		for i := range rapid.IntRange(1, 70).Draw(rt, "days") {
			f.ByDay = append(f.ByDay, sinks.DayShare{
				Day:   fourOClock.AddDate(0, 0, i*rapid.IntRange(0, 900).Draw(rt, "apart")).Format("2006-01-02"),
				Items: max(1, number.Draw(rt, "items")/100), Bytes: number.Draw(rt, "bytes") / 100,
			})
		}
		for i := range f.ByUser {
			f.ByUser[i].Bytes, f.ByUser[i].Key = number.Draw(rt, "of user"), rapid.String().Draw(rt, "user")
		}
		p.Before.Curves = p.Before.Curves[1:2]
		c := &p.Before.Curves[0]
		c.Items, c.Bytes = max(1, number.Draw(rt, "all")), number.Draw(rt, "all bytes")
		for i := range c.Points {
			c.Points[i].Bytes, c.Points[i].Items = number.Draw(rt, "older"), number.Draw(rt, "older items")
		}
		f.CutOff = fourOClock.AddDate(0, 0, -rapid.IntRange(-10, 100_000).Draw(rt, "cut-off"))
		var b bytes.Buffer
		if err := page.Write(&b, p); err != nil {
			rt.Fatal(err)
		}
		root, err := html.Parse(&b)
		if err != nil {
			rt.Fatal(err)
		}
		for _, f := range (node{root}).all(tag("figure")) {
			if len(f.all(tag("svg"))) != 1 {
				rt.Fatalf("%s: it was not drawn", f.all(tag("figcaption"))[0].text())
			}
		}
	})
}

// Each reason is explained: the words of the JSON alone tell little to somebody who is woken at night.
func TestEveryReasonIsExplained(t *testing.T) {
	for _, r := range append(item.Reasons(), item.StateEvent("m.room.avatar"), item.StateEvent("")) {
		p := page.Page{Summary: sinks.Summary{Flows: []sinks.FlowSummary{{Flow: item.LocalMedia, Ran: true, Examined: 1, KeptTotal: 1, Kept: map[item.Reason]int64{r: 1}}}}}
		table := one(t, parsed(t, render(t, p)), having("data-table", "stays-local-media"))
		if found := table.all(tag("small")); len(found) != 1 || len(found[0].text()) < 15 {
			t.Errorf("%s is not explained", r)
		}
	}
}

// The page is a file of mode 0600 that takes its name when it is complete.
func TestThePageIsAFileOfItsOwner(t *testing.T) {
	path := filepath.Join(t.TempDir(), "page.html")
	f, err := page.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("it is there before it is complete: %v", err)
	}
	if err := f.Write(good()); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info.Mode(), err)
	}
	if rest, _ := filepath.Glob(filepath.Join(filepath.Dir(path), "*")); len(rest) != 1 {
		t.Errorf("there is more than the page: %v", rest)
	}
	if _, err := page.Create(filepath.Join(path, "no", "page.html")); err == nil || !strings.Contains(err.Error(), "the page") {
		t.Errorf("a page that cannot be created: %v", err)
	}
}
