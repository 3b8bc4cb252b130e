package item_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"synupkeep/internal/item"
)

// The words are a public interface: they stand in flags, log, report and JSON.

func TestFlowsAreInTheOrderOfARun(t *testing.T) {
	want := []item.Flow{"history", "local-media", "remote-media", "previews"}
	if diff := cmp.Diff(want, item.Flows()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestStatusWords(t *testing.T) {
	want := []item.Status{"done", "kept", "skipped", "failed", "left"}
	if diff := cmp.Diff(want, item.Statuses()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestReasonWordsAreDistinct(t *testing.T) {
	words := map[item.Reason]string{
		item.NothingOld: "nothing old", item.NothingToPurge: "nothing to purge", item.NotSelected: "not selected",
		item.NotYetWorthIt: "not yet worth it", item.Gap: "gap", item.Reported: "reported",
		item.YoungEvent: "young event", item.StateExtremity: "state extremity", item.Extremity: "extremity",
		item.NewestEvent: "newest event", item.Redaction: "redaction", item.PartialState: "partial state",
		item.NoExtremity: "no extremity", item.BeingDeleted: "being deleted", item.NoEventAtTheCut: "no event at cut",
		item.Avatar: "avatar", item.Quarantined: "quarantined", item.Protected: "protected",
		item.Uploading: "uploading", item.Admin: "admin", item.OriginDown: "origin down", item.InUse: "in use",
		item.Changed: "changed", item.Limit: "limit", item.Stopped: "stopped", item.FilesLeft: "files left", item.Pinned: "pinned",
		item.Planned: "plan", item.NotPlanned: "not in the plan",
		item.Profile: "profile", item.AccountData: "account data", item.Invite: "invite",
		item.DelayedEvent: "delayed event", item.Event: "event", item.StateEvent("m.image_pack"): "state:m.image_pack",
	}
	for reason, want := range words {
		if string(reason) != want {
			t.Errorf("reason %q, want %q", reason, want)
		}
	}
}

func TestMediaKeyIsItsMXCURI(t *testing.T) {
	m := item.Media{Flow: item.RemoteMedia, Origin: "example.org:8448", ID: "AbC", FileID: "other"}
	if got, want := m.Key(), "mxc://example.org:8448/AbC"; got != want {
		t.Errorf("key %q, want %q", got, want)
	}
}

func TestReasonOfAStateEventIsAPlainWord(t *testing.T) {
	for eventType, want := range map[string]item.Reason{
		"im.ponies.room_emotes": "state:im.ponies.room_emotes", "org.example-1_x": "state:org.example-1_x",
		"": "state", "a b": "state", "a\x1b[2J": "state", "ä": "state", "a\nb": "state",
		strings.Repeat("x", 64): item.Reason("state:" + strings.Repeat("x", 64)), strings.Repeat("x", 65): "state",
	} {
		if got := item.StateEvent(eventType); got != want {
			t.Errorf("%q: %q, want %q", eventType, got, want)
		}
	}
}
