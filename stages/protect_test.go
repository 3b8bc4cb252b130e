package stages

import (
	"errors"
	"testing"

	"synupkeep/internal/item"
	"synupkeep/internal/references"
)

func TestProtect(t *testing.T) {
	shown := NewShown()
	shown.Add(references.Hash("shown"), item.AccountData)
	shown.Add(references.Hash("event"), item.Event)
	shown.Add(references.Hash("both"), item.Event)
	shown.Add(references.Hash("both"), item.Pinned)
	shown.Seal()
	protect := func() *Protect {
		return &Protect{
			Shown: shown, Users: NewGlobs([]string{"@bot*:hs"}), IDs: NewGlobs([]string{"kept?", "mxc://hs/whole"}),
			Types: NewGlobs([]string{"image/*"}), Budget: NewBudget(0), Flow: &memFlow{},
		}
	}
	media := func(id string) item.Media {
		return item.Media{Flow: item.LocalMedia, Origin: "hs", ID: id, UserID: "@alice:hs", Type: "text/plain"}
	}
	for name, test := range map[string]struct {
		change func(*item.Media, *Protect)
		status item.Status
		reason item.Reason
	}{
		"goes":         {change: func(*item.Media, *Protect) {}},
		"quarantined":  {func(m *item.Media, _ *Protect) { m.Keep = item.Quarantined }, item.Kept, item.Quarantined},
		"shown":        {func(m *item.Media, _ *Protect) { m.ID = "shown" }, item.Kept, item.AccountData},
		"event":        {func(m *item.Media, _ *Protect) { m.ID = "event" }, item.Kept, item.Event},
		"both":         {func(m *item.Media, _ *Protect) { m.ID = "both" }, item.Kept, item.Pinned},
		"given up":     {change: func(m *item.Media, p *Protect) { m.ID, p.LetEventsGo = "event", true }},
		"pinned":       {func(m *item.Media, p *Protect) { m.ID, p.LetEventsGo = "both", true }, item.Kept, item.Pinned},
		"not given up": {func(m *item.Media, p *Protect) { m.ID, p.LetEventsGo = "shown", true }, item.Kept, item.AccountData},
		"given up, but quarantined": {func(m *item.Media, p *Protect) {
			m.ID, m.Keep, p.LetEventsGo = "event", item.Quarantined, true
		}, item.Kept, item.Quarantined},
		"not read, given up": {func(_ *item.Media, p *Protect) { p.Shown, p.LetEventsGo = NewShown(), true }, item.Kept, "state"},
		"user":               {func(m *item.Media, _ *Protect) { m.UserID = "@bot-7:hs" }, item.Kept, item.Admin},
		"id":                 {func(m *item.Media, _ *Protect) { m.ID = "kept1" }, item.Kept, item.Admin},
		"key":                {func(m *item.Media, _ *Protect) { m.ID = "whole" }, item.Kept, item.Admin},
		"type":               {func(m *item.Media, _ *Protect) { m.Type = "image/png" }, item.Kept, item.Admin},
		"not the id":         {change: func(m *item.Media, _ *Protect) { m.ID = "kept12" }},
		"no lists":           {change: func(_ *item.Media, p *Protect) { p.Shown, p.Users, p.IDs, p.Types = nil, nil, nil, nil }},
		"set not read":       {func(_ *item.Media, p *Protect) { p.Shown = NewShown() }, item.Kept, "state"},
		"stopping":           {func(_ *item.Media, p *Protect) { p.Flow.StopFeeding(errors.New("stop")) }, item.Left, item.Stopped},
		"limit":              {func(_ *item.Media, p *Protect) { p.Budget = NewBudget(1); p.Budget.Take() }, item.Left, item.Limit},
		"kept at the limit": {func(m *item.Media, p *Protect) {
			m.Keep, p.Budget = item.Protected, NewBudget(1)
			p.Budget.Take()
		}, item.Kept, item.Protected},
	} {
		m, p := media("goes"), protect()
		test.change(&m, p)
		out, goes := p.Do(&m)
		if m.ShownByEvent != (name == "given up") {
			t.Errorf("%s: shown by a kept event: %t", name, m.ShownByEvent)
		}
		if goes != (test.status == "") || out.Status != test.status || out.Reason != test.reason {
			t.Errorf("%s: %+v, goes: %t", name, out, goes)
		}
		if !goes && (out.Key != m.Key() || out.Flow != m.Flow) {
			t.Errorf("%s: whose outcome is %+v", name, out)
		}
	}
}

func TestGlobs(t *testing.T) {
	for _, test := range []struct {
		pattern, text string
		want          bool
	}{
		{"*", "", true},
		{"*", "a\nb", true},
		{"", "", true},
		{"", "a", false},
		{"a*c", "abbc", true},
		{"a*c", "abbcd", false},
		{"a?c", "abc", true},
		{"a?c", "ac", false},
		{"a?c", "aéc", true},
		{"a.c", "abc", false},
		{"[a](b)+$^|\\", "[a](b)+$^|\\", true},
		{"@*:example.org", "@x:example.org.evil", false},
		{"a", "A", false},
		{"\xff", "\xff", true},
	} {
		if got := NewGlobs([]string{"never", test.pattern}).Match(test.text); got != test.want {
			t.Errorf("%q on %q: %t", test.pattern, test.text, got)
		}
	}
	if NewGlobs(nil).Match("a") {
		t.Error("no pattern matches")
	}
}
