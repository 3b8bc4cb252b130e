package config

import (
	"math"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"synupkeep/internal/item"
)

func TestLimitsAreNumbersSizesOrPercentages(t *testing.T) {
	for text, want := range map[string]Maxima{
		"0":     {},
		"12000": {Rooms: Max{Count: 12000}, Media: Max{Count: 12000}, Bytes: Max{Count: 12000}},
		"10%":   {Rooms: Max{Percent: 10}, Media: Max{Percent: 10}, Bytes: Max{Percent: 10}},
		"2.5%":  {Rooms: Max{Percent: 2.5}, Media: Max{Percent: 2.5}, Bytes: Max{Percent: 2.5}},
		"100%":  {Rooms: Max{Percent: 100}, Media: Max{Percent: 100}, Bytes: Max{Percent: 100}},
	} {
		got := mustParse(t, withToken(), "--max-rooms", text, "--max-media", text, "--max-bytes", text).Max
		if diff := cmp.Diff(want, got); diff != "" || got.Any() != (text != "0") {
			t.Errorf("%s: %s", text, diff)
		}
	}
	for text, want := range map[string]int64{
		"1": 1, "50GB": 50e9, "50GiB": 50 << 30, "50 gib": 50 << 30, "1.5T": 15e11, "1.5TiB": 3 << 39, "700M": 7e8, "8k": 8000, "0GB": 0,
		"9223372036854774784": math.MaxInt64 - 1023,
	} {
		if got := mustParse(t, withToken(), "--max-bytes", text).Max.Bytes; got != (Max{Count: want}) {
			t.Errorf("%s: %+v", text, got)
		}
	}
}

func TestALimitThatCouldBeMistakenIsRefused(t *testing.T) {
	for _, text := range []string{
		"", "-1", "-5%", "+5", "%", "0%", "0.0%", "100.1%", "101%", "1e2%", "NaN", "NaN%", "Inf", "inf%", "10 %", "10%%", "1_000", "1,000",
		"ten", "9223372036854775808", "99999999999999999999999999", "٣", "٣%", " 5", "5\n",
	} {
		problems := wantErrors(t, withToken(), []string{"--max-rooms=" + text, "--max-media=" + text, "--max-bytes=" + text},
			"--max-rooms", "--max-media", "--max-bytes")
		if n := strings.Count(problems, "10% or 2.5%"); n != 3 {
			t.Errorf("%q: %s", text, problems)
		}
	}
	wantErrors(t, withToken(), []string{"--max-rooms=5GB", "--max-media=1.5"}, "--max-rooms", "--max-media")
	for _, text := range []string{"1,5T", "0.5", "0.4B", "5XB", "GB", "1.5.5G", "5GB/s", "16EiB", "8EiB", "1e3", "5  GB"} {
		wantErrors(t, withToken(), []string{"--max-bytes=" + text}, "--max-bytes")
	}
}

func TestNoLimitIsEverReadAsNone(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringMatching(`[-+]?[0-9]{0,20}[.,]?[0-9]{0,3} ?([kKMGTPEbBi]{0,3}|%)`).Draw(t, "limit")
		for _, number := range []func(string) (int64, error){parseCount, parseBytes} {
			if n, err := number(text); err == nil && (n < 0 || n == 0 && strings.ContainsAny(text, "123456789")) {
				t.Fatalf("%q is %d", text, n)
			}
		}
		if share, err := parsePercent(text); err == nil && !(share > 0 && share <= 100) {
			t.Fatalf("%q is %g", text, share)
		}
		n := rapid.Int64Range(0, math.MaxInt64).Draw(t, "count")
		if got, err := parseCount(strconv.FormatInt(n, 10)); err != nil || got != n {
			t.Fatalf("%d is %d, %v", n, got, err)
		}
	})
}

func TestShownMediaIsKeptUnlessToldOtherwise(t *testing.T) {
	for _, test := range []struct {
		variable string
		args     []string
		want     bool
	}{
		{"", nil, true},
		{"", []string{"run", "-d", "30d"}, true},
		{"", []string{"--keep-shown"}, true},
		{"", []string{"--keep-shown=true"}, true},
		{"", []string{"--keep-shown=false"}, false},
		{"", []string{conn, token, "--keep-shown=false"}, false},
		{"", []string{"--keep-shown=0", "--delta", "30d"}, false},
		{"false", nil, false},
		{"0", []string{"run", "-d", "30d"}, false},
		{"true", nil, true},
		{"false", []string{"--keep-shown"}, true},
		{"true", []string{"--keep-shown=false"}, false},
	} {
		if got := mustParse(t, withToken("SYNUPKEEP_KEEP_SHOWN", test.variable), test.args...).Media.KeepShown; got != test.want {
			t.Errorf("%q and %q: %t", test.variable, test.args, got)
		}
	}
	wantErrors(t, withToken("SYNUPKEEP_KEEP_SHOWN", "no"), nil, "SYNUPKEEP_KEEP_SHOWN")
}

func TestWithoutADiskPreviewsStay(t *testing.T) {
	withoutPreviews := []item.Flow{item.History, item.LocalMedia, item.RemoteMedia}
	for _, test := range []struct {
		args     []string
		want     []item.Flow
		warnings int
	}{
		{nil, withoutPreviews, 1},
		{[]string{"--skip", "history"}, withoutPreviews[1:], 1},
		{[]string{"--skip", "previews"}, withoutPreviews, 0},
		{[]string{"--only", "local-media"}, withoutPreviews[1:2], 0},
		{[]string{"--only", "local-media,previews", "--skip", "previews"}, withoutPreviews[1:2], 0},
	} {
		cfg := mustParse(t, withToken(), append([]string{"run", "-d", "30d", "--media-via", "api", "--state-dir", "/s"}, test.args...)...)
		if diff := cmp.Diff(test.want, cfg.Flows); diff != "" || len(cfg.Warnings) != test.warnings {
			t.Errorf("%q: %s%q", test.args, diff, cfg.Warnings)
		}
		if test.warnings == 1 && !strings.HasPrefix(cfg.Warnings[0], "previews stay with --media-via api: Synapse's API") {
			t.Errorf("%q", cfg.Warnings)
		}
		if _, planned := cfg.Ages[item.Previews]; planned {
			t.Errorf("%q: previews have an age", test.args)
		}
	}
	forgetful := mustParse(t, withToken(), "-d", "30d", "--media-via=api", "--only=local-media")
	if forgetful.StateDir != "" || len(forgetful.Warnings) != 1 || !strings.HasPrefix(forgetful.Warnings[0], "without --state-dir nothing is remembered") {
		t.Errorf("state in %q: %q", forgetful.StateDir, forgetful.Warnings)
	}
	problems := wantErrors(t, withToken("SYNUPKEEP_ONLY", "history previews"), []string{"--media-via=api"}, "SYNUPKEEP_ONLY")
	if !strings.Contains(problems, "leaves the files of previews behind") || !strings.Contains(problems, "--media-via disk") {
		t.Error(problems)
	}
}
